"""Storing at the k closest peers without asking each of them first: fewer round trips to a quorum.

A lookup that is to read asks all of the k closest. One that is to write need not: once the beta closest have answered
(`LookupSettings.follow_up` off), the k closest they and the others named are sent the record itself, and what the
follow-up would have taken is saved. A stranger costs several round trips to connect, so connecting starts earlier, as
soon as the k nearest heard of lie as close together as k peers do in this network: by then hardly any will change. The
measure is the own neighbourhood (`RoutingTable.reach`); a liar that invents nearer peers gains a few dials by it.

Order of use: after each step of the lookup take `connections` and `stores`, and report each of the latter by `stored`
or `refused`. Nothing fails when a connection made ahead comes to nothing.
"""

from __future__ import annotations

from typing import Generic

from mesh.protocols.kademlia.key import KEY_BITS, PeerT
from mesh.protocols.kademlia.lookup import Lookup
from mesh.protocols.kademlia.quorum import Acknowledgements, Outcome
from mesh.protocols.kademlia.settings import K

_SLACK = 2
"""The k-th nearest of two keys differ by less than this factor, but for one key in 10,000."""

_EVERYWHERE = 2**KEY_BITS - 1


class Placement(Generic[PeerT]):
    """One record on its way to `count` peers; `needed` acknowledgements make the quorum, their majority by default."""

    __slots__ = ("_acknowledgements", "_connected", "_count", "_lookup", "_needed", "_reach", "_seen")

    def __init__(self, lookup: Lookup[PeerT], reach: int, count: int = K, needed: int | None = None) -> None:
        """`lookup` searches the record's key, without follow-up; `reach` is that of the table for `count`."""
        self._lookup = lookup
        self._reach = reach * _SLACK
        self._count = count
        self._needed = needed
        self._connected: set[PeerT] = set()
        self._seen = -1
        self._acknowledgements: Acknowledgements | None = None

    def connections(self) -> list[PeerT]:
        """Peers to connect to now, each named once; the lookup may be asking some of them already."""
        if self._lookup.finished or self._seen == self._lookup.changes:
            return []
        self._seen = self._lookup.changes
        nearest = self._lookup.nearest(self._count)
        whole = len(nearest) == self._count
        if (nearest[-1].key ^ self._lookup.target_key if whole else _EVERYWHERE) > self._reach:
            return []
        found = [each.peer for each in nearest if each.peer not in self._connected]
        self._connected.update(found)
        return found

    def stores(self) -> list[PeerT]:
        """Whom to send the record to: nobody before the lookup has finished, then everyone at once."""
        if self._acknowledgements is not None or not self._lookup.finished:
            return []
        nearest = [each.peer for each in self._lookup.nearest(self._count)]
        self._acknowledgements = Acknowledgements(len(nearest), self._needed)
        return nearest

    def stored(self) -> Outcome:
        """One of them acknowledged. Raises UsageError for more reports than peers."""
        return self.acknowledgements.accept()

    def refused(self) -> Outcome:
        """One of them refused, or never answered. Raises UsageError for more reports than peers."""
        return self.acknowledgements.refuse()

    @property
    def acknowledgements(self) -> Acknowledgements:
        """The count so far: nobody asked, before the lookup has finished."""
        return self._acknowledgements or Acknowledgements(0, self._needed)
