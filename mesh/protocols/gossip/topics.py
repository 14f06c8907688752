"""Who is in which topic, and whom this node joined, publishes to and sends to: what all parts of the router share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic

from mesh.protocols.gossip.events import Event, Grafted, Pruned, TopicJoined, TopicLeft
from mesh.protocols.gossip.message import PartSupport, PeerT
from mesh.protocols.gossip.peer import PeerState
from mesh.protocols.gossip.settings import RouterSettings
from mesh.protocols.gossip.spread import Randomness
from mesh.protocols.gossip.topic_filter import TopicFilter

if TYPE_CHECKING:
    from mesh.protocols.gossip.scores import Scores
    from mesh.protocols.gossip.send_queue import SendQueue

MAX_EVENTS = 65536
"""Kept for `Router.events`; the oldest are dropped when nobody takes them."""

COUNTS: dict[str, str] = {
    "published": "own messages",
    "delivered": "messages from peers that were accepted",
    "forwarded": "copies of them queued",
    "dropped_full": "copies not queued, the queue being full",
    "declined": "copies not queued, the peer having said IDONTWANT",
    "duplicates": "copies that came again",
    "malformed": "messages that could not be decoded, or with too long an id",
    "unjoined": "messages of topics not joined",
    "own": "own messages sent back",
    "throttled": "messages for which there was no room to verify them",
    "forged": "bad signatures, or a shape against the policy",
    "rejected": "messages refused by validators",
    "ignored": "messages ignored by validators",
    "graylisted": "RPCs not looked at for their sender's score",
    "grafts": "peers taken into a mesh",
    "prunes": "peers taken out of a mesh by this node, or not let in",
    "backoff_violations": "GRAFTs within a backoff",
    "exchanges_refused": "PRUNEs with peers from a score too low",
    "announced": "IHAVE to a peer about a topic",
    "announcements_over_limit": "RPCs with IHAVE not looked at for their number",
    "asked": "ids asked for",
    "answered": "messages given to those who asked",
    "answers_over_limit": "ids asked for too often by one peer",
    "promises_broken": "messages asked for that did not come in time",
    "refusals_over_limit": "RPCs with IDONTWANT not looked at for their number",
    "late_extensions": "extensions announced late or twice",
    "parts_sent": "RPCs with parts or metadata queued",
    "parts_received": "RPCs with parts or metadata of a group",
    "parts_unjoined": "those of topics not joined for partial messages",
    "parts_over_limit": "those of new groups, the peer or the topic having too many",
    "subscriptions_over_limit": "subscriptions not remembered for their number",
    "subscriptions_filtered": "subscriptions to topics the filter does not admit",
}
"""What `Router.counts` counts."""


class Roster(Generic[PeerT]):
    """Peers in an order as random as a shuffle of them, kept so at every change; a stretch of it is a random sample."""

    __slots__ = ("_at", "items")

    def __init__(self) -> None:
        self.items: list[PeerState[PeerT]] = []
        self._at: dict[PeerState[PeerT], int] = {}

    def __len__(self) -> int:
        return len(self.items)

    def __contains__(self, state: PeerState[PeerT]) -> bool:
        return state in self._at

    def add(self, state: PeerState[PeerT], rng: Randomness) -> None:
        """Puts it at a random place, whose holder moves to the end."""
        items = self.items
        place = int(rng.random() * (len(items) + 1))
        items.append(state)
        if place != len(items) - 1:
            moved = items[place]
            items[place], items[-1] = state, moved
            self._at[moved] = len(items) - 1
        self._at[state] = place

    def remove(self, state: PeerState[PeerT]) -> None:
        """Fills its place with the last."""
        place = self._at.pop(state)
        last = self.items.pop()
        if last is not state:
            self.items[place] = last
            self._at[last] = place

    def sample(self, rng: Randomness, count: int | None = None) -> list[PeerState[PeerT]]:
        """So many of them, or all, from a random one on."""
        items = self.items
        size = len(items)
        if not size:
            return []
        start = int(rng.random() * size)
        end = start + (size if count is None else min(count, size))
        return items[start:end] if end <= size else items[start:] + items[: end - size]


class Members(Generic[PeerT]):
    """Connected peers in one topic, parted by how they are served."""

    __slots__ = ("always", "candidates", "dialled", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.candidates: Roster[PeerT] = Roster()
        """Peers that a mesh can have."""
        self.dialled: Roster[PeerT] = Roster()
        """Those of them that this node dialled."""
        self.always: dict[PeerState[PeerT], None] = {}
        """Direct peers and those of floodsub: they are sent every message."""

    def __len__(self) -> int:
        return len(self.candidates) + len(self.always)

    def __iter__(self) -> Iterator[PeerState[PeerT]]:
        yield from self.candidates.items
        yield from self.always


class TopicState(Generic[PeerT]):
    """One joined topic."""

    __slots__ = ("members", "mesh", "missed", "name")

    def __init__(self, members: Members[PeerT]) -> None:
        self.name = members.name
        self.members = members
        self.mesh: dict[PeerState[PeerT], None] = {}
        self.missed: dict[PeerState[PeerT], Sequence[bytes]] = {}
        """Who came into the mesh since the last beat, with the recent messages of before."""


@dataclass(slots=True, eq=False)
class Fanout(Generic[PeerT]):
    """Whom own messages go to in a topic that this node is not in."""

    published_at: float
    peers: dict[PeerState[PeerT], None] = field(default_factory=dict)


class Neighbourhood(Generic[PeerT]):
    """Peers, their topics, and ours. Every change of who is where goes through here, so that the views agree."""

    def __init__(self, settings: RouterSettings, rng: Randomness, scores: Scores[PeerT] | None) -> None:
        self.settings = settings
        self.rng = rng
        self.scores = scores
        self.peers: dict[PeerT, PeerState[PeerT]] = {}
        self.queues: dict[PeerT, SendQueue] = {}
        self.members: dict[str, Members[PeerT]] = {}
        self.joined: dict[str, TopicState[PeerT]] = {}
        self.fanouts: dict[str, Fanout[PeerT]] = {}
        self.dirty: list[PeerState[PeerT]] = []
        self.events: deque[Event[PeerT]] = deque(maxlen=MAX_EVENTS)
        self.parted: dict[str, PartSupport] = {}
        """Topics that this node joined for partial messages."""
        self.admits: TopicFilter | None = None
        self.counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
        self.beat = 0
        self.recent: Callable[[str], Sequence[bytes]] = lambda _topic: ()
        """Ids of a topic's messages that peers are told of."""
        self._topic_bytes = 0

    def score(self, state: PeerState[PeerT], now: float) -> float:
        """Its score; 0 when nobody keeps any."""
        return 0.0 if self.scores is None else self.scores.score(state.peer, now)

    def fair(self, states: Iterable[PeerState[PeerT]], now: float) -> list[PeerState[PeerT]]:
        """Those that are sent messages outside a mesh: direct ones, and with a score not below the publish threshold."""
        floor = self.settings.thresholds.publish
        return [state for state in states if state.direct or self.score(state, now) >= floor]

    def touch(self, state: PeerState[PeerT]) -> None:
        """Its queue got something."""
        if not state.dirty:
            state.dirty = True
            self.dirty.append(state)

    def whole(self, topic: str, states: list[PeerState[PeerT]]) -> list[PeerState[PeerT]]:
        """Those that are sent whole messages: all but who asked for parts where this node sends such."""
        if topic not in self.parted:
            return states
        return [state for state in states if not state.wants_parts(topic)]

    def enter(self, state: PeerState[PeerT], topic: str, parts: PartSupport | None = None) -> bool:
        """A peer is in a topic from now on; False when that cannot be remembered. ``parts`` None: it did not say."""
        if topic in state.topics:
            state.topics[topic] = parts or state.topics[topic]
            return True
        if self.admits is not None and not self.admits(topic):
            self.counts["subscriptions_filtered"] += 1
            return False
        members = self.members.get(topic)
        if len(state.topics) >= self.settings.limits.topics_per_peer or (
            members is None and not self._has_room(topic)
        ):
            self.counts["subscriptions_over_limit"] += 1
            return False
        if members is None:
            members = self.open(topic)
        state.topics[members.name] = parts or PartSupport.NONE
        if state.meshes and not state.direct:
            members.candidates.add(state, self.rng)
            if state.outbound:
                members.dialled.add(state, self.rng)
        else:
            members.always[state] = None
        self.events.append(TopicJoined(state.peer, members.name))
        return True

    def depart(self, state: PeerState[PeerT], topic: str, now: float) -> None:
        """A peer is in a topic no more, nor in its mesh and fanout."""
        if topic not in state.topics:
            return
        del state.topics[topic]
        members = self.members[topic]
        joined = self.joined.get(topic)
        if joined is not None and state in joined.mesh:
            self.prune(joined, state, now)
        fanout = self.fanouts.get(topic)
        if fanout is not None:
            fanout.peers.pop(state, None)
        if state in members.candidates:
            members.candidates.remove(state)
            if state.outbound:
                members.dialled.remove(state)
        else:
            del members.always[state]
        self.close(members)
        self.events.append(TopicLeft(state.peer, topic))

    def graft(self, topic: TopicState[PeerT], state: PeerState[PeerT], now: float) -> None:
        """It is in our mesh."""
        topic.mesh[state] = None
        if missed := self.recent(topic.name):
            topic.missed[state] = missed
        self.counts["grafts"] += 1
        if self.scores is not None:
            self.scores.grafted(state.peer, topic.name, now)
        self.events.append(Grafted(state.peer, topic.name))

    def prune(self, topic: TopicState[PeerT], state: PeerState[PeerT], now: float) -> None:
        """It is in our mesh no more."""
        del topic.mesh[state]
        topic.missed.pop(state, None)
        if self.scores is not None:
            self.scores.pruned(state.peer, topic.name, now)
        self.events.append(Pruned(state.peer, topic.name))

    def open(self, topic: str) -> Members[PeerT]:
        """The members of a topic, remembered from now on."""
        members = self.members.get(topic)
        if members is None:
            members = self.members[topic] = Members(topic)
            self._topic_bytes += len(topic.encode())
        return members

    def close(self, members: Members[PeerT]) -> None:
        """Forgets a topic that nobody is in."""
        name = members.name
        if not members and name not in self.joined:
            self.fanouts.pop(name, None)
            if self.members.pop(name, None) is not None:
                self._topic_bytes -= len(name.encode())

    def _has_room(self, topic: str) -> bool:
        limits = self.settings.limits
        return (
            len(self.members) < limits.topics
            and self._topic_bytes + len(topic.encode()) <= limits.topic_bytes
        )
