"""Who gets a datagram, and what strangers are answered (RFC 8999, RFC 9000 sections 5.2, 6, 8.1, 10.3)."""

from __future__ import annotations

import errno
import resource
import socket
import sys
from collections.abc import AsyncIterator
from time import monotonic

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from mesh.codecs.quic import Initial, LongHeader, VersionNegotiation
from mesh.errors import UsageError
from mesh.network.quic.endpoint import Endpoint, Load
from mesh.network.quic.lingering import LINGER_S, MAX_LINGERING, Lingering
from mesh.network.quic.retry import LIFETIME_S, integrity_tag
from mesh.network.quic.stateless_reset import MAX_RESET_BYTES, RESETS_PER_S, StatelessReset
from tests.network.live import eventually
from tests.network.quic.strangers import (
    HOSTS,
    KEY,
    Listening,
    Recorder,
    Stranger,
    initial,
    long,
    read_retry,
    short,
)
from tests.vectors import cases

pytestmark = pytest.mark.both_loops

ALWAYS_RETRY = Load(retry_above=-1)
FAMILIES = pytest.mark.parametrize("family", HOSTS, ids=["ip4", "ip6"])
WAYS = pytest.mark.parametrize(
    ("offload", "watched"),
    [(True, True), (False, True), (False, False)],
    ids=["offload", "single", "transport"],
)


@pytest.fixture
async def listening() -> AsyncIterator[Listening]:
    made = Listening()
    yield made
    made.endpoint.close()
    made.endpoint.close()
    assert made.endpoint.closed


# --- routing ------------------------------------------------------------------------------------------------


@FAMILIES
@WAYS
async def test_two_endpoints(listening: Listening, family: int, offload: bool, watched: bool) -> None:
    """A dialer and a listener, each by its ids, both over one socket a side."""
    await listening.open(family, offload=offload, watched=watched)
    dialing = await Listening().open(family, offload=offload, watched=watched, listens=False)
    dialer = Recorder()
    dialing.endpoint.register(b"dialer01", dialer)
    first = initial(b"original", b"dialer01")
    assert dialing.endpoint.send([(first, listening.endpoint.local)])
    await eventually(lambda: listening.receivers, "accepted")
    assert listening.accepted == [(dialing.endpoint.local, b"original", b"")]
    [accepted] = listening.receivers
    await eventually(lambda: accepted.settled, "settled")
    listening.endpoint.register(b"accepted", accepted)
    answers = [short(b"dialer01", 1200) for _ in range(100)]
    for at in range(0, 100, 25):
        assert listening.endpoint.send([(each, dialing.endpoint.local) for each in answers[at : at + 25]])
    await eventually(lambda: len(dialer.received) == 100, "answers")
    assert dialer.received == answers
    assert set(dialer.sources) == {listening.endpoint.local}
    more = [initial(b"original", b"dialer01"), short(b"accepted"), short(b"original")]
    assert dialing.endpoint.send([(each, listening.endpoint.local) for each in more])
    await eventually(lambda: len(accepted.received) == 4, "all of the dialer's")
    assert accepted.received == [first, *more]
    dialing.endpoint.close()
    assert not listening.counters.total("quic.dropped")


@WAYS
async def test_joined_datagrams_of_two_connections(
    listening: Listening, offload: bool, watched: bool
) -> None:
    """Both ends may have two connections over the same pair of addresses; receive offload joins what they send."""
    await listening.open(offload=offload, watched=watched)
    sending = await Listening().open()
    one, two = Recorder(), Recorder()
    listening.endpoint.register(b"same 001", one)
    listening.endpoint.register(b"same 002", two)
    batch = [short(b"same 00" + digit) for digit in (b"1", b"1", b"2", b"1", b"3", b"2")]
    sending.endpoint.send([(each, listening.endpoint.local) for each in batch])
    await eventually(lambda: len(one.received) + len(two.received) == 5, "all")
    assert one.received == [batch[0], batch[1], batch[3]]
    assert two.received == [batch[2], batch[5]]
    sending.endpoint.close()


async def test_joined_datagrams_whatever_their_headers(listening: Listening) -> None:
    """Long headers among short ones, and a last one too short for an id, whose bytes look alike."""
    recorder = Recorder()
    listening.endpoint.register(b"\x41" * 8, recorder)
    like = b"\x41" * 40
    for buffer in (like * 3 + b"\x41" * 5, like + b"\xc1" + like[1:], b"\xc1" + like[1:] + like):
        recorder.received.clear()
        listening.endpoint.datagrams(buffer, 40, ("127.0.0.1", 1), 1.0)
        assert set(recorder.received) == {like}
    assert listening.counters["quic.dropped:malformed"] == 1
    listening.endpoint.settle()
    listening.endpoint.settle()
    assert recorder.settled == 1


async def test_an_id_has_one_owner(listening: Listening) -> None:
    recorder = Recorder()
    listening.endpoint.register(b"12345678", recorder)
    listening.endpoint.register(b"12345678", recorder)
    with pytest.raises(UsageError, match="in use"):
        listening.endpoint.register(b"12345678", Recorder())
    listening.endpoint.forget(b"12345678")
    listening.endpoint.forget(b"12345678")
    listening.endpoint.register(b"12345678", Recorder())


async def test_late_datagrams_of_a_closed_connection_are_swallowed(listening: Listening) -> None:
    await listening.open()
    listening.endpoint.register(b"closed 1", Recorder())
    listening.endpoint.forget(b"closed 1")
    with Stranger(listening.endpoint.local) as stranger:
        stranger.send(short(b"closed 1"), initial(b"closed 1"))
        await listening.counted("quic.dropped:closed", 2)
        assert not stranger.answers()
    assert not listening.accepted


def test_ids_linger_for_a_time_and_in_bounds() -> None:
    ids = Lingering()
    ids.add(b"a", 100.0)
    assert ids.holds(b"a", 100.0)
    assert ids.holds(b"a", 100.0 + LINGER_S)
    assert not ids.holds(b"a", 100.0 + 2 * LINGER_S)
    for number in range(5 * MAX_LINGERING):
        ids.add(number.to_bytes(8, "big"), 200.0)
        assert ids.holds(number.to_bytes(8, "big"), 200.0)
    assert len(ids) <= 2 * MAX_LINGERING
    assert not ids.holds(bytes(7) + b"\x00", 300.0)
    assert len(ids) == 0


# --- version negotiation --------------------------------------------------------------------------------------


@FAMILIES
async def test_version_negotiation(listening: Listening, family: int) -> None:
    await listening.open(family)
    for ids in ((b"destination", b"source"), (bytes(range(255)), bytes(range(1, 256))), (b"", b"")):
        asked = LongHeader(0xAB, 0x1A2A3A4A, *ids).encode()
        with Stranger(listening.endpoint.local) as stranger:
            answer = await stranger.ask(asked + bytes(1200 - len(asked)))
        found = VersionNegotiation.decode(answer)
        assert (found.source_id, found.destination_id) == ids
        assert found.versions == [1]
        assert len(answer) < 1200
    assert not listening.accepted


DROPPED = {
    "a short datagram of another version": (long(0xC0, 2, size=1199), "unknown version"),
    "a version negotiation": (long(0xC0, 0), "version negotiation"),
    "a Handshake": (long(0xE0, 1), "unknown id"),
    "no fixed bit": (long(0x80, 1), "unknown id"),
    "an Initial that is not filled up": (initial(size=1199), "short initial"),
    "an id of 7 bytes": (initial(b"seven 7"), "malformed"),
    "an Initial that is cut": (initial()[:1190], "malformed"),
    "an id of 21 bytes": (long(0xC0, 1, bytes(21)), "malformed"),
    "no length of an id": (b"\xc0\0\0\0\1", "malformed"),
    "an id that is cut": (b"\xc0\0\0\0\1\xff" + bytes(100), "malformed"),
    "a long first byte": (b"\x80", "malformed"),
    "a short first byte": (b"\x40", "malformed"),
    "a short header that is cut": (b"\x40" + bytes(7), "malformed"),
    "a short header without its fixed bit": (bytes(100), "malformed"),
    "a short header alone": (b"\x40" + bytes(8), "unknown id"),
    "too short to be answered": (short(b"12345678", 21), "unknown id"),
}


@pytest.mark.parametrize("name", DROPPED)
async def test_what_is_dropped(listening: Listening, name: str) -> None:
    datagram, why = DROPPED[name]
    await listening.open()
    with Stranger(listening.endpoint.local) as stranger:
        stranger.send(datagram)
        await listening.counted(f"quic.dropped:{why}")
        assert not stranger.answers()
    assert listening.counters.total("quic.") == 1
    assert not listening.accepted


async def test_a_dialer_answers_no_initial(listening: Listening) -> None:
    await listening.open(listens=False)
    with Stranger(listening.endpoint.local) as stranger:
        stranger.send(initial(), LongHeader(0xC0, 2, b"12345678", b"").encode() + bytes(1200))
        await listening.counted("quic.dropped:not listening", 2)
        assert not stranger.answers()


# --- stateless reset ------------------------------------------------------------------------------------------


@FAMILIES
async def test_stateless_reset(listening: Listening, family: int) -> None:
    await listening.open(family)
    for size in (22, 23, 30, 42, 43, 44, 100, 1452):
        with Stranger(listening.endpoint.local) as stranger:
            answer = await stranger.ask(short(b"unknown!", size))
        assert 21 <= len(answer) < size
        assert len(answer) == min(size - 1, MAX_RESET_BYTES)
        assert answer[0] & 0xC0 == 0x40
        assert answer[-16:] == StatelessReset(KEY).token(b"unknown!")


async def test_resets_have_a_rate(listening: Listening) -> None:
    await listening.open()
    with Stranger(listening.endpoint.local) as stranger:
        for _ in range(4):
            stranger.send(*[short(b"unknown!")] * RESETS_PER_S)
        await eventually(lambda: listening.counters.total("quic.") == 4 * RESETS_PER_S, "all counted")
        answered = listening.counters["quic.answered:stateless reset"]
        assert len(stranger.answers()) == answered
    assert RESETS_PER_S <= answered < 4 * RESETS_PER_S


def test_the_rate_of_resets() -> None:
    reset = StatelessReset(KEY, 10)
    assert [bool(reset.answer(b"id", 50, 5.0)) for _ in range(12)] == [True] * 10 + [False] * 2
    assert reset.answer(b"id", 50, 5.1)
    assert not reset.answer(b"id", 50, 5.1)
    assert sum(bool(reset.answer(b"id", 50, 100.0)) for _ in range(30)) == 10


def test_a_reset_key_is_long_enough_and_its_tokens_depend_on_it() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        StatelessReset(b"short")
    tokens = {StatelessReset(key).token(id) for key in (bytes(16), bytes(32), KEY) for id in (b"a", b"b")}
    assert len(tokens) == 6
    assert {len(token) for token in tokens} == {16}


# --- Retry ----------------------------------------------------------------------------------------------------


def test_retry_integrity() -> None:
    """RFC 9001 appendix A.4."""
    [case] = [case for case in cases("quic", "quic") if case["name"] == "Retry"]
    packet, original_id = bytes.fromhex(case["retry"]), bytes.fromhex(case["original_id"])
    assert integrity_tag(original_id, packet[:-16]) == packet[-16:]
    assert read_retry(packet, original_id)[1] == bytes.fromhex(case["token"])


@FAMILIES
@pytest.mark.parametrize("original_id", [b"8 bytes!", b"twenty bytes exactly"])
async def test_retry(listening: Listening, family: int, original_id: bytes) -> None:
    await listening.open(family, ALWAYS_RETRY)
    with Stranger(listening.endpoint.local) as stranger:
        first = initial(original_id, b"client")
        answer = await stranger.ask(first)
        assert len(answer) * 3 < len(first)
        retry, token = read_retry(answer, original_id)
        assert retry.destination_id == b"client"
        assert len(retry.source_id) == 8
        assert (listening.endpoint.handshakes, listening.endpoint.ids) == (0, 0)
        second = initial(retry.source_id, b"client", token)
        stranger.send(second)
        await eventually(lambda: listening.receivers, "accepted")
        assert listening.accepted == [(stranger.name, original_id, retry.source_id)]
        assert listening.receivers[0].received == [second]
        assert listening.endpoint.handshakes == 1
        stranger.send(second)
        await eventually(lambda: len(listening.receivers[0].received) == 2, "the same connection")
    assert len(listening.accepted) == 1


async def test_another_implementation_takes_our_retry(listening: Listening) -> None:
    """It checks the integrity tag, and comes back with the token to the Retry's id."""
    await listening.open(load=ALWAYS_RETRY)
    client = QuicConnection(configuration=QuicConfiguration(is_client=True, alpn_protocols=["libp2p"]))
    original_id = client.original_destination_connection_id
    with Stranger(listening.endpoint.local) as stranger:
        client.connect(listening.endpoint.local, now=1.0)
        stranger.send(*[data for data, _ in client.datagrams_to_send(1.0)])
        client.receive_datagram(await stranger.receive(), listening.endpoint.local, now=1.1)
        stranger.send(*[data for data, _ in client.datagrams_to_send(1.1)])
        await eventually(lambda: listening.accepted, "accepted")
    [(_, accepted_id, retry_id)] = listening.accepted
    assert accepted_id == original_id
    assert Initial.decode_prefix(listening.receivers[0].received[0])[0].destination_id == retry_id


async def test_a_token_is_for_one_address_id_and_time(listening: Listening) -> None:
    await listening.open(load=ALWAYS_RETRY)
    with Stranger(listening.endpoint.local) as stranger, Stranger(listening.endpoint.local) as other:
        retry, token = read_retry(await stranger.ask(initial()), b"original")
        elsewhere = await other.ask(initial(retry.source_id, token=token))
        assert read_retry(elsewhere, retry.source_id)[1] != token, "a token of another address is none"
        for at in range(len(token)):
            changed = bytearray(token)
            changed[at] ^= 1
            listening.endpoint.datagrams(
                initial(retry.source_id, token=bytes(changed)), 1200, stranger.name, monotonic()
            )
            listening.endpoint.datagrams(
                initial(retry.source_id, token=token[:at]), 1200, stranger.name, monotonic()
            )
        assert not listening.accepted
        stranger.send(initial(b"another 1", token=token))
        await listening.counted("quic.dropped:stale token")
        late = monotonic() + LIFETIME_S
        listening.endpoint.datagrams(initial(retry.source_id, token=token), 1200, stranger.name, late)
        assert listening.counters["quic.dropped:stale token"] == 2
        assert not listening.accepted
        stranger.send(initial(retry.source_id, token=token))
        await eventually(lambda: listening.accepted, "accepted")


async def test_a_strange_token_counts_as_none(listening: Listening) -> None:
    """As one that another server gave, or this one before it was started again."""
    await listening.open()
    with Stranger(listening.endpoint.local) as stranger:
        stranger.send(initial(token=bytes(60)))
        await eventually(lambda: listening.accepted, "accepted")
        assert listening.accepted == [(stranger.name, b"original", b"")]


async def test_retry_only_under_load(listening: Listening) -> None:
    await listening.open(load=Load(retry_above=2, max_handshakes=10))
    with Stranger(listening.endpoint.local) as stranger:
        stranger.send(*[initial(b"client %d" % number) for number in range(4)])
        await listening.counted("quic.answered:retry")
        assert listening.endpoint.handshakes == 3
        read_retry(await stranger.receive(), b"client 3")
        listening.endpoint.finished(listening.receivers[0])
        listening.endpoint.finished(listening.receivers[0])
        assert listening.endpoint.handshakes == 2
        stranger.send(initial(b"client 4"), initial(b"client 0"))
        await listening.counted("quic.dropped:closed")
        assert len(listening.accepted) == 4
        assert not stranger.answers()


async def test_an_id_that_the_connection_registered_outlives_its_handshake(listening: Listening) -> None:
    await listening.open()
    listening.registers = True
    with Stranger(listening.endpoint.local) as stranger:
        stranger.send(initial())
        await eventually(lambda: listening.accepted, "accepted")
        listening.endpoint.finished(listening.receivers[0])
        stranger.send(short(b"original"))
        await eventually(lambda: len(listening.receivers[0].received) == 2, "both")
    listening.endpoint.forget(b"original")
    assert (listening.endpoint.handshakes, listening.endpoint.ids) == (0, 0)


# --- floods ---------------------------------------------------------------------------------------------------


async def test_handshakes_have_a_limit(listening: Listening) -> None:
    """Beyond it not even a valid token helps, until one is finished."""
    await listening.open(load=Load(retry_above=-1, max_handshakes=3))
    with Stranger(listening.endpoint.local) as stranger:
        again = []
        for number in range(4):
            first = b"client %d" % number
            retry, token = read_retry(await stranger.ask(initial(first)), first)
            again.append(initial(retry.source_id, token=token))
        stranger.send(*again)
        await listening.counted("quic.dropped:too many handshakes")
        assert [original_id for _, original_id, _ in listening.accepted] == [
            b"client 0",
            b"client 1",
            b"client 2",
        ]
        stranger.send(initial(b"client 4"))
        await listening.counted("quic.dropped:too many handshakes", 2)
        assert not stranger.answers()
        listening.endpoint.finished(listening.receivers[1])
        stranger.send(again[3])
        await eventually(lambda: len(listening.accepted) == 4, "accepted")


async def test_a_refused_connection_leaves_nothing(listening: Listening) -> None:
    await listening.open()
    listening.refuses = True
    with Stranger(listening.endpoint.local) as stranger:
        stranger.send(initial())
        await listening.counted("quic.dropped:refused")
    assert (listening.endpoint.handshakes, listening.endpoint.ids) == (0, 0)


@pytest.mark.parametrize("retry_above", [-1, 64, 10_000], ids=["always retry", "under load", "never retry"])
async def test_a_flood_of_initials(listening: Listening, retry_above: int) -> None:
    """20,000 clients that never come back, each from another address."""
    await listening.open(load=Load(retry_above, max_handshakes=200))
    datagram = bytearray(initial(bytes(8)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(20_000):
        datagram[6:14] = number.to_bytes(8, "big")
        listening.endpoint.datagrams(bytes(datagram), 1200, ("127.0.0.1", 1024 + number), 1.0)
        assert listening.endpoint.handshakes <= 200
    listening.endpoint.settle()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (
        listening.endpoint.ids == listening.endpoint.handshakes == {-1: 0, 64: 65, 10_000: 200}[retry_above]
    )
    assert grown * (1 if sys.platform == "darwin" else 1024) < 16 * 2**20


# --- the ends -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
@FAMILIES
async def test_a_closed_port_is_told_to_who_dials_it(listening: Listening, family: int) -> None:
    await listening.open(family)
    with Stranger(listening.endpoint.local) as stranger:
        closed, open_ = stranger.name, listening.endpoint.local
    told: list[OSError] = []
    others: list[OSError] = []
    listening.endpoint.watch(closed, told.append)
    listening.endpoint.watch(closed, others.append)
    listening.endpoint.watch(open_, others.append)
    listening.endpoint.unwatch(closed, others.append)
    listening.endpoint.unwatch(closed, others.append)
    listening.endpoint.send([(initial(), closed)])
    await eventually(lambda: told, "told")
    assert told[0].errno == errno.ECONNREFUSED
    assert not others


async def test_when_writable_tells_each_once(listening: Listening) -> None:
    await listening.open()
    calls: list[str] = []

    def again() -> None:
        calls.append("again")
        listening.endpoint.when_writable(again)

    for _ in range(2):
        listening.endpoint.when_writable(again)
    listening.endpoint.writable()
    assert calls == ["again"]
    listening.endpoint.writable()
    assert calls == ["again", "again"]
    assert not listening.endpoint.blocked


async def test_closing(listening: Listening) -> None:
    await listening.open()
    local = listening.endpoint.local
    listening.endpoint.register(b"12345678", Recorder())
    with Stranger(local) as stranger:
        stranger.send(initial())
        await eventually(lambda: listening.accepted, "accepted")
        listening.endpoint.close()
        assert (listening.endpoint.handshakes, listening.endpoint.ids) == (0, 0)
        assert listening.endpoint.send([(b"x", stranger.name)])
        assert not listening.endpoint.blocked
    with pytest.raises(UsageError, match="closed"):
        _ = listening.endpoint.local
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(local)


async def test_closing_while_it_receives(listening: Listening) -> None:
    await listening.open()

    class Closing(Recorder):
        def datagrams(self, *arguments: object) -> None:
            listening.endpoint.close()

    closing = Closing()
    listening.endpoint.register(b"12345678", closing)
    with Stranger(listening.endpoint.local) as stranger:
        stranger.send(*[short(b"12345678")] * 5)
        await eventually(lambda: listening.endpoint.closed, "closed")
    assert not closing.settled


async def test_a_port_that_is_taken(listening: Listening) -> None:
    await listening.open()
    with pytest.raises(OSError, match="in use"):
        await Endpoint.open(
            "127.0.0.1", listening.endpoint.local[1], socket.AF_INET, listening.reset, listening.counters
        )
