"""This node's own listings: signed, put into the mapping, announced again and again, put back when somebody changes them.

An announcement has a new time of its own each time; the mapping is written only when the offer changed, or is no longer
there as it was put. (The real node writes it each time, and so does everybody who hears of it: section 7.4.)
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mesh.errors import DecodeError, MeshError
from mesh.network.scope import Scope
from mesh.protocols.market.listing import (
    DELIST,
    KEY_PREFIX,
    LIST,
    UPDATE,
    Listing,
    announce,
    key_of,
    read_listing,
    same_offer,
)
from mesh.protocols.market.signing import is_proven, sign_listing

if TYPE_CHECKING:
    from mesh.apps.market.listings import Listings
    from mesh.node import Node

log = logging.getLogger(__name__)

GUARD_S: Final = 5.0
"""Between two times that a listing of ours is put back."""


class Announcing:
    """Speaks for the listings that ``offers`` gives, each without time and signature."""

    def __init__(
        self, node: Node, listings: Listings, offers: Callable[[], list[Listing]], interval_s: float
    ) -> None:
        self._node = node
        self._listings = listings
        self._offers = offers
        self._interval_s = interval_s
        self._scope = Scope("market announcing")
        self._last_times: dict[str, int] = {}
        self._put_back: dict[str, float] = {}
        self._running = False

    def start(self) -> None:
        """Begin to announce, and to guard."""
        self._running = True
        self._listings.changed.append(self._guard)
        self._scope.spawn(self._run(), "market announcing")

    async def stop(self) -> None:
        """Say no more; what is listed stays listed."""
        self._running = False
        if self._guard in self._listings.changed:
            self._listings.changed.remove(self._guard)
        await self._scope.close()

    async def list_now(self, offer: Listing, kind: str = LIST) -> Listing:
        """Put and announce an offer that is new or has changed; the listing as it is now. Raises `StorageError`."""
        listing = self._signed(offer, kind)
        await self._keep(listing)
        self._listings.take(announce(kind, listing), listing.seller_id)
        await self._publish(kind, listing)
        return listing

    async def delist(self, offer: Listing) -> None:
        """Withdraw an offer: here, in the mapping, in the topic. Raises `StorageError`."""
        listing = self._signed(offer, DELIST)
        self._listings.take(announce(DELIST, listing), listing.seller_id)
        await self._listings.mapping.delete(key_of(offer.id))
        await self._publish(DELIST, listing)

    async def delist_stale(self) -> None:
        """Withdraw what the mapping still says this node offers, and it does not any more. Raises `StorageError`."""
        own = str(self._node.peer_id)
        offered = {offer.id for offer in self._offers()}
        for _, value in self._listings.mapping.below(KEY_PREFIX):
            if own.encode() not in value:
                continue
            try:
                listing = read_listing(value)
            except DecodeError:
                continue
            if listing.seller_id == own and listing.id not in offered and is_proven(listing):
                await self.delist(listing)

    def _signed(self, offer: Listing, kind: str) -> Listing:
        """No two of an agent have the same time: what was withdrawn may be listed again within the same second."""
        at = max(int(time.time()), self._last_times.get(offer.id, 0) + 1)
        self._last_times[offer.id] = at
        return sign_listing(replace(offer, timestamp=at), self._node.key, kind)

    async def _keep(self, listing: Listing) -> None:
        """Have it in the mapping; what stands there stays if it is the same offer with our signature."""
        key = key_of(listing.id)
        held = self._listings.mapping.get(key)
        if held is None or not _says(held, listing):
            await self._listings.mapping.put(key, listing.write())

    async def _publish(self, kind: str, listing: Listing) -> None:
        try:
            await self._listings.topic.publish(announce(kind, listing).write())
        except MeshError as error:
            log.info("an announcement was not published: %s", error)

    async def _run(self) -> None:
        """Announce every offer at its time, spread over the interval."""
        while True:
            offers = self._offers()
            pause_s = self._interval_s / max(1, len(offers))
            for offer in offers:
                await asyncio.sleep(pause_s * random.uniform(0.9, 1.1))
                if any(each.id == offer.id for each in self._offers()):
                    await self._again(offer)
            if not offers:
                await asyncio.sleep(min(1.0, self._interval_s))

    async def _again(self, offer: Listing) -> None:
        try:
            await self.list_now(offer, UPDATE)
        except MeshError as error:
            log.warning("an agent could not be listed again: %s", error)

    def _guard(self, agent_id: str) -> None:
        """A listing changed in the mapping; one of ours that is not as we put it is put back, but not at once again."""
        if not self._running or self._scope.closing:
            return
        offer = next((each for each in self._offers() if each.id == agent_id), None)
        if offer is None:
            return
        held = self._listings.mapping.get(key_of(agent_id))
        now = time.monotonic()
        if (held is None or not _says(held, offer)) and now - self._put_back.get(
            agent_id, -GUARD_S
        ) >= GUARD_S:
            self._put_back = {name: at for name, at in self._put_back.items() if now - at < GUARD_S} | {
                agent_id: now
            }
            self._node.counters.count("market.listing:put_back")
            self._scope.spawn(self._again(offer), "market listing")


def _says(held: bytes, offer: Listing) -> bool:
    """Whether a value of the mapping is that offer, signed by its seller."""
    try:
        listing = read_listing(held)
    except DecodeError:
        return False
    return same_offer(listing, offer) and is_proven(listing)
