"""The figures of a relay on the metrics page, by go's names."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from mesh.api.server import ControlApi
from mesh.errors import DialError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.node import Node
from tests.network.live import Nodes, eventually
from tests.services.relay.network import dial_through, reached_through, server_of


@pytest.fixture
async def node(nodes: Nodes) -> Node:
    return await nodes.start(relay_serve=True)


def nobody() -> PeerId:
    return PeerId.from_public_key(PrivateKey.generate().public)


async def page(api: ControlApi) -> dict[str, float]:
    headers = {"authorization": f"Bearer {api.token}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, trust_env=False) as client:
        text = (await client.get("/v0/metrics")).raise_for_status().text
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def test_a_relay_counts_under_the_names_of_go(nodes: Nodes, node: Node, api: ControlApi) -> None:
    target = await reached_through(nodes, node)
    source = await nodes.start("")
    connection = await dial_through(source, target)
    with pytest.raises(DialError):
        await source.swarm.dial(nobody(), [Multiaddr.parse(f"{node.listen_addrs[0]}/p2p-circuit")])
    found = await page(api)
    assert found['libp2p_relaysvc_connection_rejections_total{reason="no reservation"}'] == 1
    assert found["libp2p_relaysvc_status"] == 1
    assert found['libp2p_relaysvc_reservations_total{type="opened"}'] == 1
    assert found['libp2p_relaysvc_reservation_request_response_status_total{status="ok"}'] == 1
    assert found['libp2p_relaysvc_connections_total{type="opened"}'] == 1
    assert found['libp2p_relaysvc_connection_request_response_status_total{status="ok"}'] == 1
    assert found["libp2p_relaysvc_data_transferred_bytes_total"] > 0
    assert (found["mesh_relay_reservations"], found["mesh_relay_circuits"]) == (1, 1)
    await connection.close()
    await eventually(lambda: server_of(node).reservations.circuits == 0, "the end of the circuit")
    await target.stop()
    await eventually(lambda: not len(server_of(node).reservations), "the end of the reservation")
    found = await page(api)
    assert found["libp2p_relaysvc_connection_duration_seconds_count"] == 1
    assert found['libp2p_relaysvc_connection_duration_seconds_bucket{le="+Inf"}'] == 1
    assert found['libp2p_relaysvc_reservations_total{type="closed"}'] == 1
    assert found['libp2p_relaysvc_connections_total{type="closed"}'] == 1


async def test_who_is_reached_through_a_relay_says_so(nodes: Nodes, node: Node, tmp_path: Path) -> None:
    target = await reached_through(nodes, node)
    async with ControlApi(target, "127.0.0.1:0", tmp_path) as api:
        found = await page(api)
    assert found["mesh_relay_held"] == 1
    assert found["libp2p_relaysvc_status"] == 0
