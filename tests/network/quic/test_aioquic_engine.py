"""The engine on aioquic: what it must do, and what it must withstand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.quic.packet import QuicErrorCode, QuicPacketType, pull_quic_header
from aioquic.quic.packet_builder import QuicPacketBuilder

from mesh.errors import CertificateRefused, UsageError
from mesh.identity.keys import PublicKey
from mesh.network.quic import aioquic_tls
from mesh.network.quic.aioquic_connection import Connection
from mesh.network.quic.aioquic_engine import AioquicEngine
from tests.network.quic.aioquic_pair import (
    CERTIFICATES,
    DELAY_S,
    DIAL,
    DIALER,
    KEYS,
    LISTEN,
    LISTENER,
    Pair,
    settings,
)


def test_both_ends_learn_each_others_key() -> None:
    pair = Pair().connected()
    assert [told.key for told in pair.told] == [KEYS[LISTEN].public, KEYS[DIAL].public]
    assert pair.dialer.can_open
    assert pair.listener.can_open


def test_bytes_and_ends_go_both_ways_and_finished_streams_are_forgotten() -> None:
    pair = Pair().connected()
    for _ in range(50):
        stream_id = pair.open(b"question", fin=True)
        pair.until(lambda number=stream_id: number in pair.told[LISTEN].ended)  # type: ignore[misc]
        pair.listener.write(stream_id, memoryview(b"answer"), True)
        pair.until(lambda number=stream_id: number in pair.told[DIAL].ended)  # type: ignore[misc]
        assert pair.told[DIAL].data.pop(stream_id) == b"answer"
    pair.run(0.1)
    for engine in pair.engines:
        assert not engine._quic.table
        assert not engine._unread


def test_a_stream_through_loss_reordering_and_duplication_arrives_intact() -> None:
    chance = random.Random(7)

    def carry(side: int, datagram: bytes) -> list[tuple[float, bytes]]:
        if chance.random() < 0.1:
            return []
        copies = 2 if chance.random() < 0.05 else 1
        return [(chance.random() * DELAY_S, datagram) for _ in range(copies)]

    pair = Pair()
    pair.carry = carry
    pair.connected()
    content = chance.randbytes(300_000)
    first, second = pair.open(content, fin=True), pair.open(content[::-1], fin=True)
    pair.until(lambda: {first, second} <= pair.told[LISTEN].ended, within_s=120.0)
    assert pair.told[LISTEN].data == {first: content, second: content[::-1]}


def test_datagrams_grow_once_the_path_has_carried_a_large_one() -> None:
    pair = Pair().connected()
    stream_id = pair.open(bytes(400_000), fin=True)
    pair.until(lambda: stream_id in pair.told[LISTEN].ended)
    assert max(pair.sizes) == pair.settings[DIAL].max_datagram_bytes


def test_datagrams_stay_small_where_the_path_drops_large_ones_and_nothing_else_suffers() -> None:
    pair = Pair()
    small = pair.settings[DIAL].datagram_bytes
    pair.carry = lambda side, datagram: [(0.0, datagram)] if len(datagram) <= small else []
    pair.connected()
    window = pair.dialer._quic._loss.window
    stream_id = pair.open(bytes(400_000), fin=True)
    pair.until(lambda: stream_id in pair.told[LISTEN].ended)
    assert pair.dialer._quic._max_datagram_size == small
    assert window.ssthresh is None, "a lost probe was taken for congestion"


def test_datagrams_become_small_again_when_large_ones_vanish() -> None:
    pair = Pair().connected()
    small = pair.settings[DIAL].datagram_bytes
    first = pair.open(bytes(400_000), fin=True)
    pair.until(lambda: first in pair.told[LISTEN].ended)
    pair.carry = lambda side, datagram: [(0.0, datagram)] if len(datagram) <= small else []
    second = pair.open(bytes(100_000), fin=True)
    pair.until(lambda: second in pair.told[LISTEN].ended)


def test_an_unread_stream_holds_its_sender_back_and_no_other() -> None:
    limits = {"stream_window_bytes": 64 * 1024, "connection_window_bytes": 256 * 1024}
    pair = Pair(listener=settings(LISTEN, **limits)).connected()
    stuck = pair.open(bytes(500_000), fin=True)
    pair.reading = lambda side, stream_id: stream_id != stuck
    other = pair.open(bytes(500_000), fin=True)
    pair.until(lambda: other in pair.told[LISTEN].ended)
    pair.run(5.0)
    assert len(pair.told[LISTEN].data[stuck]) == 64 * 1024
    assert pair.dialer.unsent_bytes(stuck) == 500_000 - 64 * 1024
    pair.reading = lambda side, stream_id: True
    pair.until(lambda: stuck in pair.told[LISTEN].ended)
    assert len(pair.told[LISTEN].data[stuck]) == 500_000


def test_unread_streams_together_fill_the_connections_window_and_no_more() -> None:
    limits = {"stream_window_bytes": 64 * 1024, "connection_window_bytes": 100_000}
    pair = Pair(listener=settings(LISTEN, **limits)).connected()
    streams = [pair.open(bytes(64 * 1024), fin=True) for _ in range(4)]
    pair.reading = lambda side, stream_id: False
    pair.run(5.0)
    assert sum(map(len, pair.told[LISTEN].data.values())) == 100_000
    pair.reading = lambda side, stream_id: True
    pair.until(lambda: set(streams) <= pair.told[LISTEN].ended)


@pytest.mark.parametrize("by_listener", [True, False], ids=["stopped", "reset"])
def test_what_nobody_will_read_gives_its_window_back(by_listener: bool) -> None:
    limits = {"stream_window_bytes": 64 * 1024, "connection_window_bytes": 100_000}
    pair = Pair(listener=settings(LISTEN, **limits)).connected()
    pair.reading = lambda side, stream_id: False
    for round_number in range(6):
        stream_id = pair.open(bytes(200_000))
        pair.run(1.0)
        assert len(pair.told[LISTEN].data[stream_id]) == 64 * 1024
        if by_listener:
            pair.listener.stop(stream_id, 5)
            pair.listener.reset(stream_id, 6)
            pair.run(1.0)
            assert pair.told[DIAL].stops[stream_id] == 5
            assert pair.told[DIAL].resets[stream_id] == 6
        else:
            pair.dialer.reset(stream_id, 7)
            pair.dialer.stop(stream_id, 8)
            pair.run(1.0)
            assert pair.told[LISTEN].resets[stream_id] == 7
            assert pair.told[LISTEN].stops[stream_id] == 8
        assert not pair.dialer._quic.table, f"round {round_number}"
        assert not pair.listener._quic.table
        assert pair.dialer.unsent_bytes(stream_id) == 0
        pair.dialer.write(stream_id, b"late", False)


def test_streams_alive_are_limited_and_room_is_made_by_those_that_end() -> None:
    pair = Pair(listener=settings(LISTEN, max_inbound_streams=8)).connected()
    opened = []
    while pair.dialer.can_open:
        opened.append(pair.open(b"x", fin=True))
    assert len(opened) == 8
    with pytest.raises(UsageError):
        pair.dialer.open_stream()
    pair.run(1.0)
    assert not pair.dialer.can_open
    assert pair.told[DIAL].openable_count == 0
    for stream_id in opened[:5]:
        pair.listener.write(stream_id, b"", True)
    pair.until(lambda: pair.dialer.can_open)
    assert pair.told[DIAL].openable_count >= 1
    pair.run(1.0)
    while pair.dialer.can_open:
        opened.append(pair.open(b"x"))
    assert len(opened) == 13


def test_streams_given_up_before_their_first_byte_take_no_place() -> None:
    """The owner never hears of them, so it cannot end them."""
    pair = Pair(listener=settings(LISTEN, max_inbound_streams=4)).connected()
    for _ in range(5):
        pair.until(lambda: pair.dialer.can_open)
        while pair.dialer.can_open:
            stream_id = pair.dialer.open_stream()
            pair.dialer.reset(stream_id, 1)
            pair.dialer.stop(stream_id, 1)
        pair.run(1.0)
    assert not pair.told[LISTEN].resets
    assert not pair.listener._quic.table
    assert not pair.dialer._quic.table


def test_a_stop_before_the_first_byte_is_told_after_it() -> None:
    pair = Pair().connected()
    stream_id = pair.dialer.open_stream()
    pair.dialer.stop(stream_id, 9)
    pair.run(1.0)
    assert not pair.told[LISTEN].stops
    pair.dialer.write(stream_id, b"x", True)
    pair.run(1.0)
    assert pair.told[LISTEN].data[stream_id] == b"x"
    assert pair.told[LISTEN].stops == {stream_id: 9}
    assert not pair.listener._quic.table


def test_a_dialers_first_packet_fills_its_datagram() -> None:
    """A listener that counts packets, not datagrams, may answer with three times as much."""
    ((initial, _),) = Pair().dialer.transmit(1000.0, 1)
    behind = Buffer(data=initial)
    assert pull_quic_header(behind, host_cid_length=8).packet_length == len(initial) == 1252


def test_a_listener_that_sees_no_handshake_ends_idle() -> None:
    pair = Pair()
    told = pair.told[LISTEN]
    listener = AioquicEngine(
        pair.settings[LISTEN], told, DIALER, pair.now, dialer=False, original_id=bytes(8)
    )
    listener.receive(b"\xc0\x00\x00\x00\x01" + bytes(1200), DIALER, pair.now)
    due = listener.deadline()
    assert due == pair.now + 30.0
    assert listener.transmit(pair.now, 16) == []
    listener.wake(due)
    assert told.ends[0].idle
    assert listener.deadline() is None


def test_another_version_is_refused() -> None:
    pair = Pair()
    ((initial, _),) = pair.dialer.transmit(pair.now, 1)
    dialer_id = initial[15:23]
    answer = b"\xc0" + bytes(4) + b"\x08" + dialer_id + b"\x08" + initial[6:14] + b"\x6b\x33\x43\xcf"
    pair.dialer.receive(answer, LISTENER, pair.now)
    (how,) = pair.told[DIAL].ends
    assert (how.code, how.by_peer) == (QuicErrorCode.VERSION_NEGOTIATION_ERROR, True)


def test_a_thousand_streams_at_once() -> None:
    pair = Pair(listener=settings(LISTEN, max_inbound_streams=1000)).connected()
    streams = [pair.open(bytes(1024), fin=True) for _ in range(1000)]
    pair.until(lambda: len(pair.told[LISTEN].ended) == 1000)
    for stream_id in streams:
        pair.listener.write(stream_id, pair.told[LISTEN].data[stream_id], True)
    pair.until(lambda: len(pair.told[DIAL].ended) == 1000)
    assert all(len(data) == 1024 for data in pair.told[DIAL].data.values())


def test_what_is_in_flight_is_capped() -> None:
    pair = Pair(dialer=settings(DIAL, max_in_flight_bytes=30_000)).connected()
    pair.carry = lambda side, datagram: [(0.5, datagram)]
    stream_id = pair.open(bytes(1_000_000), fin=True)
    before = pair.sent[DIAL]
    while stream_id not in pair.told[LISTEN].ended:
        assert pair.step()
        assert pair.dialer._quic._loss.bytes_in_flight <= 30_000
    assert pair.sent[DIAL] - before > 1_000_000


def test_an_idle_window_does_not_grow() -> None:
    pair = Pair().connected()
    window = pair.dialer._quic._loss.window
    before = window.congestion_window
    stream_id = pair.open(b"x")
    for _ in range(500):
        pair.dialer.write(stream_id, b"x", False)
        pair.run(0.02)
    assert window.congestion_window == before


def refusing(alert: int) -> Callable[[Sequence[bytes]], PublicKey]:
    def refuse(chain: Sequence[bytes]) -> PublicKey:
        raise CertificateRefused("no", wire_code=alert)

    return refuse


@pytest.mark.parametrize("side", [DIAL, LISTEN])
def test_a_refused_certificate_closes_with_its_alert(side: int) -> None:
    changed = settings(side, verify=refusing(43))
    pair = Pair(dialer=changed) if side == DIAL else Pair(listener=changed)
    pair.until(lambda: all(told.ends for told in pair.told))
    for number, told in enumerate(pair.told):
        (how,) = told.ends
        assert (how.code, how.application, how.by_peer) == (0x100 + 43, False, number != side)
    assert pair.told[side].key is None


@pytest.mark.parametrize("side", [DIAL, LISTEN])
def test_junk_for_a_certificate_is_a_decode_error(side: int) -> None:
    changed = settings(side, certificate=b"\x30\x03junk")
    pair = Pair(dialer=changed) if side == DIAL else Pair(listener=changed)
    pair.until(lambda: all(told.ends for told in pair.told))
    assert [told.ends[0].code for told in pair.told] == [0x132, 0x132]


def test_a_certificate_with_another_key_is_refused() -> None:
    pair = Pair(listener=settings(LISTEN, certificate_key=CERTIFICATES[DIAL].key))
    pair.until(lambda: all(told.ends for told in pair.told))
    assert [told.ends[0].code for told in pair.told] == [0x133, 0x133]
    assert pair.told[DIAL].key is None


def test_a_dialer_without_a_certificate_is_refused() -> None:
    pair = Pair()
    pair.dialer._quic.tls.certificate = None
    pair.until(lambda: bool(pair.told[LISTEN].ends))
    pair.until(lambda: bool(pair.told[DIAL].ends))
    assert [told.ends[0].code for told in pair.told] == [0x174, 0x174]


def test_another_protocol_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(aioquic_tls, "ALPN", "h3")
        pair = Pair()
    pair.until(lambda: all(told.ends for told in pair.told))
    assert [told.ends[0].code for told in pair.told] == [0x178, 0x178]


def test_close_tells_both_ends_and_the_last_word_is_repeated() -> None:
    pair = Pair().connected()
    pair.run(1.0)
    stream_id = pair.open(b"x")
    pair.dialer.close(0x1006, "shutting down " * 100, pair.now)
    (how,) = pair.told[DIAL].ends
    assert (how.code, how.application, how.by_peer) == (0x1006, True, False)
    assert pair.dialer.transmit(pair.now, 16), "which is lost here"
    assert not pair.dialer.transmit(pair.now, 16)
    pair.listener.ping()
    for _ in range(3):
        for datagram, _ in pair.listener.transmit(pair.now, 16):
            pair.dialer.receive(datagram, LISTENER, pair.now)
        pair.listener.ping()
    pair.until(lambda: bool(pair.told[LISTEN].ends))
    (how,) = pair.told[LISTEN].ends
    assert (how.code, how.application, how.by_peer) == (0x1006, True, True)
    assert how.reason.startswith("shutting down")
    pair.run(10.0)
    assert [engine.deadline() for engine in pair.engines] == [None, None]
    for engine in pair.engines:
        engine.write(stream_id, b"late", False)
        engine.ping()
        assert not engine.can_open
        assert engine.transmit(pair.now, 16) == []
    assert [len(told.ends) for told in pair.told] == [1, 1]


def test_silence_ends_a_connection_and_pings_keep_it() -> None:
    pair = Pair().connected()
    for _ in range(10):
        pair.dialer.ping()
        pair.run(15.0)
    assert not pair.told[DIAL].ends
    pair.run(70.0)
    assert [told.ends[0].idle for told in pair.told] == [True, True]
    assert pair.dialer.deadline() is None


def test_a_stateless_reset_ends_a_connection() -> None:
    pair = Pair().connected()
    pair.run(1.0)
    used = pair.dialer._quic._peer_cid.cid
    assert used in pair.listener.connection_ids
    forged = b"\x40" + bytes(30)
    pair.dialer.receive(forged + bytes(16), LISTENER, pair.now)
    assert not pair.told[DIAL].ends
    pair.dialer.receive(forged + used * 2, LISTENER, pair.now)
    assert pair.told[DIAL].ends[0].reset
    assert pair.dialer.deadline() is None


def test_ids_are_told() -> None:
    pair = Pair()
    assert len(pair.dialer.connection_ids) == 1
    pair.connected()
    pair.run(1.0)
    for told, engine in zip(pair.told, pair.engines, strict=True):
        assert len(set(engine.connection_ids)) == 4
        assert set(told.issued) < set(engine.connection_ids)
        assert len(told.issued) == 3
        assert all(len(connection_id) == 8 for connection_id in engine.connection_ids)


def test_a_listener_after_a_retry_trusts_the_address() -> None:
    pair = Pair()
    ((initial, _),) = pair.dialer.transmit(pair.now, 1)
    listener = AioquicEngine(
        pair.settings[LISTEN],
        pair.told[LISTEN],
        DIALER,
        pair.now,
        dialer=False,
        original_id=b"original",
        retry_id=initial[6:14],
    )
    listener.receive(initial, DIALER, pair.now)
    assert listener._quic._network_paths[0].is_validated


def test_coalesced_datagrams_are_as_good_as_single_ones() -> None:
    pair = Pair().connected()
    pair.run(1.0)
    stream_id = pair.open(bytes(8_000))
    datagrams = [datagram for datagram, _ in pair.dialer.transmit(pair.now, 64)]
    full = [datagram for datagram in datagrams if len(datagram) == len(datagrams[0])]
    assert len(full) > 3
    pair.listener.receive_coalesced(b"".join(full), len(full[0]), DIALER, pair.now)
    for datagram in datagrams:
        if datagram not in full:
            pair.listener.receive(datagram, DIALER, pair.now)
    assert len(pair.told[LISTEN].data[stream_id]) == 8_000


def test_damaged_datagrams_do_no_harm() -> None:
    chance = random.Random(3)

    def carry(side: int, datagram: bytes) -> list[tuple[float, bytes]]:
        spoilt = bytearray(datagram)
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
        cut = datagram[: chance.randrange(len(datagram))]
        return [(0.0, bytes(spoilt)), (0.0, cut), (0.0, datagram)]

    pair = Pair()
    pair.carry = carry
    pair.connected()
    stream_id = pair.open(bytes(100_000), fin=True)
    pair.until(lambda: stream_id in pair.told[LISTEN].ended)


def test_frames_of_a_hostile_peer_end_in_a_close_or_nothing() -> None:
    """Random frames in packets that are properly protected: nothing is raised, and the engine still answers."""
    chance = random.Random(11)
    closed = 0
    for _ in range(300):
        pair = Pair().connected()
        quic = pair.dialer._quic
        for _ in range(4):
            builder = QuicPacketBuilder(
                host_cid=quic.host_cid,
                is_client=True,
                max_datagram_size=1252,
                packet_number=quic._packet_number,
                peer_cid=quic._peer_cid.cid,
                version=1,
            )
            builder.start_packet(QuicPacketType.ONE_RTT, quic._cryptos[tls.Epoch.ONE_RTT])
            buffer = builder.start_frame(chance.choice([*range(0x20), 0x30, 0x31]))
            size = chance.randrange(60)
            buffer.push_bytes(chance.randbytes(size) if chance.random() < 0.5 else bytes(size))
            quic._packet_number += 1
            for datagram in builder.flush()[0]:
                pair.listener.receive(datagram, DIALER, pair.now)
        pair.listener.transmit(pair.now, 16)
        closed += len(pair.told[LISTEN].ends)
    assert closed > 100


def test_a_fault_inside_aioquic_is_a_close(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise IndexError("pop from empty list")

    monkeypatch.setattr(Connection, "_handle_new_connection_id_frame", stumble)
    pair = Pair()
    pair.until(lambda: all(told.ends for told in pair.told))
    assert [told.ends[0].code for told in pair.told] == [QuicErrorCode.PROTOCOL_VIOLATION] * 2
