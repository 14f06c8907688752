"""A peer that the node knows, as `peers.json` holds it (section 12.1)."""

from __future__ import annotations

from typing import ClassVar

from mesh.protocols.lethean.json_record import INTEGER, NUMBER, TEXT, TIME, JsonRecord, Key


class Peer(JsonRecord):
    """Times are texts; `address` is `host:port`, empty for a peer that dialled us. Connected marks are not part of it."""

    __slots__ = (
        "added_at",
        "address",
        "geo_km",
        "hops",
        "id",
        "last_seen",
        "name",
        "ping_ms",
        "public_key",
        "role",
        "score",
    )
    id: str
    name: str
    public_key: str
    address: str
    role: str
    added_at: str
    last_seen: str
    ping_ms: float
    hops: int
    geo_km: float
    score: float
    KEYS: ClassVar = (
        Key("id", "id", TEXT),
        Key("name", "name", TEXT),
        Key("public_key", "publicKey", TEXT),
        Key("address", "address", TEXT),
        Key("role", "role", TEXT),
        Key("added_at", "addedAt", TIME),
        Key("last_seen", "lastSeen", TIME),
        Key("ping_ms", "pingMs", NUMBER),
        Key("hops", "hops", INTEGER),
        Key("geo_km", "geoKm", NUMBER),
        Key("score", "score", NUMBER),
    )
