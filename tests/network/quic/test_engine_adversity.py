"""An engine on bad links, with readers that rest, and against noise."""

from __future__ import annotations

from random import Random

import pytest

from mesh.network.quic.engine import MakeEngine
from tests.network.quic.pairing import (
    DIALER,
    LISTENER,
    Link,
    Pair,
    make_settings,
    push,
    reset_token,
)

Engines = tuple[MakeEngine, MakeEngine]
KIB = 1024
MIB = 1024 * KIB


def pattern(size: int, seed: int) -> bytes:
    return Random(seed).randbytes(size)


@pytest.mark.parametrize("seed", range(5))
def test_data_survives_loss_reordering_and_duplication(pairing: Engines, seed: int) -> None:
    link = Link(loss=0.01, reordering=0.05, duplication=0.02, seed=seed)
    pair = Pair(pairing, link).connect()
    pair.listener.echoes = True
    streams = {pair.dialer.up.open_stream(): pattern(150 * KIB, n) for n in range(4)}
    for stream_id, data in streams.items():
        push(pair, pair.dialer, stream_id, data)
    pair.run(lambda: len(pair.dialer.ended) == len(streams))
    for stream_id, data in streams.items():
        assert bytes(pair.dialer.data[stream_id]) == data


@pytest.mark.parametrize("seed", range(20))
def test_a_handshake_survives_heavy_loss(pairing: Engines, seed: int) -> None:
    link = Link(loss=0.25, reordering=0.2, duplication=0.2, seed=seed)
    pair = Pair(pairing, link).start()
    pair.run(lambda: all(end.key is not None or end.terminations for end in pair.ends))
    assert not pair.dialer.terminations
    assert not pair.listener.terminations


def test_coalesced_datagrams_are_taken_apart(pairing: Engines) -> None:
    pair = Pair(pairing, coalesce=True).connect()
    pair.listener.echoes = True
    stream_id = pair.dialer.up.open_stream()
    data = pattern(500 * KIB, 1)
    push(pair, pair.dialer, stream_id, data)
    pair.run(lambda: stream_id in pair.dialer.ended)
    assert bytes(pair.dialer.data[stream_id]) == data


def test_an_unread_stream_holds_its_sender_back_and_loses_nothing(pairing: Engines) -> None:
    window = 256 * KIB
    settings = make_settings(stream_window_bytes=window, connection_window_bytes=window)
    pair = Pair(pairing, Link(delay_s=0.001), listener_settings=settings).connect()
    pair.listener.rests = True
    stream_id = pair.dialer.up.open_stream()
    data = pattern(4 * MIB, 2)
    pair.dialer.up.write(stream_id, data, True)
    pair.touch()
    pair.pass_time(10)
    assert pair.listener.received <= 4 * window
    waiting = pair.dialer.up.unsent_bytes(stream_id)
    assert waiting >= len(data) - 4 * window
    pair.pass_time(10)
    assert pair.dialer.up.unsent_bytes(stream_id) == waiting
    while stream_id not in pair.listener.ended:
        pair.listener.read(stream_id)
        pair.touch()
        pair.pass_time(0.01)
    assert bytes(pair.listener.data[stream_id]) == data


@pytest.mark.parametrize("resting", [1, 3])
def test_streams_that_nobody_reads_leave_the_others_alone(pairing: Engines, resting: int) -> None:
    window = 64 * KIB
    settings = make_settings(stream_window_bytes=window, connection_window_bytes=MIB)
    pair = Pair(pairing, Link(delay_s=0.001), listener_settings=settings).connect()
    pair.listener.echoes = True
    unread = {pair.dialer.up.open_stream(): pattern(MIB, 30 + number) for number in range(resting)}
    pair.listener.resting.update(unread)
    for stream_id, data in unread.items():
        pair.dialer.up.write(stream_id, data, True)
    pair.touch()
    for number in range(12):
        lively = pair.dialer.up.open_stream()
        data = pattern(150 * KIB, number)
        push(pair, pair.dialer, lively, data)
        pair.run(lambda lively=lively: lively in pair.dialer.ended)  # type: ignore[misc]
        assert bytes(pair.dialer.data[lively]) == data
    for stream_id in unread:
        assert window // 2 <= len(pair.listener.data[stream_id]) <= window
    pair.listener.resting.clear()
    for stream_id in unread:
        pair.listener.read(stream_id)
    pair.touch()
    pair.run(lambda: set(unread) <= pair.dialer.ended)
    for stream_id, data in unread.items():
        assert bytes(pair.dialer.data[stream_id]) == data


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_reader_on_a_bad_way_gets_everything(pairing: Engines, seed: int) -> None:
    """A window that grew has to be told although datagrams are lost."""
    window = 32 * KIB
    settings = make_settings(stream_window_bytes=window, connection_window_bytes=4 * window)
    link = Link(delay_s=0.005, loss=0.2, reordering=0.2, duplication=0.1, seed=seed)
    pair = Pair(pairing, link, listener_settings=settings).connect()
    stream_id = pair.dialer.up.open_stream()
    pair.listener.resting.add(stream_id)
    data = pattern(500 * KIB, seed)
    pair.dialer.up.write(stream_id, data, True)
    pair.touch()
    limit = pair.now + 120
    while stream_id not in pair.listener.ended:
        assert pair.now < limit, len(pair.listener.data[stream_id])
        pair.pass_time(0.1)
        assert pair.listener.unread.get(stream_id, 0) <= window
        pair.listener.read(stream_id)
        pair.touch()
    assert bytes(pair.listener.data[stream_id]) == data


def test_what_a_reader_gives_up_counts_no_more(pairing: Engines) -> None:
    window = 128 * KIB
    settings = make_settings(stream_window_bytes=window, connection_window_bytes=window)
    pair = Pair(pairing, Link(delay_s=0.001), listener_settings=settings).connect()
    for ending in ("stop", "reset"):
        pair.listener.rests = True
        given_up = pair.dialer.up.open_stream()
        pair.dialer.up.write(given_up, bytes(MIB), False)
        pair.touch()
        pair.pass_time(1)
        if ending == "stop":
            pair.listener.up.stop(given_up, 0)
            pair.listener.up.reset(given_up, 0)
        else:
            pair.listener.read(given_up)
            pair.dialer.up.reset(given_up, 0)
        pair.touch()
        pair.pass_time(1)
        pair.listener.rests = False
        stream_id = pair.dialer.up.open_stream()
        push(pair, pair.dialer, stream_id, bytes(MIB))
        pair.run(lambda stream_id=stream_id: stream_id in pair.listener.ended)  # type: ignore[misc]


def test_a_close_is_heard_behind_what_nobody_reads(pairing: Engines) -> None:
    window = 64 * KIB
    settings = make_settings(stream_window_bytes=window, connection_window_bytes=window)
    pair = Pair(pairing, Link(delay_s=0.001), listener_settings=settings).connect()
    pair.listener.rests = True
    pair.dialer.up.write(pair.dialer.up.open_stream(), bytes(MIB), False)
    pair.touch()
    pair.pass_time(2)
    pair.dialer.up.close(3, "", pair.now)
    pair.touch()
    pair.run(lambda: pair.listener.termination is not None, within_s=1)
    assert pair.listener.termination is not None
    assert pair.listener.termination.code == 3


def test_both_ends_fill_their_way_and_nobody_waits_for_ever(pairing: Engines) -> None:
    settings = [make_settings(max_in_flight_bytes=32 * KIB) for _ in range(2)]
    pair = Pair(pairing, dialer_settings=settings[0], listener_settings=settings[1]).connect()
    data = pattern(MIB, 5)
    streams = {end.name: end.up.open_stream() for end in pair.ends}
    for end in pair.ends:
        end.up.write(streams[end.name], data, True)
    pair.touch()
    pair.run(lambda: len(pair.dialer.ended) == len(pair.listener.ended) == 1)
    assert bytes(pair.listener.data[streams["dialer"]]) == data
    assert bytes(pair.dialer.data[streams["listener"]]) == data


def test_what_is_in_flight_stays_below_the_limit(pairing: Engines) -> None:
    most = 64 * KIB
    pair = Pair(pairing, dialer_settings=make_settings(max_in_flight_bytes=most)).connect()
    stream_id = pair.dialer.up.open_stream()
    push(pair, pair.dialer, stream_id, bytes(2 * MIB), fin=False)
    pair.pass_time(5)
    pair.link.severed = True
    before = len(pair.sent["dialer"])
    pair.dialer.up.write(stream_id, bytes(4 * MIB), False)
    pair.touch()
    assert sum(pair.sent["dialer"][before:]) <= most + 2 * 1452


def test_datagrams_grow_to_what_the_path_carries(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    pair.listener.echoes = True
    stream_id = pair.dialer.up.open_stream()
    push(pair, pair.dialer, stream_id, bytes(MIB))
    pair.run(lambda: stream_id in pair.dialer.ended)
    for name in ("dialer", "listener"):
        assert 1380 <= max(pair.sent[name]) <= 1452


def test_a_path_that_carries_small_datagrams_only_is_found_out(pairing: Engines) -> None:
    pair = Pair(pairing, Link(largest=1300)).connect()
    pair.listener.echoes = True
    stream_id = pair.dialer.up.open_stream()
    data = pattern(MIB, 6)
    push(pair, pair.dialer, stream_id, data)
    pair.run(lambda: stream_id in pair.dialer.ended, within_s=20)
    assert bytes(pair.dialer.data[stream_id]) == data
    for name in ("dialer", "listener"):
        assert sum(size > 1300 for size in pair.sent[name]) < 60


@pytest.mark.parametrize("seed", range(10))
def test_many_streams_on_a_path_of_small_datagrams_that_loses_some(pairing: Engines, seed: int) -> None:
    pair = Pair(pairing, Link(largest=1300, loss=0.02, reordering=0.05, seed=seed)).connect()
    pair.listener.echoes = True
    streams = {pair.dialer.up.open_stream(): pattern(20 * KIB, n) for n in range(12)}
    for stream_id, data in streams.items():
        pair.dialer.up.write(stream_id, data, True)
    pair.touch()
    pair.run(lambda: len(pair.dialer.ended) == len(streams), within_s=120)
    for stream_id, data in streams.items():
        assert bytes(pair.dialer.data[stream_id]) == data


def test_a_stream_is_reset_before_the_path_is_known(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    first, second = pair.dialer.up.open_stream(), pair.dialer.up.open_stream()
    for stream_id in (first, second):
        pair.dialer.up.write(stream_id, pattern(300 * KIB, 9), True)
        assert pair.dialer.up.unsent_bytes(stream_id) == 300 * KIB
    pair.dialer.up.reset(first, 3)
    pair.touch()
    pair.run(lambda: second in pair.listener.ended)
    assert bytes(pair.listener.data[second]) == pattern(300 * KIB, 9)
    assert pair.dialer.up.unsent_bytes(first) == 0
    assert pair.listener.resets in ([], [(first, 3)])
    assert first not in pair.listener.ended


def test_twenty_thousand_mutated_datagrams_do_no_harm(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    pair.listener.echoes = True
    random = Random(7)
    caught: list[bytes] = []
    stream_id = pair.dialer.up.open_stream()
    pair.dialer.up.write(stream_id, bytes(60_000), False)
    while datagrams := pair.dialer.up.transmit(pair.now, 16):
        caught += [datagram for datagram, _ in datagrams]
    fresh = Pair(pairing).start()
    caught += [datagram for datagram, _ in Pair(pairing).start().dialer.up.transmit(pair.now, 16)]
    for count in range(20_000):
        datagram = bytearray(random.choice(caught))
        for _ in range(random.randrange(1, 6)):
            datagram[random.randrange(len(datagram))] = random.randrange(256)
        if count % 5 == 0:
            del datagram[random.randrange(len(datagram)) :]
        if count % 2:
            pair.listener.up.receive(bytes(datagram), DIALER, pair.now)
        else:
            fresh.dialer.up.receive(bytes(datagram), LISTENER, fresh.now)
    fresh.run(lambda: fresh.dialer.key is not None and fresh.listener.key is not None)
    pair.pass_time(5)
    assert not pair.listener.terminations
    push(pair, pair.dialer, stream_id, b"still here")
    pair.run(lambda: stream_id in pair.dialer.ended)
    assert len(pair.dialer.data[stream_id]) == 60_010


def test_mutated_first_datagrams_do_no_harm(make_engine: MakeEngine) -> None:
    random = Random(8)
    first = Pair((make_engine, make_engine)).start().dialer.up.transmit(0.0, 1)[0][0]
    for _ in range(300):
        datagram = bytearray(first)
        for _ in range(random.randrange(1, 4)):
            datagram[random.randrange(60)] = random.randrange(256)
        pair = Pair((make_engine, make_engine))
        if len(datagram) > 6 + datagram[5]:
            pair.inject(pair.listener, bytes(datagram))
            pair.pass_time(60)
            assert pair.listener.key is None


def test_a_stateless_reset_ends_the_connection(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    stream_id = pair.dialer.up.open_stream()
    pair.dialer.up.write(stream_id, b"x", False)
    datagram = pair.dialer.up.transmit(pair.now, 1)[0][0]
    token = reset_token(datagram[1:9])
    pair.dialer.up.receive(b"\x41" + bytes(40) + token, LISTENER, pair.now)
    ended = pair.dialer.termination
    assert ended is not None
    assert ended.reset
    assert ended.by_peer
    assert not ended.application
