"""What an engine promises, with every pair of engines: handshake, streams, limits, the end (RFC 9000; digest, 9)."""

from __future__ import annotations

import pytest

from mesh.errors import UsageError
from mesh.identity.keys import KeyType, PrivateKey
from mesh.network.quic.engine import CONNECTION_ID_BYTES, MakeEngine, Termination
from tests.network.quic.pairing import DIALER, START, End, Link, Pair, make_settings, push

Engines = tuple[MakeEngine, MakeEngine]


@pytest.mark.parametrize("kind", [KeyType.ED25519, KeyType.RSA, KeyType.SECP256K1, KeyType.ECDSA])
def test_each_end_knows_the_other_by_its_key(pairing: Engines, kind: KeyType) -> None:
    dialing, listening = PrivateKey.generate(kind), PrivateKey.generate()
    pair = Pair(
        pairing,
        dialer_settings=make_settings(dialing),
        listener_settings=make_settings(listening),
    ).connect()
    assert pair.listener.key == dialing.public
    assert pair.dialer.key == listening.public
    pair = Pair(
        pairing,
        dialer_settings=make_settings(listening),
        listener_settings=make_settings(dialing),
    ).connect()
    assert pair.dialer.key == dialing.public
    assert pair.listener.key == listening.public


def test_no_stream_before_the_handshake(pairing: Engines) -> None:
    pair = Pair(pairing)
    assert not pair.dialer.up.can_open
    with pytest.raises(UsageError):
        pair.dialer.up.open_stream()
    assert pair.dialer.up.rtt_s is None
    pair.connect()
    assert pair.dialer.up.can_open
    assert pair.listener.up.can_open
    assert pair.dialer.up.rtt_s == pytest.approx(0.02, abs=0.01)


def test_no_datagram_of_a_handshake_is_large(pairing: Engines) -> None:
    pair = Pair(pairing).start()
    pair.run(lambda: pair.dialer.key is not None and pair.listener.key is not None)
    assert max(pair.sent["dialer"] + pair.sent["listener"]) <= 1280


@pytest.mark.parametrize("size", [1, 1200, 300_000])
def test_a_stream_comes_back_from_an_echo(pairing: Engines, size: int) -> None:
    pair = Pair(pairing).connect()
    data = bytes(range(256)) * (size // 256 + 1)
    for opener, other in (pair.ends, pair.ends[::-1]):
        other.echoes = True
        stream_id = opener.up.open_stream()
        push(pair, opener, stream_id, data[:size])
        pair.run(lambda opener=opener, stream_id=stream_id: stream_id in opener.ended)  # type: ignore[misc]
        assert bytes(opener.data[stream_id]) == data[:size]
        other.echoes = False


def test_a_stream_of_no_bytes_is_told_by_its_end(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    stream_id = pair.dialer.up.open_stream()
    push(pair, pair.dialer, stream_id, b"")
    pair.run(lambda: stream_id in pair.listener.ended)
    assert pair.listener.data[stream_id] == b""
    push(pair, pair.listener, stream_id, b"")
    pair.run(lambda: stream_id in pair.dialer.ended)


def test_half_a_stream_goes_on_when_the_other_half_has_ended(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    stream_id = pair.dialer.up.open_stream()
    push(pair, pair.dialer, stream_id, b"question")
    pair.run(lambda: stream_id in pair.listener.ended)
    pair.dialer.up.write(stream_id, b"more after the end", False)
    for _ in range(3):
        push(pair, pair.listener, stream_id, b"answer", fin=False)
        pair.pass_time(1)
    push(pair, pair.listener, stream_id, b".")
    pair.run(lambda: stream_id in pair.dialer.ended)
    assert pair.dialer.data[stream_id] == b"answeransweranswer."
    assert pair.listener.data[stream_id] == b"question"


def test_a_reset_and_a_stop_carry_their_codes(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    stream_id = pair.dialer.up.open_stream()
    push(pair, pair.dialer, stream_id, b"x", fin=False)
    pair.run(lambda: stream_id in pair.listener.data)
    pair.listener.up.reset(stream_id, 0x11)
    pair.listener.up.stop(stream_id, 0x12)
    pair.touch()
    pair.run(lambda: bool(pair.dialer.resets and pair.dialer.stops))
    assert pair.dialer.resets == [(stream_id, 0x11)]
    assert pair.dialer.stops == [(stream_id, 0x12)]
    pair.dialer.up.write(stream_id, b"nobody reads this", True)
    pair.touch()
    pair.pass_time(1)
    assert pair.listener.resets == [], "of what it reads no more nothing is told"
    assert pair.listener.data[stream_id] == b"x"


def test_a_stream_given_up_before_its_first_byte_opens_nothing(pairing: Engines) -> None:
    pair = Pair(pairing, listener_settings=make_settings(max_inbound_streams=2)).connect()
    for _ in range(6):
        pair.run(lambda: pair.dialer.up.can_open)
        stream_id = pair.dialer.up.open_stream()
        pair.dialer.up.reset(stream_id, 5)
        pair.touch()
        pair.pass_time(0.5)
    assert not pair.listener.data
    assert not pair.listener.terminations


def test_commands_on_unknown_streams_do_nothing(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    for end in pair.ends:
        for stream_id in (0, 1, 400, 401):
            end.up.write(stream_id, b"x", True)
            end.up.reset(stream_id, 1)
            end.up.stop(stream_id, 1)
            end.up.consumed(stream_id, 10)
            assert end.up.unsent_bytes(stream_id) == 0
    pair.touch()
    pair.pass_time(1)
    assert not pair.dialer.data
    assert not pair.listener.data
    assert pair.dialer.up.open_stream() == 0
    assert pair.listener.up.open_stream() == 1


def test_a_thousand_streams_at_once(pairing: Engines) -> None:
    pair = Pair(pairing, listener_settings=make_settings(max_inbound_streams=1000)).connect()
    pair.listener.echoes = True
    streams = {pair.dialer.up.open_stream(): bytes([n % 251]) * 1024 for n in range(1000)}
    for stream_id, data in streams.items():
        pair.dialer.up.write(stream_id, data, True)
    pair.touch()
    pair.run(lambda: len(pair.dialer.ended) == 1000)
    assert {stream_id: bytes(data) for stream_id, data in pair.dialer.data.items()} == streams


def test_the_peers_limit_of_streams_holds_and_rises(pairing: Engines) -> None:
    pair = Pair(pairing, listener_settings=make_settings(max_inbound_streams=3)).connect()
    dialer = pair.dialer.up
    streams = [dialer.open_stream() for _ in range(3)]
    assert not dialer.can_open
    with pytest.raises(UsageError):
        dialer.open_stream()
    for stream_id in streams:
        dialer.write(stream_id, b"x", False)
    pair.touch()
    pair.pass_time(1)
    assert not dialer.can_open
    assert pair.dialer.openings == 0
    push(pair, pair.dialer, streams[1], b"")
    push(pair, pair.listener, streams[1], b"")
    pair.run(lambda: dialer.can_open)
    assert pair.dialer.openings == 1
    stream_id = dialer.open_stream()
    assert not dialer.can_open
    push(pair, pair.dialer, stream_id, b"y")
    pair.run(lambda: stream_id in pair.listener.ended)


def test_ten_thousand_streams_one_after_another(make_engine: MakeEngine) -> None:
    pair = Pair((make_engine, make_engine), Link(delay_s=0.0001)).connect()
    pair.listener.echoes = True
    count = 0
    while count < 10_000:
        batch: list[int] = []
        while len(batch) < 200 and pair.dialer.up.can_open:
            batch.append(pair.dialer.up.open_stream())
        for stream_id in batch:
            pair.dialer.up.write(stream_id, b"ping", True)
        pair.touch()
        pair.run(lambda batch=batch: all(s in pair.dialer.ended for s in batch))  # type: ignore[misc]
        pair.run(lambda: pair.dialer.up.can_open)
        count += len(batch)
    assert not pair.dialer.terminations
    assert len(pair.listener.data) == count


def test_connection_ids_have_our_length_and_are_told(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    for end in pair.ends:
        ids = end.up.connection_ids
        assert {len(connection_id) for connection_id in ids} == {CONNECTION_ID_BYTES}
        assert len(set(ids)) == len(ids)
        assert set(end.issued) - set(end.retired) <= set(ids)
        assert end.issued


@pytest.mark.parametrize("closer", ["dialer", "listener"])
def test_an_applications_code_reaches_the_peer(pairing: Engines, closer: str) -> None:
    pair = Pair(pairing).connect()
    end, other = pair.ends if closer == "dialer" else pair.ends[::-1]
    end.up.close(0x1006, "shutdown", pair.now)
    assert end.termination == Termination(0x1006, "shutdown", application=True, by_peer=False)
    pair.touch()
    pair.run(lambda: other.termination is not None)
    assert other.termination == Termination(0x1006, "shutdown", application=True, by_peer=True)
    pair.pass_time(30)
    assert end.up.deadline() is None
    assert other.up.deadline() is None
    for each in pair.ends:
        each.up.close(1, "again", pair.now)
        each.up.write(0, b"x", True)
        each.up.ping()
        assert not each.up.can_open
        assert not each.up.transmit(pair.now, 16)
        assert each.termination is not None


def test_a_close_is_said_again_to_who_still_sends(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    pair.dialer.up.close(7, "", pair.now)
    pair.dialer.up.transmit(pair.now, 16)  # lost
    stream_id = pair.listener.up.open_stream()
    push(pair, pair.listener, stream_id, b"are you there")
    pair.run(lambda: pair.listener.termination is not None)
    assert pair.listener.termination == Termination(7, "", application=True, by_peer=True)


def test_a_connection_ends_when_nothing_comes_for_too_long(pairing: Engines) -> None:
    settings = make_settings(idle_timeout_s=7.0)
    pair = Pair(pairing, dialer_settings=settings).connect()
    before = pair.now
    pair.run(lambda: all(end.termination is not None for end in pair.ends))
    assert 6 < pair.now - before < 8
    for end in pair.ends:
        assert end.termination is not None
        assert end.termination.idle
        assert not end.termination.application
        assert not end.termination.by_peer


def test_a_ping_keeps_a_connection_alive(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    for _ in range(10):
        pair.pass_time(20)
        pair.dialer.up.ping()
        pair.touch()
    pair.pass_time(5)
    assert not pair.dialer.terminations
    assert not pair.listener.terminations


def test_a_dial_to_nobody_ends_idle(make_engine: MakeEngine) -> None:
    pair = Pair((make_engine, make_engine), Link(severed=True)).start()
    pair.run(lambda: pair.dialer.termination is not None)
    assert pair.dialer.termination is not None
    assert pair.dialer.termination.idle
    assert len(pair.sent["dialer"]) < 20
    assert pair.dialer.up.deadline() is None


def test_a_listener_that_got_no_handshake_ends_idle(make_engine: MakeEngine) -> None:
    end = End("listener")
    end.engine = make_engine(make_settings(), end, DIALER, START, dialer=False, original_id=bytes(8))
    end.engine.receive(b"\xc0\x00\x00\x00\x01" + bytes(20), DIALER, START)
    deadline = end.engine.deadline()
    assert deadline is not None
    end.engine.wake(deadline)
    assert end.termination is not None
    assert end.termination.idle
    assert end.engine.deadline() is None


def test_time_alone_needs_no_work(pairing: Engines) -> None:
    """Nothing is due on a quiet connection but its idle timeout."""
    pair = Pair(pairing).connect()
    pair.pass_time(1)
    for end in pair.ends:
        deadline = end.up.deadline()
        assert deadline is not None
        assert deadline > pair.now + 10
        assert not end.up.transmit(pair.now, 16)


def test_transmit_gives_no_more_than_it_is_asked_for(pairing: Engines) -> None:
    pair = Pair(pairing).connect()
    stream_id = pair.dialer.up.open_stream()
    pair.dialer.up.write(stream_id, bytes(10_000), True)
    sizes = []
    while some := pair.dialer.up.transmit(pair.now, 3):
        assert len(some) <= 3
        sizes.append(len(some))
        for datagram, _ in some:
            pair.listener.up.receive(datagram, DIALER, pair.now)
    assert len(sizes) >= 2
    assert len(pair.listener.data[stream_id]) == 10_000


def version_negotiation(hello: bytes, *versions: int) -> bytes:
    """What a listener answers that speaks these (RFC 9000, 17.2.1)."""
    size = hello[5]
    to = hello[6 : 6 + size]
    size = hello[6 + len(to)]
    source = hello[7 + len(to) : 7 + len(to) + size]
    said = b"".join(version.to_bytes(4, "big") for version in versions)
    return b"\xc0" + bytes(4) + bytes([len(source)]) + source + bytes([len(to)]) + to + said


def test_a_dial_ends_when_no_version_is_spoken_by_both(make_engine: MakeEngine) -> None:
    pair = Pair((make_engine, make_engine), Link(severed=True)).start()
    hello = pair.dialer.up.transmit(pair.now, 1)[0][0]
    pair.inject(pair.dialer, version_negotiation(hello[:6] + bytes(40), 0xFF00001D))
    assert not pair.dialer.terminations, "an answer to something that was not sent"
    pair.inject(pair.dialer, version_negotiation(hello, 1, 0xFF00001D))
    assert not pair.dialer.terminations, "version 1 was sent, so this is no answer"
    pair.inject(pair.dialer, version_negotiation(hello, 0xFF00001D, 0x0A0A0A0A))
    ended = pair.dialer.termination
    assert ended is not None
    assert not ended.application
    assert not ended.idle
    pair.pass_time(60)
    assert pair.dialer.up.deadline() is None
    assert not pair.dialer.up.transmit(pair.now, 16)


def test_a_lost_hello_is_soon_repeated(pairing: Engines) -> None:
    pair = Pair(pairing, Link(delay_s=0.001))
    pair.dialer.up.start(pair.now)
    assert pair.take(pair.dialer)
    pair.run(lambda: pair.dialer.key is not None and pair.listener.key is not None, within_s=0.4)


def test_a_peer_may_be_very_far_away(pairing: Engines) -> None:
    """Longer than the first retransmissions wait."""
    pair = Pair(pairing, Link(delay_s=0.6)).connect()
    pair.listener.echoes = True
    stream_id = pair.dialer.up.open_stream()
    data = bytes(range(256)) * 1000
    push(pair, pair.dialer, stream_id, data)
    pair.run(lambda: stream_id in pair.dialer.ended)
    assert bytes(pair.dialer.data[stream_id]) == data
    assert not pair.listener.terminations
