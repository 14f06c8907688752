"""What a peer says in the topics `beam-trust` and `beam-health` (Beam digest, section 8).

============  ===============================================================================================
type          body
============  ===============================================================================================
ENDORSEMENT   ``{"endorsements": [{"peer", "level"}]}``: all that the origin says of others, level 0 to 1
HEALTH        ``{"status", "version", "checks": [{"name", "status", "value"}]}``: of the origin itself
ALERT         ``{"alert": {"type", "severity", "peer", "description"}}``: high and critical ones alone
============  ===============================================================================================

All of it is an opinion of who signed it: trust is worked out in `trust`, and what several agree on in `alert_log`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mesh.errors import Malformed
from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.gossip_fields import number_of, objects_of, peer_of, text_of, word_of

HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
STATES: Final = (HEALTHY, DEGRADED, UNHEALTHY)
CHECKS: Final = ("cpu", "memory", "network", "storage", "p2p")
PEER_DOWN, PARTITION, EXHAUSTION, THREAT = (
    "peer-down",
    "network-partition",
    "resource-exhaustion",
    "security-threat",
)
ALERT_TYPES: Final = (PEER_DOWN, "high-latency", PARTITION, EXHAUSTION, THREAT, "performance-degradation")
SEVERITIES: Final = ("low", "medium", "high", "critical")
SPREAD: Final = ("high", "critical")
"""The severities of alerts that are told to others."""
MAX_ENDORSEMENTS: Final = 256
MAX_TEXT: Final = 256
MAX_VALUE: Final = 2**53


@dataclass(frozen=True, slots=True)
class Endorsement:
    """How far somebody is trusted by who says so."""

    peer: PeerId
    level: float

    def document(self) -> dict[str, Any]:
        return {"peer": str(self.peer), "level": self.level}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: cpu, memory and storage in percent, network in connections, p2p in percent of the
    DHT's peers that answer."""

    name: str
    status: str
    value: float

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "status": self.status, "value": self.value}


@dataclass(frozen=True, slots=True)
class PeerHealth:
    """How a node says that it does."""

    status: str
    version: str
    checks: tuple[Check, ...]

    def document(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "version": self.version,
            "checks": [each.document() for each in self.checks],
        }


@dataclass(frozen=True, slots=True)
class AlertReport:
    """Something that happened, by its type; ``peer`` is whom it is about."""

    type: str
    severity: str
    peer: PeerId
    description: str

    def document(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "severity": self.severity,
            "peer": str(self.peer),
            "description": self.description,
        }


def status_of(checks: tuple[Check, ...]) -> str:
    """healthy where nine of ten checks are, degraded where half are, else unhealthy."""
    share = sum(each.status == HEALTHY for each in checks) / len(checks) if checks else 1.0
    if share >= 0.9:
        return HEALTHY
    return DEGRADED if share >= 0.5 else UNHEALTHY


def read_endorsements(body: Mapping[str, Any], origin: PeerId) -> tuple[Endorsement, ...]:
    """Raises `DecodeError`, for what somebody says of itself too."""
    found: dict[PeerId, Endorsement] = {}
    for each in objects_of(body, "endorsements", MAX_ENDORSEMENTS):
        peer = peer_of(each.get("peer"))
        if peer == origin or peer in found:
            raise Malformed("gossip.endorsements", None, "of itself, or a second one of a peer")
        found[peer] = Endorsement(peer, number_of(each, "level", 1))
    return tuple(found.values())


def read_health(body: Mapping[str, Any]) -> PeerHealth:
    """Raises `DecodeError`."""
    checks = tuple(
        Check(
            word_of(each, "name", CHECKS),
            word_of(each, "status", STATES),
            number_of(each, "value", MAX_VALUE),
        )
        for each in objects_of(body, "checks", len(CHECKS))
    )
    return PeerHealth(word_of(body, "status", STATES), text_of(body, "version", MAX_TEXT), checks)


def read_alert(body: Mapping[str, Any]) -> AlertReport:
    """Raises `DecodeError`."""
    found = body.get("alert")
    if not isinstance(found, dict):
        raise Malformed("gossip.alert", None, "no object")
    return AlertReport(
        word_of(found, "type", ALERT_TYPES),
        word_of(found, "severity", SPREAD),
        peer_of(found.get("peer")),
        text_of(found, "description", MAX_TEXT),
    )
