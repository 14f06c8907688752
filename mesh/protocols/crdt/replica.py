"""One replica: local changes, heads from others, what it has to fetch, write and tell.

A pure machine; time and randomness are arguments, reading is immediate. After every call the host takes, in this order:
`blocks` to put into the block store, `changes` to be written all or none, then, when both are safe, `broadcasts` to
publish and `events`. `wanted` names blocks to fetch: from the own store first, then from others. What was acknowledged
is then never lost, and a crash between two steps costs nothing but work done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mesh.codecs.crdt import MAX_HEADS, MAX_KEY_BYTES, Broadcast, Delta, Element, Head
from mesh.errors import DecodeError, StorageError, UsageError
from mesh.ipld.block import Block, store_name
from mesh.ipld.dag_pb import links_of
from mesh.multiformats.cid import DAG_PB, Cid
from mesh.protocols.crdt.branches import Branches, Source, canonical
from mesh.protocols.crdt.delta import Change, clean_key, make_block, read_block
from mesh.protocols.crdt.layout import ADOPTED, WANTED, Layout, multihash_of, read_number, write_number
from mesh.protocols.crdt.state import Draft, State
from mesh.protocols.crdt.values import Mapping

REBROADCAST_S: Final = 60.0
SPREAD: Final = 0.3
"""Rebroadcasts come up to so much of their interval earlier or later."""
BATCH_BYTES: Final = 1024 * 1024
"""A larger batch becomes several nodes."""
MERGES_AT_ONCE: Final = 128
_ELEMENT_BYTES: Final = 24
"""What an element takes in a delta besides key and value, at most."""
COUNTERS: Final = (
    "merged",
    "made",
    "heads_known",
    "heads_followed",
    "heads_refused",
    "broadcasts_refused",
    "branches_refused",
    "branches_lost",
)


@dataclass(frozen=True, slots=True)
class Changed:
    """The visible value of a key is another: None when there is none any more."""

    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A peer told of something that is no replica's: whoever it was, it costs it its standing."""

    source: Source
    reason: str


Event = Changed | Refused


class Replica:
    """A replica whose state is `state` below `namespace`; `find` reads a block of the own store. Heads that nobody
    mentioned are told every `rebroadcast_s`. `events` tells of changed keys while it is `watched`.

    Raises StorageError when the state cannot be read, and so may every method.
    """

    def __init__(
        self,
        state: State,
        find: Callable[[Cid], Block | None],
        *,
        namespace: str = "/crdt",
        rebroadcast_s: float = REBROADCAST_S,
        random: Callable[[], float],
        now: float,
    ) -> None:
        self._rebroadcast_s = rebroadcast_s
        self._layout = Layout(namespace)
        self._draft = Draft(state)
        self._find = find
        self._random = random
        self._mapping = Mapping(self._draft, self._layout)
        self._branches = Branches(self.is_merged)
        self._blocks: dict[Cid, Block] = {}
        self._told: list[Cid] = []
        self._events: list[Event] = []
        self._seen: set[Cid] = set()
        self._adopted: set[Cid] = set()
        self._heads = self._read_heads()
        self._rebroadcast_at = now + self._interval()
        self.counts = dict.fromkeys(COUNTERS, 0)
        self.watched = True
        self._highest = 0
        for _, value in self._draft.below(self._layout.all_wanted):
            tip = Cid.from_bytes(value[1:])
            if value[:1] == ADOPTED:
                self._adopted.add(tip)
            self._branches.start(tip, b"", now)

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def heads(self) -> dict[Cid, int]:
        """The nodes that nothing known is above of, with their heights."""
        return dict(self._heads)

    @property
    def behind(self) -> int:
        """Nodes that are known to be missing or to wait for such; 0 when everything heard of is merged."""
        return self._branches.waiting

    def needed(self) -> list[Cid]:
        """The heads, all nodes that are to be merged, and what blocks link to that are not in the store yet, where nobody
        could follow them: blocks that have to stay, with all below them."""
        below = (link for block in self._blocks.values() for link in links_of(block.data))
        return list(dict.fromkeys((*self._heads, *self._branches.awaited(), *below)))

    @property
    def gap(self) -> int:
        """How much higher the highest node that came is than what is merged."""
        merged = max((height for cid, height in self._heads.items() if cid not in self._adopted), default=0)
        return max(0, self._highest - merged) if self.behind else 0

    @property
    def whole(self) -> bool:
        """Whether everything that the heads build on is merged."""
        return not self._adopted

    @property
    def unwritten(self) -> int:
        """Entries that `changes` would give."""
        return len(self._draft)

    def get(self, key: str) -> bytes | None:
        """The visible value of a key."""
        return self._mapping.get(checked_key(key))

    def below(self, prefix: str = "/") -> list[tuple[str, bytes]]:
        """Visible keys and values at or below a key, in the order of the keys."""
        return self._mapping.below(checked_key(prefix))

    def is_merged(self, cid: Cid) -> bool:
        """Whether a node is part of the state."""
        return self._draft.get(self._layout.processed(store_name(cid))) is not None

    # -- local changes -----------------------------------------------------------------------------------------------

    def put(self, key: str, value: bytes) -> Cid:
        """Set a key, even if it has that value. Raises UsageError for keys and values over the format's limits."""
        return self._publish(Delta(elements=[Element(key=checked_key(key), value=value)]))

    def delete(self, key: str) -> Cid | None:
        """Remove a key: every value of it that this replica knows. None when it has none, and nothing was made."""
        tombstones = self._mapping.removal(checked_key(key))
        return self._publish(Delta(tombstones=tombstones)) if tombstones else None

    def batch(self, changes: Iterable[tuple[str, bytes | None]]) -> list[Cid]:
        """Several puts and deletes in one node, or in one for each mebibyte. A delete undoes earlier puts of its key."""
        made: list[Cid] = []
        elements: list[Element] = []
        tombstones: dict[tuple[str, str], Element] = {}
        size = 0

        def commit() -> None:
            nonlocal size
            if elements or tombstones:
                made.append(
                    self._publish(Delta(elements=list(elements), tombstones=list(tombstones.values())))
                )
            elements.clear()
            tombstones.clear()
            size = 0

        for key, value in [(checked_key(each), value) for each, value in changes]:
            if value is None:
                elements[:] = [each for each in elements if each.key != key]
                for each in self._mapping.removal(key):
                    tombstones[key, each.id] = each
                    size += len(key) + len(each.id) + _ELEMENT_BYTES
            else:
                added = len(key.encode()) + len(value) + _ELEMENT_BYTES
                if size + added > BATCH_BYTES:
                    commit()
                elements.append(Element(key=key, value=value))
                size += added
        commit()
        return made

    def _publish(self, delta: Delta) -> Cid:
        heads = list(self._heads)
        delta.priority = 1 + max(self._heads.values(), default=0)
        block = make_block(delta, heads)
        self._blocks[block.cid] = block
        self._merge(Change(block.cid, delta, tuple(heads)))
        self._told.append(block.cid)
        self.counts["made"] += 1
        return block.cid

    # -- from others -------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, source: Source, now: float) -> None:
        """A broadcast of some replica, this one included."""
        try:
            heads = read_broadcast(data)
        except DecodeError as error:
            self.counts["broadcasts_refused"] += 1
            self._events.append(Refused(source, f"no broadcast: {error}"))
            return
        for cid in map(canonical, heads):
            self._seen.add(cid)
            if self.is_merged(cid) or self._branches.has(cid):
                self.counts["heads_known"] += 1
            elif not self._branches.has_room(source):
                self.counts["heads_refused"] += 1
            else:
                self.counts["heads_followed"] += 1
                kind = ADOPTED if cid in self._adopted else WANTED
                self._draft.put(self._layout.wanted(store_name(cid)), kind + cid.to_bytes())
                self._branches.start(cid, source, now)

    def wanted(self) -> list[Cid]:
        """Nodes to fetch that were not named before; `arrived` or `unobtainable` answers each."""
        return self._branches.asked()

    def arrived(self, block: Block, now: float, *, kept: bool = False) -> None:
        """A wanted block has come, from the own store if it is `kept`; others are passed over."""
        cid = canonical(block.cid)
        if not self._branches.wants(cid):
            return
        branch = self._branches.owner(cid)
        try:
            change = read_block(Block(cid, block.data))
        except DecodeError as error:
            self._refuse(branch.tip, branch.source, f"{cid}: {error}", now)
            return
        if not kept:
            self._blocks[cid] = block
        self._highest = max(self._highest, change.height)
        if branch.tip == cid and not self._heads:
            self._adopt(change)
        if not self._branches.add(change, len(block.data), now):
            self._refuse(branch.tip, branch.source, f"the branch below {branch.tip} is too long", now)

    def unobtainable(self, cid: Cid, now: float) -> None:
        """A wanted block cannot be had: its branch is given up until somebody tells of it again."""
        if self._branches.wants(cid):
            self._lose(self._branches.owner(cid).tip, now)

    def merge(self, most: int = MERGES_AT_ONCE) -> bool:
        """Merge up to so many nodes that have nothing missing below them; whether there may be more."""
        for _ in range(most):
            found = self._branches.next_ready()
            if found is None:
                return False
            cid, change = found
            self._merge(change or read_block(self._block(cid)))
        return True

    def _adopt(self, change: Change) -> None:
        """With no heads of its own a replica builds on the first that it hears of, before it knows what is below."""
        cid = canonical(change.cid)
        self._adopted.add(cid)
        self._draft.put(self._layout.wanted(store_name(cid)), ADOPTED + cid.to_bytes())
        self._add_head(cid, change.height)

    def _merge(self, change: Change) -> None:
        cid = canonical(change.cid)
        block = store_name(cid)
        touched = self._mapping.merge(change)
        self._draft.put(self._layout.processed(block))
        for link in map(canonical, change.links):
            self._remove_head(link)
        if cid in self._adopted:
            self._adopted.discard(cid)
        else:
            self._add_head(cid, change.height)
        if self._branches.merged(cid):
            self._draft.delete(self._layout.wanted(block))
        self.counts["merged"] += 1
        if self.watched:
            self._events += [Changed(key, self._mapping.get(key)) for key in touched]

    def _refuse(self, tip: Cid, source: Source, reason: str, now: float) -> None:
        self.counts["branches_refused"] += 1
        self._events.append(Refused(source, reason))
        self._drop(tip, now)

    def _lose(self, tip: Cid, now: float) -> None:
        """Give a branch up; one that own changes were built on already is asked for again later."""
        self.counts["branches_lost"] += 1
        if tip in self._adopted and tip not in self._heads:
            self._branches.give_up(tip, now)
        else:
            self._drop(tip, now)

    def _drop(self, tip: Cid, now: float) -> None:
        self._branches.give_up(tip, now)
        if tip in self._adopted:
            self._adopted.discard(tip)
            self._remove_head(tip)
        self._draft.delete(self._layout.wanted(store_name(tip)))

    # -- heads -------------------------------------------------------------------------------------------------------

    def _read_heads(self) -> dict[Cid, int]:
        start = len(self._layout.heads)
        return {
            Cid(1, DAG_PB, multihash_of(key[start - 1 :].decode())): read_number(value)
            for key, value in self._draft.below(self._layout.heads)
        }

    def _add_head(self, cid: Cid, height: int) -> None:
        self._heads[cid] = height
        self._draft.put(self._layout.head(store_name(cid)), write_number(height))

    def _remove_head(self, cid: Cid) -> None:
        if self._heads.pop(cid, None) is not None:
            self._draft.delete(self._layout.head(store_name(cid)))

    # -- time --------------------------------------------------------------------------------------------------------

    def deadline(self) -> float:
        """When `wake` wants to be called."""
        return min(self._rebroadcast_at, self._branches.deadline() or self._rebroadcast_at)

    def wake(self, now: float) -> None:
        """Tell of heads that nobody mentioned lately, and give up branches of which nothing comes."""
        for branch in self._branches.overdue(now):
            self._lose(branch.tip, now)
        if now >= self._rebroadcast_at:
            self._told += [each for each in self._heads if each not in self._seen]
            self._seen.clear()
            self._rebroadcast_at = now + self._interval()
            for tip in self._adopted:
                self._branches.start(tip, b"", now)

    def _interval(self) -> float:
        return self._rebroadcast_s * (1 + SPREAD * (2 * self._random() - 1))

    # -- what the host takes -----------------------------------------------------------------------------------------

    def blocks(self) -> list[Block]:
        """Blocks to be stored; they are expected in the store from now on."""
        blocks, self._blocks = list(self._blocks.values()), {}
        return blocks

    def changes(self) -> dict[bytes, bytes | None]:
        """What is to be written, all or none; it is expected in the state from now on."""
        return self._draft.take()

    def broadcasts(self) -> list[bytes]:
        """Messages to publish: one for each local change, or the heads of a rebroadcast."""
        told, self._told = self._told, []
        return [write_broadcast(told[at : at + MAX_HEADS]) for at in range(0, len(told), MAX_HEADS)]

    def events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    # -- blocks ------------------------------------------------------------------------------------------------------

    def _block(self, cid: Cid) -> Block:
        found = self._blocks.get(cid) or self._find(cid)
        if found is None:
            raise StorageError(f"block {cid} of a replica is not in the store any more; repair it")
        return found


def checked_key(key: str) -> str:
    """A clean key. Raises UsageError when it is too long."""
    cleaned = clean_key(key)
    if len(cleaned.encode()) > MAX_KEY_BYTES:
        raise UsageError(f"a key of {len(cleaned.encode())} bytes: at most {MAX_KEY_BYTES}")
    return cleaned


def read_broadcast(data: bytes) -> Sequence[Cid]:
    """The heads in a message; the bare CID of older versions is one. Raises DecodeError."""
    heads = [Cid.from_bytes(each.cid) for each in Broadcast.decode(data).heads]
    return heads if heads or not data else [Cid.from_bytes(data)]


def write_broadcast(heads: Iterable[Cid]) -> bytes:
    """The message that tells of heads."""
    return Broadcast(heads=[Head(cid=each.to_bytes()) for each in heads]).encode()
