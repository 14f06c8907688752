"""Accepted messages on their way to other peers: many at a time, since telling each of a mesh of each costs most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic

from mesh.protocols.gossip.message import Incoming, PeerT
from mesh.protocols.gossip.message_cache import MessageCache
from mesh.protocols.gossip.peer import PeerState
from mesh.protocols.gossip.send_queue import as_field
from mesh.protocols.gossip.topics import Neighbourhood

_Copy = tuple[bytes, bytes, list[PeerState[PeerT] | None]]
"""A message's id, what stands for it in an RPC, and who has it already."""


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
        state_of = self._all.peers.get
        copies: list[_Copy[PeerT]] = []
        for incoming in messages:
            # The sender, the author, and who sent it too while it was verified (rust spares those as well).
            knowing = [state_of(incoming.source)]
            if incoming.author is not None:
                knowing.append(state_of(incoming.author))
            if incoming.copies is not None:
                knowing += map(state_of, incoming.copies)
            copies.append((incoming.id, as_field(incoming.wire), knowing))
        targets = list(topic.mesh)
        always = topic.members.always
        if always:
            targets += always if self._all.scores is None else self._all.fair(always, now)
        return sum(self._pass_on(state, copies) for state in self._all.whole(name, targets))

    def _pass_on(self, state: PeerState[PeerT], copies: list[_Copy[PeerT]]) -> int:
        """Queue for a peer what it may want of a topic's messages; returns how many of them were taken."""
        fields = [field for _, field, knowing in copies if state not in knowing]
        declined = state.declined
        if declined:
            without = len(fields)
            fields = [field for id, field, knowing in copies if state not in knowing and id not in declined]
            self._all.counts["declined"] += without - len(fields)
        if not fields:
            return 0
        sent = state.queue.pass_on(fields)
        if sent:
            self._all.touch(state)
        if sent < len(fields):
            self._all.counts["dropped_full"] += len(fields) - sent
        return sent
