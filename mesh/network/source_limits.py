"""Connections by the network they come from: so many at once, and new ones no faster than a rate.

IPv4 is counted by address, IPv6 by /56 and /48 (libp2p digest, section 23); IPv4 mapped into IPv6 counts as IPv4 and
loopback is free. A rate is kept as one float a network: the instant at which its bucket is full again.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from itertools import islice
from typing import Final

from mesh.errors import LimitError
from mesh.network.resource_limits import SourceLimits

MAX_NETWORKS: Final = 65_536
"""Networks remembered for their rate, of each size; the one longest unseen is forgotten."""
_LOOPBACK4: Final = 127
_LOOPBACK6: Final = 1
_BITS6: Final = 128


class _Networks:
    """Counts and rates of all networks of one prefix length. ``full_at`` is in order of last use."""

    __slots__ = ("burst_s", "counts", "field", "full_at", "interval_s", "limit", "rate_limit")

    def __init__(self, field: str, limit: int, burst: int, interval_s: float) -> None:
        self.field = field
        self.limit = limit
        self.rate_limit = burst
        self.interval_s = interval_s
        self.burst_s = burst * interval_s
        self.counts: dict[int, int] = {}
        self.full_at: dict[int, float] = {}

    def check_rate(self, network: int, now: float) -> None:
        full_at = self.full_at.get(network, now)
        if self.interval_s and full_at - now + self.interval_s > self.burst_s:
            limit = f"new connections from one network ({self.field})"
            raise LimitError("source", limit, self.rate_limit, f"limits.source.burst_{self.field}")

    def check_count(self, network: int) -> None:
        if self.counts.get(network, 0) >= self.limit:
            limit = f"connections of one network ({self.field})"
            raise LimitError("source", limit, self.limit, f"limits.source.conns_{self.field}")

    def spend(self, network: int, now: float) -> None:
        if not self.interval_s:
            return
        full_at = max(self.full_at.pop(network, now), now)
        self._forget(now)
        self.full_at[network] = full_at + self.interval_s

    def _forget(self, now: float) -> None:
        """Drop two of the longest unseen if their buckets are full again, which says nothing, or if there is no room."""
        for network in list(islice(self.full_at, 2)):
            if self.full_at[network] <= now or len(self.full_at) >= MAX_NETWORKS:
                del self.full_at[network]

    def add(self, network: int) -> None:
        self.counts[network] = self.counts.get(network, 0) + 1

    def remove(self, network: int) -> None:
        left = self.counts[network] - 1
        if left:
            self.counts[network] = left
        else:
            del self.counts[network]


class Sources:
    """What the networks of the world hold here. Addresses are text; None (no address) and loopback are free."""

    __slots__ = ("_ipv4", "_ipv6_48", "_ipv6_56")

    def __init__(self, limits: SourceLimits) -> None:
        self._ipv4 = _Networks("ipv4", limits.conns_ipv4, limits.burst_ipv4, limits.interval_ipv4_s)
        self._ipv6_56 = _Networks(
            "ipv6_56", limits.conns_ipv6_56, limits.burst_ipv6_56, limits.interval_ipv6_56_s
        )
        self._ipv6_48 = _Networks(
            "ipv6_48", limits.conns_ipv6_48, limits.burst_ipv6_48, limits.interval_ipv6_48_s
        )

    def enter(self, address: str | None, inbound: bool, now: float) -> int | None:
        """Count a connection; the result goes to `leave`. Only inbound ones have a rate. Raises `LimitError`, and a
        refused connection counts for nothing."""
        if address is None:
            return None
        ticket = _ticket(address)
        if ticket is None:
            return None
        networks = self._of(ticket)
        if inbound:
            for table, network in networks:
                table.check_rate(network, now)
        for table, network in networks:
            table.check_count(network)
        for table, network in networks:
            table.add(network)
            if inbound:
                table.spend(network, now)
        return ticket

    def leave(self, ticket: int | None) -> None:
        """The connection that `enter` gave this for has ended."""
        if ticket is not None:
            for table, network in self._of(ticket):
                table.remove(network)

    @property
    def networks(self) -> int:
        """Networks with connections now: IPv4 addresses and IPv6 /56."""
        return len(self._ipv4.counts) + len(self._ipv6_56.counts)

    def _of(self, ticket: int) -> tuple[tuple[_Networks, int], ...]:
        """A ticket is the IPv4 address as a number, or -1 minus the number of the IPv6 /56."""
        if ticket >= 0:
            return ((self._ipv4, ticket),)
        network = -ticket - 1
        return ((self._ipv6_56, network), (self._ipv6_48, network >> 8))


@lru_cache(maxsize=1024)
def _ticket(address: str) -> int | None:
    """What an address is counted by, None for one that is free. Who comes often comes from the same few."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    number = int(parsed)
    if isinstance(parsed, IPv6Address):
        return None if number == _LOOPBACK6 else -(number >> (_BITS6 - 56)) - 1
    return None if number >> 24 == _LOOPBACK4 else number
