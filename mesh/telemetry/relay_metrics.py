"""Figures of a relay and of a node that is reached through relays, under the names of go-libp2p's relay service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

REJECTIONS: Final = {
    "full": "ip constraint violation",
    "address": "ip constraint violation",
    "relayed": "permission denied",
    "closing": "permission denied",
    "loop": "no reservation",
    "unreserved": "no reservation",
    "source": "resource limit exceeded",
    "target": "resource limit exceeded",
}
"""Why this relay refused, and what go calls that."""
REQUESTS: Final = (("reserve", "reservation"), ("connect", "connection"))
TYPES: Final = (("reservation", "reservations"), ("circuit", "connections"))


@dataclass(frozen=True, slots=True)
class RelayReading:
    """``reservations`` and ``circuits`` now at this relay; ``lasted`` has the upper end in seconds and the count of each
    bucket of circuits by how long they lasted, the last one without an end; ``held`` are reservations elsewhere."""

    serving: bool
    reservations: int = 0
    circuits: int = 0
    transferred_bytes: int = 0
    lasted: Sequence[tuple[float, int]] = ()
    lasted_s: float = 0.0
    held: int = 0


def relay_families(reading: RelayReading, counters: Mapping[str, int]) -> Iterator[Metric]:
    """All of them; ``counters`` are those of the node."""
    yield GaugeMetricFamily("mesh_relay_held", "Relays that hold a reservation for us", value=reading.held)
    yield GaugeMetricFamily("libp2p_relaysvc_status", "1 while this is a relay", value=int(reading.serving))
    if not reading.serving:
        return
    yield GaugeMetricFamily("mesh_relay_reservations", "Reservations now", value=reading.reservations)
    yield GaugeMetricFamily("mesh_relay_circuits", "Circuits now", value=reading.circuits)
    for event, name in TYPES:
        total = CounterMetricFamily(f"libp2p_relaysvc_{name}", f"Events of {name}", labels=["type"])
        for kind, value in _reasons(counters, event):
            total.add_metric([kind], value)
        yield total
    for event, name in REQUESTS:
        yield from _requests(dict(_reasons(counters, event)), name)
    yield CounterMetricFamily(
        "libp2p_relaysvc_data_transferred_bytes", "Bytes passed on", value=reading.transferred_bytes
    )
    yield _durations(reading)


def _requests(found: Mapping[str, int], name: str) -> Iterator[Metric]:
    statuses = CounterMetricFamily(
        f"libp2p_relaysvc_{name}_request_response_status", f"Requests for a {name}", labels=["status"]
    )
    rejections = CounterMetricFamily(
        f"libp2p_relaysvc_{name}_rejections", f"Why a {name} was rejected", labels=["reason"]
    )
    reasons: dict[str, int] = {}
    for ours, value in found.items():
        if (theirs := REJECTIONS.get(ours)) is not None:
            reasons[theirs] = reasons.get(theirs, 0) + value
    errors = sum(value for ours, value in found.items() if ours != "ok" and ours not in REJECTIONS)
    for status, value in (("ok", found.get("ok", 0)), ("rejected", sum(reasons.values())), ("error", errors)):
        statuses.add_metric([status], value)
    for reason, value in reasons.items():
        rejections.add_metric([reason], value)
    yield statuses
    yield rejections


def _durations(reading: RelayReading) -> Metric:
    total, buckets = 0, []
    for end, count in reading.lasted:
        total += count
        buckets.append(("+Inf" if end == float("inf") else str(end), float(total)))
    family = HistogramMetricFamily("libp2p_relaysvc_connection_duration_seconds", "How long circuits lasted")
    family.add_metric([], buckets, reading.lasted_s)
    return family


def _reasons(counters: Mapping[str, int], event: str) -> Iterator[tuple[str, int]]:
    """What stands behind the colon of `relay.<event>:`, and its count."""
    for name, value in counters.items():
        area, _, reason = name.partition(":")
        if area == f"relay.{event}":
            yield reason, value
