"""Who is in a mesh: GRAFT, PRUNE, backoff, the heartbeat's maintenance, and fanout (gossipsub v1.0, v1.1).

Invariants: a mesh has only members of its topic that know GRAFT and are not direct; whoever was pruned, by either side,
is not grafted by this node before its backoff has ended and the slack has passed, joined again or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import ceil, inf
from typing import Generic

from mesh.codecs.gossip import ExchangedPeer, Graft, Prune
from mesh.errors import UsageError
from mesh.protocols.gossip.events import PeersOffered
from mesh.protocols.gossip.message import PeerT
from mesh.protocols.gossip.peer import PeerState
from mesh.protocols.gossip.settings import MeshSettings
from mesh.protocols.gossip.spread import choose
from mesh.protocols.gossip.topics import Fanout, Members, Neighbourhood, Roster, TopicState

_CLEARED_EVERY = 15
"""Beats within which every topic's backoffs are looked through once."""


def check_settings(settings: MeshSettings) -> None:
    """Raises UsageError naming what cannot be (gossipsub v1.1, "Parameters")."""
    wrong = {
        "0 <= d_low <= d <= d_high": not 0 <= settings.d_low <= settings.d <= settings.d_high,
        "0 <= d_score <= d": not 0 <= settings.d_score <= settings.d,
        "0 <= d_out <= d / 2": not 0 <= settings.d_out <= settings.d / 2,
        "d_out < d_low, or 0": settings.d_out >= max(settings.d_low, 1),
        "heartbeat_s > 0": not 0 < settings.heartbeat_s < inf,
        "opportunistic_ticks >= 1": settings.opportunistic_ticks < 1,
        "direct_ticks >= 1": settings.direct_ticks < 1,
        "max_backoffs >= 1": settings.max_backoffs < 1,
    }
    broken = [rule for rule, fails in wrong.items() if fails]
    if broken:
        raise UsageError(f"mesh settings must keep to {', '.join(broken)}")


class Backoffs(Generic[PeerT]):
    """Until when a peer of a topic is kept out of its mesh. They outlive connections and LEAVE."""

    def __init__(self, slack_s: float, limit: int) -> None:
        self._slack_s = slack_s
        self._limit = limit
        self._count = 0
        self._topics: dict[str, dict[PeerT, tuple[float, float]]] = {}

    def __len__(self) -> int:
        return self._count

    def note(self, topic: str, peer: PeerT, seconds: float, now: float) -> None:
        """Keeps the peer away for that long, or as long as it was to be before."""
        peers = self._topics.setdefault(topic, {})
        until = now + seconds
        before = peers.pop(peer, None)
        if before is not None:
            until = max(until, before[0])
        elif self._count >= self._limit:
            self._drop_oldest(topic)
        else:
            self._count += 1
        self._topics.setdefault(topic, peers)[peer] = (until, now)

    def since(self, topic: str, peer: PeerT, now: float) -> float | None:
        """When the backoff that forbids the peer to GRAFT began; None when there is none."""
        entry = self._topics.get(topic, {}).get(peer)
        return None if entry is None or now >= entry[0] else entry[1]

    def blocks(self, topic: str, peer: PeerT, now: float) -> bool:
        """Whether this node has to wait before it GRAFTs the peer."""
        peers = self._topics.get(topic)
        if not peers:
            return False
        entry = peers.get(peer)
        return entry is not None and now < entry[0] + self._slack_s

    def clear(self, beat: int, now: float) -> None:
        """Forgets what has passed, in the topics whose turn it is."""
        for topic in list(self._topics)[beat % _CLEARED_EVERY :: _CLEARED_EVERY]:
            peers = self._topics[topic]
            for peer in [peer for peer, (until, _) in peers.items() if until + self._slack_s <= now]:
                del peers[peer]
                self._count -= 1
            if not peers:
                del self._topics[topic]

    def _drop_oldest(self, topic: str) -> None:
        """Makes room for one: of this topic, or of the one that has had any for longest."""
        name = topic if self._topics[topic] else next(name for name, peers in self._topics.items() if peers)
        peers = self._topics[name]
        del peers[next(iter(peers))]
        if not peers:
            del self._topics[name]


class Meshes(Generic[PeerT]):
    """The meshes and fanouts of one node. `record_of` gives what others are told of a peer, None for nothing."""

    def __init__(
        self,
        neighbourhood: Neighbourhood[PeerT],
        record_of: Callable[[PeerT], ExchangedPeer | None] | None,
    ) -> None:
        self._all = neighbourhood
        self._settings = neighbourhood.settings.mesh
        self._record_of = record_of if self._settings.peer_exchange else None
        mesh = self._settings
        self.backoffs: Backoffs[PeerT] = Backoffs(
            mesh.backoff_slack_beats * mesh.heartbeat_s, mesh.max_backoffs
        )

    # --- our own topics

    def join(self, topic: TopicState[PeerT], now: float) -> None:
        """Grafts up to D peers, those of a fanout first."""
        fanout = self._all.fanouts.pop(topic.name, None)
        wanted = self._settings.d
        if fanout is not None:
            for state in fanout.peers:
                if wanted and self._eligible(topic.name, state, now) and self._all.score(state, now) >= 0:
                    self._graft(topic, state, now)
                    wanted -= 1
        self._graft_some(topic, topic.members.candidates, wanted, now)

    def leave(self, topic: TopicState[PeerT], now: float) -> None:
        """Prunes everybody, with the shorter backoff."""
        for state in list(topic.mesh):
            self._prune(topic, state, now, self._settings.unsubscribe_backoff_s, exchange=True)

    def fanout(self, members: Members[PeerT], now: float) -> dict[PeerState[PeerT], None]:
        """Up to D peers for own messages of a topic not joined; kept while there are any messages."""
        fanouts = self._all.fanouts
        fanout = fanouts.get(members.name)
        if fanout is None:
            fanout = fanouts[members.name] = Fanout(now)
        fanout.published_at = now
        if not fanout.peers:
            self._fill_fanout(fanout, members, now)
        return fanout.peers

    # --- what peers ask

    def receive_grafts(self, state: PeerState[PeerT], grafts: Iterable[Graft], now: float) -> None:
        """Lets the peer in, or answers PRUNE; a topic not joined gets no answer (v1.1, "Spam protection")."""
        refused: dict[str, None] = {}
        exchange = True
        for graft in grafts:
            topic = self._all.joined.get(graft.topic)
            if topic is None:
                exchange = False
                continue
            if state in topic.mesh or topic.name in refused or not state.meshes:
                continue
            refusal, spoken_to = self._refusal(topic, state, now)
            if refusal:
                refused[topic.name] = None
                exchange = exchange and spoken_to
            elif self._all.enter(state, topic.name):
                self._all.graft(topic, state, now)
        for name in refused:
            self._all.counts["prunes"] += 1
            self._send_prune(
                self._all.joined[name].members, state, now, self._settings.prune_backoff_s, exchange
            )

    def receive_prunes(self, state: PeerState[PeerT], prunes: Iterable[Prune], now: float) -> None:
        """Takes the peer out; the peers it names are offered when its score allows that, once for each time in a mesh."""
        settings = self._settings
        for prune in prunes:
            topic = self._all.joined.get(prune.topic)
            if topic is None:
                continue
            was_in = state in topic.mesh
            if was_in:
                self._all.prune(topic, state, now)
            asked = min(prune.backoff or 0, settings.max_backoff_s)
            self.backoffs.note(topic.name, state.peer, asked or settings.prune_backoff_s, now)
            if prune.peers and was_in:
                self._offer(state, topic.name, prune.peers, now)

    def _refusal(self, topic: TopicState[PeerT], state: PeerState[PeerT], now: float) -> tuple[bool, bool]:
        """Whether a GRAFT is refused, and whether peers may be named in the answer."""
        settings = self._settings
        if state.direct:
            return True, False
        since = self.backoffs.since(topic.name, state.peer, now)
        if since is not None:
            self._all.counts["backoff_violations"] += 1
            if self._all.scores is not None:
                times = 2 if now < since + settings.graft_flood_s else 1
                self._all.scores.misbehaved(state.peer, now, times)
            self.backoffs.note(topic.name, state.peer, settings.prune_backoff_s, now)
            return True, False
        if self._all.score(state, now) < 0:
            self.backoffs.note(topic.name, state.peer, settings.prune_backoff_s, now)
            return True, False
        if len(topic.mesh) >= settings.d_high and not state.outbound:
            self.backoffs.note(topic.name, state.peer, settings.prune_backoff_s, now)
            return True, True
        return False, True

    def _offer(self, state: PeerState[PeerT], topic: str, peers: Sequence[ExchangedPeer], now: float) -> None:
        if self._all.score(state, now) < self._all.settings.thresholds.accept_exchange:
            self._all.counts["exchanges_refused"] += 1
            return
        most = self._settings.exchanged_peers
        chosen = peers if len(peers) <= most else choose(peers, most, self._all.rng)
        offered = [(peer.peer_id, peer.signed_peer_record) for peer in chosen]
        self._all.events.append(PeersOffered(state.peer, topic, offered))

    # --- the heartbeat

    def maintain(self, topic: TopicState[PeerT], now: float) -> None:
        """Brings one mesh back between its bounds: bad scores out, D, outbound quota, better peers now and then."""
        settings = self._settings
        mesh = topic.mesh
        scored = self._all.scores is not None
        if scored:
            for state in [state for state in mesh if self._all.score(state, now) < 0]:
                self._prune(topic, state, now, settings.prune_backoff_s, exchange=False)
        if len(mesh) < settings.d_low:
            self._graft_some(topic, topic.members.candidates, settings.d - len(mesh), now)
        elif len(mesh) >= settings.d_high:
            self._cut(topic, now)
        if len(mesh) >= settings.d_low:
            outbound = sum(state.outbound for state in mesh)
            if outbound < settings.d_out:
                self._graft_some(topic, topic.members.dialled, settings.d_out - outbound, now)
        if scored and self._all.beat % settings.opportunistic_ticks == 0 and len(mesh) > 1:
            self._graft_better(topic, now)

    def maintain_fanouts(self, now: float) -> None:
        """Forgets fanouts that were not used for long, and mends the others."""
        floor = self._all.settings.thresholds.publish
        for name, fanout in list(self._all.fanouts.items()):
            if fanout.published_at + self._settings.fanout_ttl_s < now:
                del self._all.fanouts[name]
                continue
            for state in [state for state in fanout.peers if self._all.score(state, now) < floor]:
                del fanout.peers[state]
            members = self._all.members.get(name)
            if members is not None and len(fanout.peers) < self._settings.d:
                self._fill_fanout(fanout, members, now)

    def _fill_fanout(self, fanout: Fanout[PeerT], members: Members[PeerT], now: float) -> None:
        floor = self._all.settings.thresholds.publish
        for state in members.candidates.sample(self._all.rng):
            if len(fanout.peers) >= self._settings.d:
                return
            if state not in fanout.peers and self._all.score(state, now) >= floor:
                fanout.peers[state] = None

    def _graft_some(self, topic: TopicState[PeerT], roster: Roster[PeerT], count: int, now: float) -> None:
        """Grafts so many peers of the roster with a score of at least 0, or fewer."""
        if count <= 0:
            return
        for state in roster.sample(self._all.rng):
            if (
                state not in topic.mesh
                and self._eligible(topic.name, state, now)
                and self._all.score(state, now) >= 0
            ):
                self._graft(topic, state, now)
                count -= 1
                if not count:
                    return

    def _cut(self, topic: TopicState[PeerT], now: float) -> None:
        """Keeps D: the D_score best, the rest at random, D_out dialled ones among them if there are so many."""
        settings = self._settings
        rng = self._all.rng
        order = choose(list(topic.mesh), len(topic.mesh), rng)
        if self._all.scores is not None:
            order.sort(key=lambda state: -self._all.score(state, now))
        best, rest = order[: settings.d_score], order[settings.d_score :]
        order = best + choose(rest, len(rest), rng)
        kept, others = order[: settings.d], order[settings.d :]
        missing = settings.d_out - sum(state.outbound for state in kept)
        for state in [state for state in others if state.outbound][: max(missing, 0)]:
            given_up = next(other for other in reversed(kept) if not other.outbound)
            kept.remove(given_up)
            kept.append(state)
            others.remove(state)
            others.append(given_up)
        for state in others:
            self._prune(topic, state, now, settings.prune_backoff_s, exchange=True)

    def _graft_better(self, topic: TopicState[PeerT], now: float) -> None:
        """Opportunistic grafting: with a median score too low, a few peers above the median come in."""
        scores = sorted(self._all.score(state, now) for state in topic.mesh)
        median = scores[len(scores) // 2]
        if median >= self._all.settings.thresholds.opportunistic_graft:
            return
        count = self._settings.opportunistic_peers
        for state in topic.members.candidates.sample(self._all.rng):
            if not count:
                return
            if (
                state not in topic.mesh
                and self._eligible(topic.name, state, now)
                and self._all.score(state, now) > median
            ):
                self._graft(topic, state, now)
                count -= 1

    # --- single links

    def _eligible(self, topic: str, state: PeerState[PeerT], now: float) -> bool:
        return not self.backoffs.blocks(topic, state.peer, now)

    def _graft(self, topic: TopicState[PeerT], state: PeerState[PeerT], now: float) -> None:
        self._all.graft(topic, state, now)
        state.queue.graft(topic.name)
        self._all.touch(state)

    def _prune(
        self,
        topic: TopicState[PeerT],
        state: PeerState[PeerT],
        now: float,
        backoff_s: float,
        exchange: bool,
    ) -> None:
        self._all.prune(topic, state, now)
        self._all.counts["prunes"] += 1
        self.backoffs.note(topic.name, state.peer, backoff_s, now)
        self._send_prune(topic.members, state, now, backoff_s, exchange)

    def _send_prune(
        self,
        members: Members[PeerT],
        state: PeerState[PeerT],
        now: float,
        backoff_s: float,
        exchange: bool,
    ) -> None:
        peers = self._named(members, state, now) if exchange and state.exchanges else []
        state.queue.prune(members.name, ceil(backoff_s), peers)
        self._all.touch(state)

    def _named(self, members: Members[PeerT], pruned: PeerState[PeerT], now: float) -> list[ExchangedPeer]:
        """Other peers of the topic, for who has to look for another mesh neighbour."""
        named: list[ExchangedPeer] = []
        if self._record_of is None:
            return named
        for state in members.candidates.sample(self._all.rng):
            if len(named) >= self._settings.exchanged_peers:
                break
            if state is not pruned and self._all.score(state, now) >= 0:
                record = self._record_of(state.peer)
                if record is not None:
                    named.append(record)
        return named
