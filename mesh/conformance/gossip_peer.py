"""A peer of pubsub that sends any RPC and keeps all that come; and pairs of them with the target between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mesh.codecs.gossip import MAX_RPC_BYTES, Control, Graft, IHave, IWant, Prune, Rpc, Subscription
from mesh.codecs.gossip import Message as GossipMessage
from mesh.conformance.attempt import Attempt
from mesh.conformance.verdict import Deviation, Skipped, Unprepared
from mesh.conformance.waiting import Awaited
from mesh.conformance.yamux_session import Session, Stream
from mesh.errors import DecodeError
from mesh.framing import delimited
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.gossip.signing import Policy, seal

VERSIONS = ("/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0")
NEWEST = "/meshsub/1.3.0"
PROBE_S = 0.1
PROBES = 100
SETTLED_S = 0.4
"""How much longer than a later message an earlier one may take inside the target."""
LIFE_S = 600.0
MAX_RPCS = 10_000


class GossipPeer(Awaited):
    """One identity on one session. ``stream`` is ours to the target, ``incoming`` the target's to us."""

    def __init__(self, attempt: Attempt, identity: PrivateKey) -> None:
        super().__init__("pubsub", attempt.log, attempt.limit_s)
        self.identity = identity
        self.id = PeerId.from_public_key(identity.public).to_bytes()
        self.rpcs: list[Rpc] = []
        self.incoming: Stream | None = None
        self.session: Session
        self.stream: Stream
        self._seqno = attempt.rng.getrandbits(62)

    # -- in ----------------------------------------------------------------------------------------------------------

    async def serve(self, stream: Stream) -> None:
        """Keep the RPCs of a stream that the target opened."""
        self.incoming = stream
        self.changed()
        while len(self.rpcs) < MAX_RPCS:
            received = await stream.message(MAX_RPC_BYTES, "RPC", within_s=LIFE_S)
            try:
                self.rpcs.append(Rpc.decode(received))
            except DecodeError as error:
                self.ending = f"an RPC that cannot be read: {error}"
            self.changed()

    async def find(
        self, wanted: Callable[[Rpc], bool], what: str, within_s: float | None = None, after: int = 0
    ) -> Rpc:
        """The first RPC from place ``after`` on for which ``wanted`` holds. Raises `Deviation`."""
        return await self.until(
            lambda: next((each for each in self.rpcs[after:] if wanted(each)), None), what, within_s=within_s
        )

    def messages(self) -> list[bytes]:
        """All messages that came, as they were encoded."""
        return [each for rpc in self.rpcs for each in rpc.publish]

    def controls(self) -> list[Control]:
        return [each.control for each in self.rpcs if each.control is not None]

    def subscriptions(self) -> list[str]:
        """Topics that the target said it is in."""
        said = [each for rpc in self.rpcs for each in rpc.subscriptions]
        left = {each.topic for each in said if not each.subscribe}
        return [each.topic for each in said if each.topic not in left]

    async def message(self, wire: bytes, what: str = "message", within_s: float | None = None) -> None:
        """Wait for a message, its bytes unchanged. Raises `Deviation`."""
        await self.find(lambda rpc: wire in rpc.publish, what, within_s)

    # -- out ---------------------------------------------------------------------------------------------------------

    def send(self, rpc: Rpc | bytes) -> None:
        self.stream.send(delimited.encode(rpc if isinstance(rpc, bytes) else rpc.encode()))

    def publish(self, *wires: bytes) -> None:
        self.send(Rpc(publish=list(wires)))

    def seqno(self) -> bytes:
        self._seqno += 1
        return self._seqno.to_bytes(8, "big")

    def sealed(self, topic: str, data: bytes) -> bytes:
        """A good message of ours."""
        return seal(topic, data, self.id, self.seqno(), self.identity, Policy.STRICT_SIGN)[1]

    def subscribe(self, *topics: str) -> None:
        self.send(Rpc(subscriptions=[Subscription(True, each) for each in topics]))

    def graft(self, topic: str) -> None:
        self.send(Rpc(control=Control(graft=[Graft(topic)])))

    def prune(self, topic: str, backoff_s: int | None) -> None:
        self.send(Rpc(control=Control(prune=[Prune(topic, backoff=backoff_s)])))

    def have(self, topic: str, ids: Sequence[bytes]) -> None:
        self.send(Rpc(control=Control(ihave=[IHave(topic, list(ids))])))

    def want(self, *ids: bytes) -> None:
        self.send(Rpc(control=Control(iwant=[IWant(list(ids))])))

    async def listens(self, topic: str) -> None:
        """The target reads what we send: it asks for an id that we offer. Raises `Deviation`."""
        unknown = self.id + self.seqno()
        self.have(topic, [unknown])
        await self.find(lambda rpc: unknown in wanted_ids(rpc), "IWANT for an id that was offered")


def wanted_ids(rpc: Rpc) -> list[bytes]:
    """The ids that an RPC asks for."""
    control = rpc.control
    return [each for want in control.iwant for each in want.message_ids] if control is not None else []


def pruned(rpc: Rpc, topic: str) -> Prune | None:
    """The PRUNE of a topic in an RPC."""
    prunes = rpc.control.prune if rpc.control is not None else []
    return next((each for each in prunes if each.topic == topic), None)


def grafted(rpc: Rpc, topic: str) -> bool:
    return rpc.control is not None and any(each.topic == topic for each in rpc.control.graft)


async def joined(
    attempt: Attempt, *, identity: PrivateKey | None = None, versions: Sequence[str] = VERSIONS
) -> GossipPeer:
    """A peer on a fresh session, its stream open and the target's stream to it awaited."""
    offered = [each for each in versions if attempt.target.serves(each)]
    if not offered:
        raise Skipped(f"the target offers none of {', '.join(versions)}")
    peer = GossipPeer(attempt, identity or attempt.fresh_identity())
    for each in versions:
        attempt.serves[each] = peer.serve
    peer.session = await attempt.session(identity=peer.identity)
    try:
        peer.stream = await peer.session.open(offered[0])
        await peer.until(lambda: peer.incoming, "stream of the target's")
    except Deviation as deviation:
        raise Unprepared(f"no pubsub: {deviation.actual}") from None
    return peer


async def topic_of(attempt: Attempt, peer: GossipPeer) -> str:
    """A topic that the target is in: the one given, or the first it tells of."""
    if attempt.options.topic:
        return attempt.options.topic
    try:
        await peer.find(lambda rpc: bool(rpc.subscriptions), "subscriptions")
    except Deviation:
        raise Skipped("the target is in no topic that it told of; --topic names one") from None
    return peer.subscriptions()[0]


@dataclass(frozen=True, slots=True)
class Line:
    """Two peers in a topic, both in the target's mesh: what ``author`` sends reaches ``witness``."""

    topic: str
    author: GossipPeer
    witness: GossipPeer


async def line(attempt: Attempt) -> Line:
    """Join two peers, and wait until a message of one reaches the other."""
    author = await joined(attempt)
    topic = await topic_of(attempt, author)
    witness = await joined(attempt)
    made = Line(topic, author, witness)
    for each in (author, witness):
        each.subscribe(topic)
        each.graft(topic)
    await flows(attempt, made)
    return made


async def flows(attempt: Attempt, between: Line) -> None:
    """The positive twin of every case about what is not passed on. Raises `Unprepared`."""
    for _ in range(PROBES):
        probe = between.author.sealed(between.topic, attempt.rng.randbytes(16))
        between.author.publish(probe)
        try:
            await between.witness.message(probe, within_s=PROBE_S)
        except Deviation:
            if between.witness.ending or between.author.stream.ending or between.witness.stream.ending:
                break
        else:
            return
    raise Unprepared("no message came through the target")


async def not_passed_on(between: Line, bad: bytes) -> None:
    """``bad`` does not reach the witness; a good message sent behind it shows how long that would take. Raises
    `Deviation`."""
    good = between.author.sealed(between.topic, b"behind " + bad[:16])
    between.author.publish(bad)
    between.author.publish(good)
    try:
        await between.witness.message(good)
    except Deviation:
        if between.author.stream.ending is None and between.author.session.ending is None:
            raise
    await asyncio.sleep(SETTLED_S)
    if contents(bad) in [contents(each) for each in between.witness.messages()]:
        raise Deviation("the message was passed on")


def contents(wire: bytes) -> tuple[bytes | None, bytes | None, bytes | None]:
    """What makes a message the same: author, number and data."""
    message = GossipMessage.decode(wire)
    return message.sender, message.seqno, message.data
