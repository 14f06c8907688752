"""Whom an engine refuses, in both roles, and with which error (digest, sections 7 and 9; RFC 9001, 4.8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import pytest

from mesh.errors import PeerError
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.network.quic.engine import MakeEngine, Termination
from mesh.network.quic.qh3.tls import MutualContext
from tests.network.quic import rogues
from tests.network.quic.pairing import End, Pair, make_settings, push, verify

JUNK = b"\x30\x82\x01\x00" + bytes(range(256))
BAD_CERTIFICATE = 0x100 + 42
ILLEGAL_PARAMETER = 0x100 + 47
DECODE_ERROR = 0x100 + 50
DECRYPT_ERROR = 0x100 + 51
HANDSHAKE_FAILURE = 0x100 + 40
UNEXPECTED_MESSAGE = 0x100 + 10
PROTOCOL_VERSION = 0x100 + 70
CERTIFICATE_REQUIRED = 0x100 + 116
NO_APPLICATION_PROTOCOL = 0x100 + 120

Bend = Callable[[MutualContext], None]


def assert_refused(pair: Pair, refusing: End, *codes: int) -> None:
    """Both ends have ended, one by its own refusal, the other by what it heard of it."""
    pair.run(lambda: all(end.terminations for end in pair.ends))
    heard = pair.listener if refusing is pair.dialer else pair.dialer
    for end in pair.ends:
        assert end.termination is not None
        assert end.termination.code in codes, end.termination
        assert not end.termination.application
        assert not end.termination.idle
        assert end.termination.by_peer == (end is heard)
    assert refusing.key is None
    pair.pass_time(20)
    assert [end.up.deadline() for end in pair.ends] == [None, None]


@pytest.mark.parametrize(
    ("bend", "code"),
    [
        (rogues.shows_nothing, CERTIFICATE_REQUIRED),
        (rogues.shows(JUNK), DECODE_ERROR),
        (rogues.shows_two, BAD_CERTIFICATE),
        (rogues.signs_with_another_key, DECRYPT_ERROR),
        (rogues.swaps_its_flight, UNEXPECTED_MESSAGE),
        (rogues.says(alpn_protocols=["h3"]), NO_APPLICATION_PROTOCOL),
        (rogues.says(alpn_protocols=None), NO_APPLICATION_PROTOCOL),
        (rogues.says(supported_versions=[0x0303]), PROTOCOL_VERSION),
        (rogues.says(key_share=[(24, bytes(97))], supported_groups=[24]), HANDSHAKE_FAILURE),
        (rogues.says(cipher_suites=[0x1399]), HANDSHAKE_FAILURE),
        (rogues.says(signature_algorithms=[0x0807]), HANDSHAKE_FAILURE),
    ],
)
def test_a_listener_refuses(make_engine: MakeEngine, bend: Bend, code: int) -> None:
    pair = Pair((rogues.bent(bend), make_engine)).start()
    assert_refused(pair, pair.listener, code)


def test_a_share_of_a_wrong_length_is_refused(make_engine: MakeEngine) -> None:
    """By either of two alerts: it is a field out of range, or one that makes no sense (RFC 8446, 6.2)."""
    pair = Pair((rogues.bent(rogues.says(key_share=[(29, b"short")])), make_engine)).start()
    assert_refused(pair, pair.listener, DECODE_ERROR, ILLEGAL_PARAMETER)


@pytest.mark.parametrize(
    ("bend", "code"),
    [
        (rogues.shows(JUNK), DECODE_ERROR),
        (rogues.signs_with_another_key, DECRYPT_ERROR),
    ],
)
def test_a_dialer_refuses(make_engine: MakeEngine, bend: Bend, code: int) -> None:
    pair = Pair((make_engine, rogues.bent(bend))).start()
    assert_refused(pair, pair.dialer, code)
    assert pair.listener.key is None


@pytest.mark.parametrize("refusing", ["dialer", "listener"])
@pytest.mark.parametrize("alert", [42, 43, 45, 116])
def test_what_the_check_of_the_certificate_says_is_sent(
    pairing: tuple[MakeEngine, MakeEngine], refusing: str, alert: int
) -> None:
    def refuse(chain: Sequence[bytes]) -> PublicKey:
        assert len(chain) == 1
        raise PeerError("this certificate is not liked", wire_code=alert)

    strict = make_settings(verify=refuse)
    pair = Pair(
        pairing,
        dialer_settings=strict if refusing == "dialer" else None,
        listener_settings=strict if refusing == "listener" else None,
    ).start()
    assert_refused(pair, pair.dialer if refusing == "dialer" else pair.listener, 0x100 + alert)


def test_the_whole_chain_is_shown_to_the_check(make_engine: MakeEngine) -> None:
    seen: list[list[bytes]] = []

    def look(chain: Sequence[bytes]) -> PublicKey:
        seen.append(list(chain))
        return verify(chain)

    identity = PrivateKey.generate()
    settings = make_settings(identity)
    for ends in ((settings, make_settings(verify=look)), (make_settings(verify=look), settings)):
        Pair((make_engine, make_engine), dialer_settings=ends[0], listener_settings=ends[1]).connect()
    assert seen == [[settings.certificate]] * 2


def test_a_hello_full_of_unknown_things_is_taken(make_engine: MakeEngine) -> None:
    pair = Pair((rogues.bent(rogues.looks_like_a_browser), make_engine)).connect()
    pair.listener.echoes = True
    stream_id = pair.dialer.up.open_stream()
    push(pair, pair.dialer, stream_id, b"hello")
    pair.run(lambda: stream_id in pair.dialer.ended)


def test_a_list_of_protocols_that_holds_ours_is_taken(make_engine: MakeEngine) -> None:
    pair = Pair((rogues.bent(rogues.says(alpn_protocols=["/yamux/1.0.0", "libp2p"])), make_engine)).connect()
    assert pair.dialer.key is not None


def test_the_peer_may_refuse_after_this_end_has_finished(make_engine: MakeEngine) -> None:
    """A dialer's handshake is over before the listener has seen its certificate."""

    def refuse(chain: Sequence[bytes]) -> PublicKey:
        raise PeerError("no", wire_code=42)

    pair = Pair((make_engine, make_engine), listener_settings=make_settings(verify=refuse)).start()
    pair.run(lambda: pair.dialer.key is not None)
    assert pair.dialer.termination is None
    pair.run(lambda: pair.dialer.termination is not None)
    ended = pair.dialer.termination
    assert ended is not None
    assert ended == Termination(BAD_CERTIFICATE, ended.reason, application=False, by_peer=True)


@pytest.mark.parametrize("seed", range(150))
def test_garbled_tls_ends_the_connection_or_does_not_matter(make_engine: MakeEngine, seed: int) -> None:
    """Bytes of the handshake changed by an end that seals them properly: each parser meets what no link would bring."""
    random = Random(seed)

    def garble(data: bytes) -> bytes:
        garbled = bytearray(data)
        if random.random() < 0.7:
            for _ in range(random.randrange(1, 4)):
                garbled[random.randrange(min(len(garbled), random.choice((8, 64, 600))))] = random.randrange(
                    256
                )
        return bytes(garbled)

    rogue = rogues.bent(rogues.unbent, garble)
    for engines in ((rogue, make_engine), (make_engine, rogue)):
        pair = Pair(engines).start()
        pair.pass_time(90)
        for end in pair.ends:
            assert end.terminations or end.key is not None or end.engine is None
            deadline = None if end.engine is None else end.up.deadline()
            assert deadline is None
