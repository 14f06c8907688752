"""What exists while pubsub runs, and what is done about the router's events."""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import TYPE_CHECKING

from mesh.errors import DecodeError
from mesh.identity.peer_id import PeerId
from mesh.identity.peer_record import open_peer_record
from mesh.network.scope import Scope
from mesh.protocols.gossip import (
    DirectMissing,
    Grafted,
    PartReceived,
    PartsWanted,
    PeersOffered,
    Pruned,
    Router,
    Scores,
    TestExtended,
    TopicJoined,
)
from mesh.protocols.gossip.signing import Policy
from mesh.protocols.gossip.topic_filter import topic_filter
from mesh.services.gossip.discovery import Dials, Discovery
from mesh.services.gossip.options import router_settings, standard_id
from mesh.services.gossip.publishing import Publishing
from mesh.services.gossip.reception import Reception
from mesh.services.gossip.tracer import Tracer
from mesh.services.gossip.validation import Validation
from mesh.services.gossip.verification import Verifier

if TYPE_CHECKING:
    from mesh.services.gossip.service import Pubsub


class Running:
    """Router, ways in and out, validators, discovery and tracer of one `Pubsub`, from its start to its stop."""

    def __init__(self, pubsub: Pubsub, scope: Scope) -> None:
        settings, host, counters = pubsub._settings, pubsub._host, pubsub.counters
        now, rng, policy = time.monotonic(), random.Random(), Policy(settings.signatures)
        self._direct = pubsub._direct
        self._extending = pubsub._extending
        self.scores: Scores[PeerId] | None = None
        if pubsub._score_settings is not None:
            self.scores = Scores(pubsub._score_settings, now)
        self.router = _router(pubsub, rng, now, self.scores)
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
        self.verifier = Verifier(min(settings.verify_threads, os.cpu_count() or 1))
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
            elif isinstance(event, PartReceived | PartsWanted | TestExtended):
                self._extending.tell(self.router, event)
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


def _router(pubsub: Pubsub, rng: random.Random, now: float, scores: Scores[PeerId] | None) -> Router[PeerId]:
    settings, authors = pubsub._settings, pubsub._authors
    return Router(
        pubsub._host.peer_id,
        router_settings(settings, pubsub._thresholds),
        rng,
        now,
        scores,
        tuple(pubsub._direct),
        standard_id,
        lambda message: authors.get(message.sender or b""),
        pubsub._record_of if settings.peer_exchange else None,
        extensions=pubsub._extending.announced,
        admits=topic_filter(settings.topics),
    )
