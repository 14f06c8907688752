"""One peer as the client sees it: what it was asked for, what has still to be told, how quick it is."""

from __future__ import annotations

from typing import Final

from mesh.codecs.bitswap import Entry
from mesh.identity.peer_id import PeerId
from mesh.protocols.bitswap.version import Version

MOST_ASKED: Final = 256
ASKED_BYTES: Final = 16 * 1024 * 1024
"""So many blocks, and about so many bytes, are asked of a peer at a time; at least `LEAST_ASKED` blocks."""
LEAST_ASKED: Final = 8
CANCEL_PAUSE_S: Final = 0.02
"""Cancels wait so long for others to go with them."""
SHORTEST_PATIENCE_S: Final = 2.0
LONGEST_PATIENCE_S: Final = 10.0
UNKNOWN_LATENCY_S: Final = 0.2
_ENTRIES_AT_ONCE: Final = 4096


class Supplier:
    """``asked`` are the multihashes it is to send the blocks of; ``useful`` once it had something we wanted."""

    __slots__ = (
        "_block_bytes",
        "_entries",
        "_full",
        "_latency_s",
        "_urgent",
        "asked",
        "cancel_at",
        "failed_at",
        "failures",
        "heard_at",
        "peer",
        "received",
        "received_bytes",
        "unwanted_bytes",
        "version",
    )

    def __init__(self, peer: PeerId, version: Version, now: float) -> None:
        self.peer = peer
        self.version = version
        self.asked: dict[bytes, None] = {}
        self._entries: dict[bytes, Entry] = {}
        self._full = True
        self._urgent = False
        self._latency_s: float | None = None
        self._block_bytes = 0.0
        self.cancel_at: float | None = None
        self.heard_at = now
        self.failures = 0
        """Times in a row that it let us wait in vain."""
        self.failed_at = now
        self.received = self.received_bytes = self.unwanted_bytes = 0

    @property
    def useful(self) -> bool:
        return self.received > 0

    @property
    def latency_s(self) -> float:
        """A mean of recent answers' times."""
        return UNKNOWN_LATENCY_S if self._latency_s is None else self._latency_s

    @property
    def patience_s(self) -> float:
        """Without an answer for so long it is taken to have none; longer for one that answered late before."""
        patience_s = max(SHORTEST_PATIENCE_S, 8 * self.latency_s) * float(1 << min(self.failures, 3))
        return min(LONGEST_PATIENCE_S, patience_s)

    @property
    def has_room(self) -> bool:
        """Whether it may be asked for one more block."""
        count = len(self.asked)
        if count < LEAST_ASKED:
            return True
        return count < MOST_ASKED and (count + 1) * self._block_bytes <= ASKED_BYTES

    @property
    def rank(self) -> tuple[int, float]:
        """Least first: who is reliable, then who probably answers soonest."""
        return self.failures, self.latency_s * (1 + len(self.asked))

    def answered(self, after_s: float | None, now: float) -> None:
        """It said something that we wanted, so long after it was asked if that is known."""
        self.heard_at = now
        self.failures = 0
        if after_s is not None:
            self._latency_s = after_s if self._latency_s is None else 0.75 * self._latency_s + 0.25 * after_s

    def let_wait(self, asked_at: float, now: float) -> None:
        """It did not answer what it was asked then; many such at a time are one failure."""
        if asked_at >= self.failed_at:
            self.failures += 1
            self.failed_at = now

    def gave(self, size: int) -> None:
        """A block that we wanted."""
        self._block_bytes = 0.75 * self._block_bytes + 0.25 * size if self.received else float(size)
        self.received += 1
        self.received_bytes += size

    # -- what it is told ---------------------------------------------------------------------------------------------

    def tell(self, entry: Entry) -> None:
        """A want; it takes the place of what was to be told of the same CID."""
        self._entries.pop(entry.block, None)
        self._entries[entry.block] = entry
        self._urgent = True

    def cancel(self, cid: bytes, now: float) -> None:
        """The end of a want."""
        self._entries.pop(cid, None)
        self._entries[cid] = Entry(block=cid, cancel=True)
        if self.cancel_at is None:
            self.cancel_at = now + CANCEL_PAUSE_S

    def wake(self, now: float) -> None:
        """Time has passed: cancels may have waited long enough."""
        if self.cancel_at is not None and now >= self.cancel_at:
            self.cancel_at = None
            self._urgent = True

    @property
    def due(self) -> bool:
        """Whether there is something to tell it that does not wait."""
        return self._urgent

    def take(self) -> tuple[list[Entry], bool]:
        """What to tell it now, and whether that is all it should know; nothing is kept for a second time."""
        names = list(self._entries)[:_ENTRIES_AT_ONCE]
        entries = [self._entries.pop(each) for each in names]
        if not self._entries:
            self.cancel_at, self._urgent = None, False
        full, self._full = self._full, False
        return entries, full

    def restart(self) -> None:
        """A new stream: it is told everything anew, all else is forgotten."""
        self._entries.clear()
        self.cancel_at, self._urgent = None, False
        self._full = True
