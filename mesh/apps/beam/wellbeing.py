"""How this node does, what it and others raised alarms about, and how far it trusts its peers (Beam digest, section 8).

A node looks at itself every half minute. With ``share_health`` it says so in gossip, and grave alerts too, and counts
what others say; with ``share_trust`` the same goes for trust. A peer that three others call down is avoided by routes
until it has delivered something again. When connections are too many, the peers that are trusted least go first.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mesh import __version__
from mesh.apps.beam.standing import FEW_PEERS, Meter, dht_health
from mesh.config import BeamSection
from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.abuse import AbuseWatch, Alert
from mesh.protocols.beam.alert_log import AlertLog
from mesh.protocols.beam.gossip_message import ALERT, ENDORSEMENT, HEALTH, GossipMessage
from mesh.protocols.beam.reports import (
    DEGRADED,
    EXHAUSTION,
    HEALTHY,
    MAX_ENDORSEMENTS,
    MAX_TEXT,
    PARTITION,
    PEER_DOWN,
    SPREAD,
    THREAT,
    UNHEALTHY,
    AlertReport,
    Check,
    Endorsement,
    PeerHealth,
    status_of,
)
from mesh.protocols.beam.route_table import RouteTable
from mesh.protocols.beam.trust import TrustBook

if TYPE_CHECKING:
    from mesh.apps.beam.gossip import Gossip
    from mesh.node import Node

log = logging.getLogger(__name__)

LOOK_S: Final = 30.0
MOST_PERCENT: Final = 90.0
LEAST_ANSWERING: Final = 50.0
TRUSTED_AFTER_S: Final = 3600.0
"""A peer that was connected for so long without a fault is known well."""
NEW_LEVEL: Final = 0.6
TRUST_TAG: Final = "beam-trust"
FULL_TRUST: Final = 100
"""The tag's value of a peer that is trusted fully, as much as the best quality counts."""
MAX_HEARD: Final = 1024
_MEMINFO: Final = Path("/proc/meminfo")


class Wellbeing:
    """``table`` is told whom to avoid."""

    def __init__(
        self, node: Node, settings: BeamSection, abuse: AbuseWatch, gossip: Gossip, table: RouteTable
    ) -> None:
        self._node = node
        self._settings = settings
        self._abuse = abuse
        self._gossip = gossip
        self._table = table
        self._meter = Meter()
        self._manager = node.swarm.manager
        self._valued: set[PeerId] = set()
        self._waiting: list[AlertReport] = []
        self._down: set[PeerId] = set()
        self.own = PeerHealth(HEALTHY, __version__, ())
        self.heard_of: dict[PeerId, PeerHealth] = {}
        """How others say that they do, the last 1,024 of them."""
        self.alerts = AlertLog()
        self.trusted = TrustBook()

    # -- what happens ------------------------------------------------------------------------------------------------

    def heard(self, message: GossipMessage) -> None:
        """Somebody said something, signed and fresh."""
        now, origin = time.monotonic(), message.origin
        if message.kind == ENDORSEMENT and self._settings.share_trust:
            self.trusted.endorse(origin, message.ts_ms, message.endorsements, now)
        if not self._settings.share_health:
            return
        if message.health is not None:
            self.heard_of.pop(origin, None)
            self.heard_of[origin] = message.health
            if len(self.heard_of) > MAX_HEARD:
                del self.heard_of[next(iter(self.heard_of))]
        if message.alert is not None and message.alert.peer != self._node.peer_id:
            self._log(message.alert, origin)

    def raised(self, alert: Alert) -> None:
        """A detector of abuse speaks."""
        self.alarm(AlertReport(THREAT, alert.severity, alert.peer, f"{alert.detector}: {alert.description}"))

    def unreachable(self, peer: PeerId, cause: str) -> None:
        """A provider answers no more, as this node sees it."""
        self.alarm(AlertReport(PEER_DOWN, "high", peer, cause[:MAX_TEXT]))

    def alarm(self, report: AlertReport) -> None:
        """This node raises an alert itself; a grave one is told to others if they are to be."""
        if self._log(report, self._node.peer_id) and report.severity in SPREAD:
            self._waiting.append(report)

    def _log(self, report: AlertReport, origin: PeerId) -> bool:
        now = time.monotonic()
        if not self.alerts.add(report, origin, now):
            return False
        self._node.counters.count(f"beam.report:{report.type}")
        down = self.alerts.down(now) if report.type == PEER_DOWN else self._down
        for peer in down - self._down:
            log.info("several peers call %s down", peer)
            self._table.failed((peer,), now)
        self._down = down
        return True

    @property
    def down(self) -> set[PeerId]:
        """Peers that several call down now."""
        return self.alerts.down(time.monotonic())

    # -- trust -------------------------------------------------------------------------------------------------------

    def levels(self) -> dict[PeerId, float]:
        """How far this node trusts the connected peers by what it saw itself: more the longer they are there, less for
        abuse and for chains that delivered nothing."""
        now = time.monotonic()
        found: dict[PeerId, float] = {}
        for each in self._node.swarm.connections:
            known_s = min(now - each.opened_at, TRUSTED_AFTER_S)
            level = NEW_LEVEL + (1 - NEW_LEVEL) * known_s / TRUSTED_AFTER_S
            level *= self._abuse.score(each.peer, now) * self._table.standing(each.peer, now)
            found[each.peer] = max(level, found.get(each.peer, 0.0))
        return found

    def trust(self, peer: PeerId) -> float:
        """From 0 to 1."""
        return self.trusted.trust(peer, self.levels())

    def value_peers(self) -> None:
        """Let the connection manager know how far each connected peer is trusted."""
        levels = self.levels()
        for peer in levels:
            value = round(FULL_TRUST * self.trusted.trust(peer, levels))
            self._manager.tag(peer, TRUST_TAG, value)
            self._valued.add(peer)

    def forget_peer(self, peer: PeerId) -> None:
        """Its last connection is gone."""
        self._manager.untag(peer, TRUST_TAG)
        self._valued.discard(peer)

    def stop(self) -> None:
        """Take back what the connection manager was told; safe to call twice."""
        for peer in tuple(self._valued):
            self.forget_peer(peer)

    def admits(self, peer: PeerId) -> bool:
        """Whether a peer is trusted enough to have chains through this node."""
        least = self._settings.least_trust
        return not least or 100 * self.trust(peer) >= least

    # -- what goes on ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look at this node, and tell of it if others are to know, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Once."""
        checks = self._checks()
        self.own = PeerHealth(status_of(checks), __version__, checks)
        for check in checks:
            if check.status == HEALTHY:
                continue
            kind = PARTITION if check.name == "network" else EXHAUSTION
            if check.name in ("cpu", "memory", "network"):
                text = f"{check.name} at {check.value:g}"
                self.alarm(AlertReport(kind, "medium", self._node.peer_id, text))
        self.trusted.expire(time.monotonic())
        self.value_peers()
        waiting, self._waiting = self._waiting, []
        if self._settings.share_health:
            await self._gossip.publish(HEALTH, self.own.document())
            for each in waiting:
                await self._gossip.publish(ALERT, {"alert": each.document()})
        if self._settings.share_trust and (levels := self.levels()):
            said = [Endorsement(peer, round(level, 3)) for peer, level in levels.items()]
            body = {"endorsements": [each.document() for each in said[:MAX_ENDORSEMENTS]]}
            await self._gossip.publish(ENDORSEMENT, body)

    def _checks(self) -> tuple[Check, ...]:
        peers = len(self._node.swarm.peers)
        found = [
            _most("cpu", self._meter.read(0, 0)["cpu_percent"]),
            Check("network", HEALTHY if peers >= FEW_PEERS else UNHEALTHY, peers),
        ]
        if (memory := _memory_percent()) is not None:
            found.append(_most("memory", memory))
        folder = self._node.config.node.path
        if folder is not None and folder.exists():
            usage = shutil.disk_usage(folder)
            found.append(_most("storage", round(100 * usage.used / usage.total, 1)))
        answering = dht_health(self._node)
        if answering is not None:
            found.append(Check("p2p", HEALTHY if answering >= LEAST_ANSWERING else DEGRADED, answering))
        return tuple(found)

    def document(self) -> dict[str, Any]:
        """Everything of it, for the API."""
        now = time.monotonic()
        return {
            "own": self.own.document(),
            "peers": [{"peer": str(peer)} | each.document() for peer, each in self.heard_of.items()],
            "down": sorted(str(each) for each in self.down),
            "correlations": [each.document() for each in self.alerts.correlations(now)],
            "alerts": [
                each.report.document() | {"origin": str(each.origin), "age_s": round(now - each.at_s, 1)}
                for each in self.alerts.kept(now)
            ],
        }


def _most(name: str, percent: float) -> Check:
    return Check(name, HEALTHY if percent <= MOST_PERCENT else UNHEALTHY, percent)


def _memory_percent() -> float | None:
    """Of this machine; None where the system does not tell."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        total, free = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError, IndexError):
        return None
    return round(100 * (total - free) / total, 1)
