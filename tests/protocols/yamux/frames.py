"""Frames by hand, sessions ready to use, and what they sent, read back."""

from __future__ import annotations

import struct
from typing import NamedTuple

from mesh.protocols.machine import Role
from mesh.protocols.yamux import Session, Settings, Stream, StreamOpened

SYN, ACK, FIN, RST = 1, 2, 4, 8
DATA, UPDATE, PING, GO_AWAY = 0, 1, 2, 3
WINDOW = 262144
HEADER = struct.Struct(">BBHII")


class Frame(NamedTuple):
    kind: int
    flags: int = 0
    stream_id: int = 0
    length: int = 0
    body: bytes = b""


def frame(kind: int, flags: int = 0, stream_id: int = 0, length: int = 0, *, version: int = 0) -> bytes:
    return HEADER.pack(version, kind, flags, stream_id, length)


def data(stream_id: int, body: bytes, flags: int = 0) -> bytes:
    return frame(DATA, flags, stream_id, len(body)) + body


def update(stream_id: int, credit: int = 0, flags: int = 0) -> bytes:
    return frame(UPDATE, flags, stream_id, credit)


def ping(value: int, flags: int = SYN) -> bytes:
    return frame(PING, flags, 0, value)


def go_away(code: int) -> bytes:
    return frame(GO_AWAY, 0, 0, code)


def parse(wire: bytes) -> list[Frame]:
    """Whole frames; anything else is an error."""
    frames = []
    offset = 0
    while offset < len(wire):
        version, kind, flags, stream_id, length = HEADER.unpack_from(wire, offset)
        assert version == 0
        offset += HEADER.size
        body = wire[offset : offset + length] if kind == DATA else b""
        assert kind != DATA or len(body) == length
        offset += len(body)
        frames.append(Frame(kind, flags, stream_id, length, body))
    return frames


def wire(session: Session) -> bytes:
    return b"".join(piece for batch in session.output() for piece in batch)


def sent(session: Session) -> list[Frame]:
    return parse(wire(session))


def responder(**settings: float) -> Session:
    return Session(Role.RESPONDER, Settings(**settings), 0.0)  # type: ignore[arg-type]


def initiator(**settings: float) -> Session:
    return Session(Role.INITIATOR, Settings(**settings), 0.0)  # type: ignore[arg-type]


def opened(session: Session) -> list[Stream]:
    return [event.stream for event in session.events() if isinstance(event, StreamOpened)]


def incoming(session: Session, stream_id: int = 1, *, accept: bool = True) -> Stream:
    """A stream the peer opened, its answer already sent."""
    session.receive(update(stream_id, flags=SYN), 0.0)
    (stream,) = opened(session)
    if accept:
        session.accept(stream)
        session.announce(stream)
    session.output()
    return stream


def outgoing(session: Session) -> Stream:
    """A stream of ours that the peer has acknowledged."""
    stream = session.open()
    session.announce(stream)
    session.output()
    session.receive(update(stream.id, flags=ACK), 0.0)
    return stream


def drain(session: Session, stream: Stream, step: int = 1 << 20) -> bytes:
    """All unread payload of a stream."""
    payload = bytearray()
    while stream.queued_bytes:
        payload += session.take(stream, step)
    return bytes(payload)


def transfer(source: Session, target: Session, now: float = 0.0) -> None:
    """Everything one end has to send reaches the other, one batch at a time."""
    for batch in source.output():
        target.receive(b"".join(batch), now)
