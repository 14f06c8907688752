"""kad/1: questions to a node of the DHT."""

from __future__ import annotations

import hashlib
from statistics import fmean

from mesh.codecs.kademlia import Message, MessageType
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.kademlia_client import (
    answered,
    ask,
    find_node,
    get_providers,
    get_value,
    id_of,
    opened,
    peer_ids,
    refused,
)
from mesh.conformance.verdict import Deviation, Skipped
from mesh.framing import delimited
from mesh.identity.peer_id import PeerId

SECTION = Section("kad/1", "Queries", "kad-dht")
K = 20
SAMPLE_KEYS = 8


def multihash(data: bytes) -> bytes:
    """SHA-256 of something, as keys of providers are."""
    return b"\x12\x20" + hashlib.sha256(data).digest()


@SECTION.must(
    1,
    "FIND_NODE for the target's id",
    "closerPeers, ids decode, at most 20 (+1 for the target itself)",
    limit_s=10,
    source="kad-dht: FIND_NODE",
)
async def own_id(attempt: Attempt) -> str:
    _, stream = await opened(attempt)
    answer = await ask(stream, find_node(attempt.target.peer.to_bytes()))
    found = peer_ids(answer.closer_peers, "closerPeers")
    if len(set(found)) != len(found):
        raise Deviation("closerPeers holds a peer twice")
    if len(set(found) - {attempt.target.peer}) > K:
        raise Deviation(f"closerPeers holds {len(found)} peers")
    return f"{len(found)} peers"


@SECTION.should(2, "FIND_NODE for a random id", "up to 20, none is the asker", limit_s=10)
async def random_id(attempt: Attempt) -> str:
    _, stream = await opened(attempt)
    answer = await ask(stream, find_node(id_of(attempt.fresh_identity())))
    found = peer_ids(answer.closer_peers, "closerPeers")
    if len(found) > K:
        raise Deviation(f"closerPeers holds {len(found)} peers")
    if PeerId(id_of(attempt.identity)) in found:
        raise Deviation("closerPeers holds the asker")
    return f"{len(found)} peers"


@SECTION.may(3, "FIND_NODE, key not an id", "answer or reset", limit_s=5)
async def not_an_id(attempt: Attempt) -> str:
    session, stream = await opened(attempt)
    stream.send(delimited.encode(find_node(b"not an id").encode()))
    try:
        await answered(stream)
    except Deviation:
        await session.alive()
        return stream.state
    return "answered"


@SECTION.should(4, "FIND_NODE, empty key", "reset", limit_s=5)
async def no_id(attempt: Attempt) -> str:
    return await refused(*await opened(attempt), delimited.encode(find_node(b"").encode()))


@SECTION.must(5, "GET_VALUE unknown key", "no record, closerPeers", limit_s=5, source="kad-dht: GET_VALUE")
async def unknown_value(attempt: Attempt) -> None:
    _, stream = await opened(attempt)
    answer = await ask(stream, get_value(b"/pk/" + id_of(attempt.fresh_identity())))
    if answer.record is not None:
        raise Deviation("a record came for a key that was never put")
    peer_ids(answer.closer_peers, "closerPeers")


@SECTION.should(6, "GET_VALUE empty key", "reset", limit_s=5)
async def no_value_key(attempt: Attempt) -> str:
    return await refused(*await opened(attempt), delimited.encode(get_value(b"").encode()))


@SECTION.must(7, "GET_PROVIDERS of a multihash", "providerPeers and closerPeers", limit_s=5)
async def providers(attempt: Attempt) -> str:
    _, stream = await opened(attempt)
    answer = await ask(stream, get_providers(multihash(attempt.rng.randbytes(16))))
    if peer_ids(answer.provider_peers, "providerPeers"):
        raise Deviation("providers came for a key that nobody announced")
    return f"{len(peer_ids(answer.closer_peers, 'closerPeers'))} closer peers"


@SECTION.may(8, "GET_PROVIDERS key of 81 bytes", "reset or empty answer", limit_s=5, source="implementation")
async def long_key(attempt: Attempt) -> str:
    session, stream = await opened(attempt)
    stream.send(delimited.encode(get_providers(attempt.rng.randbytes(81)).encode()))
    try:
        answer = await answered(stream)
    except Deviation:
        await session.alive()
        return stream.state
    return f"{len(answer.provider_peers)} providers"


@SECTION.should(9, "GET_PROVIDERS empty key", "reset", limit_s=5)
async def no_provider_key(attempt: Attempt) -> str:
    return await refused(*await opened(attempt), delimited.encode(get_providers(b"").encode()))


@SECTION.may(10, "PING", "echo, or reset", limit_s=5, source="kad-dht: deprecated")
async def ping(attempt: Attempt) -> str:
    session, stream = await opened(attempt)
    stream.send(delimited.encode(Message(MessageType.PING).encode()))
    try:
        return f"answer of type {(await answered(stream)).type.name}"
    except Deviation:
        await session.alive()
        return stream.state


@SECTION.must(
    11,
    "Two requests on one stream, then close",
    "two answers in order, then end",
    limit_s=5,
    source="kad-dht: streams",
)
async def two_requests(attempt: Attempt) -> None:
    _, stream = await opened(attempt)
    requests = (find_node(attempt.target.peer.to_bytes()), get_providers(multihash(b"two")))
    stream.send(b"".join(delimited.encode(each.encode()) for each in requests))
    stream.finish()
    for number, request in enumerate(requests, 1):
        answer = await answered(stream, f"answer {number}")
        if answer.type is not request.type:
            raise Deviation(f"answer {number} is of type {answer.type.name}")
    await stream.ended_silently("end of the stream")


@SECTION.should(
    12,
    "FIND_NODE on a full table, several random keys",
    "returned ids lie nearer to the key than the table's average",
    limit_s=10,
    source="kad-dht: distance",
)
async def nearest(attempt: Attempt) -> str:
    _, stream = await opened(attempt)
    answers: list[tuple[bytes, list[PeerId]]] = []
    for _ in range(SAMPLE_KEYS):
        key = id_of(attempt.fresh_identity())
        answer = await ask(stream, find_node(key))
        answers.append((key, peer_ids(answer.closer_peers, "closerPeers")))
    table = {each for _, found in answers for each in found}
    if len(table) < 2 * K:
        raise Skipped(f"the target's table is not full: {len(table)} peers came in {SAMPLE_KEYS} answers")
    for key, found in answers:
        if fmean(distance(key, each) for each in found) >= fmean(distance(key, each) for each in table):
            raise Deviation("the peers of an answer are no nearer to its key than those of the others")
    return f"{len(table)} peers in {SAMPLE_KEYS} answers"


def distance(key: bytes, peer: PeerId) -> int:
    """The exclusive or of the hashes, as a number."""
    ours, theirs = (hashlib.sha256(each).digest() for each in (key, peer.to_bytes()))
    return int.from_bytes(ours, "big") ^ int.from_bytes(theirs, "big")
