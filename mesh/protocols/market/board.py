"""All listings that a node knows: which word counts against which. Times are arguments, Unix seconds.

The real node lets anybody overwrite and remove any listing, with old words too (section 7.4). Here the word of a seller,
signed or said by that very peer, counts above hearsay; among words of one worth the later counts. The replicated mapping
is left as it is: only what is shown and bought follows these rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final

from mesh.errors import UsageError
from mesh.protocols.market.listing import DELIST, Listing, ListingMessage, same_offer
from mesh.protocols.market.naming import is_owned
from mesh.protocols.market.signing import is_proven

MAX_LISTINGS: Final = 50_000
MAX_OF_A_SELLER: Final = 1000
"""Listings that are verified, of one seller; hearsay cannot use up what a seller may list."""
MAX_WITHDRAWN: Final = 10_000
STALE_S: Final = 300.0
"""A seller's unsigned word that it did not repeat for so long gives way to newer hearsay of the same seller."""
MAX_AHEAD_S: Final = 600
"""A timestamp further ahead of our clock counts as none."""
SORTS: Final = ("name", "price", "capability", "seller", "age")


class Trust(IntEnum):
    """Whose word a listing is."""

    HEARSAY = 0
    SELLER = 1
    """The seller said it over a connection, or in a message of the topic, of its own."""
    SIGNED = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """A listing, whose word it is, and when it was heard last."""

    listing: Listing
    trust: Trust
    heard_s: float

    @property
    def verified(self) -> bool:
        return self.trust > Trust.HEARSAY


@dataclass(frozen=True, slots=True)
class Query:
    """Which listings are wanted: ``text`` in name, id or a capability (any case), a capability, a seller, a highest
    price; and in which order. Raises UsageError for another order."""

    text: str = ""
    capability: str = ""
    seller: str = ""
    max_price: float | None = None
    verified: bool = False
    sort: str = "name"
    reverse: bool = False

    def __post_init__(self) -> None:
        if self.sort not in SORTS:
            raise UsageError(f"{self.sort[:32]!r} is no order of listings: {', '.join(SORTS)}")


class Board:
    """Listings by agent id, at most 50,000; hearsay that was not heard for longest makes room. What its seller withdrew
    comes back by the seller's word alone."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._sellers: Counter[str] = Counter()
        self._withdrawn: dict[str, tuple[str, int]] = {}
        self.refused = 0
        """Words that did not count against what was known."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, agent_id: str) -> Entry | None:
        """The agent with that id, or with that id behind a seller's."""
        entry = self._entries.get(agent_id)
        if entry is None and "/" in agent_id:
            entry = self._entries.get(agent_id.rpartition("/")[2])
        return entry

    def hear(self, message: ListingMessage, said_by: str, now_s: float) -> bool:
        """Apply an announcement that the peer ``said_by`` wrote; whether anything changed."""
        listing = message.listing
        if message.type == DELIST:
            return self._withdraw(listing, said_by)
        return self.put(listing, said_by, now_s)

    def put(self, listing: Listing, said_by: str, now_s: float) -> bool:
        """Take in a listing that the peer ``said_by`` told of, or nobody (``""``); whether anything changed."""
        if listing.timestamp > now_s + MAX_AHEAD_S:
            listing = replace(listing, timestamp=0, signature="")
        old = self._entries.get(listing.id)
        if old is not None and old.trust is Trust.SIGNED and old.listing == listing:
            self._entries[listing.id] = replace(old, heard_s=max(old.heard_s, now_s))
            return False
        trust = _trust_of(listing, said_by)
        full = trust > Trust.HEARSAY and self._sellers[listing.seller_id] >= MAX_OF_A_SELLER
        if not self._counts(listing, trust, old, now_s) or (full and (old is None or not old.verified)):
            self.refused += 1
            return False
        self._remove(listing.id)
        self._entries[listing.id] = entry = Entry(listing, trust, now_s)
        if entry.verified:
            self._sellers[listing.seller_id] += 1
        if len(self._entries) > MAX_LISTINGS:
            self._make_room()
        return old is None or not same_offer(old.listing, listing) or old.trust != trust

    def drop(self, agent_id: str) -> bool:
        """Forget a listing that left the replicated mapping."""
        return self._remove(agent_id)

    def find(self, query: Query) -> list[Entry]:
        """Those wanted, in order."""
        found = [entry for entry in self._entries.values() if _fits(entry, query)]
        return sorted(found, key=_ORDERS[query.sort], reverse=query.reverse)

    def _counts(self, listing: Listing, trust: Trust, old: Entry | None, now_s: float) -> bool:
        withdrawn = self._withdrawn.get(listing.id)
        if withdrawn is not None and (not trust or listing.timestamp <= withdrawn[1]):
            return False
        if old is None or trust > old.trust:
            return True
        same_seller = listing.seller_id == old.listing.seller_id
        newer = listing.timestamp >= old.listing.timestamp
        if trust == old.trust:
            return newer or not same_seller
        stale = old.trust is Trust.SELLER and now_s - old.heard_s > STALE_S
        return stale and same_seller and newer

    def _withdraw(self, listing: Listing, said_by: str) -> bool:
        old = self._entries.get(listing.id)
        proven = is_proven(listing, DELIST) or (said_by == listing.seller_id and is_owned(listing))
        if proven:
            self._withdrawn.pop(listing.id, None)
            self._withdrawn[listing.id] = (listing.seller_id, listing.timestamp)
            if len(self._withdrawn) > MAX_WITHDRAWN:
                del self._withdrawn[next(iter(self._withdrawn))]
        older = old is not None and proven and listing.timestamp < old.listing.timestamp
        if old is None or older or (old.verified and not proven):
            self.refused += old is not None
            return False
        return self._remove(listing.id)

    def _make_room(self) -> None:
        hearsay = (name for name, entry in self._entries.items() if not entry.verified)
        self._remove(next(hearsay, next(iter(self._entries))))

    def _remove(self, agent_id: str) -> bool:
        entry = self._entries.pop(agent_id, None)
        if entry is not None and entry.verified:
            self._sellers[entry.listing.seller_id] -= 1
            if not self._sellers[entry.listing.seller_id]:
                del self._sellers[entry.listing.seller_id]
        return entry is not None


def _trust_of(listing: Listing, said_by: str) -> Trust:
    if is_proven(listing):
        return Trust.SIGNED
    said_itself = bool(said_by) and said_by == listing.seller_id and is_owned(listing)
    return Trust.SELLER if said_itself else Trust.HEARSAY


def _fits(entry: Entry, query: Query) -> bool:
    listing = entry.listing
    words = (listing.name, listing.id, *listing.capabilities)
    return (
        (not query.text or any(query.text.casefold() in each.casefold() for each in words))
        and (not query.capability or query.capability.casefold() in _capabilities(listing))
        and (not query.seller or query.seller == listing.seller_id)
        and (query.max_price is None or listing.price <= query.max_price)
        and (entry.verified or not query.verified)
    )


def _capabilities(listing: Listing) -> list[str]:
    return sorted(each.casefold() for each in listing.capabilities)


_ORDERS: Final[Mapping[str, Callable[[Entry], Any]]] = {
    "name": lambda entry: (entry.listing.name.casefold(), entry.listing.id),
    "price": lambda entry: (entry.listing.price, entry.listing.name.casefold(), entry.listing.id),
    "capability": lambda entry: (
        not entry.listing.capabilities,
        _capabilities(entry.listing),
        entry.listing.name.casefold(),
        entry.listing.id,
    ),
    "seller": lambda entry: (entry.listing.seller_id, entry.listing.name.casefold(), entry.listing.id),
    "age": lambda entry: (-entry.heard_s, entry.listing.id),
}


def listings_of(entries: Iterable[Entry]) -> list[Listing]:
    """The listings alone."""
    return [entry.listing for entry in entries]
