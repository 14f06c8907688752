"""What is said to everybody: by the fanout engine over `/beam/gossip/1.0.0`, and in pubsub topics where pubsub is on.

Both carry the same signed messages. One that comes by either way is judged, told to the observers once, and passed on by
the engine.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mesh.apps.beam.neighbours import Neighbours
from mesh.codecs.beam import MAX_FRAME_BYTES, MAX_RUMOURS, GossipFrame, Ids
from mesh.codecs.beam import Rumour as WireRumour
from mesh.errors import DecodeError, EndOfStream, MeshError
from mesh.identity.peer_id import PeerId
from mesh.network.scope import Scope, supervised
from mesh.network.stream import Stream
from mesh.protocols.beam.abuse import AbuseWatch
from mesh.protocols.beam.gossip_message import (
    HEALTH,
    HEALTH_TOPIC,
    KINDS,
    NAMES_TOPIC,
    PROTOCOL_ID,
    QUERIES_TOPIC,
    SEEN_S,
    SERVICES_TOPIC,
    TRUST_TOPIC,
    GossipMessage,
    digest_of,
    sign_message,
)
from mesh.protocols.beam.hearing import Hearing, Judgement, Pace
from mesh.protocols.gossip import Verdict
from mesh.protocols.gossip.rumours import Kind, Rumour
from mesh.protocols.gossip.spread import Spread, SpreadSettings
from mesh.services.gossip.subscription import Message
from mesh.services.gossip.topic import Topic

if TYPE_CHECKING:
    from mesh.node import Node

log = logging.getLogger(__name__)

REPAIR_S: Final = 3.0
MAX_STREAMS_OF_PEER: Final = 4
_SENT_BYTES: Final = 128 * 1024
_VERDICTS: Final = {Judgement.REPEATED: Verdict.ACCEPT, Judgement.FORGED: Verdict.REJECT}
_KINDS: Final = {each: Kind.__members__.get(each, Kind.ANNOUNCE) for each in KINDS} | {HEALTH: Kind.HEARTBEAT}
"""How far each goes: health is told to three, for five hops, as heartbeats are."""

Observer = Callable[[GossipMessage], None]


class Gossip:
    """``observers`` are called with each new message of others, verified and fresh."""

    def __init__(self, node: Node, abuse: AbuseWatch) -> None:
        self._node = node
        self._abuse = abuse
        self._counters = node.counters
        self._hearing = Hearing(node.peer_id, abuse)
        self._pace = Pace()
        self._scope = Scope("beam gossip")
        self._streams: dict[PeerId, int] = {}
        self._topics: dict[str, Topic] = {}
        self.observers: list[Observer] = []
        self.spread: Spread[PeerId] = Spread(
            SpreadSettings(seen_ttl_s=SEEN_S), random.SystemRandom(), time.monotonic()
        )
        self.neighbours = Neighbours(node.swarm, self._scope, self._admits, node.counters)

    def start(self) -> None:
        """Serve the protocol, and join the topics if pubsub is on. Raises `UsageError`."""
        self._node.handle(PROTOCOL_ID, self._serve)
        if self._node.config.gossip.enabled:
            for name in (SERVICES_TOPIC, NAMES_TOPIC, QUERIES_TOPIC, TRUST_TOPIC, HEALTH_TOPIC):
                self._topics[name] = self._node.pubsub.join(name, validator=self._judge)
        self._scope.spawn(self._repair(), "beam gossip repair")

    async def stop(self) -> None:
        """Say no more; safe to call twice."""
        if PROTOCOL_ID in self._node.protocols:
            self._node.unhandle(PROTOCOL_ID)
        for topic in self._topics.values():
            await topic.leave()
        self._topics.clear()
        await self._scope.close()

    async def publish(self, kind: str, body: Mapping[str, Any]) -> GossipMessage:
        """Say something. Raises `UsageError` for what others would refuse."""
        message = sign_message(self._node.key, kind, str(uuid.uuid4()), time.time_ns() // 1_000_000, body)
        rumour = Rumour(message.digest, self._node.peer_id, _KINDS[kind], message.envelope)
        now = time.monotonic()
        self._send(message.digest, self.spread.start(rumour, self.neighbours.peers(), now))
        topic = self._topics.get(message.topic)
        if topic is not None:
            try:
                await topic.publish(message.envelope)
            except MeshError as error:
                log.debug("not published in %s: %s", topic.name, error)
        return message

    # -- what comes in -----------------------------------------------------------------------------------------------

    async def _serve(self, stream: Stream) -> None:
        peer = stream.connection.peer
        held = self._streams.get(peer, 0)
        if held >= MAX_STREAMS_OF_PEER or not self._admits(peer):
            self._counters.count("beam.gossip:refused")
            stream.reset()
            return
        self._streams[peer] = held + 1
        try:
            while True:
                frame = GossipFrame.decode(await stream.read_message(MAX_FRAME_BYTES))
                if not self._take_frame(peer, frame):
                    stream.reset()
                    return
        except EndOfStream:
            return
        except DecodeError:
            self._abuse.bad_record(peer, time.monotonic())
            raise
        finally:
            self._streams[peer] -= 1
            if not self._streams[peer]:
                del self._streams[peer]

    def _take_frame(self, peer: PeerId, frame: GossipFrame) -> bool:
        """Whether the peer is still listened to."""
        now = time.monotonic()
        for each in frame.rumours:
            if not self._hearing.room(peer, len(each.message), now):
                self._counters.count("beam.gossip:flooded")
                if not self._admits(peer):
                    return False
                continue
            self._take(peer, each.message, each.hops)
        if frame.digest is not None and self._hearing.room(peer, 0, now):
            spread = self.spread
            ids = frame.digest.ids
            missing, offered = spread.missing(ids), spread.unmentioned(ids, now)
            if missing or offered:
                self._send_frame(peer, GossipFrame(wanted=Ids(ids=missing), offered=Ids(ids=offered)))
        if frame.offered is not None and (missing := self.spread.missing(frame.offered.ids)):
            self._send_frame(peer, GossipFrame(wanted=Ids(ids=missing)))
        if frame.wanted is not None and self._hearing.room(peer, 0, now):
            self._give(peer, self.spread.held(frame.wanted.ids))
        return True

    def _take(self, peer: PeerId, envelope: bytes, hops: int) -> Verdict:
        """One message, by whichever way."""
        now = time.monotonic()
        heard = self._hearing.judge(peer, envelope, digest_of(envelope) in self.spread, now, time.time())
        message = heard.message
        if message is None:
            self._counters.count(f"beam.gossip:{heard.judgement.value}")
            if heard.cause:
                log.debug("gossip of %s was refused: %s", peer, heard.cause)
            return _VERDICTS.get(heard.judgement, Verdict.IGNORE)
        rumour = Rumour(message.digest, message.origin, _KINDS[message.kind], envelope, max(hops, 1))
        targets = self.spread.receive(peer, rumour, self.neighbours.peers(), now)
        if targets is None:
            return Verdict.ACCEPT
        self._counters.count(f"beam.gossip:{message.kind.lower()}")
        self._send(message.digest, targets)
        for observe in self.observers:
            supervised(observe, message, "beam gossip observer")
        return Verdict.ACCEPT

    # -- pubsub ------------------------------------------------------------------------------------------------------

    def _judge(self, message: Message) -> Verdict:
        if message.author == self._node.peer_id:
            return Verdict.ACCEPT
        if not self._hearing.room(message.received_from, len(message.data), time.monotonic()):
            return Verdict.IGNORE
        return self._take(message.received_from, message.data, 1)

    # -- what goes out -----------------------------------------------------------------------------------------------

    def _send(self, digest: bytes, peers: Iterable[PeerId]) -> None:
        rumour = self.spread.rumour(digest)
        if rumour is None:
            return
        frame = GossipFrame(rumours=[_wire(rumour)])
        for peer in peers:
            self._send_frame(peer, frame)

    def _give(self, peer: PeerId, rumours: Sequence[Rumour[PeerId]]) -> None:
        batch: list[WireRumour] = []
        size = 0
        for each in rumours[: self._pace.room(peer, time.monotonic())]:
            if batch and (size + len(each.body) > _SENT_BYTES or len(batch) == MAX_RUMOURS):
                self._send_frame(peer, GossipFrame(rumours=batch))
                batch, size = [], 0
            batch.append(_wire(each))
            size += len(each.body)
        if batch:
            self._send_frame(peer, GossipFrame(rumours=batch))

    def _send_frame(self, peer: PeerId, frame: GossipFrame) -> None:
        """Send a frame, unless the peer would take it for a flood: what is left out is asked for again."""
        if self._pace.take(peer, max(len(frame.rumours), 1), time.monotonic()):
            self.neighbours.send(peer, frame.encode())
        else:
            self._counters.count("beam.gossip:paced")

    async def _repair(self) -> None:
        """Tell somebody what was heard lately, every few seconds, for ever."""
        while True:
            await asyncio.sleep(REPAIR_S * random.uniform(0.75, 1.25))
            for peer in self.spread.repair_partners(self.neighbours.peers()):
                self._send_frame(peer, GossipFrame(digest=Ids(ids=self.spread.digest(time.monotonic()))))

    def _admits(self, peer: PeerId) -> bool:
        return self._hearing.admits(peer, time.monotonic())


def _wire(rumour: Rumour[PeerId]) -> WireRumour:
    return WireRumour(hops=rumour.ttl, message=rumour.body)
