"""What goes in and out of the routes about finding peers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from mesh.api.shapes import Asked, BootstrapShown, Text

MAX_COOKIE = 8192

Namespace = Annotated[str, Field(min_length=1, max_length=255)]


class PointAsked(Asked):
    point: Annotated[Text, Field(description="Rendezvous point: multiaddr or peer id.")]


class RegisterAsked(PointAsked):
    namespace: Namespace
    ttl_s: Annotated[int | None, Field(ge=1, le=10**9, description="2 to 72 hours; 2 unless said.")] = None


class UnregisterAsked(PointAsked):
    namespace: Namespace


class DiscoverAsked(PointAsked):
    namespace: Annotated[str, Field(max_length=255, description="Empty for all.")] = ""
    limit: Annotated[int | None, Field(ge=1, le=1000)] = None
    cookie: Annotated[
        str, Field(max_length=MAX_COOKIE, description="Of a former answer, in hexadecimal.")
    ] = ""


class Registered(BaseModel):
    namespace: str
    ttl_s: int


class Unregistered(BaseModel):
    namespace: str


class FoundShown(BaseModel):
    """A registered peer."""

    namespace: str
    peer: str
    addrs: list[str]
    ttl_s: int


class DiscoveredShown(BaseModel):
    peers: list[FoundShown]
    cookie: str


class LinkShown(BaseModel):
    """An interface on which mDNS works, and its packets so far; ``failures`` says what did not, by address family."""

    interface: str
    families: list[str]
    queries_sent: int
    queries_heard: int
    answers_sent: int
    answers_heard: int
    dropped: int
    malformed: int
    refused: int
    failures: dict[str, str]


class HeardShown(BaseModel):
    """A peer that is said to be near."""

    peer: str
    addrs: list[str]
    interface: str
    heard_s: float
    connected: bool


class MdnsShown(BaseModel):
    """``skipped`` are the interfaces that are not used, and why."""

    enabled: bool
    service: str
    instance: str
    links: list[LinkShown]
    skipped: dict[str, str]
    peers: list[HeardShown]


class EntryShown(BootstrapShown):
    """A configured peer, what its address resolves to now (or why to nothing), and how dialling it went."""

    kind: str
    resolved: list[str]
    resolve_failure: str


class EntriesShown(BaseModel):
    entries: list[EntryShown]
