"""When to announce again what we provide: keys go by region of the keyspace, and the regions share the interval evenly.

Keys whose SHA-256 begins with the same bits have the same closest peers, so one lookup serves them all. Each region has
its moment in the interval, in the order of the keyspace: the load is even, and an addition or removal moves no other key.
Moments count from the Unix epoch, hence stay the same when the node starts again. Pure: times are arguments, in Unix
seconds; what is overdue, or was never announced, is handed out first.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from dataclasses import dataclass
from typing import Final

from mesh.errors import UsageError
from mesh.protocols.kademlia.providers import REPUBLISH_S

MAX_REGION_BITS: Final = 24
NEVER: Final = -math.inf


@dataclass(frozen=True, slots=True)
class Batch:
    """Keys to announce together, in the order of the keyspace. Their SHA-256 begin with the `bits` bits of `region`."""

    region: int
    bits: int
    keys: tuple[bytes, ...]


def region_bits(network_peers: int, replication: int = 20) -> int:
    """How many bits make regions of about `replication` peers in a network of so many."""
    return max(0, min(MAX_REGION_BITS, (network_peers // max(replication, 1)).bit_length() - 1))


class ReprovideSweep:
    """The plan. `take` hands out what is due and counts it as announced; `retry` takes it back after a failure."""

    def __init__(self, interval_s: float = REPUBLISH_S, bits: int = 0) -> None:
        """Raises UsageError for an interval that is not positive, and for bits outside 0 to 24."""
        if not 0 < interval_s < math.inf:
            raise UsageError(f"the interval is {interval_s} seconds")
        self._interval_s = interval_s
        self._keys: dict[bytes, bytes] = {}
        self._set_bits(bits)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    @property
    def bits(self) -> int:
        return self._bits

    def add(self, key: bytes, announced: float = NEVER) -> None:
        """Plan a key that was last announced at that time; a known key takes the new time over.

        Raises UsageError for a time that is neither finite nor NEVER.
        """
        if announced != NEVER and not math.isfinite(announced):
            raise UsageError(f"{announced} is no time of an announcement")
        place = self._keys.setdefault(key, hashlib.sha256(key).digest())
        self._plan(self._region(place), key, announced)

    def remove(self, key: bytes) -> None:
        """Forget a key; nothing happens for an unknown one."""
        place = self._keys.pop(key, None)
        if place is not None:
            region = self._region(place)
            times = self._regions[region]
            del times[key]
            if not times:
                del self._regions[region]
                del self._scheduled[region]

    def resize(self, bits: int) -> None:
        """Divide the keyspace anew, when the network has grown or shrunk. Raises UsageError outside 0 to 24."""
        times = {key: at for region in self._regions.values() for key, at in region.items()}
        self._set_bits(bits)
        for key, at in times.items():
            self._plan(self._region(self._keys[key]), key, at)

    def deadline(self) -> float | None:
        """When to call `take`; in the past when something is overdue, None without keys."""
        while self._due:
            at, region = self._due[0]
            if self._scheduled.get(region) == at:
                return at
            heapq.heappop(self._due)
        return None

    def take(self, now: float, max_keys: int = 4096) -> Batch | None:
        """The keys of the region that is due longest, counted as announced `now`; None when nothing is due.

        A region with more keys than `max_keys` comes in several batches.
        """
        while (at := self.deadline()) is not None and at <= now:
            region = heapq.heappop(self._due)[1]
            times = self._regions[region]
            due = [key for key, announced in times.items() if self._moment(region, announced) <= now]
            keys = tuple(sorted(due, key=self._keys.__getitem__)[:max_keys])
            for key in keys:
                times[key] = now
            del self._scheduled[region]
            self._schedule(region, self._moment(region, min(times.values())))
            if keys:
                return Batch(region, self._bits, keys)
        return None

    def retry(self, batch: Batch) -> None:
        """Count the keys of a batch as never announced, so that they are due at once. Unknown ones stay unknown."""
        for key in batch.keys:
            if key in self._keys:
                self.add(key, NEVER)

    # -- within ------------------------------------------------------------------------------------------------------

    def _set_bits(self, bits: int) -> None:
        if not 0 <= bits <= MAX_REGION_BITS:
            raise UsageError(f"regions have 0 to {MAX_REGION_BITS} bits, not {bits}")
        self._bits = bits
        self._regions: dict[int, dict[bytes, float]] = {}
        self._scheduled: dict[int, float] = {}
        self._due: list[tuple[float, int]] = []

    def _region(self, place: bytes) -> int:
        return int.from_bytes(place[:4], "big") >> (32 - self._bits)

    def _plan(self, region: int, key: bytes, announced: float) -> None:
        self._regions.setdefault(region, {})[key] = announced
        self._schedule(region, self._moment(region, announced))

    def _schedule(self, region: int, at: float) -> None:
        """Have the region looked at by then; entries of the heap that this makes late are passed over."""
        if at < self._scheduled.get(region, math.inf):
            self._scheduled[region] = at
            heapq.heappush(self._due, (at, region))

    def _moment(self, region: int, announced: float) -> float:
        """The region's first moment after an announcement."""
        if announced == NEVER:
            return NEVER
        offset = region / (1 << self._bits) * self._interval_s
        at = (math.floor((announced - offset) / self._interval_s) + 1) * self._interval_s + offset
        return at if at > announced else at + self._interval_s
