"""Yamux frames as they are on the wire, every number free."""

from __future__ import annotations

from typing import NamedTuple

from mesh.codecs.yamux import ACK, FIN, HEADER, HEADER_BYTES, RST, SYN, FrameType

DATA = int(FrameType.DATA)
WINDOW_UPDATE = int(FrameType.WINDOW_UPDATE)
PING = int(FrameType.PING)
GO_AWAY = int(FrameType.GO_AWAY)
INITIAL_WINDOW_BYTES = 256 * 1024
MAX_BODY_BYTES = 16 * 2**20

_NAMES = {DATA: "DATA", WINDOW_UPDATE: "WINDOW_UPDATE", PING: "PING", GO_AWAY: "GO_AWAY"}
_FLAGS = {SYN: "SYN", ACK: "ACK", FIN: "FIN", RST: "RST"}


class Frame(NamedTuple):
    """``length`` is what the header says; ``body`` what came of a DATA frame."""

    type: int
    flags: int
    stream_id: int
    length: int
    body: bytes = b""
    version: int = 0

    def encode(self) -> bytes:
        return HEADER.pack(self.version, self.type, self.flags, self.stream_id, self.length) + self.body

    def has(self, *flags: int) -> bool:
        return all(self.flags & each for each in flags)

    def __str__(self) -> str:
        names = "+".join(name for bit, name in _FLAGS.items() if self.flags & bit)
        kind = _NAMES.get(self.type, f"type {self.type}")
        return f"{kind} {names or f'flags {self.flags:#x}'} stream {self.stream_id} length {self.length}"


def data(stream_id: int, body: bytes, flags: int = 0) -> Frame:
    return Frame(DATA, flags, stream_id, len(body), body)


def window(stream_id: int, credit: int = 0, flags: int = 0) -> Frame:
    return Frame(WINDOW_UPDATE, flags, stream_id, credit)


class FrameReader:
    """Cuts the target's bytes into frames. ``violation`` says why no more can be read."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.violation: str | None = None

    def receive(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        self._buffer += data
        while self.violation is None and len(self._buffer) >= HEADER_BYTES:
            version, kind, flags, stream_id, length = HEADER.unpack_from(self._buffer)
            body_bytes = length if kind == DATA else 0
            if version or kind not in _NAMES or body_bytes > MAX_BODY_BYTES:
                self.violation = f"bad frame header {bytes(self._buffer[:HEADER_BYTES]).hex()}"
                break
            end = HEADER_BYTES + body_bytes
            if len(self._buffer) < end:
                break
            frames.append(Frame(kind, flags, stream_id, length, bytes(self._buffer[HEADER_BYTES:end])))
            del self._buffer[:end]
        return frames
