"""Credit: never more sent than granted, never more taken than granted, windows that grow within their bounds."""

from __future__ import annotations

import pytest

from mesh.errors import Closed
from mesh.protocols.machine import Role
from mesh.protocols.yamux import Session, Settings
from tests.protocols.yamux.frames import (
    DATA,
    FIN,
    RST,
    UPDATE,
    WINDOW,
    Frame,
    data,
    drain,
    frame,
    incoming,
    outgoing,
    parse,
    responder,
    sent,
    update,
    wire,
)

MIB = 1 << 20
FULL = bytes(WINDOW)


def test_stops_exactly_at_the_grant() -> None:
    session = responder()
    stream = outgoing(session)
    payload = memoryview(bytes(400_000))
    assert session.send(stream, payload) == WINDOW
    assert session.send(stream, payload) == 0
    assert sum(each.length for each in sent(session)) == WINDOW
    session.receive(update(stream.id, 1000), 0.0)
    assert session.send(stream, payload) == 1000
    assert [each.length for each in sent(session)] == [1000]


def test_credit_in_steps_of_one() -> None:
    session = responder()
    stream = outgoing(session)
    session.send(stream, FULL)
    session.output()
    for value in range(50):
        session.ready.clear()
        stream.touched = False
        session.receive(update(stream.id, 1), 0.0)
        assert session.ready == [stream]
        assert session.send(stream, bytes([value, 255])) == 1
        assert sent(session) == [Frame(DATA, 0, stream.id, 1, bytes([value]))]


def test_syn_and_ack_may_raise_the_window() -> None:
    session = responder()
    stream = session.open()
    session.announce(stream)
    session.receive(update(stream.id, 5, 2), 0.0)
    assert stream.send_window == WINDOW + 5


def test_credit_up_to_32_bits_and_no_further() -> None:
    session = responder()
    stream = outgoing(session)
    session.receive(update(stream.id, 2**32 - 1 - WINDOW), 0.0)
    assert stream.send_window == 2**32 - 1
    session.receive(update(stream.id, 1), 0.0)
    assert session.ended is not None
    assert "32 bits" in str(session.ended)


def test_one_byte_too_many_ends_the_session_before_its_body() -> None:
    session = responder()
    incoming(session)
    session.receive(frame(DATA, 0, 1, WINDOW + 1), 0.0)
    assert session.ended is not None
    assert session.held_bytes == 0
    assert sent(session) == [Frame(3, 0, 0, 1)]


@pytest.mark.parametrize("cut", [False, True])
def test_the_window_counts_over_frames(cut: bool) -> None:
    session = responder()
    stream = incoming(session)
    for _ in range(4):
        whole = data(1, bytes(WINDOW // 4))
        for part in (whole[:100], whole[100:]) if cut else (whole,):
            session.receive(part, 0.0)
    assert stream.receive_window == 0
    session.receive(data(1, b"") + data(1, b"x"), 0.0)
    assert session.ended is not None


def test_an_oversized_header_needs_no_body() -> None:
    session = responder()
    session.receive(frame(DATA, 0, 77, 2**32 - 1), 0.0)
    assert session.ended is not None
    assert "4294967295" in str(session.ended)
    ignored = responder()
    ignored.receive(frame(DATA, 0, 77, 16 * MIB), 0.0)
    assert ignored.ended is None


def test_credit_comes_back_at_half_a_window() -> None:
    session = responder()
    stream = incoming(session)
    session.receive(data(1, FULL), 100.0)
    session.take(stream, WINDOW // 2 - 1)
    assert sent(session) == []
    session.take(stream, 1)
    assert sent(session) == [Frame(UPDATE, 0, 1, WINDOW // 2)]
    assert stream.receive_window + stream.queued_bytes == WINDOW


def test_a_body_still_on_its_way_is_not_granted_again() -> None:
    session = responder()
    stream = incoming(session)
    session.receive(frame(DATA, 0, 1, WINDOW) + b"x", 100.0)
    assert bytes(session.take(stream, 10)) == b"x"
    assert sent(session) == []
    session.receive(bytes(WINDOW - 1), 100.0)
    drain(session, stream)
    assert sent(session) == [Frame(UPDATE, 0, 1, WINDOW)]


def test_no_credit_after_the_peers_fin_or_for_dropped_bytes() -> None:
    session = responder()
    stream = incoming(session)
    other = incoming(session, 3)
    session.receive(data(1, FULL, FIN) + data(3, FULL), 0.0)
    assert len(drain(session, stream)) == WINDOW
    session.drop(other)
    assert session.take(other, 10) == b""
    assert sent(session) == []
    assert session.held_bytes == 0


class Account:
    """What `reserve` and `release` were asked for."""

    def __init__(self, limit: int = 1 << 40) -> None:
        self.limit = limit
        self.used = 0
        self.most = 0

    def reserve(self, size: int) -> bool:
        assert size > 0
        if self.used + size > self.limit:
            return False
        self.used += size
        self.most = max(self.most, self.used)
        return True

    def release(self, size: int) -> None:
        self.used -= size
        assert self.used >= 0


def accounted(account: Account, settings: Settings | None = None) -> Session:
    return Session(Role.RESPONDER, settings or Settings(), 0.0, account.reserve, account.release)


def consume(
    session: Session, stream_id: int, times: int, now: float = 0.0, pause: float = 0.001
) -> list[int]:
    """Fill and read the window of a stream again and again; its sizes."""
    stream = session.streams[stream_id]
    sizes = []
    for _ in range(times):
        session.receive(data(stream_id, bytes(stream.receive_window)), now)
        drain(session, stream, 1 << 30)
        session.output()
        sizes.append(stream.window_bytes)
        now += pause
    return sizes


def test_a_fast_reader_doubles_the_window_up_to_16_mib() -> None:
    account = Account()
    session = accounted(account)
    stream = incoming(session)
    assert consume(session, 1, 8) == [min(WINDOW << number, 16 * MIB) for number in range(1, 9)]
    assert stream.receive_window == 16 * MIB
    assert account.used == 16 * MIB - WINDOW


def test_a_slow_reader_keeps_its_window() -> None:
    session = responder()
    incoming(session)
    assert consume(session, 1, 3, now=1.0, pause=1.0) == [WINDOW] * 3


def test_four_round_trips_are_fast() -> None:
    session = responder()
    session._liveness.rtt_s = 0.5
    incoming(session)
    assert consume(session, 1, 2, now=1.9, pause=1.9) == [2 * WINDOW, 4 * WINDOW]
    assert consume(session, 1, 1, now=10.0) == [4 * WINDOW]


def test_growth_bounds() -> None:
    assert_grown(Settings(max_window_bytes=3 * WINDOW), [2, 3, 3])
    assert_grown(Settings(max_window_bytes=WINDOW), [1, 1, 1])
    assert_grown(Settings(max_growth_bytes=2 * WINDOW), [2, 3, 3])
    assert_grown(Settings(), [2, 2, 2], Account(limit=2 * WINDOW))


def assert_grown(settings: Settings, windows: list[int], account: Account | None = None) -> None:
    account = account or Account()
    session = accounted(account, settings)
    incoming(session)
    assert consume(session, 1, 3) == [count * WINDOW for count in windows]
    assert account.used == (windows[-1] - 1) * WINDOW


def test_streams_share_the_growth_of_a_session() -> None:
    session = accounted(Account(), Settings(max_growth_bytes=3 * WINDOW))
    for number in (1, 3):
        incoming(session, number)
    assert consume(session, 1, 2) == [2 * WINDOW, 4 * WINDOW]
    assert consume(session, 3, 1) == [WINDOW]
    session.reset(session.streams[1])
    assert consume(session, 3, 2) == [2 * WINDOW, 4 * WINDOW]


@pytest.mark.parametrize("ending", ["our reset", "their reset", "closed", "session", "violation", "credit"])
def test_every_ending_gives_the_account_back_once(ending: str) -> None:
    account = Account()
    session = accounted(account)
    stream = incoming(session)
    consume(session, 1, 3)
    assert account.used == 7 * WINDOW
    if ending == "our reset":
        session.reset(stream)
        session.reset(stream)
    elif ending == "their reset":
        session.receive(update(1, 5, RST), 0.0)
    elif ending == "closed":
        session.receive(update(1, 0, FIN), 0.0)
        session.close_write(stream)
    elif ending == "session":
        session.end(Closed("gone"))
        session.end(Closed("gone"))
    else:
        session.receive(frame(9) if ending == "violation" else update(1, 2**32 - 1), 0.0)
    session.reset(stream)
    session.drop(stream)
    session.end(Closed("gone"))
    assert account.used == 0
    assert account.most == 7 * WINDOW


@pytest.mark.parametrize("size", [0, 1, 65507, 65508, 65519, WINDOW])
@pytest.mark.parametrize("batch_bytes", [65519, 1000, 64])
def test_batches_are_whole_frames_within_their_bound(size: int, batch_bytes: int) -> None:
    session = responder(batch_bytes=batch_bytes)
    streams = [outgoing(session) for _ in range(3)]
    payload = bytes(range(256)) * (size // 256 + 1)
    for stream in streams:
        session.announce(stream)
        session.send(stream, payload[:size])
        session.close_write(stream)
    assert session.queued_bytes >= 3 * size
    received: dict[int, bytes] = {stream.id: b"" for stream in streams}
    for batch in session.output():
        whole = b"".join(batch)
        assert len(whole) <= batch_bytes
        for each in parse(whole):
            received[each.stream_id] += each.body
    assert set(received.values()) == {payload[:size]}
    assert session.queued_bytes == 0
    assert wire(session) == b""
