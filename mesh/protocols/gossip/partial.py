"""Partial messages (GossipSub 1.3): messages that travel in parts, as go-libp2p-pubsub v0.17 sends them.

A group is one message for a program: how it is cut into parts, and how the metadata says which parts somebody has and
wants, is the program's affair. Kept here, for each group of a topic, is what the program notes of each peer (``states``,
None at first), until the group has not been published for a few heartbeats. Peers may begin groups too, so many and no
more.

A peer that asked for parts gets no whole messages of the topic from who sends parts, and no IHAVE: where it would get
one, `PartsWanted` names it. RPCs carry one part each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Generic

from mesh.codecs.gossip import Extensions, Partial, Rpc, Subscription
from mesh.errors import UsageError
from mesh.protocols.gossip.events import PartReceived, PartsWanted, TestExtended
from mesh.protocols.gossip.intake import MAX_ID_BYTES
from mesh.protocols.gossip.message import Part, PartSupport, PeerT
from mesh.protocols.gossip.peer import PeerState
from mesh.protocols.gossip.topics import Members, Neighbourhood

GROUPS_PER_TOPIC: Final = 255
"""That peers began and this node has not published in."""
GROUPS_PER_PEER: Final = 8
"""Of those, begun by one peer in one topic."""
GROUP_BEATS: Final = 3
"""A group is kept for so many heartbeats after it was published in, or begun."""


@dataclass(slots=True)
class _Group(Generic[PeerT]):
    begun_by: PeerState[PeerT] | None
    beats: int = GROUP_BEATS
    states: dict[PeerT, Any] = field(default_factory=dict)


Choose = Callable[[dict[PeerT, Any], Callable[[PeerT], bool]], Iterable[tuple[PeerT, Part]]]
"""Given the states of a group, and whether a peer asked for parts: what to send to whom. It may change the states."""


class Partials(Generic[PeerT]):
    """The groups of one node. ``extensions`` is what it announced to its peers."""

    __slots__ = ("_all", "_begun", "_groups", "extensions")

    def __init__(self, neighbourhood: Neighbourhood[PeerT], extensions: Extensions | None) -> None:
        self._all = neighbourhood
        self.extensions = extensions
        self._groups: dict[str, dict[bytes, _Group[PeerT]]] = {}
        self._begun: Counter[tuple[str, PeerState[PeerT]]] = Counter()

    # --- topics

    def set_topic(self, topic: str, support: PartSupport) -> None:
        """What this node does with parts in a topic that it joins. UsageError where the extension was not announced."""
        if support is PartSupport.NONE:
            return
        if self.extensions is None or not self.extensions.partial_messages:
            raise UsageError("partial messages are switched on before pubsub starts")
        self._all.parted[topic] = support

    def drop_topic(self, topic: str) -> None:
        """It is left: its groups are forgotten."""
        if self._all.parted.pop(topic, None) is not None:
            for group in self._groups.pop(topic, {}).values():
                self._account(topic, group)

    # --- own parts

    def publish(self, topic: str, group: bytes, choose: Choose[PeerT]) -> int:
        """Send parts and metadata of a group to mesh peers and whoever else is known to be at it; returns to how many.

        UsageError for a topic that was not joined with parts, and for a group's id of more than 4096 bytes.
        """
        if topic not in self._all.parted:
            raise UsageError(f"{topic!r} was not joined for partial messages")
        if len(group) > MAX_ID_BYTES:
            raise UsageError(f"a group's id has at most {MAX_ID_BYTES} bytes, not {len(group)}")
        found = self._groups.setdefault(topic, {}).setdefault(group, _Group(None))
        self._account(topic, found)
        found.begun_by, found.beats = None, GROUP_BEATS
        for state in self._all.joined[topic].mesh:
            if self._speaks(state):
                found.states.setdefault(state.peer, None)
        sent = 0
        for peer, part in choose(found.states, lambda peer: self._asked(peer, topic)):
            sent += self._send(topic, group, peer, part)
        return sent

    def states(self, topic: str, group: bytes) -> dict[PeerT, Any] | None:
        """What is noted of each peer of a group, to be changed freely; None for an unknown group."""
        found = self._groups.get(topic, {}).get(group)
        return None if found is None else found.states

    # --- peers

    def announced(self, state: PeerState[PeerT]) -> None:
        """A peer's first RPC said what it has, and it is told what this node has."""
        ours, theirs = self.extensions, state.extensions
        if ours is not None and theirs is not None and ours.test_extension and theirs.test_extension:
            state.queue.alone(Rpc(test_extension=b"").encode())
            self._all.touch(state)

    def receive(self, state: PeerState[PeerT], rpc: Rpc) -> None:
        """What an RPC has beside messages and control, of a peer that announced it as this node did."""
        ours, theirs = self.extensions, state.extensions
        if ours is None or theirs is None:
            return
        if rpc.test_extension is not None and ours.test_extension and theirs.test_extension:
            self._all.events.append(TestExtended(state.peer))
        if rpc.partial is not None and self._speaks(state):
            self._take(state, rpc.partial)

    def disconnected(self, state: PeerState[PeerT]) -> None:
        """A peer is gone: nothing is noted of it any more."""
        for topic, groups in self._groups.items():
            self._begun.pop((topic, state), None)
            for group in groups.values():
                group.states.pop(state.peer, None)

    def outsiders(self, members: Members[PeerT], told: list[PeerState[PeerT]]) -> list[PeerState[PeerT]]:
        """Of peers that gossip is for, those who are told of messages; the others are named to the program, for each
        group that this node published in and that they know nothing of."""
        topic = members.name
        parted = [state for state in told if state.wants_parts(topic)]
        if not parted:
            return told
        for id, group in self._groups.get(topic, {}).items():
            unknown = [state.peer for state in parted if state.peer not in group.states]
            if group.begun_by is None and unknown:
                group.states.update(dict.fromkeys(unknown))
                self._all.events.append(PartsWanted(topic, id, unknown))
        return [state for state in told if state not in parted]

    # --- time

    def beat(self) -> None:
        """A heartbeat: groups age."""
        for topic, groups in list(self._groups.items()):
            for id, group in list(groups.items()):
                if group.beats and (group.states or group.begun_by is None):
                    group.beats -= 1
                else:
                    del groups[id]
                    self._account(topic, group)
            if not groups:
                del self._groups[topic]

    def __len__(self) -> int:
        """Groups that are kept."""
        return sum(map(len, self._groups.values()))

    # --- within

    def _speaks(self, state: PeerState[PeerT]) -> bool:
        """Whether both ends announced partial messages."""
        ours, theirs = self.extensions, state.extensions
        return bool(ours and theirs and ours.partial_messages and theirs.partial_messages)

    def _asked(self, peer: PeerT, topic: str) -> bool:
        state = self._all.peers.get(peer)
        return state is not None and state.wants_parts(topic)

    def _send(self, topic: str, group: bytes, peer: PeerT, part: Part) -> bool:
        state = self._all.peers.get(peer)
        if state is None or not self._speaks(state):
            return False
        message = part.message if self._asked(peer, topic) else b""
        if not (message or part.metadata):
            return False
        partial = Partial(topic, group, message or None, part.metadata or None)
        if not state.queue.alone(Rpc(partial=partial).encode()):
            self._all.counts["dropped_full"] += 1
            return False
        self._all.touch(state)
        self._all.counts["parts_sent"] += 1
        return True

    def _take(self, state: PeerState[PeerT], partial: Partial) -> None:
        counts, topic = self._all.counts, partial.topic
        if topic not in self._all.parted:
            counts["parts_unjoined"] += 1
            return
        groups = self._groups.setdefault(topic, {})
        if partial.group not in groups:
            begun = sum(group.begun_by is not None for group in groups.values())
            if begun >= GROUPS_PER_TOPIC or self._begun[topic, state] >= GROUPS_PER_PEER:
                counts["parts_over_limit"] += 1
                return
            groups[partial.group] = _Group(state)
            self._begun[topic, state] += 1
        counts["parts_received"] += 1
        part = Part(partial.message or b"", partial.metadata or b"")
        self._all.events.append(PartReceived(state.peer, topic, partial.group, part))

    def _account(self, topic: str, group: _Group[PeerT]) -> None:
        """The peer that began a group has one less to answer for."""
        if group.begun_by is not None and (topic, group.begun_by) in self._begun:
            self._begun[topic, group.begun_by] -= 1
            if not self._begun[topic, group.begun_by]:
                del self._begun[topic, group.begun_by]


def part_support(subscription: Subscription) -> PartSupport:
    """What a peer does with parts in a topic: who asks for them sends them, too."""
    if subscription.requests_partial:
        return PartSupport.WANTS
    return PartSupport.SENDS if subscription.supports_sending_partial else PartSupport.NONE
