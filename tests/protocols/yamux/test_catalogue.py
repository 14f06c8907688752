"""Recorded frames in both directions, and the conformance catalogue's tables 1 to 5 as data."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from mesh.codecs.yamux import FrameType, Header
from mesh.errors import PeerError
from tests.protocols.yamux.frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    UPDATE,
    WINDOW,
    Frame,
    data,
    frame,
    go_away,
    initiator,
    opened,
    parse,
    ping,
    responder,
    sent,
    update,
)
from tests.vectors import cases

VECTORS = cases("yamux_frames")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_headers_of_recorded_frames(vector: dict[str, Any]) -> None:
    recorded = bytes.fromhex(vector["bytes"])
    header = Header(0, FrameType(vector["type"]), vector["flags"], vector["stream_id"], vector["length"])
    assert recorded[:12] == header.encode()
    assert Header.decode(recorded[:12]) == header


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_recorded_frames_are_taken(vector: dict[str, Any]) -> None:
    recorded = bytes.fromhex(vector["bytes"])
    session = responder() if vector["stream_id"] % 2 else initiator()
    session.receive(recorded, 0.0)
    ends = vector["type"] == GO_AWAY and vector["length"] != 0
    assert (session.ended is not None) is ends
    assert session.remote_gone is (vector["type"] == GO_AWAY)
    streams = opened(session)
    assert [stream.id for stream in streams] == ([vector["stream_id"]] if vector["flags"] & SYN else [])
    for stream in streams:
        assert bytes(session.take(stream, 100)) == recorded[12:]


def test_sessions_send_what_was_recorded() -> None:
    by_name = {vector["name"]: bytes.fromhex(vector["bytes"]) for vector in VECTORS}
    session = initiator()
    stream = session.open()
    session.announce(stream)
    session.send(stream, b"hello")
    session.close_write(stream)
    session.reset(stream, 0x1001)
    pushing = initiator()
    pushing.send(pushing.open(), b"hello")
    answering = responder()
    answering.receive(update(1, flags=SYN), 0.0)
    (inbound,) = opened(answering)
    answering.accept(inbound)
    answering.announce(inbound)
    answering.reset(inbound)
    answering.receive(ping(7), 0.0)
    answering.go_away()
    own = answering_open(responder())
    seen = sent(session) + sent(pushing) + sent(answering) + own
    for name in (
        "window update SYN, client stream 1, delta 0",
        "window update ACK, stream 1, delta 0",
        "data SYN stream 1 'hello'",
        "data stream 1 'hello'",
        "window update FIN stream 1",
        "window update RST stream 1",
        "window update RST stream 1 with error code 0x1001",
        "ping ACK opaque 7",
        "go away normal",
        "first server stream SYN (id 2)",
    ):
        (expected,) = parse(by_name[name])
        assert expected in seen, name


def answering_open(session: Any) -> list[Frame]:
    session.announce(session.open())
    return sent(session)


OPEN = update(1, flags=SYN)
ACKED = [Frame(UPDATE, ACK, 1)]
VIOLATION = Frame(GO_AWAY, 0, 0, 1)


class Case(NamedTuple):
    """Frames that reach a responder accepting every stream; what it sends, whether it lives, which streams remain."""

    id: str
    frames: list[bytes]
    out: list[Frame]
    ends: bool = False
    alive: list[int] = []  # noqa: RUF012 - never changed
    payload: bytes = b""


CASES = [
    Case("1.1", [frame(UPDATE, SYN, 1, version=1)], [VIOLATION], ends=True),
    Case("1.2", [frame(4, 0, 0)], [VIOLATION], ends=True),
    Case("1.3", [frame(UPDATE, SYN | 0xFFF0, 1)], ACKED, alive=[1]),
    Case("1.4", [OPEN[:7]], []),
    Case("1.5", [OPEN, frame(DATA, 0, 1, 10)], ACKED, alive=[1]),
    Case("1.6", [OPEN, data(1, b"")], ACKED, alive=[1]),
    Case("1.7", [OPEN + data(1, b"ab") + data(1, b"cd")], ACKED, alive=[1], payload=b"abcd"),
    Case("2.1", [OPEN], ACKED, alive=[1]),
    Case("2.2", [data(1, b"hello", SYN)], ACKED, alive=[1], payload=b"hello"),
    Case("2.3", [update(2, flags=SYN)], [VIOLATION], ends=True),
    Case("2.4", [update(0, flags=SYN)], [VIOLATION], ends=True),
    Case("2.5", [OPEN, OPEN], [*ACKED, VIOLATION], ends=True),
    Case("2.6", [update(9, flags=SYN), OPEN], [Frame(UPDATE, ACK, 9), *ACKED], alive=[9, 1]),
    Case("2.7", [OPEN, update(1, flags=RST), OPEN], [*ACKED, *ACKED], alive=[1]),
    Case("2.8", [update(1, 1 << 20, SYN)], ACKED, alive=[1]),
    Case("2.9", [update(1, flags=SYN | FIN)], ACKED, alive=[1]),
    Case("2.10", [update(1, flags=SYN | RST)], []),
    Case("2.11", [update(1, flags=SYN | ACK)], ACKED, alive=[1]),
    Case("3.1", [OPEN, *[data(1, bytes(WINDOW // 4))] * 4], ACKED, alive=[1], payload=bytes(WINDOW)),
    Case("3.2", [OPEN, data(1, bytes(WINDOW)), data(1, b"x")], [*ACKED, VIOLATION], ends=True),
    Case("3.3", [OPEN, frame(DATA, 0, 1, 2**31 - 1)], [*ACKED, VIOLATION], ends=True),
    Case("3.6", [OPEN, update(1, 2**32 - 1)], [*ACKED, VIOLATION], ends=True),
    Case("3.7", [update(1, 1000)], []),
    Case(
        "3.8", [data(1, b"lost"), data(3, b"kept", SYN)], [Frame(UPDATE, ACK, 3)], alive=[3], payload=b"kept"
    ),
    Case("3.9", [data(0, b"lost"), OPEN], ACKED, alive=[1]),
    Case("4.1", [OPEN, update(1, flags=FIN)], ACKED, alive=[1]),
    Case("4.2", [OPEN, update(1, flags=FIN), data(1, b"late")], [*ACKED, Frame(UPDATE, RST, 1, 0x1004)]),
    Case("4.3", [OPEN, update(1, flags=FIN), update(1, flags=FIN)], ACKED, alive=[1]),
    Case("4.4", [OPEN, data(1, b"ab"), update(1, flags=RST), ping(1)], [*ACKED, Frame(PING, ACK, 0, 1)]),
    Case("4.5", [OPEN, update(1, flags=RST), data(1, b"late")], ACKED),
    Case("4.6", [update(1, flags=FIN), update(1, flags=RST), update(1, flags=ACK)], []),
    Case("4.7", [OPEN, update(1, 0x1234, RST)], ACKED),
    Case("4.8", [OPEN, data(1, b"end", FIN)], ACKED, alive=[1], payload=b"end"),
    Case("5.1", [ping(0xDEADBEEF)], [Frame(PING, ACK, 0, 0xDEADBEEF)]),
    Case("5.2", [frame(PING, SYN, 7, 5)], [Frame(PING, ACK, 0, 5)]),
    Case("5.3", [ping(3, ACK)], []),
    Case("5.4", [ping(3, 0)], []),
    Case("5.6", [b"".join(map(ping, range(500)))], [Frame(PING, ACK, 0, value) for value in range(32)]),
    Case("5.8", [OPEN, go_away(0), data(1, b"on")], ACKED, alive=[1], payload=b"on"),
    Case("5.9a", [OPEN, go_away(1)], ACKED, ends=True),
    Case("5.9b", [OPEN, go_away(2)], ACKED, ends=True),
    Case("5.9c", [OPEN, go_away(77)], ACKED, ends=True),
    Case("5.10", [OPEN, frame(GO_AWAY, 0, 3, 0)], ACKED, alive=[1]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: Case) -> None:
    session = responder()
    streams = []
    for each in case.frames:
        session.receive(each, 0.0)
        for stream in opened(session):
            session.accept(stream)
            session.announce(stream)
            streams.append(stream)
    assert sent(session) == case.out
    assert (session.ended is not None) is case.ends
    assert list(session.streams) == case.alive
    if not case.ends:
        payload = b"".join(bytes(session.take(stream, 1 << 20)) for stream in streams for _ in range(5))
        assert payload == case.payload


def test_what_a_peer_did_wrong_is_said() -> None:
    session = responder()
    session.receive(frame(9, 0, 0), 0.0)
    assert isinstance(session.ended, PeerError)
    assert session.ended.wire_code == 1
    assert "type 9" in str(session.ended)
    assert session.deadline() is None
