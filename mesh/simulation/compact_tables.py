"""Routing tables of a million peers in arrays (extra `sim`).

Keys are the first 64 bits of the real ones, sorted; a peer is its place in that order. All peers whose keys share a
prefix stand side by side then, so a bucket is a range, of which a table has k members, or all if they are no more. Only
choices are stored: k numbers of 4 bytes for each bucket that is larger than k. Where buckets have become smaller, near
the own key, the table has everyone, and a range says that.

Which k is not left to even chance, for full nodes do not come by their tables so. They join one after the other, and who
answers keeps its place: members are mostly older than the owner. And most of a bucket comes from the one lookup that
first went there, whose end is a crowd of neighbours: two of 20 are scattered over the bucket, the rest lies side by side.
Taken evenly, lookups would need a sixth fewer hops than those of full nodes do. The two
constants were fitted to full nodes at 1,000 peers, and checked at 300 and 3,000.

Peers that left within the last `notice_s` are still there as ghosts. A table has them until its owner notices, at an
instant of the owner's own: what a network under churn looks like at any moment.
"""

from __future__ import annotations

from bisect import bisect_left
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from mesh.errors import UsageError
from mesh.protocols.kademlia import Candidate
from mesh.simulation.dht_parameters import DhtParameters, name_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BITS = 64
_CHUNK = 1 << 16
_OLDER = 0.75
"""Members are of those who were there when a table was made, the oldest rather: of this share of them."""
_SCATTERED_ONE_IN = 7
"""Of a bucket's members, one in so many lies anywhere in it."""
_MIX = 0x9E3779B97F4A7C15
_WORD = 2**64 - 1


def require_numpy() -> Any:
    """The module. Raises UsageError that names the extra when it is not installed."""
    try:
        import numpy
    except ImportError:
        raise UsageError(
            "the compact engine needs numpy, which is not installed: pip install 'mesh[sim]'"
        ) from None
    return numpy


class CompactTables:
    """Everyone's table. Raises UsageError without numpy."""

    def __init__(self, parameters: DhtParameters, stale: float | None = None) -> None:
        """`stale` is the share of table entries whose peer is gone; by default what churn makes of `notice_s`."""
        numpy = require_numpy()
        self._k = parameters.k
        self._seed = parameters.seed
        self._salt = parameters.seed * _MIX & _WORD
        if stale is None:
            stale = _stale_share(parameters)
        ghosts = round(2 * stale * parameters.peers)
        keys = _keys(numpy, parameters.seed, parameters.peers + ghosts)
        order = numpy.argsort(keys)
        self.keys: NDArray[np.uint64] = keys[order]
        self._ages = self._ghost_ages(numpy, order, parameters.peers, ghosts)
        self.integers: list[int] = self.keys.tolist()
        self.peers = len(self.integers)
        self.levels = _levels(numpy, self.keys, self._k)
        self._members: NDArray[np.int32] = numpy.full(
            (self.peers, self.levels, self._k), -1, dtype=numpy.int32
        )
        self._choose(numpy, _joining_order(numpy, parameters, order))

    @property
    def bytes(self) -> int:
        """Of the arrays."""
        return int(self._members.nbytes + self.keys.nbytes)

    def alive(self, peer: int) -> bool:
        """Whether a peer is there rather than a ghost."""
        return peer not in self._ages

    def members(self, owner: int) -> list[int]:
        """Everyone in a peer's table."""
        found = [peer for peer in self._members[owner].ravel().tolist() if peer >= 0]
        low, high = self._neighbourhood(owner)
        found += [peer for peer in range(low, high) if peer != owner]
        for level in range(self.levels):
            if self._members[owner, level, 0] < 0:
                found += range(*self._range(owner, level))
        return [peer for peer in dict.fromkeys(found) if self._has(owner, peer)]

    def knows(self, owner: int, peer: int) -> bool:
        """Whether a peer's table has another."""
        shared = BITS - (self.integers[owner] ^ self.integers[peer]).bit_length()
        if shared >= self.levels:
            return self._has(owner, peer)
        return peer in self._bucket(owner, shared, owner)

    def closest(self, owner: int, target: int, without: int) -> list[Candidate[int]]:
        """Up to k members nearest to a 64-bit key, nearest first; what a peer answers."""
        key = self.integers[owner]
        shared = BITS - (key ^ target).bit_length()
        found = self._bucket(owner, shared, without) if shared < self.levels else []
        if len(found) < self._k:
            # Next are the deeper buckets, all as near to one another, then the shallower ones in turn.
            for level in range(shared + 1, self.levels):
                found += self._bucket(owner, level, without)
            low, high = self._neighbourhood(owner)
            found += [
                peer for peer in range(low, high) if peer not in (owner, without) and self._has(owner, peer)
            ]
            level = min(shared, self.levels) - 1
            while len(found) < self._k and level >= 0:
                found += self._bucket(owner, level, without)
                level -= 1
        integers = self.integers
        nearest = sorted([integers[peer] ^ target for peer in found])[: self._k]
        place = {integers[peer] ^ target: peer for peer in found}
        return [Candidate(place[far], far ^ target) for far in nearest]

    def nearest(self, target: int, count: int, without: int) -> list[int]:
        """The true answer: the closest peers of all that are there."""
        integers = self.integers
        low, high, bits = 0, len(integers), BITS
        while bits:
            base = target >> (bits - 1) << (bits - 1)
            inner_low = bisect_left(integers, base, low, high)
            inner_high = bisect_left(integers, base + (1 << (bits - 1)), low, high)
            if inner_high - inner_low <= 2 * count:
                break
            low, high, bits = inner_low, inner_high, bits - 1
        there = [peer for peer in range(low, high) if peer != without and self.alive(peer)]
        return sorted(there, key=lambda peer: integers[peer] ^ target)[:count]

    # --- inside ------------------------------------------------------------------------------------------------------

    def _bucket(self, owner: int, level: int, without: int) -> list[int]:
        found: list[int] = self._members[owner, level].tolist()
        if found[0] < 0:
            found = list(range(*self._range(owner, level)))
        if self._ages:
            return [peer for peer in found if peer != without and self._has(owner, peer)]
        return [peer for peer in found if peer != without]

    def _has(self, owner: int, peer: int) -> bool:
        """Whether a table still has someone: a ghost until its owner notices."""
        age = self._ages.get(peer)
        if age is None:
            return True
        mixed = (owner * _MIX ^ (peer + 1) * 0xC2B2AE3D27D4EB4F ^ self._salt) & _WORD
        mixed = (mixed ^ mixed >> 31) * 0xBF58476D1CE4E5B9 & _WORD
        return mixed / 2**64 > age

    def _range(self, owner: int, level: int) -> tuple[int, int]:
        """Whose keys share exactly `level` leading bits with the owner's."""
        shift = BITS - 1 - level
        base = (self.integers[owner] >> shift ^ 1) << shift
        return bisect_left(self.integers, base), bisect_left(self.integers, base + (1 << shift))

    def _neighbourhood(self, owner: int) -> tuple[int, int]:
        """Whose keys share at least `levels` leading bits with the owner's, itself among them."""
        shift = BITS - self.levels
        base = self.integers[owner] >> shift << shift
        return bisect_left(self.integers, base), bisect_left(self.integers, base + (1 << shift))

    def _ghost_ages(self, numpy: Any, order: Any, peers: int, ghosts: int) -> dict[int, float]:
        """Place of each ghost, and how long it has been gone as a share of `notice_s`."""
        places = numpy.nonzero(order >= peers)[0].tolist()
        return {
            place: (number - peers + 0.5) / ghosts
            for place, number in zip(places, order[places].tolist(), strict=True)
        }

    def _choose(self, numpy: Any, joined: Any) -> None:
        """Choose the members of all large buckets. `joined` are the peers in the order in which they came."""
        random = numpy.random.default_rng(self._seed)
        rank = numpy.empty(self.peers, dtype=numpy.float64)
        rank[joined] = numpy.arange(1, self.peers + 1)
        sizes = sorted({min(self.peers, int(2 ** (half / 2))) for half in range(2 * BITS)})
        crowds = [_Crowd(numpy, self.keys, joined[:size]) for size in sizes]
        first = numpy.searchsorted(numpy.array(sizes), rank * _OLDER, side="right").astype(numpy.int16)
        numpy.minimum(first, len(sizes) - 1, out=first)
        for level in range(self.levels):
            waiting = numpy.empty(0, dtype=numpy.int64)
            enough = self._k << (level + 1)
            least = next((number for number, size in enumerate(sizes) if size > enough), len(sizes) - 1)
            begin = numpy.maximum(first, least)
            for number in range(least, len(sizes)):
                owners = numpy.concatenate((waiting, numpy.nonzero(begin == number)[0]))
                parts = [
                    self._fill(numpy, random, level, crowds[number], owners[start : start + _CHUNK])
                    for start in range(0, len(owners), _CHUNK)
                ]
                waiting = numpy.concatenate(parts) if parts else owners

    def _fill(self, numpy: Any, random: Any, level: int, crowd: _Crowd, owners: Any) -> Any:
        """Choose a bucket's members for some owners from those of a crowd; returns owners for whom it is too small."""
        k, keys = self._k, self.keys[owners]
        shift = numpy.uint64(BITS - 1 - level)
        base = ((keys >> shift) ^ numpy.uint64(1)) << shift
        last = base | ((numpy.uint64(1) << shift) - numpy.uint64(1))
        low = numpy.searchsorted(crowd.keys, base, side="left").astype(numpy.int64)
        size = numpy.searchsorted(crowd.keys, last, side="right").astype(numpy.int64) - low
        large = size > k
        low, size, count = low[large], size[large], int(large.sum())
        beside = k - max(k // _SCATTERED_ONE_IN, 1)
        start = (random.random(count) * (size - beside + 1)).astype(numpy.int64)
        rest = size - beside
        chosen = numpy.empty((k, count), dtype=numpy.int64)
        for number in range(k - beside):  # Floyd's sampling without repetition
            top = rest - (k - beside) + number
            pick = numpy.minimum((random.random(count) * (top + 1)).astype(numpy.int64), top)
            if number:
                pick = numpy.where((chosen[:number] == pick).any(axis=0), top, pick)
            chosen[number] = pick
        scattered = chosen[: k - beside]
        scattered += numpy.where(scattered >= start, beside, 0)
        chosen[k - beside :] = start + numpy.arange(beside)[:, None]
        self._members[owners[large], level] = crowd.peers[chosen + low].T
        return owners[~large]


class _Crowd:
    """Those who joined first, in order of their keys."""

    __slots__ = ("keys", "peers")

    def __init__(self, numpy: Any, keys: Any, peers: Any) -> None:
        self.peers: NDArray[np.int32] = numpy.sort(peers).astype(numpy.int32)
        self.keys: NDArray[np.uint64] = keys[self.peers]


def _joining_order(numpy: Any, parameters: DhtParameters, order: Any) -> Any:
    """Places of the peers in the order in which they came; ghosts came at any time."""
    joined = order.astype(numpy.float64)
    ghosts = joined >= parameters.peers
    random = numpy.random.default_rng(parameters.seed + 1)
    joined[ghosts] = random.random(int(ghosts.sum())) * parameters.peers
    return numpy.argsort(joined, kind="stable")


def _keys(numpy: Any, seed: int, count: int) -> Any:
    """The first 64 bits of the keys of the peers, by number; the same as in the other engine."""
    digests = b"".join(sha256(name_of(seed, number)).digest()[:8] for number in range(count))
    keys = numpy.frombuffer(digests, dtype=">u8").astype(numpy.uint64)
    if len(numpy.unique(keys)) != count:
        raise UsageError(f"seed {seed} gives two peers the same 64 bits: take another")
    return keys


def _levels(numpy: Any, keys: Any, k: int) -> int:
    """How many levels have a bucket with more than k peers."""
    level = 0
    while level < BITS:
        _, counts = numpy.unique(keys >> numpy.uint64(BITS - 1 - level), return_counts=True)
        if counts.max() <= k:
            break
        level += 1
    return level


def _stale_share(parameters: DhtParameters) -> float:
    """Departures of a notice time, half of which each table still has."""
    if not parameters.keep_warm:
        raise UsageError("without kept connections the share of stale entries has to be given")
    probes = (parameters.keepalive_s / 2 + parameters.keepalive_limit_s) / 3600
    return parameters.churn * probes
