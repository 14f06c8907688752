"""Networks that peers belong to, and how many peers of one network are let in (go-libp2p-kbucket peerdiversity).

Whoever owns one network can make any number of peer ids in it, but not addresses elsewhere: few peers per network keep
a table from being filled from one place. The groups are go's: an IPv4 /16, or the whole /8 of the few that belong to
one company. For IPv6 go looks the autonomous system up in a database; here the group is the /32, which is what a
registry gives to one provider, needs no database that ages, and is at least as coarse as any block one can rent.

go exempts nothing and rather leaves the filter out of its table for local networks. Here private and loopback
addresses can be exempt, so that one table serves both.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from mesh.multiformats.ip_ranges import is_private
from mesh.multiformats.multiaddr import Multiaddr
from mesh.multiformats.multiaddr_table import IP4, IP6, IP6ZONE

KeyT = TypeVar("KeyT", bound=Hashable)

Groups = tuple[bytes, ...] | None
"""Networks of one peer's addresses, sorted; empty when all are exempt, None when no address has an ip."""

_WHOLE_NETWORKS = frozenset((12, 17, 19, 38, 48, 53, 56, 73))
"""First octets of the IPv4 /8 networks that go counts as one group."""

_MAPPED = bytes(10) + b"\xff\xff"
_NAT64 = bytes.fromhex("0064ff9b") + bytes(8)


def group_of(address: Multiaddr) -> bytes | None:
    """The network of an address: 1 or 2 bytes of IPv4 or 4 of IPv6 prefix; None when it does not start with an ip.

    IPv4 inside IPv6 (mapped or NAT64) counts as IPv4. A relayed address belongs to the network of its relay.
    """
    for component in address.components:
        if component.code == IP4:
            return _group4(component.value)
        if component.code == IP6:
            if component.value.startswith((_MAPPED, _NAT64)):
                return _group4(component.value[12:])
            return component.value[:4]
        if component.code != IP6ZONE:
            return None
    return None


def groups_of(addresses: Iterable[Multiaddr], exempt_near: bool = True) -> Groups:
    """The networks of a peer's addresses, each once; see `Groups`.

    `exempt_near` leaves out private, link-local and loopback addresses. Addresses that start with a name say nothing.
    """
    found = set()
    known = False
    for address in addresses:
        group = group_of(address)
        if group is None:
            continue
        known = True
        if not (exempt_near and is_private(address)):
            found.add(group)
    return tuple(sorted(found)) if known else None


def crowded(answer: Sequence[Groups], limit: int) -> set[bytes]:
    """The groups that more than `limit` peers of one answer belong to.

    A lookup drops all peers of such groups from that answer, as go does. Counting over a whole lookup would let a
    liar push out honest peers by claiming addresses in their networks.
    """
    counts: dict[bytes, int] = {}
    for groups in answer:
        for group in groups or ():
            counts[group] = counts.get(group, 0) + 1
    return {group for group, count in counts.items() if count > limit}


class GroupCounts:
    """How many members of a table belong to each group, in all and per bucket."""

    __slots__ = ("_in_bucket", "_in_table", "max_in_bucket", "max_in_table")

    def __init__(self, max_in_table: int, max_in_bucket: int) -> None:
        self.max_in_table = max_in_table
        self.max_in_bucket = max_in_bucket
        self._in_table: dict[bytes, int] = {}
        self._in_bucket: dict[tuple[int, bytes], int] = {}

    def admits(self, bucket: int, groups: Sequence[bytes], leaving: Groups = None) -> bool:
        """Whether one more member with these groups fits, once a member of the same bucket with `leaving` is gone."""
        for group in groups:
            spared = 1 if leaving is not None and group in leaving else 0
            if self._in_table.get(group, 0) - spared >= self.max_in_table:
                return False
            if self._in_bucket.get((bucket, group), 0) - spared >= self.max_in_bucket:
                return False
        return True

    def add(self, bucket: int, groups: Sequence[bytes]) -> None:
        """Count a new member."""
        for group in groups:
            self._in_table[group] = self._in_table.get(group, 0) + 1
            self._in_bucket[bucket, group] = self._in_bucket.get((bucket, group), 0) + 1

    def discard(self, bucket: int, groups: Sequence[bytes]) -> None:
        """Forget a member counted before."""
        for group in groups:
            _decrease(self._in_table, group)
            _decrease(self._in_bucket, (bucket, group))


def _group4(packed: bytes) -> bytes:
    return packed[:1] if packed[0] in _WHOLE_NETWORKS else packed[:2]


def _decrease(counts: dict[KeyT, int], key: KeyT) -> None:
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]
