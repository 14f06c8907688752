"""What is said in gossip: a JSON object `{type, id, origin, ts, ttl, body}` in an envelope that its origin signed (Beam
digest, section 4). The hop count of `/beam/gossip/1.0.0` stands outside of it.

=================  ===============================================================================  ===================
type               body                                                                             enum spelling
=================  ===============================================================================  ===================
ANNOUNCE           ``{"record": base64 of a record's envelope}``, of a service or a name            ServiceAnnouncement
DEPARTURE          ``{"record": ...}``, the service's last record, which says that it is withdrawn  ServiceDeparture
HEARTBEAT          ``{"services": [service ids]}``                                                  PeerHeartbeat
ROUTE_UPDATE       ``{"links": [{"peer", "latency_ms", "bandwidth", "reliability", "congestion"}]}``  RouteUpdate
                   and ``"forwards": false`` of who lets no chains pass
=================  ===============================================================================  ===================

A record speaks for itself: who signed it must be who signed the message. Links are those of the origin, one to each peer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mesh.codecs.beam import MAX_GOSSIP_BYTES
from mesh.errors import DecodeError, Malformed, UsageError
from mesh.identity.envelope import open_envelope, seal
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.gossip_fields import number_of, objects_of, peer_of
from mesh.protocols.beam.name_record import NameRecord, open_name
from mesh.protocols.beam.record_keys import check_service
from mesh.protocols.beam.reports import (
    AlertReport,
    Endorsement,
    PeerHealth,
    read_alert,
    read_endorsements,
    read_health,
)
from mesh.protocols.beam.service_record import ServiceRecord, open_service

PROTOCOL_ID: Final = "/beam/gossip/1.0.0"
SERVICES_TOPIC: Final = "beam-services"
NAMES_TOPIC: Final = "beam-names"
QUERIES_TOPIC: Final = "beam-queries"
TRUST_TOPIC: Final = "beam-trust"
HEALTH_TOPIC: Final = "beam-health"
DOMAIN: Final = "beam-gossip"
PAYLOAD_TYPE: Final = b"/beam/gossip"
ANNOUNCE, DEPARTURE, HEARTBEAT, ROUTE_UPDATE = "ANNOUNCE", "DEPARTURE", "HEARTBEAT", "ROUTE_UPDATE"
QUERY: Final = "QUERY"
"""Of this project: who is asked for a service that was found nowhere; providers answer with an announcement."""
ENDORSEMENT, HEALTH, ALERT = "ENDORSEMENT", "HEALTH", "ALERT"
"""Of this project, with the bodies that `reports` reads."""
KINDS: Final = (ANNOUNCE, DEPARTURE, HEARTBEAT, ROUTE_UPDATE, QUERY, ENDORSEMENT, HEALTH, ALERT)
SPELLINGS: Final = {
    "ServiceAnnouncement": ANNOUNCE,
    "ServiceDeparture": DEPARTURE,
    "PeerHeartbeat": HEARTBEAT,
    "RouteUpdate": ROUTE_UPDATE,
}
HOPS: Final = 8
MAX_AGE_S: Final = 120.0
"""What is older, or so far ahead of our clock, is refused."""
SEEN_S: Final = 3 * MAX_AGE_S
"""Digests are remembered for longer than a message can be fresh, so that nothing is said twice."""
MAX_SERVICES: Final = 256
MAX_LINKS: Final = 256
MAX_ID_CHARACTERS: Final = 64
MAX_LATENCY_MS: Final = 600_000
MAX_BANDWIDTH: Final = 2**40


@dataclass(frozen=True, slots=True)
class Link:
    """A direct link of who says so: latency in ms, bandwidth in bytes/s, reliability and congestion 0 to 1."""

    peer: PeerId
    latency_ms: float
    bandwidth: float
    reliability: float
    congestion: float

    def document(self) -> dict[str, Any]:
        return {
            "peer": str(self.peer),
            "latency_ms": self.latency_ms,
            "bandwidth": self.bandwidth,
            "reliability": self.reliability,
            "congestion": self.congestion,
        }


@dataclass(frozen=True, slots=True)
class GossipMessage:
    """One message, verified. ``record`` is that of an announcement or departure, ``services`` those of a heartbeat or a
    query, ``links`` and ``forwards`` those of a route update; ``endorsements``, ``health`` and ``alert`` as `reports` has
    them. ``digest`` is the SHA-256 of the envelope, by which it is known again."""

    kind: str
    id: str
    origin: PeerId
    ts_ms: int
    ttl: int
    record: ServiceRecord | NameRecord | None = None
    services: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    forwards: bool = True
    endorsements: tuple[Endorsement, ...] = ()
    health: PeerHealth | None = None
    alert: AlertReport | None = None
    envelope: bytes = field(default=b"", compare=False, repr=False)

    @property
    def digest(self) -> bytes:
        return digest_of(self.envelope)

    @property
    def topic(self) -> str:
        """Where it is published."""
        fixed = {QUERY: QUERIES_TOPIC, ENDORSEMENT: TRUST_TOPIC, HEALTH: HEALTH_TOPIC, ALERT: HEALTH_TOPIC}
        if self.kind in fixed:
            return fixed[self.kind]
        return NAMES_TOPIC if isinstance(self.record, NameRecord) else SERVICES_TOPIC

    def fresh(self, now_s: float) -> bool:
        """Whether it is neither too old nor from the future to be passed on."""
        return abs(now_s - self.ts_ms / 1000) <= MAX_AGE_S


def digest_of(envelope: bytes) -> bytes:
    """By what a message is known again: a changed one is another one, so no forgery keeps out what it imitates."""
    return hashlib.sha256(envelope).digest()


def sign_message(
    key: PrivateKey, kind: str, message_id: str, ts_ms: int, body: Mapping[str, Any], ttl: int = HOPS
) -> GossipMessage:
    """A message of whoever has ``key``. Raises `UsageError` for one that is too long or says what nobody would take."""
    origin = PeerId.from_public_key(key.public)
    document = {"type": kind, "id": message_id, "origin": str(origin), "ts": ts_ms, "ttl": ttl, "body": body}
    try:
        payload = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        return open_message(seal(key, DOMAIN, PAYLOAD_TYPE, payload))
    except DecodeError as error:
        raise UsageError(f"a gossip message that others would refuse: {error}") from None


def record_body(record: ServiceRecord | NameRecord) -> dict[str, Any]:
    """The body of an announcement or departure."""
    return {"record": base64.b64encode(record.envelope).decode()}


def open_message(envelope: bytes) -> GossipMessage:
    """Verifies and reads a message. Raises `DecodeError`: for what is too long, for a signature that is not the origin's,
    for a body that is not what the type says, for a record of somebody else."""
    if len(envelope) > MAX_GOSSIP_BYTES:
        raise Malformed("gossip", None, f"{len(envelope)} bytes, at most {MAX_GOSSIP_BYTES}")
    opened = open_envelope(envelope, DOMAIN, PAYLOAD_TYPE)
    found = _object(opened.payload)
    origin = peer_of(found.get("origin"))
    if not origin.matches(opened.public_key):
        raise Malformed("gossip.origin", None, f"signed by {PeerId.from_public_key(opened.public_key)}")
    kind = found.get("type")
    kind = SPELLINGS.get(kind, kind) if isinstance(kind, str) else kind
    if kind not in KINDS:
        raise Malformed("gossip.type", None, f"none of {', '.join(KINDS)}")
    body = found.get("body")
    if not isinstance(body, dict):
        raise Malformed("gossip.body", None, "no object")
    message_id = found.get("id")
    if not isinstance(message_id, str) or not 0 < len(message_id) <= MAX_ID_CHARACTERS:
        raise Malformed("gossip.id", None, f"not a text of 1 to {MAX_ID_CHARACTERS} characters")
    return GossipMessage(
        kind,
        message_id,
        origin,
        int(number_of(found, "ts", 2**53 - 1)),
        int(number_of(found, "ttl", 255)),
        _record(kind, body, origin) if kind in (ANNOUNCE, DEPARTURE) else None,
        _services(body) if kind in (HEARTBEAT, QUERY) else (),
        _links(body, origin) if kind == ROUTE_UPDATE else (),
        kind != ROUTE_UPDATE or _forwards(body),
        read_endorsements(body, origin) if kind == ENDORSEMENT else (),
        read_health(body) if kind == HEALTH else None,
        read_alert(body) if kind == ALERT else None,
        envelope,
    )


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Malformed("gossip", None, "no JSON object")
    return found


def _record(kind: str, body: Mapping[str, Any], origin: PeerId) -> ServiceRecord | NameRecord:
    text = body.get("record")
    try:
        envelope = base64.b64decode(text if isinstance(text, str) else "", validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("gossip.record", None, "not base64") from None
    record: ServiceRecord | NameRecord
    try:
        record = open_service(envelope)
    except DecodeError:
        record = open_name(envelope)
    signer = record.peer_id if isinstance(record, ServiceRecord) else record.owner
    if signer != origin:
        raise Malformed("gossip.record", None, f"{origin} tells of a record of {signer}")
    if (kind == DEPARTURE) != (record.withdrawn if isinstance(record, ServiceRecord) else record.revoked):
        raise Malformed("gossip.record", None, f"a record that does not belong into {kind}")
    return record


def _forwards(body: Mapping[str, Any]) -> bool:
    found = body.get("forwards", True)
    if not isinstance(found, bool):
        raise Malformed("gossip.forwards", None, "neither true nor false")
    return found


def _services(body: Mapping[str, Any]) -> tuple[str, ...]:
    given = body.get("services")
    if not isinstance(given, list) or len(given) > MAX_SERVICES:
        raise Malformed("gossip.services", None, f"not an array of at most {MAX_SERVICES}")
    return tuple(check_service(each) if isinstance(each, str) else check_service("") for each in given)


def _links(body: Mapping[str, Any], origin: PeerId) -> tuple[Link, ...]:
    found: dict[PeerId, Link] = {}
    for each in objects_of(body, "links", MAX_LINKS):
        peer = peer_of(each.get("peer"))
        if peer == origin or peer in found:
            raise Malformed("gossip.links", None, "a link to itself, or a second one to a peer")
        found[peer] = Link(
            peer,
            number_of(each, "latency_ms", MAX_LATENCY_MS),
            number_of(each, "bandwidth", MAX_BANDWIDTH),
            number_of(each, "reliability", 1),
            number_of(each, "congestion", 1),
        )
    return tuple(found.values())
