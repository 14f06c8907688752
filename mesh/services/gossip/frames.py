"""Cutting what comes over a stream into RPCs, many in one pass."""

from __future__ import annotations

from typing import Final

from mesh.errors import Malformed
from mesh.protocols.machine import Buffer

LENGTH_BYTES: Final = 4
"""Longest length in front of an RPC that is looked at: 28 bits."""


class Frames:
    """One stream's RPCs, without their lengths. Holds at most one unfinished RPC; empty ones are skipped."""

    __slots__ = ("_max_bytes", "_missing", "_parts")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._missing = 0

    @property
    def begun(self) -> bool:
        """Whether the beginning of an RPC is held."""
        return bool(self._parts)

    def receive(self, chunk: Buffer) -> list[bytes]:
        """The RPCs that ``chunk`` completes. Raises `Malformed` for a length over ``max_bytes`` or none at all; then
        the stream has no meaning any more."""
        data = chunk if type(chunk) is bytes else bytes(chunk)
        if len(data) < self._missing:
            self._parts.append(data)
            self._missing -= len(data)
            return []
        if self._parts:
            self._parts.append(data)
            data = b"".join(self._parts)
            self._parts = []
        self._missing = 0
        frames: list[bytes] = []
        offset, end = 0, len(data)
        while offset < end:
            size = data[offset]
            start = offset + 1
            if size > 127:
                size, start = _long(data, offset, end)
            if size > self._max_bytes:
                raise too_long(size, self._max_bytes)
            stop = start + size
            if stop > end:
                self._missing = stop - end
                break
            if size:
                frames.append(data[start:stop])
            offset = stop
        if offset < end:
            self._parts = [data[offset:]]
        return frames


def too_long(size: int, max_bytes: int) -> Malformed:
    """The error for an RPC of more bytes than are taken."""
    return Malformed("RPC length", None, f"{size} bytes, at most {max_bytes} are taken")


def _long(data: bytes, offset: int, end: int) -> tuple[int, int]:
    """A length of several bytes and where it ends; of one that is cut off, what makes its RPC one byte too long."""
    size = shift = 0
    for at in range(offset, min(end, offset + LENGTH_BYTES)):
        byte = data[at]
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            if not byte:
                raise Malformed("RPC length", None, "not in its shortest form")
            return size, at + 1
    if end - offset >= LENGTH_BYTES:
        raise Malformed("RPC length", None, f"longer than {LENGTH_BYTES} bytes")
    return 1, end
