"""What an agent says of itself: its metadata file (section 6.8) and its A2A card (section 8)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mesh.go_json import Record, member
from mesh.protocols.market.listing import Listing


@dataclass(frozen=True, slots=True)
class Service(Record, name="marketplace.AgentService"):
    """A service that an agent names."""

    name: str = member("name")
    version: str = member("version", omit=True)


@dataclass(frozen=True, slots=True)
class AgentRegistration(Record, name="marketplace.AgentRegistration"):
    """The file whose CID is a listing's `metadata`."""

    type: str = member("type", "Agent")
    name: str = member("name")
    description: str = member("description")
    image: str = member("image", omit=True)
    services: tuple[Service, ...] | None = member("services", None)
    x402_support: bool = member("x402Support", False)
    active: bool = member("active", False)


@dataclass(frozen=True, slots=True)
class Skill(Record, name="api.Skill"):
    """A skill of a card."""

    id: str = member("id")
    name: str = member("name")


@dataclass(frozen=True, slots=True)
class Card(Record, name="api.AgentCard"):
    """An agent as A2A describes it."""

    name: str = member("name")
    url: str = member("url")
    skills: tuple[Skill, ...] = member("skills", (), omit=True)


def cards_of(listings: Iterable[Listing]) -> list[Card]:
    """The cards of all listings."""
    return [
        Card(
            each.name,
            each.addrs[0] if each.addrs else each.seller_id,
            tuple(Skill(f"protocol-{at}", name) for at, name in enumerate(each.protocols)),
        )
        for each in listings
    ]
