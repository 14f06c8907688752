"""Limits and times of Kademlia; defaults are go's where it has one (libp2p digest, section 14)."""

from __future__ import annotations

from dataclasses import dataclass

K = 20
"""Replication and bucket size. The public DHT insists on it."""


@dataclass(frozen=True, slots=True)
class TableSettings:
    """Of a `RoutingTable`. Times in seconds."""

    bucket_size: int = K
    """Members of a bucket (k)."""

    max_replacements: int = 10
    """Newcomers to a full bucket that are remembered; the one remembered longest makes room."""

    grace_s: float = 2600.0
    """A member not useful for this long is due for a check, and a newcomer may replace it. go derives this from its
    refresh interval: log(1/k) / log(1 - alpha/k) times 10 minutes."""

    retry_s: float = 60.0
    """A member that failed is due for its next check after this."""

    max_failures: int = 2
    """Failures in a row that remove a member even if nobody waits for its place."""

    diverse: bool = True
    """Whether peers per network are limited; a peer whose network is unknown is refused then."""

    max_per_group: int = 3
    """Members from one network in the table."""

    max_per_group_in_bucket: int = 2
    """Members from one network in a bucket, and again among its replacements."""


@dataclass(frozen=True, slots=True)
class RoundTripSettings:
    """Of `RoundTrips`. Times in seconds."""

    initial_s: float = 2.0
    """Timeout before anything was measured."""

    min_timeout_s: float = 0.5
    max_timeout_s: float = 10.0
    """Bounds of every timeout; go waits 10 seconds for any answer."""

    max_peers: int = 2048
    """Peers remembered one by one; the one not measured for longest is forgotten."""


@dataclass(frozen=True, slots=True)
class LookupSettings:
    """Of a `Lookup`. Times in seconds."""

    k: int = K
    """How many closest peers are wanted."""

    alpha: int = 10
    """Requests at once; 3 in rust and js."""

    beta: int = 3
    """The search ends when this many closest reachable peers have all answered."""

    follow_up: bool = True
    """Whether those of the k closest that were not asked by then are asked as well. Without it the search itself asks
    none but the `alpha` nearest: what others know is of no use to it."""

    paths: int = 1
    """Disjoint paths: each peer is asked on one path only, and learns nothing of the others."""

    request_limit_s: float = 10.0
    """An answer later than this is not used. A request overdue for its own timeout frees its place before."""

    limit_s: float = 60.0
    """The lookup ends after this with what it has."""

    max_requests: int = 256
    """The lookup ends after this many with what it has."""

    max_candidates: int = 1024
    """Peers a lookup remembers; the farthest are forgotten first."""

    max_per_answer: int = K + 1
    """Peers taken from one answer, in the order given; go sends k and the target."""

    max_per_group: int = 0
    """More peers of one network than this in one answer drop out of it (3 in go); 0 for no limit."""

    max_bad_names: int = 5
    """When this many peers that one peer named have failed or are overdue and none of them answered, its others are
    dropped; 0 for never. Another peer may name them again."""


@dataclass(frozen=True, slots=True)
class RefreshSettings:
    """Of a `Refresh`. Times in seconds."""

    interval_s: float = 600.0
    """Each bucket and the own neighbourhood are looked up this often, unless a lookup went there anyway."""

    max_prefix_length: int = 15
    """Deeper buckets are refreshed by the lookup of the own key alone."""

    min_peers: int = 10
    refill_s: float = 120.0
    """With fewer peers than this the node looks for more this often."""
