"""The page for scrapes: names, labels, what it leaves out; and how late the loop is."""

from __future__ import annotations

import asyncio
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mesh.telemetry import loop_lag
from mesh.telemetry.loop_lag import LoopLag
from mesh.telemetry.metrics import DhtReading, Metrics, PubsubReading, Readings, ScopeReading

READINGS = Readings(
    counters={
        "dial.failed": 2,
        "dial.failed:timed-out": 3,
        "identify.failed:closed": 4,
        "upgrade.failed:noise": 5,
        "kademlia.asked:find_node": 12,
        "kademlia.refused:put_value": 13,
        "kademlia.sent:get_value": 14,
        "kademlia.sent_failed:get_value": 15,
        "kademlia.told:add_provider": 16,
        "kademlia.told_failed:add_provider": 17,
        "kademlia.lookup:converged": 18,
    },
    opened={("inbound", "tcp", "noise", "yamux"): 6},
    closed={("inbound", "tcp", "noise", "yamux"): 1},
    identified=7,
    connections=5,
    peers=4,
    streams=8,
    held_bytes=9,
    held_peak_bytes=10,
    loop_lag_p99_s=0.001,
    loop_lag_max_s=0.002,
    scopes=(ScopeReading("system", "", 1, 2, 3, 4, 5, 6), ScopeReading("protocol", "/x/1", 0, 0, 7, 8, 9, 0)),
    refusals={("system", "conns"): 11},
    dht=DhtReading("client", 19, 20, 21),
    pubsub=PubsubReading(22, 23, 24, {"published": 25, "delivered": 26, "dropped_full": 27, "forged": 28}),
)

EXPECTED = {
    'libp2p_swarm_connections_opened_total{dir="inbound",muxer="yamux",security="noise",transport="tcp"}': 6,
    'libp2p_swarm_connections_closed_total{dir="inbound",muxer="yamux",security="noise",transport="tcp"}': 1,
    'libp2p_swarm_dial_errors_total{error="other"}': 2,
    'libp2p_swarm_dial_errors_total{error="timed-out"}': 3,
    'libp2p_swarm_connections_failed_total{stage="noise"}': 5,
    "libp2p_identify_identify_received_total": 7,
    'libp2p_identify_failed_total{error="closed"}': 4,
    'libp2p_rcmgr_connections{dir="inbound",scope="system"}': 1,
    'libp2p_rcmgr_connections{dir="outbound",scope="system"}': 2,
    'libp2p_rcmgr_streams{dir="inbound",protocol="",scope="system"}': 3,
    'libp2p_rcmgr_streams{dir="outbound",protocol="/x/1",scope="protocol"}': 8,
    'libp2p_rcmgr_memory{protocol="/x/1",scope="protocol"}': 9,
    'libp2p_rcmgr_fds{scope="system"}': 6,
    'libp2p_rcmgr_blocked_resources_total{resource="conns",scope="system"}': 11,
    'libp2p_io_dht_kad_received_messages_total{message_type="FIND_NODE"}': 12,
    'libp2p_io_dht_kad_received_message_errors_total{message_type="PUT_VALUE"}': 13,
    'libp2p_io_dht_kad_sent_requests_total{message_type="GET_VALUE"}': 14,
    'libp2p_io_dht_kad_sent_request_errors_total{message_type="GET_VALUE"}': 15,
    'libp2p_io_dht_kad_sent_messages_total{message_type="ADD_PROVIDER"}': 16,
    'libp2p_io_dht_kad_sent_message_errors_total{message_type="ADD_PROVIDER"}': 17,
    'mesh_kademlia_lookups_total{ending="converged"}': 18,
    "mesh_kademlia_table_peers": 19,
    'mesh_kademlia_held{kind="values"}': 20,
    'mesh_kademlia_held{kind="providers"}': 21,
    'mesh_kademlia_mode{mode="client"}': 1,
    "libp2p_pubsub_peers": 22,
    "libp2p_pubsub_topics": 23,
    "libp2p_pubsub_mesh_peers": 24,
    "libp2p_pubsub_messages_published_total": 25,
    "libp2p_pubsub_messages_delivered_total": 26,
    "libp2p_pubsub_messages_dropped_total": 27,
    'libp2p_pubsub_messages_refused_total{reason="forged"}': 28,
    'libp2p_pubsub_messages_refused_total{reason="rejected"}': 0,
    "mesh_connections": 5,
    "mesh_peers": 4,
    "mesh_streams": 8,
    "mesh_held_bytes": 9,
    "mesh_held_peak_bytes": 10,
    'mesh_loop_lag_seconds{quantile="0.99"}': 0.001,
    'mesh_loop_lag_seconds{quantile="1"}': 0.002,
    'mesh_events_total{event="dial.failed",reason="timed-out"}': 3,
}


def samples(metrics: Metrics) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for each in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(each.labels.items()))
            found[f"{each.name}{{{labels}}}" if labels else each.name] = each.value
    return found


def test_every_figure() -> None:
    found = samples(Metrics(lambda: READINGS))
    assert {name: found.get(name) for name in EXPECTED} == EXPECTED


def test_a_node_that_has_done_nothing() -> None:
    found = samples(Metrics(lambda: Readings({})))
    assert found["mesh_connections"] == 0
    assert not [name for name in found if "kad" in name or "pubsub" in name]
    assert found["libp2p_identify_identify_received_total"] == 0


def test_each_scrape_reads_anew_and_registries_are_apart() -> None:
    now = [Readings({}, peers=1)]
    one, two = Metrics(lambda: now[0]), Metrics(lambda: Readings({}, peers=9))
    assert samples(one)["mesh_peers"] == 1
    now[0] = Readings({}, peers=2)
    assert (samples(one)["mesh_peers"], samples(two)["mesh_peers"]) == (2, 9)


@pytest.mark.both_loops
async def test_a_loop_that_was_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_lag, "INTERVAL_S", 0.01)
    lag = LoopLag()
    assert (lag.p99_s, lag.max_s) == (0.0, 0.0)
    lag.start()
    lag.start()
    await asyncio.sleep(0.05)
    time.sleep(0.1)  # noqa: ASYNC251 - what is measured
    await asyncio.sleep(0.05)
    lag.stop()
    lag.stop()
    worst = lag.max_s
    assert 0.05 < worst < 5
    assert 0 <= lag.p99_s <= worst
    await asyncio.sleep(0.03)
    assert lag.max_s == worst
