"""gossipsub/2: which messages are passed on. Every negative case begins with a message that is."""

from __future__ import annotations

import asyncio

from mesh.codecs.gossip import Message
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.circuits import id_of
from mesh.conformance.gossip_peer import (
    SETTLED_S,
    GossipPeer,
    contents,
    line,
    not_passed_on,
)
from mesh.conformance.verdict import Deviation
from mesh.identity.keys import KeyType, PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.gossip.signing import PREFIX, Policy, seal

SECTION = Section("gossipsub/2", "Messages", "pubsub: signing", lane="gossipsub", hurts=True)


def signed(message: Message, key: PrivateKey, attached: bytes | None = None) -> bytes:
    """The message with a signature by ``key`` over what it says, and a key field if wanted."""
    message.signature = key.sign(PREFIX + message.encode())
    message.key = attached
    return message.encode()


def unsigned(author: GossipPeer, topic: str, data: bytes) -> Message:
    return Message(author.id, data, author.seqno(), topic)


@SECTION.must(1, "Signed message", "witness gets it, bytes unchanged", limit_s=3, source="gossipsub")
async def good(attempt: Attempt) -> None:
    between = await line(attempt)
    wire = between.author.sealed(between.topic, attempt.rng.randbytes(32))
    between.author.publish(wire)
    await between.witness.message(wire)


@SECTION.must(2, "Same message again", "not forwarded twice", limit_s=3, source="gossipsub: seen cache")
async def again(attempt: Attempt) -> None:
    between = await line(attempt)
    wire = between.author.sealed(between.topic, attempt.rng.randbytes(32))
    for _ in range(3):
        between.author.publish(wire)
    await between.witness.message(wire)
    last = between.author.sealed(between.topic, attempt.rng.randbytes(32))
    between.author.publish(last)
    await between.witness.message(last)
    await asyncio.sleep(SETTLED_S)
    count = between.witness.messages().count(wire)
    if count != 1:
        raise Deviation(f"the message came {count} times")


@SECTION.must(3, "Signature altered", "not forwarded", limit_s=3)
async def altered(attempt: Attempt) -> None:
    between = await line(attempt)
    message = Message.decode(between.author.sealed(between.topic, attempt.rng.randbytes(32)))
    assert message.signature is not None
    message.signature = bytes((message.signature[0] ^ 1,)) + message.signature[1:]
    await not_passed_on(between, message.encode())


@SECTION.must(4, "No signature (StrictSign)", "not forwarded", limit_s=3, source="pubsub: StrictSign")
async def no_signature(attempt: Attempt) -> None:
    between = await line(attempt)
    await not_passed_on(between, unsigned(between.author, between.topic, attempt.rng.randbytes(32)).encode())


async def _forged(attempt: Attempt, sender: bytes) -> None:
    """A message of ours in another's name, who is not the witness: nobody is sent what it wrote itself."""
    between = await line(attempt)
    message = unsigned(between.author, between.topic, attempt.rng.randbytes(32))
    message.sender = sender
    await not_passed_on(between, signed(message, between.author.identity))


@SECTION.must(5, "From another peer, signed by us", "not forwarded", limit_s=3)
async def from_another(attempt: Attempt) -> None:
    await _forged(attempt, id_of(attempt.fresh_identity()))


@SECTION.should(6, "From the target itself", "not forwarded", limit_s=3, source="gossipsub: own messages")
async def from_the_target(attempt: Attempt) -> None:
    await _forged(attempt, attempt.target.peer.to_bytes())


@SECTION.must(7, "Key field not matching from", "not forwarded", limit_s=3, source="pubsub: key")
async def other_key(attempt: Attempt) -> None:
    between = await line(attempt)
    message = unsigned(between.author, between.topic, attempt.rng.randbytes(32))
    message.sender = id_of(attempt.fresh_identity())
    key = between.author.identity
    await not_passed_on(between, signed(message, key, key.public.to_protobuf()))


@SECTION.may(8, "Key field matching though inlinable", "forwarded or not", limit_s=3, source="pubsub: key")
async def needless_key(attempt: Attempt) -> str:
    between = await line(attempt)
    key = between.author.identity
    message = unsigned(between.author, between.topic, attempt.rng.randbytes(32))
    wire = signed(message, key, key.public.to_protobuf())
    between.author.publish(wire)
    try:
        await between.witness.message(wire, within_s=1)
    except Deviation:
        return "not forwarded"
    return "forwarded"


@SECTION.must(9, "Without seqno, signed", "rejected", limit_s=3, source="pubsub: StrictSign")
async def no_number(attempt: Attempt) -> None:
    between = await line(attempt)
    message = Message(between.author.id, attempt.rng.randbytes(32), None, between.topic)
    await not_passed_on(between, signed(message, between.author.identity))


@SECTION.should(10, "Topic nobody joined", "not forwarded", limit_s=3, source="gossipsub")
async def unjoined(attempt: Attempt) -> None:
    between = await line(attempt)
    topic = f"conform-{attempt.rng.getrandbits(64):016x}"
    between.witness.subscribe(topic)
    between.witness.graft(topic)
    await between.witness.listens(between.topic)
    await not_passed_on(between, between.author.sealed(topic, attempt.rng.randbytes(32)))


@SECTION.should(11, "Empty data", "forwarded", limit_s=3, source="pubsub")
async def empty(attempt: Attempt) -> None:
    between = await line(attempt)
    wire = between.author.sealed(between.topic, b"")
    between.author.publish(wire)
    wanted = contents(wire)[:2]
    await between.witness.find(
        lambda rpc: any(contents(each)[:2] == wanted for each in rpc.publish), "empty message"
    )


@SECTION.must(12, "Message comes back to us", "never", limit_s=3, source="gossipsub: not to source")
async def no_echo(attempt: Attempt) -> None:
    between = await line(attempt)
    wire = between.author.sealed(between.topic, attempt.rng.randbytes(32))
    between.author.publish(wire)
    await between.witness.message(wire)
    await asyncio.sleep(SETTLED_S)
    if wire in between.author.messages():
        raise Deviation("the message came back to its author")


@SECTION.should(13, "RSA author with key field", "forwarded", limit_s=3, source="pubsub: key")
async def rsa_author(attempt: Attempt) -> None:
    between = await line(attempt)
    key = PrivateKey.generate(KeyType.RSA)
    author = PeerId.from_public_key(key.public).to_bytes()
    data, number = attempt.rng.randbytes(32), between.author.seqno()
    wire = seal(between.topic, data, author, number, key, Policy.STRICT_SIGN)[1]
    between.author.publish(wire)
    await between.witness.message(wire)
