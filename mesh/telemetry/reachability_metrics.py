"""Figures of AutoNAT, under the names of go-libp2p's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

STATES: Final = {"unknown": 0, "public": 1, "private": 2}
"""go's numbers."""
ANSWERS: Final = (
    ("autonat.v1_asked", "libp2p_autonat_received_dial_response", "Answers of AutoNAT servers to us"),
    ("autonat.v1_answered", "libp2p_autonat_outgoing_dial_response", "Our answers as an AutoNAT server"),
    ("autonat.v2_asked", "libp2p_autonatv2_client_requests_completed", "Answers of version 2 to us"),
    ("autonat.v2_answered", "libp2p_autonatv2_requests_completed", "Our answers in version 2"),
    ("autonat.dial_back", "mesh_autonat_dial_backs", "Nonces told us"),
    ("observed", "mesh_observed_addresses", "What identify said of our address"),
    ("stun", "mesh_stun_requests", "Requests to STUN servers"),
    (
        "port_mapping.ignored",
        "mesh_port_mapping_ignored",
        "What routers and others sent that counts for nothing",
    ),
)
"""Counters, name, meaning."""


@dataclass(frozen=True, slots=True)
class ReachabilityReading:
    """The verdict on the node, its confidence of 0 to 3, and addresses by the verdict of version 2."""

    state: str
    confidence: int
    addresses: Mapping[str, int]


def reachability_families(reading: ReachabilityReading, counters: Mapping[str, int]) -> Iterator[Metric]:
    """All of them; ``counters`` are those of the node."""
    yield GaugeMetricFamily(
        "libp2p_autonat_reachability_status", "0 unknown, 1 public, 2 private", value=STATES[reading.state]
    )
    yield GaugeMetricFamily(
        "libp2p_autonat_reachability_status_confidence", "How sure, 0 to 3", value=reading.confidence
    )
    addresses = GaugeMetricFamily(
        "libp2p_host_addrs_reachable", "Own addresses by the verdict on them", labels=["reachability"]
    )
    for state in STATES:
        addresses.add_metric([state], reading.addresses.get(state, 0))
    yield addresses
    for area, name, text in ANSWERS:
        family = CounterMetricFamily(name, text, labels=["response_status"])
        for counter, value in counters.items():
            kind = counter.removeprefix(area)
            if kind != counter and kind[:1] in (":", "."):
                family.add_metric([kind[1:]], value)
        yield family
