"""What is told of messages outside the mesh, asked for, and declined: IHAVE, IWANT, IDONTWANT, and broken promises."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import chain, islice
from typing import Generic

from mesh.codecs.gossip import IDontWant, IHave, IWant
from mesh.protocols.gossip.message import PartSupport, PeerT
from mesh.protocols.gossip.message_cache import MessageCache
from mesh.protocols.gossip.peer import PeerState
from mesh.protocols.gossip.seen import SeenCache
from mesh.protocols.gossip.send_queue import Entries, announcement, as_field
from mesh.protocols.gossip.spread import choose
from mesh.protocols.gossip.topics import Members, Neighbourhood, TopicState


class Gossip(Generic[PeerT]):
    """Gossip of one node about the messages in `cache`; `seen` says which need not be asked for."""

    def __init__(
        self, neighbourhood: Neighbourhood[PeerT], cache: MessageCache[PeerT], seen: SeenCache
    ) -> None:
        self._all = neighbourhood
        self._settings = neighbourhood.settings.gossip
        self._cache = cache
        self._seen = seen
        neighbourhood.recent = cache.ids
        self.promises: dict[bytes, dict[PeerState[PeerT], None]] = {}
        """Ids asked for and not come yet, with who said to have them."""
        self._due: deque[tuple[float, bytes, PeerState[PeerT]]] = deque()
        self.outsiders: Callable[[Members[PeerT], list[PeerState[PeerT]]], list[PeerState[PeerT]]] | None = (
            None
        )
        """Where some ask for parts: who of those chosen is told of whole messages."""

    def __len__(self) -> int:
        """Promises kept account of."""
        return len(self._due)

    # --- telling

    def low_scored(self, now: float) -> set[PeerState[PeerT]]:
        """Peers below the gossip threshold; only ever asked for membership."""
        if self._all.scores is None:
            return set()
        floor = self._all.settings.thresholds.gossip
        return {state for state in self._all.peers.values() if self._all.score(state, now) < floor}

    def announce(
        self,
        members: Members[PeerT],
        excluded: dict[PeerState[PeerT], None],
        low: Container[PeerState[PeerT]] | None,
    ) -> None:
        """Has some peers of a topic outside its mesh or fanout told which messages came lately, at the next `flush`."""
        if len(members.candidates) <= len(excluded):
            return
        ids = self._cache.ids(members.name)
        outsiders = self.outsiders if members.name in self._all.parted else None
        if not ids and outsiders is None:
            return
        rng = self._all.rng
        if low:
            sample = members.candidates.sample(rng)
            sample = [state for state in sample if state not in excluded and state not in low]
            told = sample[: self._told_of(len(sample))]
        else:
            count = self._told_of(len(members.candidates) - len(excluded))
            sample = members.candidates.sample(rng, count + len(excluded))
            told = [state for state in sample if state not in excluded][:count]
        if outsiders is not None:
            told = outsiders(members, told)
            if not ids:
                return
        self._all.counts["announced"] += len(told)
        variants = self._variants(members.name, ids)
        for turn, state in enumerate(told):
            state.gossip += variants[turn % len(variants)]

    def brief(self, topic: TopicState[PeerT], low: Container[PeerState[PeerT]]) -> None:
        """The same for those who came into a mesh since the last beat: recent messages of before went past them, and
        members of a mesh are told of none otherwise."""
        missed, topic.missed = topic.missed, {}
        for state, ids in missed.items():
            if state not in low:
                self._all.counts["announced"] += 1
                state.gossip += self._variants(topic.name, list(ids))[0]

    def _variants(self, topic: str, ids: list[bytes]) -> list[tuple[bytes, ...]]:
        """IHAVE of all ids; if there are too many, of several random stretches of them, for one peer after another."""
        most = self._settings.max_ihave_length
        if len(ids) <= most:
            return [announcement(topic, ids).encoded]
        stretches = []
        for _ in range(max(1, self._settings.d_lazy)):
            start = int(self._all.rng.random() * len(ids))
            stretch = ids[start : start + most]
            stretch += ids[: most - len(stretch)]
            stretches.append(announcement(topic, stretch).encoded)
        return stretches

    def flush(self) -> None:
        """Queues what `announce` has for each peer, all topics in one."""
        touch = self._all.touch
        for state in self._all.peers.values():
            encoded = state.gossip
            if encoded:
                state.gossip = []
                if state.queue.announce(Entries("ihave", tuple(encoded), sum(map(len, encoded)))):
                    touch(state)

    def _told_of(self, outside: int) -> int:
        return max(self._settings.d_lazy, int(self._settings.factor * outside))

    def decline(self, topic: TopicState[PeerT], id: bytes, source: PeerT) -> None:
        """Asks the mesh, but for who sent it, not to send a long message that is here already (v1.2)."""
        parted = self._all.parted.get(topic.name) is PartSupport.WANTS
        for state in topic.mesh:
            if not state.declines or state.peer == source or (parted and state.sends_parts(topic.name)):
                continue
            if state.queue.idontwant((id,)):
                self._all.touch(state)

    # --- being told

    def receive_announcements(
        self, state: PeerState[PeerT], announcements: Sequence[IHave], now: float
    ) -> None:
        """Asks for what is new, within the limits of a beat, and remembers one id as promised."""
        settings = self._settings
        if self._all.score(state, now) < self._all.settings.thresholds.gossip:
            return
        state.renew(self._all.beat)
        state.announcements += 1
        room = settings.max_ihave_length - state.asked
        if state.announcements > settings.max_ihave_messages or room <= 0:
            self._all.counts["announcements_over_limit"] += 1
            return
        wanted: dict[bytes, None] = {}
        left = settings.max_ihave_length
        for ihave in announcements:
            if ihave.topic in self._all.joined:
                ids = ihave.message_ids[:left]
                left -= len(ids)
                wanted.update(dict.fromkeys(self._seen.unknown(ids)))
        if not wanted:
            return
        ids = choose(list(wanted), room, self._all.rng)
        if state.queue.iwant(ids):
            self._all.touch(state)
            state.asked += len(ids)
            self._all.counts["asked"] += len(ids)
            self._promise(state, ids[0], now)

    def receive_requests(self, state: PeerState[PeerT], requests: Sequence[IWant], now: float) -> None:
        """Gives what is asked for, each message so many times to a peer; looks at no more ids than may be told of."""
        if self._all.score(state, now) < self._all.settings.thresholds.gossip:
            return
        counts = self._all.counts
        asked = chain.from_iterable(request.message_ids for request in requests)
        for id in islice(asked, self._settings.max_ihave_length):
            found = None if id in state.declined else self._cache.asked(id, state.peer)
            if found is None:
                continue
            wire, times = found
            if times > self._settings.retransmissions:
                counts["answers_over_limit"] += 1
            elif state.queue.answer(as_field(wire)):
                self._all.touch(state)
                counts["answered"] += 1
            else:
                counts["dropped_full"] += 1

    def receive_refusals(self, state: PeerState[PeerT], refusals: Iterable[IDontWant]) -> None:
        """Remembers for a few beats what not to send, the first ids of an RPC only."""
        settings = self._settings
        state.renew(self._all.beat)
        if state.refusals >= settings.max_idontwant_messages:
            self._all.counts["refusals_over_limit"] += 1
            return
        state.refusals += 1
        room = settings.max_idontwant_length
        for refusal in refusals:
            ids = refusal.message_ids[:room]
            state.decline(ids, self._all.beat, settings)
            room -= len(ids)
            if not room:
                return

    # --- promises

    def arrived(self, id: bytes) -> None:
        """The message is here: nobody owes it any more."""
        self.promises.pop(id, None)

    def charge(self, now: float) -> None:
        """Counts against peers what they said to have and did not send in time (P7)."""
        due = self._due
        while due and due[0][0] <= now:
            _, id, state = due.popleft()
            owing = self.promises.get(id)
            if owing is None or state not in owing:
                continue
            del owing[state]
            if not owing:
                del self.promises[id]
            self._all.counts["promises_broken"] += 1
            if self._all.scores is not None:
                self._all.scores.misbehaved(state.peer, now)

    def _promise(self, state: PeerState[PeerT], id: bytes, now: float) -> None:
        if len(self._due) >= self._settings.max_promises:
            return
        owing = self.promises.setdefault(id, {})
        if state not in owing:
            owing[state] = None
            self._due.append((now + self._settings.iwant_followup_s, id, state))
