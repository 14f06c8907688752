"""When to look up what, so that the table stays full and fresh (libp2p specs kad-dht, "Bootstrap process").

Joining is a lookup of the own key, then of a key in every bucket; later each of them again every `interval_s`, as in
go. Targets are made from entropy that the caller brings.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from itertools import count

from mesh.errors import UsageError
from mesh.protocols.kademlia.key import KEY_BITS, KEY_BYTES, common_prefix_length
from mesh.protocols.kademlia.settings import RefreshSettings

_PEER_ID_PREFIX = b"\x12\x20"
"""Makes 32 bytes look like a peer id, which some implementations demand of a FIND_NODE key."""


@dataclass(frozen=True, slots=True)
class OwnNeighbourhood:
    """Look the own key up."""


@dataclass(frozen=True, slots=True)
class BucketRefresh:
    """Look up some key that shares exactly `prefix_length` leading bits with ours."""

    prefix_length: int


@dataclass(frozen=True, slots=True)
class Refill:
    """Too few peers: dial the bootstrap peers again, then look the own key up."""


Due = OwnNeighbourhood | BucketRefresh | Refill


class Refresh:
    """The schedule of one node. Times in seconds of the caller's clock."""

    __slots__ = (
        "_joined",
        "_local_key",
        "_refilled_at",
        "_refreshed_at",
        "_self_at",
        "_settings",
        "_started_at",
    )

    def __init__(self, local_key: int, settings: RefreshSettings, now: float) -> None:
        self._local_key = local_key
        self._settings = settings
        self._started_at = self._refilled_at = now
        self._joined = False
        self._self_at = now
        self._refreshed_at: dict[int, float] = {}

    def due(self, now: float, peers: int, deepest: int) -> list[Due]:
        """What to look up now, in this order; report each by `done`.

        `peers` and `deepest` are the table's size and the longest prefix in it (-1 when it is empty). Until the first
        lookup of the own key is done nothing but that is due, and nothing at all without a peer to ask but a `Refill`.
        """
        settings = self._settings
        found: list[Due] = []
        if peers < settings.min_peers and now >= self._refilled_at + settings.refill_s:
            found.append(Refill())
        if peers == 0:
            return found
        if not self._joined:
            return [*found, OwnNeighbourhood()]
        if now >= self._self_at + settings.interval_s:
            found.append(OwnNeighbourhood())
        depths = range(self._depth(deepest) + 1)
        return found + [BucketRefresh(length) for length in depths if now >= self._bucket_at(length)]

    def done(self, what: Due, now: float) -> None:
        """A lookup that was due has been made, whatever came of it."""
        if isinstance(what, BucketRefresh):
            self._refreshed_at[what.prefix_length] = now
        elif isinstance(what, Refill):
            self._refilled_at = now
        else:
            self._joined = True
            self._self_at = now

    def looked_up(self, key: int, now: float) -> None:
        """A lookup for another reason went to `key`: its bucket needs no refresh for a while."""
        length = common_prefix_length(key, self._local_key)
        if length <= self._settings.max_prefix_length:
            self._refreshed_at[length] = now

    def hurry(self) -> None:
        """Start over, for instance when the network came back: everything is due again."""
        self._joined = False
        self._refreshed_at.clear()

    def deadline(self, peers: int, deepest: int) -> float:
        """The next instant at which `due` may have something; not after now means at once."""
        settings = self._settings
        times = [] if peers else [self._refilled_at + settings.refill_s]
        if peers:
            if peers < settings.min_peers:
                times.append(self._refilled_at + settings.refill_s)
            if not self._joined:
                times.append(self._started_at)
            else:
                times.append(self._self_at + settings.interval_s)
                times += [self._bucket_at(length) for length in range(self._depth(deepest) + 1)]
        return min(times)

    def _depth(self, deepest: int) -> int:
        return min(deepest, self._settings.max_prefix_length)

    def _bucket_at(self, length: int) -> float:
        """When a bucket is due: at once if it never was looked up."""
        refreshed_at = self._refreshed_at.get(length)
        return self._started_at if refreshed_at is None else refreshed_at + self._settings.interval_s


def key_in_bucket(local_key: int, prefix_length: int, entropy: bytes) -> int:
    """A key that shares exactly `prefix_length` (0 to 255) leading bits with ours; the rest is from 32 bytes of entropy.

    Nobody knows bytes that hash to it: for the wire take `target_in_bucket`. Raises UsageError.
    """
    if not 0 <= prefix_length < KEY_BITS or len(entropy) != KEY_BYTES:
        raise UsageError(f"prefix of {prefix_length} bits (0 to 255), {len(entropy)} bytes of entropy (32)")
    free = KEY_BITS - prefix_length - 1
    rest = int.from_bytes(entropy, "big") & (1 << free) - 1
    return ((local_key >> free) ^ 1) << free | rest


def target_in_bucket(
    local_key: int, prefix_length: int, entropy: bytes, attempts: int | None = None
) -> bytes | None:
    """Bytes whose key shares exactly `prefix_length` leading bits with ours, shaped like a peer id.

    Found by hashing on from 32 bytes of entropy: 2^(prefix_length + 1) hashes on average, about 1 ms for 10 bits and
    50 ms for 15. None when so many ``attempts`` were not enough: go on with other entropy. Raises UsageError above 20
    bits.
    """
    if not 0 <= prefix_length <= 20 or len(entropy) != KEY_BYTES:
        raise UsageError(f"prefix of {prefix_length} bits (0 to 20), {len(entropy)} bytes of entropy (32)")
    shift = 32 - prefix_length - 1
    wanted = (local_key >> KEY_BITS - 32 >> shift) ^ 1
    start = sha256(_PEER_ID_PREFIX + entropy[:24])
    number = int.from_bytes(entropy[24:], "big")
    for _ in count() if attempts is None else range(attempts):
        tail = (number & 2**64 - 1).to_bytes(8, "big")
        attempt = start.copy()
        attempt.update(tail)
        if int.from_bytes(attempt.digest()[:4], "big") >> shift == wanted:
            return _PEER_ID_PREFIX + entropy[:24] + tail
        number += 1
    return None
