"""A listing and the message that announces it (sections 7.1 to 7.3).

Keys after `tokenId` are ours; stock nodes ignore them, and drop them when they write the listing again.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from mesh.errors import Malformed, UsageError
from mesh.go_json import Record, member
from mesh.protocols.market import PAID_PROTOCOL_ID

KEY_PREFIX: Final = "/agents"
LIST: Final = "list"
UPDATE: Final = "update"
DELIST: Final = "delist"
ATOMIC: Final = 10**6
"""USDC has six decimals."""
MAX_LISTING_BYTES: Final = 64 * 1024
MAX_ID_BYTES: Final = 1024
MAX_PRICE: Final = 1e9


@dataclass(frozen=True, slots=True)
class Reputation(Record, name="marketplace.OnChainReputation"):
    """What a registry on a chain says; never in the replicated mapping."""

    count: int = member("count", 0)
    score: int = member("score", 0)
    decimals: int = member("decimals", 0)


@dataclass(frozen=True, slots=True)
class Listing(Record, name="marketplace.AgentListing"):
    """An agent on offer. ``price`` is USDC a task, ``timestamp`` Unix seconds, ``addrs`` end in no peer id."""

    id: str = member("id")
    name: str = member("name")
    price: float = member("price", 0.0)
    metadata: str = member("metadata")
    seller_id: str = member("sellerId")
    addrs: tuple[str, ...] = member("addrs", (), omit=True)
    protocols: tuple[str, ...] = member("protocols", (), omit=True)
    timestamp: int = member("timestamp", 0)
    token_id: str = member("tokenId", omit=True)
    reputation: Reputation | None = member("onChainReputation", None, omit=True)
    capabilities: tuple[str, ...] = member("capabilities", (), omit=True)
    seller_key: str = member("sellerKey", omit=True)
    signature: str = member("signature", omit=True)


@dataclass(frozen=True, slots=True)
class ListingMessage(Record, name="marketplace.AgentListingMessage"):
    """What is said of a listing in the topic. Any ``type`` but `delist` puts it."""

    type: str = member("type")
    agent_id: str = member("agentId")
    name: str = member("name")
    price: float = member("price", 0.0)
    metadata: str = member("metadata")
    seller_id: str = member("sellerId")
    addrs: tuple[str, ...] = member("addrs", (), omit=True)
    protocols: tuple[str, ...] = member("protocols", (), omit=True)
    timestamp: int = member("timestamp", 0)
    token_id: str = member("tokenId", omit=True)
    capabilities: tuple[str, ...] = member("capabilities", (), omit=True)
    seller_key: str = member("sellerKey", omit=True)
    signature: str = member("signature", omit=True)

    @property
    def listing(self) -> Listing:
        """What it puts."""
        return Listing(
            self.agent_id,
            self.name,
            self.price,
            self.metadata,
            self.seller_id,
            self.addrs,
            self.protocols,
            self.timestamp,
            self.token_id,
            None,
            self.capabilities,
            self.seller_key,
            self.signature,
        )


def announce(kind: str, listing: Listing) -> ListingMessage:
    """The message that says so."""
    return ListingMessage(
        kind,
        listing.id,
        listing.name,
        listing.price,
        listing.metadata,
        listing.seller_id,
        listing.addrs,
        listing.protocols,
        listing.timestamp,
        listing.token_id,
        listing.capabilities,
        listing.seller_key,
        listing.signature,
    )


def read_listing(data: bytes) -> Listing:
    """A listing within our limits. Raises `Malformed`."""
    if len(data) > MAX_LISTING_BYTES:
        raise Malformed("AgentListing", None, f"{len(data)} bytes, at most {MAX_LISTING_BYTES} are taken")
    return check_listing(Listing.read(data))


def read_message(data: bytes) -> ListingMessage:
    """An announcement within our limits. Raises `Malformed`."""
    if len(data) > MAX_LISTING_BYTES:
        raise Malformed(
            "AgentListingMessage", None, f"{len(data)} bytes, at most {MAX_LISTING_BYTES} are taken"
        )
    message = ListingMessage.read(data)
    check_listing(message.listing)
    return message


def check_listing(listing: Listing) -> Listing:
    """The listing, if its id and price can be used. Raises `Malformed`."""
    if not 1 <= len(listing.id.encode()) <= MAX_ID_BYTES:
        raise Malformed("AgentListing.id", None, f"wants 1 to {MAX_ID_BYTES} bytes")
    if not 0 <= listing.price <= MAX_PRICE:
        raise Malformed("AgentListing.price", None, f"{listing.price:g} is no price from 0 to {MAX_PRICE:g}")
    return listing


def same_offer(one: Listing, other: Listing) -> bool:
    """Whether two listings differ in nothing but when they were said, and by whom that is proven."""
    blank: Mapping[str, Any] = {"timestamp": 0, "signature": "", "seller_key": "", "reputation": None}
    return replace(one, **blank) == replace(other, **blank)


def key_of(agent_id: str) -> str:
    """The key in the replicated mapping. Raises `UsageError` for an empty id."""
    if not agent_id:
        raise UsageError("an agent has an id")
    return f"{KEY_PREFIX}/{base64.urlsafe_b64encode(agent_id.encode()).decode().rstrip('=')}"


def agent_id_of(key: str) -> str:
    """The agent's id in a key. Raises `Malformed`."""
    text = key.removeprefix(f"{KEY_PREFIX}/")
    try:
        if text == key or "+" in text or "/" in text:
            raise ValueError("not below /agents")
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Malformed("key", None, f"{key[:64]!r}: {error}") from None


def atomic_price(price: float) -> int:
    """Millionths of a USDC, cut as Go cuts (section 3.4): 8.2 is 8199999. Raises `UsageError` outside 0 to 1e9."""
    if not 0 <= price <= MAX_PRICE:
        raise UsageError(f"{price:g} is no price from 0 to {MAX_PRICE:g}")
    return int(price * 1e6)


def resource_of(listing: Listing) -> str:
    """What the agent is called in a purchase: its id without its seller's."""
    return listing.id.removeprefix(f"{listing.seller_id}/")


def sold_by_streams(listing: Listing) -> bool:
    """Whether it says, or at least does not deny, that calls go by the paid protocol."""
    return not listing.protocols or PAID_PROTOCOL_ID in listing.protocols
