"""Accepted messages on their way to other peers: many at a time, since telling each of a mesh of each costs most."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import compress
from typing import Generic

from mesh.protocols.gossip.message import Incoming, PeerT
from mesh.protocols.gossip.message_cache import MessageCache
from mesh.protocols.gossip.peer import PeerState
from mesh.protocols.gossip.send_queue import as_field
from mesh.protocols.gossip.topics import Neighbourhood


class Forwarding(Generic[PeerT]):
    """Passes on what was accepted, and keeps it for those who ask."""

    __slots__ = ("_all", "_cache")

    def __init__(self, neighbourhood: Neighbourhood[PeerT], cache: MessageCache[PeerT]) -> None:
        self._all = neighbourhood
        self._cache = cache

    def accept(self, messages: Iterable[Incoming[PeerT]], now: float) -> int:
        """`settle` of many messages with `Verdict.ACCEPT`; returns how many copies were queued."""
        scores = self._all.scores
        waiting: dict[str, list[Incoming[PeerT]]] = {}
        accepted = 0
        for incoming in messages:
            topic = incoming.message.topic
            accepted += 1
            if scores is not None:
                scores.delivered(incoming.source, topic, incoming.id, now)
            if topic in waiting:
                waiting[topic].append(incoming)
            else:
                waiting[topic] = [incoming]
        counts = self._all.counts
        counts["delivered"] += accepted
        sent = sum(self._accept_in(topic, each, now) for topic, each in waiting.items())
        counts["forwarded"] += sent
        return sent

    def _accept_in(self, name: str, messages: list[Incoming[PeerT]], now: float) -> int:
        """`accept` of messages of one topic."""
        topic = self._all.joined.get(name)
        if topic is None:
            return 0
        self._cache.put_all(name, {each.id: each.wire for each in messages})
        targets = list(topic.mesh)
        always = topic.members.always
        if always:
            targets += always if self._all.scores is None else self._all.fair(always, now)
        targets = self._all.whole(name, targets)
        lacking = {state.peer: bytearray(b"\1") * len(messages) for state in targets}
        for at, incoming in enumerate(messages):
            # The sender, the author, and who sent it too while it was verified (rust spares those as well).
            for knowing in (incoming.source, incoming.author, *(incoming.copies or ())):
                if knowing in lacking:
                    lacking[knowing][at] = 0
        fields = [as_field(each.wire) for each in messages]
        return sum(self._pass_on(state, messages, fields, lacking[state.peer]) for state in targets)

    def _pass_on(
        self,
        state: PeerState[PeerT],
        messages: list[Incoming[PeerT]],
        fields: list[bytes],
        lacking: bytearray,
    ) -> int:
        """Queue for a peer what it may want of a topic's messages, of which it has those that ``lacking`` is 0 for;
        returns how many of them were taken. ``fields`` are the messages as they stand in an RPC."""
        declined = state.declined
        if declined:
            for at, incoming in enumerate(messages):
                if lacking[at] and incoming.id in declined:
                    lacking[at] = 0
                    self._all.counts["declined"] += 1
        fields = list(compress(fields, lacking))
        if not fields:
            return 0
        sent = state.queue.pass_on(fields)
        if sent:
            self._all.touch(state)
        if sent < len(fields):
            self._all.counts["dropped_full"] += len(fields) - sent
        return sent
