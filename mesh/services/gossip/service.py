"""`Pubsub`: what programs use as `node.pubsub`."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Coroutine
from typing import Any

from mesh.codecs.gossip import ExchangedPeer
from mesh.codecs.gossip import Message as WireMessage
from mesh.config.sections import GossipSection
from mesh.errors import DecodeError, UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.identity.peer_record import open_peer_record
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.network.stream import Stream
from mesh.protocols.gossip import (
    PROTOCOLS,
    DirectMissing,
    Grafted,
    MessageIdFunction,
    PeerParts,
    PeersOffered,
    Pruned,
    Router,
    Scores,
    ScoreSettings,
    Thresholds,
    TopicJoined,
    TopicScoreSettings,
    Verdict,
)
from mesh.protocols.gossip.score_checks import check_thresholds
from mesh.protocols.gossip.send_queue import SendQueue
from mesh.protocols.gossip.signing import Policy
from mesh.protocols.gossip.topic_filter import topic_filter
from mesh.services.gossip.discovery import Dials, Discovery
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
from mesh.services.gossip.publishing import Publishing
from mesh.services.gossip.reception import Reception
from mesh.services.gossip.subscription import Message
from mesh.services.gossip.topic import Topic
from mesh.services.gossip.tracer import Tracer
from mesh.services.gossip.validation import Validation, Validator, guarded
from mesh.services.gossip.verification import Verifier
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
        self._blacklist: dict[bytes, None] = {}
        self._topics: dict[str, Topic] = {}
        self._id_functions: dict[str, MessageIdFunction] = {}
        self._links: dict[PeerId, Link] = {}
        self._authors: dict[bytes, PeerId] = {}
        self._scope: Scope | None = None
        self._parts: _Parts | None = None
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

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self, scope: Scope) -> None:
        """Serve the protocols. Raises `StorageError` when the trace cannot be written."""
        self._scope = Scope("pubsub", scope)
        self._authors = {self._host.peer_id.to_bytes(): self._host.peer_id}
        parts = _Parts(self, self._scope)
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
    ) -> Topic:
        """Be in a topic: its messages are read, checked and passed on.

        ``validator`` judges each message, own ones too; without one all with a good signature are accepted.
        ``message_id`` must be the same at all peers of the topic; the default is author and sequence number. Raises
        `UsageError` for a topic that is joined already, a name over 4096 bytes, or one `gossip.topics` does not admit.
        """
        parts = self._running()
        if topic in self._topics:
            raise UsageError(f"the topic {topic!r} is joined already: share what the first `join` gave")
        function = standard_id if message_id is None else guarded(message_id, self.counters)
        parts.router.join(topic, time.monotonic())
        self._id_functions[topic] = function
        if self._topic_scores is not None and parts.scores is not None:
            parts.scores.set_topic(topic, self._topic_scores, time.monotonic())
        parts.router.set_message_id(topic, function)
        joined = self._topics[topic] = Topic(self, topic, validator)
        if parts.tracer is not None:
            parts.tracer.join(topic)
        if parts.discovery is not None:
            parts.discovery.join(topic)
        parts.after()
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
            joined.deliver(message, own=True)
        if parts.publishing.queued(len(wire)):
            await asyncio.sleep(0)
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

    def _running(self) -> _Parts:
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


class _Parts:
    """What exists while pubsub runs."""

    def __init__(self, pubsub: Pubsub, scope: Scope) -> None:
        settings, host, counters = pubsub._settings, pubsub._host, pubsub.counters
        now, rng, policy = time.monotonic(), random.Random(), Policy(settings.signatures)
        authors = pubsub._authors
        self._direct = pubsub._direct
        self.scores: Scores[PeerId] | None = None
        if pubsub._score_settings is not None:
            self.scores = Scores(pubsub._score_settings, now)
        self.router: Router[PeerId] = Router(
            host.peer_id,
            router_settings(settings, pubsub._thresholds),
            rng,
            now,
            self.scores,
            tuple(self._direct),
            standard_id,
            lambda message: authors.get(message.sender or b""),
            pubsub._record_of if settings.peer_exchange else None,
            admits=topic_filter(settings.topics),
        )
        self.tracer: Tracer | None = None
        if settings.trace_file is not None:
            self.tracer = Tracer(settings.trace_file, host.peer_id, pubsub._id_of)
        self.publishing = Publishing(
            self.router,
            pubsub._links,
            pubsub._key,
            policy,
            settings.max_rpc_bytes,
            settings.publish_patience_s,
            counters,
            lambda: self.reception.scheduled,
        )
        self.verifier = Verifier(min(2, os.cpu_count() or 1))
        self.validation = Validation(scope, counters)
        self.reception = Reception(
            self.router,
            pubsub._topics,
            policy,
            self.verifier,
            self.validation,
            pubsub._blacklist,
            counters,
            self.tracer,
            self.after,
        )
        self._dials = Dials(host, pubsub._spawn, counters)
        self.discovery: Discovery | None = None
        directory = host.directory
        if settings.discover and directory is not None:
            self.discovery = Discovery(
                directory,
                self._dials,
                pubsub._spawn,
                lambda topic: len(self.router.peers(topic)) < settings.d_low,
                rng,
                counters,
            )
        self._links, self._topics = pubsub._links, pubsub._topics
        self._timer: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        """No more passes and heartbeats; who waits to publish gets `Closed`."""
        if self._timer is not None:
            self._timer.cancel()
        self.reception.stop()
        self.publishing.stop()

    def arm(self) -> None:
        """Set the timer to the router's next deadline."""
        delay = max(0.0, self.router.deadline() - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def after(self) -> None:
        """Something has happened in the router: act on what it tells, and send what waits."""
        for event in self.router.events():
            if isinstance(event, PeersOffered):
                for data, envelope in event.peers:
                    self._dial_offered(data, envelope)
            elif isinstance(event, TopicJoined):
                if event.topic in self._topics:
                    self._topics[event.topic].greet(event.peer)
            elif isinstance(event, DirectMissing):
                self._dials.begin(event.peer, self._direct[event.peer])
            elif isinstance(event, Grafted):
                self._dials.host.protect(event.peer, f"pubsub:{event.topic}")
                if self.tracer is not None:
                    self.tracer.graft(event.peer, event.topic)
            elif isinstance(event, Pruned):
                self._dials.host.unprotect(event.peer, f"pubsub:{event.topic}")
                if self.tracer is not None:
                    self.tracer.prune(event.peer, event.topic)
        if self.tracer is not None:
            self._trace_drops(self.tracer)
        self.publishing.flush()

    def _wake(self) -> None:
        try:
            self.router.wake(time.monotonic())
            self.after()
        finally:
            self.arm()

    def _dial_offered(self, data: bytes, envelope: bytes) -> None:
        """A peer named in a PRUNE, with its signed record if who named it had that."""
        try:
            peer = PeerId.from_bytes(data)
            record = open_peer_record(envelope) if envelope else None
        except DecodeError:
            return
        if record is None:
            self._dials.begin(peer)
        elif record.peer_id == peer:
            self._dials.begin(peer, [each.without_peer() for each in record.addresses])

    def _trace_drops(self, tracer: Tracer) -> None:
        for link in self._links.values():
            if link.queue is not None:
                drops = sum(link.queue.dropped.values())
                if drops > link.drops:
                    link.drops = drops
                    tracer.dropped_rpc(link.peer)
