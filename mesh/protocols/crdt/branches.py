"""What is missing below heads that were heard of, and in which order what came can be merged.

A branch is a head that is not merged, and what lies below it. A node waits for its links; when the last of them is
merged it is ready. A node that several branches need belongs to the one that asked for it first; when that one is given
up, the others ask again for what they still need. Nodes are named by their CIDs, whose versions do not matter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from mesh.multiformats.cid import DAG_PB, Cid
from mesh.protocols.crdt.delta import Change

Source = bytes
"""Who told of a head: whatever names a peer; empty for nobody in particular."""

MAX_BRANCHES: Final = 1024
MAX_BRANCHES_OF_SOURCE: Final = 64
MAX_NODES: Final = 250_000
"""Of one branch, not yet merged."""
MAX_BRANCH_BYTES: Final = 1024 * 1024 * 1024
PATIENCE_S: Final = 300.0
"""A branch of which nothing comes for so long is given up; the next broadcast brings it back."""
KEPT_BYTES: Final = 32 * 1024 * 1024
"""Of changes that wait for others; what is above is read from the block store again."""
CHANGE_BYTES: Final = 512
"""What a change takes in memory besides the bytes of its block."""


@dataclass(slots=True)
class Branch:
    """One head and what is known below it."""

    tip: Cid
    source: Source
    deadline: float
    nodes: set[Cid] = field(default_factory=set)
    size_bytes: int = 0


@dataclass(slots=True)
class _Waiting:
    """A node that was asked for (`links` is None) or that came."""

    branch: Cid
    links: tuple[Cid, ...] | None = None
    size_bytes: int = 0
    change: Change | None = None
    missing: int = 0
    above: list[Cid] = field(default_factory=list)


class Branches:
    """All branches of a replica. `is_merged` tells of nodes that are in its state."""

    __slots__ = ("_asked", "_branches", "_is_merged", "_kept_bytes", "_nodes", "_ready")

    def __init__(self, is_merged: Callable[[Cid], bool]) -> None:
        self._is_merged = is_merged
        self._branches: dict[Cid, Branch] = {}
        self._nodes: dict[Cid, _Waiting] = {}
        self._ready: deque[Cid] = deque()
        self._asked: dict[Cid, None] = {}
        self._kept_bytes = 0

    def __len__(self) -> int:
        return len(self._branches)

    @property
    def waiting(self) -> int:
        """Nodes that are not merged, whether they came or not."""
        return len(self._nodes)

    def awaited(self) -> list[Cid]:
        """Those nodes."""
        return list(self._nodes)

    def has(self, tip: Cid) -> bool:
        """Whether a head has a branch already."""
        return canonical(tip) in self._branches

    def has_room(self, source: Source) -> bool:
        """Whether another head of this source can be followed."""
        if len(self._branches) >= MAX_BRANCHES:
            return False
        return sum(each.source == source for each in self._branches.values()) < MAX_BRANCHES_OF_SOURCE

    def start(self, tip: Cid, source: Source, now: float) -> None:
        """Follow a head that is not merged."""
        tip = canonical(tip)
        branch = self._branches.setdefault(tip, Branch(tip, source, now + PATIENCE_S))
        if tip not in self._nodes:
            self._ask(tip, branch)

    def asked(self) -> list[Cid]:
        """Nodes to be fetched, each once."""
        asked, self._asked = list(self._asked), {}
        return asked

    def wants(self, cid: Cid) -> bool:
        """Whether a node is waited for."""
        node = self._nodes.get(canonical(cid))
        return node is not None and node.links is None

    def owner(self, cid: Cid) -> Branch:
        """The branch that a node is waited for by."""
        return self._branches[self._nodes[canonical(cid)].branch]

    def add(self, change: Change, size_bytes: int, now: float) -> bool:
        """A node that was waited for has come; False when its branch is too long now."""
        cid = canonical(change.cid)
        node, branch = self._nodes[cid], self.owner(cid)
        node.links = tuple(dict.fromkeys(map(canonical, change.links)))
        node.size_bytes = size_bytes
        branch.deadline = now + PATIENCE_S
        branch.size_bytes += size_bytes
        if self._kept_bytes + size_bytes + CHANGE_BYTES <= KEPT_BYTES:
            node.change = change
            self._kept_bytes += size_bytes + CHANGE_BYTES
        for link in node.links:
            below = self._nodes.get(link)
            if below is None:
                if self._is_merged(link):
                    continue
                below = self._ask(link, branch)
            below.above.append(cid)
            node.missing += 1
        if not node.missing:
            self._ready.append(cid)
        return len(branch.nodes) <= MAX_NODES and branch.size_bytes <= MAX_BRANCH_BYTES

    def next_ready(self) -> tuple[Cid, Change | None] | None:
        """A node with nothing missing below it, and the change if it is still held; None when there is none."""
        while self._ready:
            cid = self._ready.popleft()
            node = self._nodes.get(cid)
            if node is not None and node.links is not None and not node.missing:
                return cid, node.change
        return None

    def merged(self, cid: Cid) -> bool:
        """A node is in the state now, whether it was waited for or not; says whether it was a branch's head."""
        cid = canonical(cid)
        node = self._forget(cid)
        if node is not None:
            for above in node.above:
                waiting = self._nodes.get(above)
                if waiting is None:
                    continue
                waiting.missing -= 1
                if not waiting.missing:
                    self._ready.append(above)
        return self._branches.pop(cid, None) is not None

    def give_up(self, tip: Cid, now: float) -> None:
        """Forget a branch; others that need some of its nodes ask for them again."""
        branch = self._branches.pop(canonical(tip), None)
        if branch is None:
            return
        orphans = [above for cid in branch.nodes for above in self._above(cid, branch.nodes)]
        for cid in list(branch.nodes):
            node = self._forget(cid)
            for link in (node.links or ()) if node is not None else ():
                below = self._nodes.get(link)
                if below is not None and cid in below.above:
                    below.above.remove(cid)
        for above in orphans:
            waiting = self._nodes.get(above)
            if waiting is not None:
                self._await(above, waiting)
        for other in self._branches.values():
            if other.tip not in self._nodes:
                self._ask(other.tip, other)
                other.deadline = now + PATIENCE_S

    def overdue(self, now: float) -> list[Branch]:
        """Branches whose patience has ended."""
        return [each for each in self._branches.values() if each.deadline <= now]

    def deadline(self) -> float | None:
        return min((each.deadline for each in self._branches.values()), default=None)

    def _above(self, cid: Cid, besides: set[Cid]) -> Iterable[Cid]:
        return [each for each in self._nodes[cid].above if each not in besides]

    def _await(self, cid: Cid, node: _Waiting) -> None:
        """Count again what a node waits for, asking for what nobody waits for any more."""
        branch = self._branches[node.branch]
        node.missing = 0
        for link in node.links or ():
            below = self._nodes.get(link)
            if below is None:
                if self._is_merged(link):
                    continue
                below = self._ask(link, branch)
            if cid not in below.above:
                below.above.append(cid)
            node.missing += 1

    def _ask(self, cid: Cid, branch: Branch) -> _Waiting:
        node = self._nodes[cid] = _Waiting(branch.tip)
        branch.nodes.add(cid)
        self._asked[cid] = None
        return node

    def _forget(self, cid: Cid) -> _Waiting | None:
        node = self._nodes.pop(cid, None)
        self._asked.pop(cid, None)
        if node is None:
            return None
        if not self._nodes:
            self._nodes = {}
        if node.change is not None:
            self._kept_bytes -= node.size_bytes + CHANGE_BYTES
        branch = self._branches.get(node.branch)
        if branch is not None:
            branch.nodes.discard(cid)
            branch.size_bytes -= node.size_bytes
        return node


def canonical(cid: Cid) -> Cid:
    """The name under which a node is known, whatever version of CID it is linked by."""
    return cid.to_v1() if cid.codec == DAG_PB else cid
