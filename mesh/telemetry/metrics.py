"""A node's figures in Prometheus' text format, collected when somebody asks.

`Readings` is what the floors above hand in: plain integers, never a peer id or an address. Names follow go-libp2p's
dashboards where it has one for the figure; ours begin with `mesh_`. Each node has a registry of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from mesh.telemetry.lethean_metrics import LetheanReading, lethean_families
from mesh.telemetry.punch_metrics import punch_families
from mesh.telemetry.reachability_metrics import ReachabilityReading, reachability_families
from mesh.telemetry.relay_metrics import RelayReading, relay_families

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
CONNECTION_LABELS = ("dir", "transport", "security", "muxer")
DHT_MESSAGES = (
    ("kademlia.asked", "received_messages", "Messages received"),
    ("kademlia.refused", "received_message_errors", "Messages received that were refused"),
    ("kademlia.sent", "sent_requests", "Requests sent"),
    ("kademlia.sent_failed", "sent_request_errors", "Requests sent that had no good answer"),
    ("kademlia.told", "sent_messages", "Messages sent that are not answered"),
    ("kademlia.told_failed", "sent_message_errors", "Messages that could not be sent"),
)
"""Counter, name as in go-libp2p-kad-dht, meaning."""

PUBSUB_MESSAGES = (
    ("published", "messages_published", "Own messages"),
    ("delivered", "messages_delivered", "Messages of peers that were accepted"),
    ("duplicates", "messages_duplicate", "Copies that came again"),
    ("forwarded", "messages_sent", "Copies queued for peers"),
    ("dropped_full", "messages_dropped", "Copies not queued, the queue being full"),
    ("grafts", "grafts", "Peers taken into a mesh"),
    ("prunes", "prunes", "Peers taken out of a mesh by this node"),
)
"""Count of the pubsub router, name, meaning; go-libp2p-pubsub has no metrics of its own to follow."""
PUBSUB_REFUSALS = ("forged", "rejected", "ignored", "throttled", "malformed", "unjoined", "own", "graylisted")

ConnectionKind = tuple[str, str, str, str]
"""The values of `CONNECTION_LABELS`: `("inbound", "tcp", "noise", "yamux")`."""


@dataclass(frozen=True, slots=True)
class ScopeReading:
    """What one resource scope holds; ``scope`` is `system`, `transient` or `protocol`, ``protocol`` its name or ""."""

    scope: str
    protocol: str
    conns_inbound: int
    conns_outbound: int
    streams_inbound: int
    streams_outbound: int
    memory_bytes: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class DhtReading:
    """A node's part in the DHT: peers in its table, entries in its stores."""

    mode: str
    table_peers: int
    values: int
    providers: int


@dataclass(frozen=True, slots=True)
class PubsubReading:
    """A node's part in pubsub; ``counts`` are those of its router."""

    peers: int
    topics: int
    mesh_peers: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Readings:
    """All figures at one instant; ``counters`` are those of `telemetry.counters`."""

    counters: Mapping[str, int]
    opened: Mapping[ConnectionKind, int] = field(default_factory=dict)
    closed: Mapping[ConnectionKind, int] = field(default_factory=dict)
    identified: int = 0
    connections: int = 0
    peers: int = 0
    streams: int = 0
    held_bytes: int = 0
    held_peak_bytes: int = 0
    loop_lag_p99_s: float = 0.0
    loop_lag_max_s: float = 0.0
    scopes: tuple[ScopeReading, ...] = ()
    refusals: Mapping[tuple[str, str], int] = field(default_factory=dict)
    dht: DhtReading | None = None
    pubsub: PubsubReading | None = None
    relay: RelayReading | None = None
    reachability: ReachabilityReading | None = None
    lethean: LetheanReading | None = None


class Metrics(Collector):
    """The registry of one node; ``read`` is called at every scrape."""

    def __init__(self, read: Callable[[], Readings]) -> None:
        self._read = read
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """The page to answer a scrape with; its type is `CONTENT_TYPE`."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        readings = self._read()
        yield from _connections(readings)
        yield from _identify(readings)
        yield from _resources(readings)
        if readings.dht is not None:
            yield from _kademlia(readings.dht, readings.counters)
        if readings.pubsub is not None:
            yield from _pubsub(readings.pubsub)
        if readings.reachability is not None:
            yield from reachability_families(readings.reachability, readings.counters)
        if readings.lethean is not None:
            yield from lethean_families(readings.lethean, readings.counters)
        if readings.relay is not None:
            yield from relay_families(readings.relay, readings.counters)
        yield from punch_families(readings.counters)
        yield from _own(readings)


def _connections(readings: Readings) -> Iterator[Metric]:
    yield _by_kind("libp2p_swarm_connections_opened", "Connections opened", readings.opened)
    yield _by_kind("libp2p_swarm_connections_closed", "Connections closed", readings.closed)
    counters = readings.counters
    errors = CounterMetricFamily(
        "libp2p_swarm_dial_errors", "Addresses that could not be dialled", labels=["error"]
    )
    for error, value in _below(counters, "dial.failed"):
        errors.add_metric([error], value)
    yield errors
    failed = CounterMetricFamily(
        "libp2p_swarm_connections_failed", "Upgrades that failed, by stage", labels=["stage"]
    )
    for stage, value in _below(counters, "upgrade.failed"):
        failed.add_metric([stage], value)
    yield failed


def _identify(readings: Readings) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "libp2p_identify_identify_received", "Identify messages received", value=readings.identified
    )
    failed = CounterMetricFamily("libp2p_identify_failed", "Identify exchanges that failed", labels=["error"])
    for error, value in _below(readings.counters, "identify.failed"):
        failed.add_metric([error], value)
    yield failed


def _resources(readings: Readings) -> Iterator[Metric]:
    conns = GaugeMetricFamily("libp2p_rcmgr_connections", "Connections by scope", labels=["dir", "scope"])
    streams = GaugeMetricFamily(
        "libp2p_rcmgr_streams", "Streams by scope", labels=["dir", "scope", "protocol"]
    )
    memory = GaugeMetricFamily("libp2p_rcmgr_memory", "Bytes by scope", labels=["scope", "protocol"])
    descriptors = GaugeMetricFamily("libp2p_rcmgr_fds", "File descriptors by scope", labels=["scope"])
    for each in readings.scopes:
        if each.scope != "protocol":
            conns.add_metric(["inbound", each.scope], each.conns_inbound)
            conns.add_metric(["outbound", each.scope], each.conns_outbound)
            descriptors.add_metric([each.scope], each.descriptors)
        streams.add_metric(["inbound", each.scope, each.protocol], each.streams_inbound)
        streams.add_metric(["outbound", each.scope, each.protocol], each.streams_outbound)
        memory.add_metric([each.scope, each.protocol], each.memory_bytes)
    blocked = CounterMetricFamily(
        "libp2p_rcmgr_blocked_resources", "Requests that a limit refused", labels=["scope", "resource"]
    )
    for (scope, resource), value in readings.refusals.items():
        blocked.add_metric([scope, resource], value)
    yield from (conns, streams, memory, descriptors, blocked)


def _kademlia(reading: DhtReading, counters: Mapping[str, int]) -> Iterator[Metric]:
    for event, name, text in DHT_MESSAGES:
        family = CounterMetricFamily(f"libp2p_io_dht_kad_{name}", text, labels=["message_type"])
        for kind, value in _below(counters, event):
            family.add_metric([kind.upper()], value)
        yield family
    lookups = CounterMetricFamily("mesh_kademlia_lookups", "Lookups by how they ended", labels=["ending"])
    for ending, value in _below(counters, "kademlia.lookup"):
        lookups.add_metric([ending], value)
    yield lookups
    yield GaugeMetricFamily(
        "mesh_kademlia_table_peers", "Peers in the routing table", value=reading.table_peers
    )
    held = GaugeMetricFamily("mesh_kademlia_held", "Entries in the stores", labels=["kind"])
    held.add_metric(["values"], reading.values)
    held.add_metric(["providers"], reading.providers)
    yield held
    mode = GaugeMetricFamily("mesh_kademlia_mode", "1 for what the node is now", labels=["mode"])
    mode.add_metric([reading.mode], 1)
    yield mode


def _pubsub(reading: PubsubReading) -> Iterator[Metric]:
    for count, name, text in PUBSUB_MESSAGES:
        yield CounterMetricFamily(f"libp2p_pubsub_{name}", text, value=reading.counts.get(count, 0))
    refused = CounterMetricFamily(
        "libp2p_pubsub_messages_refused", "Messages not taken, by reason", labels=["reason"]
    )
    for reason in PUBSUB_REFUSALS:
        refused.add_metric([reason], reading.counts.get(reason, 0))
    yield refused
    yield GaugeMetricFamily("libp2p_pubsub_peers", "Peers that speak pubsub", value=reading.peers)
    yield GaugeMetricFamily("libp2p_pubsub_topics", "Topics joined", value=reading.topics)
    yield GaugeMetricFamily(
        "libp2p_pubsub_mesh_peers", "Neighbours in all meshes together", value=reading.mesh_peers
    )


def _own(readings: Readings) -> Iterator[Metric]:
    yield GaugeMetricFamily("mesh_connections", "Connections now", value=readings.connections)
    yield GaugeMetricFamily("mesh_peers", "Connected peers now", value=readings.peers)
    yield GaugeMetricFamily("mesh_streams", "Streams now, both ways", value=readings.streams)
    yield GaugeMetricFamily("mesh_held_bytes", "Payload held for peers", value=readings.held_bytes)
    yield GaugeMetricFamily(
        "mesh_held_peak_bytes", "Most payload held at once since the start", value=readings.held_peak_bytes
    )
    lag = GaugeMetricFamily(
        "mesh_loop_lag_seconds", "Lateness of the loop in the last minute", labels=["quantile"]
    )
    lag.add_metric(["0.99"], readings.loop_lag_p99_s)
    lag.add_metric(["1"], readings.loop_lag_max_s)
    yield lag
    events = CounterMetricFamily(
        "mesh_events", "What happened, by name and reason", labels=["event", "reason"]
    )
    for name, value in readings.counters.items():
        event, _, reason = name.partition(":")
        events.add_metric([event, reason], value)
    yield events


def _by_kind(name: str, text: str, counts: Mapping[ConnectionKind, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=list(CONNECTION_LABELS))
    for kind, value in counts.items():
        family.add_metric(list(kind), value)
    return family


def _below(counters: Mapping[str, int], area: str) -> Iterator[tuple[str, int]]:
    """Reason and count of each counter `area:reason`, or of `area` alone with the reason "other"."""
    for name, value in counters.items():
        event, _, reason = name.partition(":")
        if event == area:
            yield reason or "other", value
