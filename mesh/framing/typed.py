"""One message of a stream: its type behind 16 bits of length, then data behind 32, or data alone.

A length is judged as soon as it is there, before what it counts (the Betar marketplace, sections 2 and 3.1). Writing is
`mesh.codecs.market`; a test holds the two together.
"""

from __future__ import annotations

from typing import Final

from mesh.codecs.market import MAX_DATA_BYTES, MAX_TYPE_BYTES, Frame
from mesh.errors import Malformed

_TYPE_LENGTH_BYTES: Final = 2
_DATA_LENGTH_BYTES: Final = 4


class FrameReader:
    """Reads one frame from pieces of any size; what follows it is left alone.

    ``typed`` is false for answers of `/betar/marketplace/1.0.0`, which have no type: theirs is ``""``. It holds no more
    than the frame; after an error every further call raises the same one.
    """

    __slots__ = ("_buffer", "_data_at", "_end", "_error", "_kind", "_max_data_bytes")

    def __init__(self, *, typed: bool = True, max_data_bytes: int = MAX_DATA_BYTES) -> None:
        self._max_data_bytes = max_data_bytes
        self._buffer = bytearray()
        self._kind: str | None = None if typed else ""
        self._data_at = 0 if typed else _DATA_LENGTH_BYTES
        self._end = 0
        self._error: Malformed | None = None

    @property
    def pending_bytes(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._buffer)

    def receive(self, data: bytes | bytearray | memoryview) -> Frame | None:
        """The frame, once all of it has come. Raises `Malformed` for a length out of bounds, or a type not in UTF-8."""
        if self._error is not None:
            raise self._error
        self._buffer += data
        try:
            return self._advance()
        except Malformed as error:
            self._error = error
            self._buffer.clear()
            raise

    def _advance(self) -> Frame | None:
        buffer = self._buffer
        if self._kind is None and not self._read_type():
            return None
        if not self._end:
            if len(buffer) < self._data_at:
                return None
            size = int.from_bytes(buffer[self._data_at - _DATA_LENGTH_BYTES : self._data_at])
            if size > self._max_data_bytes:
                raise Malformed(
                    "Frame.data", None, f"{size} bytes of data, at most {self._max_data_bytes} are taken"
                )
            self._end = self._data_at + size
        if len(buffer) < self._end:
            return None
        assert self._kind is not None
        return Frame(self._kind, bytes(buffer[self._data_at : self._end]))

    def _read_type(self) -> bool:
        """Whether the type is there."""
        buffer = self._buffer
        if len(buffer) < _TYPE_LENGTH_BYTES:
            return False
        size = int.from_bytes(buffer[:_TYPE_LENGTH_BYTES])
        if not 1 <= size <= MAX_TYPE_BYTES:
            raise Malformed("Frame.kind", None, f"a type of {size} bytes, wants 1 to {MAX_TYPE_BYTES}")
        end = _TYPE_LENGTH_BYTES + size
        if len(buffer) < end:
            return False
        try:
            self._kind = buffer[_TYPE_LENGTH_BYTES:end].decode()
        except UnicodeDecodeError:
            raise Malformed("Frame.kind", None, "the type is no UTF-8") from None
        self._data_at = end + _DATA_LENGTH_BYTES
        return True
