"""How this node and its part in Beam's network do: the figures of `status` and of `/v1/metrics/system`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection

if TYPE_CHECKING:
    from mesh.apps.beam.beam import Beam
    from mesh.node import Node

FEW_PEERS: Final = 3
"""With fewer connections the network warns (Beam digest, section 7)."""
_PAGE_BYTES: Final = 4096
_STATM: Final = Path("/proc/self/statm")


class Meter:
    """What changes with time, measured since it was last asked for: share of a processor, bytes a second."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._busy_s = time.process_time()
        self._in = self._out = 0

    def read(self, received: int, sent: int) -> dict[str, float]:
        """Since the last reading: `cpu_percent`, `bytes_in_s`, `bytes_out_s`. Connections that ended count nothing."""
        now, busy_s = time.monotonic(), time.process_time()
        span_s = max(now - self._at, 1e-6)
        found = {
            "cpu_percent": round(100 * (busy_s - self._busy_s) / span_s, 1),
            "bytes_in_s": round(max(0, received - self._in) / span_s, 1),
            "bytes_out_s": round(max(0, sent - self._out) / span_s, 1),
        }
        self._at, self._busy_s, self._in, self._out = now, busy_s, received, sent
        return found


def standing_of(beam: Beam) -> dict[str, Any]:
    """Everything at this instant."""
    node, now_s = beam.node, time.time()
    connections = node.connections
    received = sum(each.driver.received_bytes for each in connections)
    sent = sum(each.driver.sent_bytes for each in connections)
    rates = beam.meter.read(received, sent)
    latency_ms = _latency_ms(connections)
    own = beam.registry.own
    return {
        "timestamp": round(now_s * 1000),
        "peer_id": str(node.peer_id),
        "uptime_s": round(now_s - beam.started_s, 1),
        "participation": beam.settings.participation,
        "peers_online": len(node.swarm.peers),
        "neighbours": len(beam.gossip.neighbours.peers()),
        "dht": _dht(beam),
        "latency_ms": latency_ms,
        "bandwidth": {"bytes_in": received, "bytes_out": sent}
        | {k: rates[k] for k in ("bytes_in_s", "bytes_out_s")},
        "cpu_percent": rates["cpu_percent"],
        "memory_bytes": _memory_bytes(),
        "services": {"own": len(own), "known": sum(1 for _ in beam.table.offered(now_s))},
        "domains": {
            "own": len(beam.book.own),
            "known": len(beam.book.names()),
            "trusted": len(list(beam.book.pins)),
        },
        "cache": {
            "lookups": beam.finder.lookups,
            "hits": beam.finder.cache_hits,
            "entries": beam.finder.remembered,
        },
        "lookups": {"failed": beam.finder.failures, "median_ms": _median_ms(beam.finder.lookup_s)},
        "tunnels": {
            "open": len(beam.tunnels),
            "served": beam.server.opened,
            "serving": beam.exposures.open,
            "refused": beam.server.refused,
            "bytes_in": beam.server.tally.in_bytes,
            "bytes_out": beam.server.tally.out_bytes,
        },
        "sync": {
            "exchanges": beam.sync.exchanges,
            "learnt": beam.sync.learnt,
            "given": beam.sync.given,
        },
        "outbox": len(beam.outbox.waiting),
        "alerts": len(beam.abuse.alerts(time.monotonic())),
    }


def concerns_of(beam: Beam) -> list[dict[str, str]]:
    """What stands between this node and a working network, each with what to do."""
    found = []
    peers = len(beam.node.swarm.peers)
    if not peers:
        found.append(_concern("no-peers", "no peer is connected", "name one with network.bootstrap"))
    elif peers < FEW_PEERS:
        found.append(
            _concern("few-peers", f"{peers} peers are connected, {FEW_PEERS} are few", "name more peers")
        )
    if not beam.directory.on:
        found.append(
            _concern("no-dht", "the DHT is off: services are known by gossip alone", "set kademlia.mode")
        )
    elif not beam.directory.known_peers:
        found.append(
            _concern(
                "empty-dht", "nobody is in the routing table", "connect to a node that serves Beam's DHT"
            )
        )
    if not beam.gossip.neighbours.peers():
        found.append(
            _concern("no-neighbours", "no peer speaks Beam's gossip", "connect to a node of Beam's network")
        )
    if len(beam.outbox.waiting):
        text = f"{len(beam.outbox.waiting)} registrations reached no majority yet"
        found.append(_concern("outbox", text, "they are tried again by themselves"))
    for alert in beam.abuse.alerts(time.monotonic())[:10]:
        text = f"{alert.detector} ({alert.severity}): {alert.peer}: {alert.description}"
        found.append(_concern("alert", text, f"mesh beam peer ban {alert.peer}"))
    return found


def contribution_of(beam: Beam) -> dict[str, Any]:
    """What this node does for others: circuits and bytes relayed, tunnels served."""
    relaying = beam.node.relaying
    server = None if relaying is None else relaying.server
    return {
        "routes_provided": 0 if server is None else server.reservations.circuits,
        "data_relayed": 0 if server is None else server.transferred_bytes,
        "peers_helped": 0 if server is None else len(server.reservations),
        "tunnels_served": beam.server.opened,
        "uptime_s": round(time.time() - beam.started_s, 1),
    }


def peers_of(beam: Beam) -> list[dict[str, Any]]:
    """Every connected peer: how it is reached, how it does, and what speaks for and against it."""
    now, now_s, levels = time.monotonic(), time.time(), beam.wellbeing.levels()
    offered: dict[PeerId, list[str]] = {}
    for each in beam.table.offered(now_s):
        offered.setdefault(each.record.peer_id, []).append(each.record.service_id)
    neighbours = set(beam.gossip.neighbours.peers())
    found = []
    for peer in beam.node.swarm.peers:
        connection = beam.node.swarm.connection_to(peer)
        if connection is None:
            continue
        health = beam.wellbeing.heard_of.get(peer)
        found.append(
            {
                "peer": str(peer),
                "addr": str(connection.remote),
                "path": beam.paths.describe(peer),
                "latency_ms": None if connection.rtt_s is None else round(1000 * connection.rtt_s, 3),
                "connected_s": round(now - connection.opened_at, 1),
                "beam": peer in neighbours,
                "score": round(beam.abuse.score(peer, now), 3),
                "trust": round(beam.wellbeing.trusted.trust(peer, levels), 3),
                "health": None if health is None else health.status,
                "services": sorted(offered.get(peer, ())),
            }
        )
    return found


def sample_of(beam: Beam) -> tuple[dict[str, float], dict[str, float]]:
    """What only grows, and what goes up and down: a sample of the history."""
    connections = beam.node.connections
    totals: dict[str, float] = {
        "bytes_in": sum(each.driver.received_bytes for each in connections),
        "bytes_out": sum(each.driver.sent_bytes for each in connections),
        "lookups": beam.finder.lookups,
        "lookups_failed": beam.finder.failures,
        "cache_hits": beam.finder.cache_hits,
        "tunnels_served": beam.server.opened,
        "forwarded_bytes": beam.routing.chains.passing.bytes,
    }
    levels: dict[str, float] = {
        "peers_online": len(beam.node.swarm.peers),
        "services_known": sum(1 for _ in beam.table.offered(time.time())),
        "tunnels_open": len(beam.tunnels),
        "chains_forwarded": beam.routing.chains.forwarded,
    }
    if (latency_ms := _latency_ms(connections)) is not None:
        levels["latency_ms"] = latency_ms
    return totals, levels


def _concern(code: str, text: str, remedy: str) -> dict[str, str]:
    return {"code": code, "text": text, "remedy": remedy}


def dht_health(node: Node) -> float | None:
    """The share of the routing table's members whose last answer did not fail, in percent; None where there are none."""
    if node.config.kademlia.mode == "off":
        return None
    rows = node.dht.rows()
    members = sum(len(each.entries) for each in rows)
    return round(100 * (1 - sum(each.failing for each in rows) / members), 1) if members else None


def _dht(beam: Beam) -> dict[str, Any]:
    """As of `dht_health`, with how much this node holds for others."""
    if not beam.directory.on:
        return {"mode": "off", "peers": 0, "health_percent": None, "values": 0, "providers": 0}
    dht = beam.node.dht
    return {
        "mode": dht.mode.value,
        "peers": len(dht.table),
        "health_percent": dht_health(beam.node),
        "values": len(dht.records),
        "providers": len(dht.providers),
    }


def _latency_ms(connections: list[Connection]) -> float | None:
    """The mean round trip of the connections that know theirs."""
    known = [each.rtt_s for each in connections if each.rtt_s is not None]
    return round(1000 * sum(known) / len(known), 3) if known else None


def _median_ms(samples: list[float]) -> float | None:
    return round(1000 * sorted(samples)[len(samples) // 2], 3) if samples else None


def _memory_bytes() -> int | None:
    """What this process holds in memory; None where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return None
