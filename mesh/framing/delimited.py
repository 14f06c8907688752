"""Messages behind an unsigned-varint length, the framing of most libp2p exchanges."""

from __future__ import annotations

from mesh.errors import Malformed, Truncated
from mesh.multiformats import varint


def encode(message: bytes) -> bytes:
    """The message with its length in front."""
    return varint.encode(len(message)) + message


class DelimitedReader:
    """Cuts a byte stream into messages, whatever the pieces it arrives in.

    It holds at most one unfinished message: `max_bytes` and nine more. After an error the stream has no
    meaning any more, and every further call raises the same error.
    """

    __slots__ = ("_buffer", "_error", "_max_bytes", "_wanted")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._wanted = 0
        self._error: Malformed | None = None

    @property
    def pending_bytes(self) -> int:
        """Bytes received that belong to a message which is not complete; 0 means a clean boundary."""
        return len(self._buffer)

    def receive(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        """The messages that `data` completes, without their lengths.

        Raises Malformed for a length above `max_bytes` or not in its shortest form; messages completed by the
        same `data` before it are lost.
        """
        if self._error is not None:
            raise self._error
        buffer = self._buffer
        buffer += data
        if len(buffer) < self._wanted:
            return []
        messages: list[bytes] = []
        offset, end, self._wanted = 0, len(buffer), 0
        with memoryview(buffer) as view:
            while offset < end:
                try:
                    size, start = varint.decode(view, offset, self._max_bytes)
                except Truncated:
                    break
                except Malformed as error:
                    self._error = Malformed("message length", None, error.reason)
                    raise self._error from None
                if start + size > end:
                    self._wanted = start - offset + size
                    break
                messages.append(bytes(view[start : start + size]))
                offset = start + size
        del buffer[:offset]
        return messages
