"""Accepted messages on their way to other peers: many at a time, since telling each of a mesh of each costs most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic

from mesh.protocols.gossip.message import Incoming, PeerT
from mesh.protocols.gossip.message_cache import MessageCache
from mesh.protocols.gossip.peer import PeerState
from mesh.protocols.gossip.send_queue import as_field
from mesh.protocols.gossip.topics import Neighbourhood

_PassedOn = tuple[bytes, bytes, list[PeerState[PeerT] | None]]
"""A message's id, what stands for it in an RPC, and who has it already."""


class Forwarding(Generic[PeerT]):
    """Passes on what was accepted, and keeps it for those who ask."""

    __slots__ = ("_all", "_cache")

    def __init__(self, neighbourhood: Neighbourhood[PeerT], cache: MessageCache[PeerT]) -> None:
        self._all = neighbourhood
        self._cache = cache

    def accept(self, messages: Iterable[Incoming[PeerT]], now: float) -> int:
        """`settle` of many messages with `Verdict.ACCEPT`; returns how many copies were queued."""
        scores, joined, cache = self._all.scores, self._all.joined, self._cache
        waiting: dict[str, list[_PassedOn[PeerT]]] = {}
        accepted = 0
        for incoming in messages:
            topic, id = incoming.message.topic, incoming.id
            accepted += 1
            if scores is not None:
                scores.delivered(incoming.source, topic, id, now)
            if topic in joined:
                field = as_field(incoming.wire)
                cache.put(id, topic, field)
                passed_on = id, field, self._knowing(incoming)
                if topic in waiting:
                    waiting[topic].append(passed_on)
                else:
                    waiting[topic] = [passed_on]
        counts = self._all.counts
        counts["delivered"] += accepted
        sent = 0
        for topic, items in waiting.items():
            targets = list(joined[topic].mesh)
            always = joined[topic].members.always
            if always:
                targets += always if scores is None else self._all.fair(always, now)
            for state in self._all.whole(topic, targets):
                sent += self._pass_on(state, items)
        counts["forwarded"] += sent
        return sent

    def _knowing(self, incoming: Incoming[PeerT]) -> list[PeerState[PeerT] | None]:
        """Who has a message already: whom it came from, who wrote it, and who sent it too while it was verified (rust
        spares those as well)."""
        peers = self._all.peers
        knowing = [peers.get(incoming.source)]
        if incoming.author is not None:
            knowing.append(peers.get(incoming.author))
        if incoming.copies is not None:
            knowing += map(peers.get, incoming.copies)
        return knowing

    def _pass_on(self, state: PeerState[PeerT], items: list[_PassedOn[PeerT]]) -> int:
        """Queue for a peer what it may want of a topic's messages; returns how many of them were taken."""
        fields = [field for _, field, knowing in items if state not in knowing]
        declined = state.declined
        if declined:
            without = len(fields)
            fields = [field for id, field, knowing in items if state not in knowing and id not in declined]
            self._all.counts["declined"] += without - len(fields)
        if not fields:
            return 0
        sent = state.queue.pass_on(fields)
        if sent:
            self._all.touch(state)
        if sent < len(fields):
            self._all.counts["dropped_full"] += len(fields) - sent
        return sent
