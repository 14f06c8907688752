"""What a node knows of itself, and how it is judged."""

from __future__ import annotations

import pytest

from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.route_probe import Route, _host_of, probe_route
from mesh.node import Node
from mesh.protocols.diagnosis import Fault, diagnose_nat
from mesh.protocols.observed_addresses import Observation
from mesh.services.diagnosis import Diagnosis, own
from mesh.services.node_host import NodeHost
from tests.network.live import TCP, Nodes, eventually, identified

WAIT_S = 5.0


def diagnosis_of(node: Node) -> Diagnosis:
    return Diagnosis(node, NodeHost(node).make_stranger)


def see(node: Node, observer: str, outside: str) -> None:
    """Somebody sees the node's listening socket at a port of 11.3.1.2."""
    local = node.swarm.listen_addresses[0]
    seen = Multiaddr.parse(f"/ip4/11.3.1.2/tcp/{outside}")
    node.reachability.observe(observer, Observation(local, seen, observer.encode()))


async def test_a_node_on_loopback_is_told_to_listen(nodes: Nodes) -> None:
    node = await nodes.start(TCP)
    verdict, _ = await diagnosis_of(node).nat(WAIT_S)
    assert verdict.cause == "listens-on-loopback"
    assert "network.listen" in verdict.remedy[0].command


async def test_a_node_that_knows_nobody(nodes: Nodes) -> None:
    node = await nodes.start("/ip4/0.0.0.0/tcp/0")
    verdict, seen = await diagnosis_of(node).nat(0.1)
    assert verdict.cause == "no-bootstrap"
    assert seen.port == int(node.swarm.listen_addresses[0].value("tcp") or 0)


async def test_a_relay_of_the_settings_that_relays_for_nobody(nodes: Nodes) -> None:
    plain, helper = await nodes.start(), await nodes.start(relay_serve=True)
    node = await nodes.start("/ip4/0.0.0.0/tcp/0", relays=(str(plain.listen_addrs[0]),))
    await identified(await node.connect(helper.listen_addrs[0]))
    verdict, seen = await diagnosis_of(node).nat(WAIT_S)
    assert verdict.cause == "not-a-relay"
    (near,) = seen.relays_near
    assert near == str(helper.listen_addrs[0])
    assert near in verdict.remedy[0].command


async def test_a_relay_without_room(nodes: Nodes) -> None:
    relay = await nodes.start(relay_serve=True, max_reservations=1)
    first = await nodes.start("", relays=(str(relay.listen_addrs[0]),))
    assert first.relaying is not None
    client = first.relaying.client
    assert client is not None
    await eventually(lambda: client.held, "the first reservation")
    node = await nodes.start("/ip4/0.0.0.0/tcp/0", relays=(str(relay.listen_addrs[0]),))
    verdict, seen = await diagnosis_of(node).nat(WAIT_S)
    assert verdict.cause == "relay-full"
    assert [(each.held, each.fault) for each in seen.relays] == [(False, Fault.RELAY_FULL)]


async def test_those_it_begins_with_are_tried(nodes: Nodes) -> None:
    gone = await nodes.start()
    address = str(gone.listen_addrs[0])
    await gone.stop()
    node = await nodes.start("/ip4/0.0.0.0/tcp/0", bootstrap=(address,))
    verdict, seen = await diagnosis_of(node).nat(0.1)
    assert verdict.cause == "bootstrap-unreachable"
    assert [(each.address, each.fault) for each in seen.begins_with] == [(address, Fault.REFUSED)]


@pytest.mark.parametrize(
    ("ports", "mapping"),
    [
        (["4001"], "unknown"),
        (["4001", "4001"], "same"),
        (["4001", "4002"], "different"),
        (["4001", "4001", "4002"], "same"),
        (["1", "2", "3", "3"], "different"),
    ],
    ids=str,
)
async def test_ports_that_observers_see_tell_the_mapping(
    nodes: Nodes, ports: list[str], mapping: str
) -> None:
    node = await nodes.start("/ip4/0.0.0.0/tcp/0")
    for number, port in enumerate(ports):
        see(node, f"observer {number}", port)
    seen = own.see_own(node)
    assert (seen.mapping, seen.outside) == (mapping, ("11.3.1.2",))
    assert seen.translated


async def test_nothing_is_concluded_from_no_answers(nodes: Nodes) -> None:
    peer, node = await nodes.start(), await nodes.start("/ip4/0.0.0.0/tcp/0")
    await identified(await node.connect(peer.listen_addrs[0]))
    assert diagnose_nat(own.see_own(node)).cause == "unknown"


async def test_the_way_to_this_machine_itself_has_no_router() -> None:
    found = await probe_route("127.0.0.1")
    assert set(found.routers.values()) <= {"127.0.0.1"}
    assert not Route({1: "192.168.1.1"}, 0).beyond
    assert Route({1: "192.168.1.1", 2: "11.3.1.1"}, 1280).beyond


@pytest.mark.parametrize("data", [b"\x02\x00", b"\x0a\x00" + bytes(10), b"\xff\xff" + bytes(30)])
def test_a_socket_address_that_is_cut_off_is_nobody(data: bytes) -> None:
    assert _host_of(data) == ""
