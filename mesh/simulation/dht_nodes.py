"""One Kademlia node of a simulation: the real table, timeouts and refresh schedule, and what it answers.

Nodes are numbers; a number is never used again, so who left and who came are different peers.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from mesh.protocols.kademlia import (
    Candidate,
    Refresh,
    RefreshSettings,
    RoundTrips,
    RoutingTable,
    key_of,
)
from mesh.simulation.dht_parameters import DhtParameters, name_of


class Request(Enum):
    """What one node asks another."""

    FIND = "find node"
    GET = "get"
    PUT = "put"
    PING = "ping"


class Answer(NamedTuple):
    """Peers nearer to the key, and who registered it."""

    closer: list[Candidate[int]]
    owners: tuple[int, ...] = ()


FORGED = -1
"""An owner that is none: a record whose signature does not hold."""
_NOTHING = Answer([])


class DhtNode:
    """State of one node. Times in seconds of the world's clock, expiries in its milliseconds."""

    __slots__ = (
        "_ttl_ms",
        "alive",
        "candidate",
        "held",
        "joined",
        "k",
        "key",
        "number",
        "refresh",
        "table",
        "trips",
    )

    def __init__(self, parameters: DhtParameters, number: int, now_s: float) -> None:
        name = name_of(parameters.seed, number)
        self.number = number
        self.key = key_of(name)
        self.candidate = Candidate(number, self.key)
        self.table: RoutingTable[int] = RoutingTable(name, parameters.table_settings())
        self.trips: RoundTrips[int] = RoundTrips()
        self.refresh = Refresh(self.key, RefreshSettings(), now_s)
        self.held: dict[int, dict[int, int]] = {}
        """Key to owners, each with the expiry of its registration."""
        self.alive = True
        self.joined = False
        self.k = parameters.k
        self._ttl_ms = int(parameters.ttl_s * 1000)

    def serve(self, request: Request, key: int, asker: Candidate[int], now_ms: int) -> Answer:
        """Answer a request that arrived."""
        if request is Request.PING:
            return _NOTHING
        if request is Request.PUT:
            self.held.setdefault(key, {})[asker.peer] = now_ms + self._ttl_ms
            return _NOTHING
        exclude = (asker.key,) if asker.peer in self.table else ()
        closer = [entry.candidate for entry in self.table.closest(key, self.k, exclude)]
        if request is Request.FIND:
            return Answer(closer)
        return Answer(closer, self.owners(key, now_ms))

    def owners(self, key: int, now_ms: int) -> tuple[int, ...]:
        """Who registered a key here and has not expired."""
        return tuple(owner for owner, expiry in self.held.get(key, {}).items() if expiry > now_ms)
