"""One peer as the server sees it: what it wants, and which answers wait for it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

from mesh.multiformats.cid import Cid

MAX_WANTS: Final = 1024
PRESENCE_BYTES: Final = 48
"""What a HAVE or DONT_HAVE counts for in a message."""


@dataclass(slots=True)
class Want:
    """A want that a peer told: kept until it is met or cancelled, whether the block is here or not."""

    cid: Cid
    priority: int
    block: bool
    send_dont_have: bool
    order: int


@dataclass(slots=True)
class Answer:
    """What a peer is to be told of a CID: ``size`` bytes of block, or None for a presence."""

    cid: Cid
    size: int | None
    here: bool

    @property
    def cost(self) -> int:
        """Bytes of a message that it takes."""
        return PRESENCE_BYTES if self.size is None else self.size + PRESENCE_BYTES


class Debtor:
    """The wants of a peer, at most `MAX_WANTS`, by binary CID, and its answers by priority."""

    __slots__ = (
        "_answers",
        "_by_least",
        "_by_priority",
        "_order",
        "charged",
        "outstanding_bytes",
        "overflowed",
        "received_bytes",
        "sent_bytes",
        "waiting_bytes",
        "wanted",
        "wants",
    )

    def __init__(self) -> None:
        self.wants: dict[bytes, Want] = {}
        self._answers: dict[bytes, tuple[int, Answer]] = {}
        self._by_priority: list[tuple[int, int, bytes]] = []
        self._by_least: list[tuple[int, int, bytes]] = []
        self._order = 0
        self.charged = 0
        """Bytes on the common scale by which turns are given."""
        self.waiting_bytes = 0
        self.outstanding_bytes = 0
        """Handed out and not yet sent."""
        self.sent_bytes = self.received_bytes = self.wanted = self.overflowed = 0

    @property
    def has_answers(self) -> bool:
        return bool(self._answers)

    def add(self, cid: Cid, priority: int, block: bool, send_dont_have: bool) -> tuple[bool, Want | None]:
        """Remember a want: whether there is room, and which other one of lower priority had to go for it.

        A want for the block stays one when the peer asks for a presence as well.
        """
        name, displaced = cid.to_bytes(), None
        known = self.wants.get(name)
        if known is not None:
            block = block or known.block
        elif len(self.wants) >= MAX_WANTS:
            least = self._least(priority)
            if least is None:
                self.overflowed += 1
                return False, None
            displaced = self.forget(least)
        self._order += 1
        self.wanted += 1
        self.wants[name] = Want(cid, priority, block, send_dont_have, self._order)
        heapq.heappush(self._by_least, (priority, -self._order, name))
        if len(self._by_least) > 2 * MAX_WANTS:
            self._by_least = [(each.priority, -each.order, key) for key, each in self.wants.items()]
            heapq.heapify(self._by_least)
        return True, displaced

    def forget(self, name: bytes) -> Want | None:
        """Drop a want with the answer that waits for it."""
        self._drop_answer(name)
        return self.wants.pop(name, None)

    def owe(self, answer: Answer) -> None:
        """Let an answer to a want wait for its turn; one before it to the same want is dropped."""
        name = answer.cid.to_bytes()
        self._drop_answer(name)
        want = self.wants[name]
        self._order += 1
        self._answers[name] = (self._order, answer)
        self.waiting_bytes += answer.cost
        heapq.heappush(self._by_priority, (-want.priority, self._order, name))

    def next_answer(self, room_bytes: int | None) -> Answer | None:
        """Take the answer of the highest priority; with `room_bytes` only if it fits in there."""
        heap = self._by_priority
        while heap:
            _, order, name = heap[0]
            waiting = self._answers.get(name)
            if waiting is None or waiting[0] != order:
                heapq.heappop(heap)
                continue
            answer = waiting[1]
            if room_bytes is not None and answer.cost > room_bytes:
                return None
            heapq.heappop(heap)
            self._drop_answer(name)
            return answer
        return None

    def _drop_answer(self, name: bytes) -> None:
        waiting = self._answers.pop(name, None)
        if waiting is not None:
            self.waiting_bytes -= waiting[1].cost
        if len(self._by_priority) > 2 * MAX_WANTS:
            live = self._answers
            self._by_priority = [
                each for each in self._by_priority if each[2] in live and live[each[2]][0] == each[1]
            ]
            heapq.heapify(self._by_priority)

    def _least(self, priority: int) -> bytes | None:
        """The newest want of the lowest priority, if that is lower than `priority`."""
        heap = self._by_least
        while heap:
            least, order, name = heap[0]
            want = self.wants.get(name)
            if want is None or want.order != -order:
                heapq.heappop(heap)
                continue
            return name if least < priority else None
        return None
