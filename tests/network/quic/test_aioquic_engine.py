"""What is particular to the engine on aioquic; what engines have in common is in the tests named ``test_engine``."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.quic.packet import QuicErrorCode, QuicFrameType, QuicPacketType, pull_quic_header
from aioquic.quic.packet_builder import QuicPacketBuilder

from mesh.network.quic.aioquic import sending as aioquic_sending
from mesh.network.quic.aioquic.connection import Connection
from mesh.network.quic.aioquic.engine import AioquicEngine
from mesh.network.quic.engine import MakeEngine, Settings
from tests.network.quic import pairing
from tests.network.quic.pairing import DIALER, LISTENER, START, End, Link, make_settings

KIB = 1024


class Pair(pairing.Pair):
    """Two engines on aioquic."""

    def __init__(self, link: Link | None = None, *, listener_settings: Settings | None = None) -> None:
        super().__init__((AioquicEngine, AioquicEngine), link, listener_settings=listener_settings)


def inside(end: End) -> Connection:
    assert isinstance(end.up, AioquicEngine)
    return end.up._quic


def send(pair: pairing.Pair, data: bytes, fin: bool = True) -> int:
    stream_id = pair.dialer.up.open_stream()
    pair.dialer.up.write(stream_id, data, fin)
    return stream_id


def test_a_lost_probe_of_the_path_is_no_sign_of_congestion() -> None:
    pair = Pair(Link(largest=1300)).connect()
    stream_id = send(pair, bytes(400 * KIB))
    pair.run(lambda: stream_id in pair.listener.ended)
    dialer = inside(pair.dialer)
    assert dialer._probes_lost == aioquic_sending.MTU_PROBES
    assert dialer._loss.window.ssthresh is None


def test_datagrams_become_small_again_when_large_ones_vanish() -> None:
    pair = Pair().connect()
    first = send(pair, bytes(400 * KIB))
    pair.run(lambda: first in pair.listener.ended)
    assert inside(pair.dialer)._max_datagram_size == 1452
    pair.link.largest = 1300
    second = send(pair, bytes(100 * KIB))
    pair.run(lambda: second in pair.listener.ended)
    assert inside(pair.dialer)._max_datagram_size == 1252


@pytest.mark.parametrize("size", [1200, 1240])
def test_no_datagram_is_larger_than_the_peer_takes(size: int) -> None:
    pair = Pair().connect()
    inside(pair.dialer).limit_datagrams(size)
    pair.sent["dialer"].clear()
    stream_id = send(pair, bytes(100 * KIB))
    pair.run(lambda: stream_id in pair.listener.ended)
    assert max(pair.sent["dialer"]) == size


def test_keys_are_replaced_in_the_middle_of_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioquic_sending, "KEY_UPDATE_PACKETS", 100)
    pair = Pair().connect()
    keys = {inside(pair.dialer)._cryptos[tls.Epoch.ONE_RTT].send.secret}
    for _ in range(4):
        stream_id = send(pair, bytes(200 * KIB))
        pair.run(lambda number=stream_id: number in pair.listener.ended)  # type: ignore[misc]
        keys.add(inside(pair.dialer)._cryptos[tls.Epoch.ONE_RTT].send.secret)
    assert len(keys) == 5


def test_unread_streams_together_fill_the_connections_window_and_no_more() -> None:
    limits = {"stream_window_bytes": 64 * KIB, "connection_window_bytes": 100_000}
    pair = Pair(listener_settings=make_settings(**limits)).connect()  # type: ignore[arg-type]
    pair.listener.rests = True
    streams = [send(pair, bytes(64 * KIB)) for _ in range(4)]
    pair.touch()
    pair.pass_time(5.0)
    assert pair.listener.received == 100_000
    pair.listener.rests = False
    for stream_id in list(pair.listener.unread):
        pair.listener.read(stream_id)
    pair.run(lambda: set(streams) <= set(pair.listener.ended))


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "reset"])
def test_what_nobody_will_read_gives_its_window_back(stopped: bool) -> None:
    limits = {"stream_window_bytes": 64 * KIB, "connection_window_bytes": 100_000}
    pair = Pair(listener_settings=make_settings(**limits)).connect()  # type: ignore[arg-type]
    pair.listener.rests = True
    for _ in range(6):
        stream_id = send(pair, bytes(200 * KIB), fin=False)
        pair.touch()
        pair.pass_time(1.0)
        assert len(pair.listener.data[stream_id]) == 64 * KIB
        giving_up = pair.listener if stopped else pair.dialer
        giving_up.up.reset(stream_id, 7)
        giving_up.up.stop(stream_id, 8)
        pair.touch()
        pair.pass_time(1.0)
        assert not inside(pair.dialer).table
        assert not inside(pair.listener).table
        assert pair.dialer.up.unsent_bytes(stream_id) == 0
        pair.listener.unread.clear()


def test_streams_given_up_before_their_first_byte_take_no_place() -> None:
    """The owner never hears of them, so it cannot end them."""
    pair = Pair(listener_settings=make_settings(max_inbound_streams=4)).connect()
    for _ in range(5):
        assert pair.dialer.up.can_open
        while pair.dialer.up.can_open:
            stream_id = pair.dialer.up.open_stream()
            pair.dialer.up.reset(stream_id, 1)
            pair.dialer.up.stop(stream_id, 1)
        pair.touch()
        pair.pass_time(1.0)
    assert not pair.listener.resets
    assert not inside(pair.listener).table
    assert not inside(pair.dialer).table


def test_a_stop_before_the_first_byte_is_told_after_it() -> None:
    pair = Pair().connect()
    stream_id = pair.dialer.up.open_stream()
    pair.dialer.up.stop(stream_id, 9)
    pair.touch()
    pair.pass_time(1.0)
    assert not pair.listener.stops
    pair.dialer.up.write(stream_id, b"x", True)
    pair.touch()
    pair.pass_time(1.0)
    assert pair.listener.data[stream_id] == b"x"
    assert pair.listener.stops == [(stream_id, 9)]
    assert not inside(pair.listener).table


def test_finished_streams_are_forgotten() -> None:
    pair = Pair().connect()
    pair.listener.echoes = True
    for _ in range(50):
        stream_id = send(pair, b"question")
        pair.run(lambda number=stream_id: number in pair.dialer.ended)  # type: ignore[misc]
    pair.pass_time(0.2)
    for end in pair.ends:
        assert isinstance(end.up, AioquicEngine)
        assert not inside(end).table
        assert not end.up._unread


def test_a_window_that_nobody_fills_does_not_grow() -> None:
    pair = Pair().connect()
    window = inside(pair.dialer)._loss.window
    before = window.congestion_window
    stream_id = send(pair, b"x", fin=False)
    for _ in range(500):
        pair.dialer.up.write(stream_id, b"x", False)
        pair.touch()
        pair.pass_time(0.05)
    assert window.congestion_window == before


def test_a_dialers_first_packet_fills_its_datagram() -> None:
    """A listener that counts packets, not datagrams, may answer with three times as much."""
    ((initial, _),) = Pair().start().dialer.up.transmit(START, 1)
    behind = Buffer(data=initial)
    assert pull_quic_header(behind, host_cid_length=8).packet_length == len(initial) == 1252


def test_a_dialer_that_pads_behind_its_packets_is_answered(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As aioquic's do by themselves: a listener may take the little packet for all that came."""
    monkeypatch.delattr(Connection, "_write_crypto_frame")
    pair = pairing.Pair((AioquicEngine, make_engine)).start()
    pair.run(lambda: all(end.key for end in pair.ends))


def test_a_listener_after_a_retry_trusts_the_address() -> None:
    ((initial, _),) = Pair().start().dialer.up.transmit(START, 1)
    listener = AioquicEngine(
        make_settings(),
        End("listener"),
        DIALER,
        START,
        dialer=False,
        original_id=b"original",
        retry_id=initial[6:14],
    )
    listener.receive(initial, DIALER, START)
    assert listener._quic._network_paths[0].is_validated


def test_another_version_is_refused() -> None:
    pair = Pair()
    ((initial, _),) = pair.start().dialer.up.transmit(START, 1)
    answer = b"\xc0" + bytes(4) + b"\x08" + initial[15:23] + b"\x08" + initial[6:14] + b"\x6b\x33\x43\xcf"
    pair.dialer.up.receive(answer, LISTENER, START)
    assert pair.dialer.termination is not None
    assert pair.dialer.termination.code == QuicErrorCode.VERSION_NEGOTIATION_ERROR
    assert pair.dialer.termination.by_peer


def packets(quic: Connection, write: Callable[[QuicPacketBuilder], None]) -> list[bytes]:
    """What ``quic`` would send, properly protected, with frames of another's making."""
    builder = QuicPacketBuilder(
        host_cid=quic.host_cid,
        is_client=True,
        max_datagram_size=1252,
        packet_number=quic._packet_number,
        peer_cid=quic._peer_cid.cid,
        version=1,
    )
    builder.start_packet(QuicPacketType.ONE_RTT, quic._cryptos[tls.Epoch.ONE_RTT])
    write(builder)
    quic._packet_number += 1
    return builder.flush()[0]


def test_frames_of_a_hostile_peer_end_in_a_close_or_nothing() -> None:
    """Nothing is raised, and the engine still answers."""
    random = Random(11)

    def scribble(builder: QuicPacketBuilder) -> None:
        size = random.randrange(60)
        buffer = builder.start_frame(random.choice([*range(0x20), 0x30, 0x31]))
        buffer.push_bytes(random.randbytes(size) if random.random() < 0.5 else bytes(size))

    closed = 0
    for _ in range(300):
        pair = Pair().start()
        pair.run(lambda ends=pair.ends: all(end.key for end in ends))  # type: ignore[misc]
        for _ in range(4):
            for datagram in packets(inside(pair.dialer), scribble):
                pair.listener.up.receive(datagram, DIALER, pair.now)
        pair.listener.up.transmit(pair.now, 16)
        closed += pair.listener.termination is not None
    assert closed > 100


def test_a_packet_that_was_never_sent_cannot_be_acknowledged() -> None:
    pair = Pair().connect()

    def acknowledge(builder: QuicPacketBuilder) -> None:
        buffer = builder.start_frame(QuicFrameType.ACK)
        for number in (inside(pair.listener)._packet_number, 0, 0, 0):
            buffer.push_uint_var(number)

    (datagram,) = packets(inside(pair.dialer), acknowledge)
    pair.inject(pair.listener, datagram)
    assert pair.listener.termination is not None
    assert pair.listener.termination.code == QuicErrorCode.PROTOCOL_VIOLATION


@pytest.mark.parametrize("frame", [QuicFrameType.CRYPTO, QuicFrameType.STREAM_BASE], ids=["crypto", "stream"])
def test_bytes_in_too_many_pieces_end_the_connection(frame: QuicFrameType) -> None:
    pair = Pair().connect()
    sent = 0

    def scatter(builder: QuicPacketBuilder) -> None:
        nonlocal sent
        for _ in range(100):
            sent += 1
            if frame is QuicFrameType.CRYPTO:
                buffer = builder.start_frame(frame)
            else:
                buffer = builder.start_frame(frame | 6)
                buffer.push_uint_var(0)
            buffer.push_uint_var(2 * sent)
            buffer.push_uint_var(1)
            buffer.push_bytes(b"x")

    while pair.listener.termination is None:
        assert sent <= aioquic_sending.MAX_GAPS + 100
        (datagram,) = packets(inside(pair.dialer), scatter)
        pair.listener.up.receive(datagram, DIALER, pair.now)
    assert sent > aioquic_sending.MAX_GAPS
    assert pair.listener.termination.code == QuicErrorCode.INTERNAL_ERROR


def test_a_fault_inside_aioquic_is_a_close(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise IndexError("pop from empty list")

    monkeypatch.setattr(Connection, "_handle_new_connection_id_frame", stumble)
    pair = Pair().start()
    pair.run(lambda: all(end.terminations for end in pair.ends))
    for end in pair.ends:
        assert end.termination is not None
        assert end.termination.code == QuicErrorCode.PROTOCOL_VIOLATION
