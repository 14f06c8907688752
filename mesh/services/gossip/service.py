"""`Pubsub`: what programs use as `node.pubsub`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from mesh.codecs.gossip import ExchangedPeer
from mesh.codecs.gossip import Message as WireMessage
from mesh.config.sections import GossipSection
from mesh.errors import UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.network.stream import Stream
from mesh.protocols.gossip import (
    PROTOCOLS,
    MessageIdFunction,
    PartSupport,
    PeerParts,
    Scores,
    ScoreSettings,
    Thresholds,
    TopicScoreSettings,
    Verdict,
)
from mesh.protocols.gossip.partial import Choose
from mesh.protocols.gossip.score_checks import check_thresholds
from mesh.protocols.gossip.send_queue import SendQueue
from mesh.services.gossip.host import Host
from mesh.services.gossip.link import Link
from mesh.services.gossip.options import (
    SCORE_THRESHOLDS,
    SCORES,
    TOPIC_SCORES,
    direct_peers,
    protocols_of,
    router_settings,
    standard_id,
)
from mesh.services.gossip.parts import Extending, PartialMessages
from mesh.services.gossip.running import Running
from mesh.services.gossip.subscription import Message
from mesh.services.gossip.topic import Topic
from mesh.services.gossip.validation import Validator, guarded
from mesh.services.registry import Registry
from mesh.telemetry.counters import Counters

_IDLE = "pubsub is not running"


class Pubsub:
    """A node's part in pubsub. `start` and `stop` belong to the node.

    ``async with node.pubsub.join("x") as topic:`` subscribes the node; `Topic.subscribe` gives what is read.
    """

    def __init__(
        self, host: Host, key: PrivateKey, settings: GossipSection, registry: Registry, counters: Counters
    ) -> None:
        """Raises `ConfigError` for settings that do not go together."""
        router_settings(settings, Thresholds())
        self.counters = counters
        self._host = host
        self._key = key
        self._settings = settings
        self._registry = registry
        self._protocols = protocols_of(settings)
        self._direct = direct_peers(settings)
        self._score_settings: ScoreSettings | None = None
        self._thresholds = Thresholds()
        self._extending = Extending()
        self._blacklist: dict[bytes, None] = {}
        self._topics: dict[str, Topic] = {}
        self._id_functions: dict[str, MessageIdFunction] = {}
        self._links: dict[PeerId, Link] = {}
        self._authors: dict[bytes, PeerId] = {}
        self._scope: Scope | None = None
        self._parts: Running | None = None
        self._topic_scores: TopicScoreSettings | None = None
        if settings.scores:
            self.set_scores(SCORES, SCORE_THRESHOLDS)
            self._topic_scores = TOPIC_SCORES

    def set_scores(self, settings: ScoreSettings, thresholds: Thresholds) -> None:
        """Keep scores of peers by these numbers, in place of those of `gossip.scores`, from the next start on. Raises
        `UsageError` while pubsub runs, and for values that do not go together."""
        if self._parts is not None:
            raise UsageError("scores are set before pubsub starts")
        Scores[PeerId](settings, 0.0)
        check_thresholds(thresholds)
        self._score_settings, self._thresholds = settings, thresholds
        self._topic_scores = None

    def set_extensions(
        self, parts: PartialMessages | None = None, tested: Callable[[PeerId], None] | None = None
    ) -> None:
        """Have these extensions of GossipSub 1.3, from the next start on: partial messages, which topics are then joined
        for, and the test extension, whose RPCs ``tested`` is told of. Raises `UsageError` while pubsub runs."""
        if self._parts is not None:
            raise UsageError("extensions are set before pubsub starts: peers are told of them once, at first")
        self._extending = Extending(parts, tested)

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self, scope: Scope) -> None:
        """Serve the protocols. Raises `StorageError` when the trace cannot be written."""
        self._scope = Scope("pubsub", scope)
        self._authors = {self._host.peer_id.to_bytes(): self._host.peer_id}
        parts = Running(self, self._scope)
        if parts.tracer is not None:
            parts.tracer.start()
        self._parts = parts
        for protocol in self._protocols:
            self._registry.add(protocol, self._serve)
        parts.arm()

    async def stop(self) -> None:
        """End streams, topics and tasks."""
        parts, scope = self._parts, self._scope
        if parts is None or scope is None:
            return
        for protocol in self._protocols:
            self._registry.remove(protocol)
        for peer in list(self._links):
            self._forget(peer)
        for topic in list(self._topics.values()):
            topic.end()
        self._topics.clear()
        parts.stop()
        await scope.close()
        self._parts = self._scope = None
        parts.verifier.stop()
        if parts.tracer is not None:
            await asyncio.wrap_future(parts.tracer.stop())

    # -- topics ------------------------------------------------------------------------------------------------------

    def join(
        self,
        topic: str,
        validator: Validator | None = None,
        message_id: MessageIdFunction | None = None,
        parts: PartSupport = PartSupport.NONE,
    ) -> Topic:
        """Be in a topic: its messages are read, checked and passed on.

        ``validator`` judges each message, own ones too; without one all with a good signature are accepted.
        ``message_id`` must be the same at all peers of the topic; the default is author and sequence number. ``parts``:
        whether messages in parts are wanted or sent. Raises `UsageError` for a topic that is joined already, a name over
        4096 bytes, one `gossip.topics` does not admit, or parts without the extension.
        """
        running = self._running()
        if topic in self._topics:
            raise UsageError(f"the topic {topic!r} is joined already: share what the first `join` gave")
        function = standard_id if message_id is None else guarded(message_id, self.counters)
        running.router.join(topic, time.monotonic(), parts)
        self._id_functions[topic] = function
        if self._topic_scores is not None and running.scores is not None:
            running.scores.set_topic(topic, self._topic_scores, time.monotonic())
        running.router.set_message_id(topic, function)
        joined = self._topics[topic] = Topic(self, topic, validator)
        if running.tracer is not None:
            running.tracer.join(topic)
        if running.discovery is not None:
            running.discovery.join(topic)
        running.after()
        return joined

    async def leave(self, topic: str) -> None:
        """Be in a topic no more. Nothing happens when it is not joined."""
        parts, joined = self._parts, self._topics.pop(topic, None)
        if joined is None or parts is None:
            return
        joined.end()
        self._id_functions.pop(topic, None)
        parts.router.leave(topic, time.monotonic())
        parts.router.set_message_id(topic, standard_id)
        if parts.tracer is not None:
            parts.tracer.leave(topic)
        parts.after()
        if parts.discovery is not None:
            await parts.discovery.leave(topic)

    async def publish(self, topic: str, data: bytes) -> int:
        """Send a message in a topic, joined or not; returns how many peers it was sent to.

        Waits while a peer that it would go to has too much waiting already, but for one that does not read at all only
        for a while (`gossip.publish_patience_s`). Raises `LimitError` for a message that is too long, `UsageError` for
        one that the topic's own validator does not accept, `Closed` when pubsub is stopped meanwhile.
        """
        parts = self._running()
        sealed, wire = parts.publishing.seal(topic, data)
        id = self._id_of(sealed)
        joined = self._topics.get(topic)
        message = None
        if joined is not None and (joined.heard or joined.validator is not None):
            own_id = self._host.peer_id
            message = Message(topic, data, sealed.sender, sealed.seqno, id, own_id)
            if joined.validator is not None:
                verdict = await parts.validation.ask_now(joined.validator, message)
                if verdict is not Verdict.ACCEPT:
                    raise UsageError(f"the validator of {topic!r} says {verdict.value} to this own message")
        count = parts.publishing.send(topic, id, wire)
        if count is None:
            await parts.publishing.room(topic)
            count = parts.router.publish(topic, id, wire, time.monotonic())
        if parts.tracer is not None:
            parts.tracer.publish(id, topic)
        if joined is not None and message is not None:
            joined.deliver((message,), own=True)
        if parts.publishing.queued(len(wire)):
            await asyncio.sleep(0)
        return count

    def publish_parts(self, topic: str, group: bytes, choose: Choose[PeerId]) -> int:
        """Send parts and metadata of a message, the ``group``, to the peers that ``choose`` names; returns how many took
        it. See `mesh.protocols.gossip.partial`. Raises `UsageError` for a topic that was not joined for parts."""
        running = self._running()
        count = running.router.partials.publish(topic, group, choose)
        running.after()
        return count

    # -- views -------------------------------------------------------------------------------------------------------

    def topics(self) -> list[str]:
        """Topics this node is in."""
        return list(self._topics)

    def peers(self, topic: str | None = None) -> list[PeerId]:
        """Connected peers in a topic, or all that speak pubsub."""
        router = self._running().router
        return list(router.queues) if topic is None else router.peers(topic)

    def mesh(self, topic: str) -> list[PeerId]:
        """The peers with which this node exchanges the messages of a topic."""
        return self._running().router.mesh(topic)

    @property
    def scored(self) -> bool:
        """Whether scores of peers are kept."""
        return self._running().scores is not None

    def scores(self) -> dict[PeerId, PeerParts]:
        """What each peer's score is made of; empty unless scores are kept."""
        parts, now = self._running(), time.monotonic()
        if parts.scores is None:
            return {}
        found = {peer: parts.scores.parts(peer, now) for peer in parts.router.queues}
        return {peer: each for peer, each in found.items() if each is not None}

    def counts(self) -> dict[str, int]:
        """How often what happened since the start; `mesh.protocols.gossip.topics.COUNTS` says what each name means."""
        return dict(self._running().router.counts)

    def blacklist(self, peer: PeerId) -> None:
        """Have no more to do with a peer: its streams end, and what it wrote is dropped, whoever passes it on. The
        connection stays."""
        self._blacklist[peer.to_bytes()] = None
        self._forget(peer)

    # -- what happens to the node's peers ----------------------------------------------------------------------------

    def identified(self, connection: Connection) -> None:
        """A peer said what it serves."""
        peer = connection.peer
        announced = connection.remote_protocols or frozenset()
        common = tuple(each for each in self._protocols if each in announced)
        if self._parts is None or peer.to_bytes() in self._blacklist:
            return
        if common or peer in self._links:
            self._link(peer).identified(common)

    def disconnected(self, peer: PeerId) -> None:
        """The last connection to a peer is gone."""
        self._forget(peer)

    # -- the links' side (see `link.Owner`) --------------------------------------------------------------------------

    def opened(self, link: Link, connection: Connection, protocol: str) -> SendQueue:
        parts, peer, remote = self._running(), link.peer, connection.remote
        address = remote.value("ip4") or remote.value("ip6")
        self._authors[peer.to_bytes()] = peer
        parts.router.connect(
            peer,
            PROTOCOLS[protocol],
            not connection.inbound,
            time.monotonic(),
            () if address is None else (address,),
        )
        if parts.tracer is not None:
            parts.tracer.opened(peer, protocol)
        link.drops = 0
        return parts.router.queues[peer]

    def lost(self, link: Link) -> None:
        parts = self._parts
        self._authors.pop(link.peer.to_bytes(), None)
        if parts is None:
            return
        parts.router.disconnect(link.peer, time.monotonic())
        if parts.tracer is not None:
            parts.tracer.lost(link.peer)
        parts.publishing.drained()
        parts.after()

    def received(self, link: Link) -> None:
        if self._parts is not None:
            self._parts.reception.add(link)

    def sent(self, link: Link, framed: bytes) -> None:
        if self._parts is not None and self._parts.tracer is not None:
            self._parts.tracer.sent_rpc(link.peer, framed)

    def drained(self) -> None:
        if self._parts is not None:
            self._parts.publishing.drained()

    @property
    def traced(self) -> bool:
        return self._parts is not None and self._parts.tracer is not None

    # -- within ------------------------------------------------------------------------------------------------------

    def _running(self) -> Running:
        if self._parts is None:
            raise UsageError(_IDLE)
        return self._parts

    def _spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[None]:
        if self._scope is None:
            work.close()
            raise UsageError(_IDLE)
        return self._scope.spawn(work, name)

    async def _serve(self, stream: Stream) -> None:
        """Read what a peer sends over the stream that it opened."""
        peer = stream.connection.peer
        if self._parts is None or peer.to_bytes() in self._blacklist:
            stream.reset()
            return
        await self._link(peer).read(stream)

    def _link(self, peer: PeerId) -> Link:
        link = self._links.get(peer)
        if link is None:
            link = self._links[peer] = Link(
                peer, self._host, self, self._spawn, self.counters, self._settings.max_rpc_bytes
            )
        return link

    def _forget(self, peer: PeerId) -> None:
        link = self._links.pop(peer, None)
        if link is not None:
            stood = link.stream is not None
            link.close()
            if stood:
                self.lost(link)

    def _id_of(self, message: WireMessage) -> bytes:
        return self._id_functions.get(message.topic, standard_id)(message)

    def _record_of(self, peer: PeerId) -> ExchangedPeer:
        return ExchangedPeer(peer.to_bytes(), self._host.record_of(peer) or b"")
