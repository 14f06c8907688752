"""kad/2: what a node of the DHT keeps for others, and what it must not."""

from __future__ import annotations

import contextlib
import time

from mesh.codecs.kademlia import Message, MessageType
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.kademlia_queries import multihash
from mesh.conformance.kademlia_client import (
    UNROUTABLE,
    add_provider,
    ask,
    get_providers,
    get_value,
    id_of,
    opened,
    protocol_of,
    public_key_record,
    put_value,
)
from mesh.conformance.verdict import Deviation, Skipped
from mesh.conformance.yamux_session import Session, Stream
from mesh.framing import delimited
from mesh.identity.keys import PrivateKey
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.kademlia import ipns

SECTION = Section("kad/2", "Storing", "kad-dht", hurts=True)
HOUR_S = 3600.0
REFUSED_S = 2.0
KEPT = (b"/pk/", b"/ipns/")
"""Namespaces that a node answers questions about."""
LONG_AGO = "2001-01-01T00:00:00Z"
BROKEN_ADDRESS = b"\x04\x7f"


def our_address(attempt: Attempt) -> bytes:
    """Where the harness would be found, if it listened."""
    if attempt.target.is_loopback:
        return Multiaddr.parse("/ip4/127.0.0.1/tcp/4001").to_bytes()
    return UNROUTABLE.to_bytes()


async def stored(session: Session, attempt: Attempt, key: bytes) -> bytes | None:
    """The value that the target gives for a key, asked on a stream of its own."""
    stream = await session.open(protocol_of(attempt))
    answer = await ask(stream, get_value(key), "answer to GET_VALUE")
    return None if answer.record is None else answer.record.value


async def not_kept(attempt: Attempt, request: Message) -> str:
    """The request is not echoed, and no stored value follows from it; silence is a refusal too."""
    session, stream = await opened(attempt)
    return await unechoed(session, stream, attempt, request)


async def unechoed(
    session: Session, stream: Stream, attempt: Attempt, request: Message, before: bytes | None = None
) -> str:
    """The same on a stream that is there; ``before`` is what is stored already."""
    stream.send(delimited.encode(request.encode()))
    with contextlib.suppress(Deviation):
        await stream.until(lambda: stream.ending or (bytes(stream.buffer) or None), "end", within_s=REFUSED_S)
    if stream.buffer:
        raise Deviation("it was accepted: an answer came")
    if request.key.startswith(KEPT) and await stored(session, attempt, request.key) != before:
        raise Deviation("it was refused, and kept all the same")
    return stream.state


async def put(session: Session, attempt: Attempt, key: bytes, value: bytes) -> None:
    """PUT_VALUE on a stream of its own, which must be echoed."""
    stream = await session.open(protocol_of(attempt))
    answer = await ask(stream, put_value(key, value), "echo of PUT_VALUE")
    if answer.record is None or (answer.key, answer.record.value) != (key, value):
        raise Deviation("the answer to PUT_VALUE is not an echo of it")


@SECTION.must(1, "PUT_VALUE good /pk/", "request echoed", limit_s=5, source="kad-dht: PUT_VALUE")
async def good(attempt: Attempt) -> None:
    session, _ = await opened(attempt)
    await put(session, attempt, *public_key_record(attempt.identity))


@SECTION.must(2, "Then GET_VALUE of it", "record comes back, same value", limit_s=5)
async def good_again(attempt: Attempt) -> None:
    session, _ = await opened(attempt)
    key, value = public_key_record(attempt.identity)
    await put(session, attempt, key, value)
    if await stored(session, attempt, key) != value:
        raise Deviation("the value that was put does not come back")


@SECTION.must(3, "PUT_VALUE with wrong key for /pk/", "refused", limit_s=5, source="kad-dht: validation")
async def wrong_key(attempt: Attempt) -> str:
    key, _ = public_key_record(attempt.fresh_identity())
    _, value = public_key_record(attempt.identity)
    return await not_kept(attempt, put_value(key, value))


@SECTION.must(4, "PUT_VALUE, message key differs from record key", "refused", limit_s=5)
async def two_keys(attempt: Attempt) -> str:
    key, value = public_key_record(attempt.identity)
    other, _ = public_key_record(attempt.fresh_identity())
    return await not_kept(attempt, put_value(key, value, under=other))


@SECTION.must(5, "PUT_VALUE without record", "refused", limit_s=5)
async def no_record(attempt: Attempt) -> str:
    key, _ = public_key_record(attempt.identity)
    return await not_kept(attempt, Message(MessageType.PUT_VALUE, key))


@SECTION.must(6, "PUT_VALUE unknown namespace", "refused", limit_s=5, source="kad-dht: validator")
async def no_namespace(attempt: Attempt) -> str:
    return await not_kept(attempt, put_value(b"/conform/" + attempt.rng.randbytes(16), b"anything"))


def name_record(
    attempt: Attempt, identity: PrivateKey, sequence: int, expires_s: float
) -> tuple[bytes, bytes]:
    """Key and value of `/ipns/`; ``expires_s`` from now. Skips unless the target keeps such records at all."""
    value = b"/ipfs/bafkqaaa"
    record = ipns.create(identity, value, sequence, round(time.time()) + expires_s)
    return b"/ipns/" + id_of(identity), record


async def keeps_names(session: Session, attempt: Attempt) -> None:
    """The positive twin: a good name is kept. Skips when it is not."""
    try:
        await put(session, attempt, *name_record(attempt, attempt.fresh_identity(), 1, HOUR_S))
    except Deviation:
        raise Skipped("the target keeps no /ipns/ records") from None


@SECTION.must(7, "/ipns/ expired", "refused", limit_s=5, source="ipns")
async def expired(attempt: Attempt) -> str:
    session, stream = await opened(attempt)
    await keeps_names(session, attempt)
    key, value = name_record(attempt, attempt.identity, 1, -HOUR_S)
    return await unechoed(session, stream, attempt, put_value(key, value))


@SECTION.must(
    8,
    "/ipns/ sequence 2, then sequence 1",
    "second refused; GET gives 2",
    limit_s=5,
    source="kad-dht: select",
)
async def older(attempt: Attempt) -> str:
    session, stream = await opened(attempt)
    await keeps_names(session, attempt)
    key, second = name_record(attempt, attempt.identity, 2, HOUR_S)
    _, first = name_record(attempt, attempt.identity, 1, 2 * HOUR_S)
    await put(session, attempt, key, second)
    return await unechoed(session, stream, attempt, put_value(key, first), before=second)


@SECTION.should(
    9,
    "PUT_VALUE with our own timeReceived",
    "replaced by the storer",
    limit_s=5,
    source="kad-dht: Record",
)
async def own_time(attempt: Attempt) -> str:
    session, stream = await opened(attempt)
    key, value = public_key_record(attempt.identity)
    await ask(stream, put_value(key, value, LONG_AGO), "echo of PUT_VALUE")
    answer = await ask(await session.open(protocol_of(attempt)), get_value(key), "answer to GET_VALUE")
    if answer.record is None:
        raise Deviation("a record with a timeReceived of its sender is not kept")
    if answer.record.time_received == LONG_AGO:
        raise Deviation("the sender's timeReceived is given to others")
    return answer.record.time_received or "none given"


async def providers_of(attempt: Attempt, key: bytes) -> dict[bytes, list[bytes]]:
    """Who announced a key, as somebody else is told: a peer may leave out the asker."""
    session = await attempt.session(identity=attempt.fresh_identity())
    stream = await session.open(protocol_of(attempt))
    answer = await ask(stream, get_providers(key), "answer to GET_PROVIDERS")
    return {each.id: each.addrs for each in answer.provider_peers}


@SECTION.must(
    10,
    "ADD_PROVIDER for ourselves with address",
    "no answer, stream usable; then GET_PROVIDERS lists us",
    limit_s=5,
)
async def provide(attempt: Attempt) -> None:
    _, stream = await opened(attempt)
    key, us = multihash(attempt.rng.randbytes(16)), id_of(attempt.identity)
    stream.send(delimited.encode(add_provider(key, us, [our_address(attempt)]).encode()))
    await ask(stream, get_providers(key), "answer to GET_PROVIDERS on the same stream")
    if us not in await providers_of(attempt, key):
        raise Deviation("whoever announced itself is not among the providers")


@SECTION.must(11, "ADD_PROVIDER naming another peer", "not stored", limit_s=5)
async def provide_for_another(attempt: Attempt) -> str:
    session, stream = await opened(attempt)
    key, other = multihash(attempt.rng.randbytes(16)), id_of(attempt.fresh_identity())
    twin = await session.open(protocol_of(attempt))
    twin.send(delimited.encode(add_provider(key, id_of(attempt.identity), [our_address(attempt)]).encode()))
    await ask(twin, get_providers(key), "answer to GET_PROVIDERS")
    stream.send(delimited.encode(add_provider(key, other, [our_address(attempt)]).encode()))
    stream.finish()
    await stream.ended("end of the stream")
    if other in await providers_of(attempt, key):
        raise Deviation("a peer that never announced itself is among the providers")
    return stream.state


@SECTION.may(12, "ADD_PROVIDER without addresses", "stored or refused", limit_s=5)
async def provide_without_address(attempt: Attempt) -> str:
    _, stream = await opened(attempt)
    key, us = multihash(attempt.rng.randbytes(16)), id_of(attempt.identity)
    stream.send(delimited.encode(add_provider(key, us, []).encode()))
    stream.finish()
    await stream.ended("end of the stream")
    kept = us in await providers_of(attempt, key)
    return f"{'stored' if kept else 'refused'}; {stream.state}"


@SECTION.should(
    13,
    "ADD_PROVIDER with a broken multiaddr among good",
    "good ones kept",
    limit_s=5,
    source="robustness",
)
async def provide_broken_address(attempt: Attempt) -> None:
    _, stream = await opened(attempt)
    key, us = multihash(attempt.rng.randbytes(16)), id_of(attempt.identity)
    stream.send(delimited.encode(add_provider(key, us, [BROKEN_ADDRESS, our_address(attempt)]).encode()))
    stream.finish()
    await stream.ended("end of the stream")
    if us not in await providers_of(attempt, key):
        raise Deviation("one broken address spoiled the announcement")
