"""Figures of hole punching, under the names of go-libp2p's where it has the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric

SIDES: Final = (("starter", "initiator"), ("answerer", "receiver"))
"""Our word, go's word."""
OUTCOMES: Final = ("tcp", "quic", "failed")
DIALS: Final = ("success", "failed")


def punch_families(counters: Mapping[str, int]) -> Iterator[Metric]:
    """Plain dials before punches by how they ended, and attempts by side and by what came of them."""
    dials = CounterMetricFamily(
        "libp2p_holepunch_direct_dials", "Plain dials before a hole punch", labels=["outcome"]
    )
    for outcome in DIALS:
        dials.add_metric([outcome], counters.get(f"dcutr.direct_dials:{outcome}", 0))
    yield dials
    attempts = CounterMetricFamily(
        "mesh_holepunch_attempts",
        "Attempts, and the transport that came to stand",
        labels=["side", "outcome"],
    )
    for ours, side in SIDES:
        for outcome in OUTCOMES:
            attempts.add_metric([side, outcome], counters.get(f"dcutr.{ours}:{outcome}", 0))
    yield attempts
    yield CounterMetricFamily(
        "mesh_holepunch_relayed_closed",
        "Relayed connections that a direct one replaced",
        value=counters.get("dcutr.relayed:closed", 0),
    )
