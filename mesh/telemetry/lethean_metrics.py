"""Figures of a node on the Lethean mesh, all under `mesh_lethean_`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

EVENTS: Final = (
    ("handshake", "handshakes", "Handshakes as listener, by how they ended", "result"),
    ("dial", "dials", "Peers dialled, by how it ended", "result"),
    ("upgrade", "upgrades_refused", "Requests for a WebSocket that were not granted", "reason"),
    ("dropped", "messages_dropped", "Messages that were dropped", "reason"),
    ("answered", "answers", "Commands answered, by type of the answer", "type"),
    ("request", "requests", "Requests of ours, by what came of them", "result"),
    ("ueps", "packets", "UEPS packets, by what became of them", "result"),
    ("levin", "levin_events", "Levin connections and commands, by what became of them", "result"),
    ("link", "links", "Connections begun and ended", "event"),
)


@dataclass(frozen=True, slots=True)
class LetheanReading:
    """Proven connections each way, known peers, miners that run."""

    inbound: int
    outbound: int
    known_peers: int
    miners: int


def lethean_families(reading: LetheanReading, counters: Mapping[str, int]) -> Iterator[Metric]:
    """All of them; ``counters`` are those of the node."""
    connections = GaugeMetricFamily("mesh_lethean_connections", "Connections now", labels=["dir"])
    connections.add_metric(["inbound"], reading.inbound)
    connections.add_metric(["outbound"], reading.outbound)
    yield connections
    yield GaugeMetricFamily("mesh_lethean_known_peers", "Peers in the registry", value=reading.known_peers)
    yield GaugeMetricFamily("mesh_lethean_miners", "Miners that run", value=reading.miners)
    yield CounterMetricFamily(
        "mesh_lethean_messages", "Messages that were dealt with", value=counters.get("lethean.taken", 0)
    )
    for event, name, text, label in EVENTS:
        family = CounterMetricFamily(f"mesh_lethean_{name}", text, labels=[label])
        for counter, value in counters.items():
            area, _, reason = counter.partition(":")
            if area == f"lethean.{event}":
                family.add_metric([reason], value)
        yield family
