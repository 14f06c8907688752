"""A dialer whose address changes while the connection lasts, and others who would like to change it (RFC 9000, 9)."""

from __future__ import annotations

import os
from random import Random

import pytest

from mesh.network.quic.engine import Address, MakeEngine
from tests.network.quic.pairing import DIALER, LISTENER, Link, Pair, make_settings, push

Engines = tuple[MakeEngine, MakeEngine]
KIB = 1024
MIB = 1024 * KIB
STRANGER: Address = ("203.0.113.9", 666)
AMPLIFICATION = 3


def place(number: int) -> Address:
    """Where a dialer may be next: another port of its host, or every third time another host."""
    return (f"192.0.2.{10 + number // 3}", 4002 + number)


def gone_to(pair: Pair, address: Address) -> list[int]:
    """The sizes of what the listener sent to an address where nobody is."""
    return [size for name, to, size in pair.astray if name == "listener" and to == address]


def say(pair: Pair, payload: bytes = b"x") -> bytes:
    """The one datagram in which the dialer says something new; it is caught."""
    stream_id = pair.dialer.up.open_stream()
    pair.dialer.up.write(stream_id, payload, False)
    while not (caught := pair.take(pair.dialer)):
        pair.now += 0.01
        pair.dialer.up.wake(pair.now)
    return caught[-1]


@pytest.mark.parametrize("coalesce", [False, True])
def test_a_peer_may_move_any_number_of_times(pairing: Engines, coalesce: bool) -> None:
    pair = Pair(pairing, coalesce=coalesce).connect()
    pair.listener.echoes = True
    stream_id = pair.dialer.up.open_stream()
    data = b""
    for number in range(20):
        pair.where["dialer"] = place(number)
        piece = Random(number).randbytes(40 * KIB)
        data += piece
        push(pair, pair.dialer, stream_id, piece, fin=False)
        pair.run(lambda: pair.dialer.received == len(data), within_s=5)  # noqa: B023
    assert bytes(pair.dialer.data[stream_id]) == data
    assert not pair.dialer.terminations
    assert not pair.listener.terminations


def test_a_peer_that_only_reads_is_followed(pairing: Engines) -> None:
    """What it sends after the move are acknowledgements: little, and a proof has to fit in three times that."""
    pair = Pair(pairing).connect()
    stream_id = pair.listener.up.open_stream()
    data = Random(1).randbytes(8 * MIB)
    pair.listener.up.write(stream_id, data, True)
    pair.touch()
    for number in range(6):
        goal = (number + 1) * MIB
        pair.run(lambda goal=goal: pair.dialer.received >= goal, within_s=20)  # type: ignore[misc]
        pair.where["dialer"] = place(number)
    pair.run(lambda: stream_id in pair.dialer.ended, within_s=30)
    assert bytes(pair.dialer.data[stream_id]) == data


def test_a_move_to_a_bad_way(pairing: Engines) -> None:
    pair = Pair(pairing, Link(loss=0.2, reordering=0.2, duplication=0.1, seed=4)).connect()
    pair.listener.echoes = True
    stream_id = pair.dialer.up.open_stream()
    for number in range(5):
        pair.where["dialer"] = place(number)
        push(pair, pair.dialer, stream_id, bytes(20 * KIB), fin=False)
        goal = (number + 1) * 20 * KIB
        pair.run(lambda goal=goal: pair.dialer.received == goal)  # type: ignore[misc]


def test_a_peer_may_come_back(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    pair.listener.echoes = True
    stream_id = pair.dialer.up.open_stream()
    for number in range(8):
        pair.where["dialer"] = DIALER if number % 2 else place(0)
        push(pair, pair.dialer, stream_id, bytes(5000), fin=False)
        goal = (number + 1) * 5000
        pair.run(lambda goal=goal: pair.dialer.received == goal, within_s=5)  # type: ignore[misc]


def test_an_address_that_was_made_up_gets_little_and_not_for_long(pairing: Engines) -> None:
    """A peer that lies about where it is, so that what it asks for goes to somebody else."""
    pair = Pair(pairing).connect()
    stream_id = pair.listener.up.open_stream()
    pair.listener.up.write(stream_id, bytes(4 * MIB), False)
    came = 0
    for _ in range(5):
        datagram = say(pair, bytes(300))
        came += len(datagram)
        pair.inject(pair.listener, datagram, STRANGER)
    pair.link.severed = True
    pair.pass_time(2)
    sizes = gone_to(pair, STRANGER)
    assert sizes
    assert sum(sizes) <= AMPLIFICATION * came
    pair.pass_time(8)
    pair.link.severed = False
    pair.listener.up.ping()
    pair.touch()
    count = len(gone_to(pair, STRANGER))
    pair.run(lambda: pair.dialer.received >= 4 * MIB)
    assert len(gone_to(pair, STRANGER)) == count
    assert sum(gone_to(pair, STRANGER)) <= AMPLIFICATION * came


def test_what_was_had_before_moves_nothing(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    pair.listener.echoes = True
    datagram = say(pair)
    pair.inject(pair.listener, datagram)
    pair.pass_time(1)
    for _ in range(3):
        pair.inject(pair.listener, datagram, STRANGER)
        pair.pass_time(1)
    assert not pair.astray


def test_what_is_made_up_moves_nothing(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    datagram = say(pair)
    for size in (30, 100, 1200):
        pair.inject(pair.listener, datagram[:9] + os.urandom(size), STRANGER)
        pair.inject(pair.listener, bytes([datagram[0]]) + os.urandom(size), STRANGER)
    broken = bytearray(datagram)
    broken[-1] ^= 1
    pair.inject(pair.listener, bytes(broken), STRANGER)
    pair.listener.up.ping()
    pair.pass_time(1)
    assert not pair.astray
    assert not pair.listener.terminations


def test_rubbish_in_the_peers_name_does_not_keep_it_from_moving(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    pair.listener.echoes = True
    stream_id = pair.dialer.up.open_stream()
    for number in range(8):
        genuine = say(pair)
        for first in range(0x40, 0x80, 3):
            pair.inject(pair.listener, bytes([first]) + genuine[1:9] + os.urandom(60))
        pair.where["dialer"] = place(number)
        push(pair, pair.dialer, stream_id, bytes(3000), fin=False)
        goal = (number + 1) * 3000
        pair.run(lambda goal=goal: len(pair.dialer.data.get(stream_id, b"")) == goal, within_s=5)  # type: ignore[misc]


def test_a_genuine_packet_that_a_stranger_brings_first(pairing: Engines) -> None:
    """It diverts what is sent until the peer is heard of again, which a challenge at its address sees to."""
    pair = Pair(pairing).connect()
    pair.listener.echoes = True
    for number in range(10):
        before = len(pair.dialer.data)
        datagram = say(pair, bytes(200))
        pair.inject(pair.listener, datagram, STRANGER)
        pair.inject(pair.listener, datagram)
        pair.run(lambda before=before: len(pair.dialer.data) > before, within_s=5)  # type: ignore[misc]
        assert sum(gone_to(pair, STRANGER)) <= AMPLIFICATION * len(datagram) * (number + 1)
    pair.pass_time(1)
    count = len(pair.astray)
    stream_id = pair.listener.up.open_stream()
    push(pair, pair.listener, stream_id, bytes(MIB))
    pair.run(lambda: stream_id in pair.dialer.ended)
    assert len(pair.astray) == count


def test_a_delayed_packet_does_not_move_back(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    pair.listener.echoes = True
    late = say(pair)
    pair.where["dialer"] = place(0)
    stream_id = pair.dialer.up.open_stream()
    push(pair, pair.dialer, stream_id, bytes(2000), fin=False)
    pair.run(lambda: len(pair.dialer.data.get(stream_id, b"")) == 2000, within_s=5)
    pair.pass_time(5)
    pair.astray.clear()
    pair.inject(pair.listener, late, DIALER)
    pair.pass_time(1)
    assert not gone_to(pair, DIALER)
    assert not pair.listener.terminations


def test_a_dialer_takes_nothing_from_elsewhere(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    stream_id = pair.listener.up.open_stream()
    pair.listener.up.write(stream_id, b"x", False)
    for datagram in pair.take(pair.listener):
        pair.inject(pair.dialer, datagram, STRANGER)
    assert not pair.dialer.data
    pair.pass_time(1)
    assert not pair.astray
    pair.run(lambda: bytes(pair.dialer.data.get(stream_id, b"")) == b"x")


def test_an_end_is_told_at_a_new_address(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    pair.where["dialer"] = place(1)
    push(pair, pair.dialer, pair.dialer.up.open_stream(), b"x")
    pair.pass_time(1)
    pair.listener.up.close(7, "", pair.now)
    pair.touch()
    pair.run(lambda: pair.dialer.termination is not None, within_s=1)
    assert pair.dialer.termination is not None
    assert pair.dialer.termination.code == 7


def test_an_idle_connection_moves_with_its_keepalive(pairing: Engines) -> None:
    settings = [make_settings(idle_timeout_s=30.0) for _ in range(2)]
    pair = Pair(pairing, dialer_settings=settings[0], listener_settings=settings[1]).connect()
    for number in range(12):
        pair.pass_time(10)
        pair.where["dialer"] = place(number)
        pair.dialer.up.ping()
        pair.touch()
    pair.pass_time(1)
    assert not pair.dialer.terminations
    assert not pair.listener.terminations
    stream_id = pair.listener.up.open_stream()
    push(pair, pair.listener, stream_id, bytes(KIB))
    pair.run(lambda: stream_id in pair.dialer.ended, within_s=2)
    assert pair.where["listener"] == LISTENER
