"""The credit of streams and packets of our own between two qh3 engines, with their insides in reach."""

from __future__ import annotations

import pytest

from mesh.network.quic.qh3.credit import FIRST_REPEAT_S, MAX_FRAMES, MAX_REPEATS, Credit
from mesh.network.quic.qh3.engine import FLOW_CONTROL_ERROR, Qh3Engine
from mesh.network.quic.qh3.streams import Stream, Streams
from tests.network.quic.pairing import End, Link, Pair, make_settings, push

KIB = 1024
WINDOW = 64 * KIB
ENGINES = (Qh3Engine, Qh3Engine)


def engine_of(end: End) -> Qh3Engine:
    assert isinstance(end.up, Qh3Engine)
    return end.up


def pair_of(link: Link | None = None) -> Pair:
    settings = make_settings(stream_window_bytes=WINDOW, connection_window_bytes=512 * KIB)
    return Pair(ENGINES, link, listener_settings=settings).connect()


def test_more_than_was_allowed_ends_the_connection() -> None:
    pair = pair_of()
    core = engine_of(pair.dialer).core
    assert core is not None
    core.apply_peer_transport_parameters(
        512 * KIB, WINDOW, WINDOW + 1, 0, 100, 0, 3, 0.025, 30.0, None, None, 2, False, None
    )
    pair.listener.rests = True
    stream_id = pair.dialer.up.open_stream()
    pair.dialer.up.write(stream_id, bytes(WINDOW), False)
    pair.touch()
    pair.pass_time(1)
    assert pair.listener.received == WINDOW
    assert not pair.listener.terminations
    pair.dialer.up.write(stream_id, b"x", False)
    pair.touch()
    pair.pass_time(1)
    assert pair.listener.received == WINDOW
    assert pair.listener.termination is not None
    assert pair.listener.termination.code == FLOW_CONTROL_ERROR
    assert pair.dialer.termination is not None
    assert pair.dialer.termination.code == FLOW_CONTROL_ERROR


def test_keys_may_be_updated_meanwhile() -> None:
    pair = pair_of(Link(delay_s=0.001))
    pair.listener.echoes = True
    stream_id = pair.dialer.up.open_stream()
    for number in range(12):
        end = pair.ends[number % 2]
        core = engine_of(end).core
        assert core is not None
        core.request_key_update()
        end.up.ping()
        pair.pass_time(0.1)
        pair.where["dialer"] = ("192.0.2.1", 5000 + number)
        push(pair, pair.dialer, stream_id, bytes(2 * WINDOW), fin=False)
        goal = (number + 1) * 2 * WINDOW
        pair.run(lambda goal=goal: pair.dialer.received == goal, within_s=10)  # type: ignore[misc]
    for end in pair.ends:
        assert not end.terminations
        sender, core = engine_of(end)._sender, engine_of(end).core
        assert core is not None
        assert sender.generation(core) == 12


def test_no_number_is_used_twice() -> None:
    """Every packet that leaves the listener, its own and its core's, has a number of its own."""
    pair = pair_of(Link(delay_s=0.001))
    pair.listener.echoes = True
    listener = engine_of(pair.listener)
    opening = engine_of(pair.dialer)._opening
    assert opening is not None
    numbers: list[int] = []
    transmit = Qh3Engine.transmit

    def watched(self: Qh3Engine, now: float, most: int) -> list[tuple[bytes, object]]:
        sent = transmit(self, now, most)
        if self is listener:
            for datagram, _ in sent:
                opened = opening.open(datagram, 8, opening.newest + 1)
                assert opened is not None
                numbers.append(opened.number)
        return sent  # type: ignore[return-value]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Qh3Engine, "transmit", watched)
        stream_id = pair.dialer.up.open_stream()
        for number in range(8):
            pair.where["dialer"] = ("192.0.2.1", 5000 + number)
            push(pair, pair.dialer, stream_id, bytes(3 * WINDOW), fin=False)
            goal = (number + 1) * 3 * WINDOW
            pair.run(lambda goal=goal: pair.dialer.received == goal, within_s=10)  # type: ignore[misc]
    assert len(numbers) > 200
    assert len(set(numbers)) == len(numbers)


def stream(received: int, held: int, limit: int = 100) -> Stream:
    made = Stream(True, limit)
    made.received, made.held = received, held
    return made


def test_a_window_is_widened_when_half_of_it_is_read() -> None:
    streams = Streams(dialer=False, window=100)
    reader = streams.add(4)
    reader.received = reader.held = 80
    streams.held_bytes = 80
    assert streams.release(4, 49) is None
    assert streams.release(4, 1) is reader
    credit = Credit(100)
    credit.widen(4, reader, 10.0)
    assert credit.due_at == 10.0
    assert reader.limit == 150
    assert credit.frames(10.0, None) == b"\x11\x04\x40\x96"
    assert credit.due_at == pytest.approx(10.0 + FIRST_REPEAT_S)
    assert credit.frames(10.01, None) == b""
    reader.reading = False
    assert streams.release(4, 20) is None


def test_it_is_told_until_it_is_known_to_be_known() -> None:
    credit = Credit(100)
    reader = stream(80, 0)
    credit.widen(4, reader, 0.0)
    now, times = 0.0, 0
    while credit.due_at is not None:
        now = credit.due_at
        times += bool(credit.frames(now, 0.1))
    assert times == MAX_REPEATS + 1
    assert now > 60
    reader.received = 180
    credit.widen(4, reader, now)
    assert credit.frames(now, 0.1)
    reader.received = 181
    assert not credit.frames(now + 1, 0.1)
    assert credit.due_at is None


def test_a_peer_that_is_blocked_is_told_at_once() -> None:
    credit = Credit(100)
    credit.blocked(4, 0.0)
    assert credit.due_at is None
    credit.widen(4, stream(80, 0), 0.0)
    credit.frames(0.0, 10.0)
    credit.blocked(4, 1.0)
    assert credit.due_at == 1.0
    assert credit.frames(1.0, 10.0)


def test_an_ended_stream_is_told_nothing() -> None:
    credit = Credit(100)
    reader = stream(80, 0)
    credit.widen(4, reader, 0.0)
    reader.reading = False
    assert not credit.frames(0.0, None)
    assert credit.due_at is None


def test_many_streams_share_packets() -> None:
    credit = Credit(100)
    for stream_id in range(0, 4 * 100, 4):
        credit.widen(stream_id, stream(80, 0), 0.0)
    packets = []
    while credit.due_at == 0.0:
        packets.append(credit.frames(0.0, None))
    assert len(packets) == -(-100 // MAX_FRAMES)
    assert sum(packet.count(0x11) for packet in packets) >= 100
