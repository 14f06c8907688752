"""A live node and a router of its own: ports held, told, given back; and routers that lie."""

from __future__ import annotations

import asyncio
import errno
import socket
import time

import pytest

from mesh.config import PortMappingSection
from mesh.errors import ConfigError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.node import Node
from mesh.protocols.port_mapping import ssdp
from mesh.protocols.port_mapping.mapping import Port
from mesh.protocols.port_mapping.xml_tree import MAX_BYTES
from mesh.services.port_mapping import gateway as routes
from mesh.services.port_mapping import service, upnp, upnp_http
from mesh.services.port_mapping.datagrams import DatagramWay
from tests.network.live import QUIC, TCP, Nodes, eventually
from tests.protocols.port_mapping.router import Router
from tests.services.port_mapping.live_router import LiveRouter, fault, http, soap, tcp, udp

BOTH = ("pcp", "nat-pmp")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upnp, "SEARCH_WAITS_S", (0.2, 0.4))
    monkeypatch.setattr("mesh.protocols.port_mapping.mapper.PROBE_S", 0.6)


async def mapping_node(
    nodes: Nodes, router: LiveRouter, protocol: str, *listen: str, lease_s: float = 600.0
) -> Node:
    return await nodes.start(
        *listen or (TCP, QUIC),
        port_mapping=protocol,
        gateway=router.host,
        lease_s=lease_s,
        private_addresses=True,
        autonat_ask=False,
    )


def ports(node: Node) -> set[Port]:
    found = set()
    for each in node.listening:
        kind, number = each.components[1].name, int(each.components[1].text)
        found.add(tcp(number) if kind == "tcp" else udp(number))
    return found


def state(node: Node) -> str:
    return node.reachability.mapping.status.state


@pytest.mark.both_loops
@pytest.mark.parametrize("protocol", BOTH)
async def test_ports_are_held_announced_and_given_back(nodes: Nodes, protocol: str) -> None:
    async with LiveRouter(Router((protocol,), shift=-1000)) as router:
        node = await mapping_node(nodes, router, protocol)
        wanted = ports(node)
        await eventually(lambda: router.held == wanted, "both ports")
        await eventually(lambda: len(node.reachability.mapping.mapped) == 2, "both answers")
        told = [str(each) for each in node.own_addresses if each.value("ip4") == "11.3.1.2"]
        by_port = {each.transport: each.number - 1000 for each in wanted}
        tcp_port, udp_port = by_port[tcp(1).transport], by_port[udp(1).transport]
        assert sorted(told) == [f"/ip4/11.3.1.2/tcp/{tcp_port}", f"/ip4/11.3.1.2/udp/{udp_port}/quic-v1"]
        sources = {str(each.address): each.source for each in node.reachability.addresses}
        assert [sources[each] for each in told] == ["mapped", "mapped"]
        status = node.reachability.mapping.status
        assert (status.state, status.protocol, status.gateway) == ("mapped", protocol, router.host)
        assert all(each.left_s is not None and 0 < each.left_s <= 600 for each in status.ports)
        await node.stop()
        assert not router.held, "given back before the end"


@pytest.mark.both_loops
async def test_upnp_ports_are_held_announced_and_given_back(nodes: Nodes) -> None:
    async with LiveRouter(datagrams=False, upnp=True) as router:
        node = await mapping_node(nodes, router, "upnp")
        await eventually(
            lambda: state(node) == "mapped" and len(node.reachability.mapping.mapped) == 2, "both"
        )
        expected = {(each.transport.upper(), each.number): (each.number, 600) for each in ports(node)}
        assert router.forwarded == expected
        assert node.reachability.mapping.status.protocol == "upnp"
        assert sum(each.value("ip4") == "11.3.1.2" for each in node.own_addresses) == 2
        await node.stop()
        assert router.forwarded == {}


async def test_all_three_are_tried_in_order(nodes: Nodes) -> None:
    async with LiveRouter(upnp=True) as router:
        node = await mapping_node(nodes, router, "auto")
        await eventually(lambda: state(node) == "mapped", "a mapping")
        assert node.reachability.mapping.status.protocol == "pcp"
        assert router.searched == [], "nothing was searched for"
    async with LiveRouter(Router(("nat-pmp",))) as router:
        node = await mapping_node(nodes, router, "auto")
        await eventually(lambda: state(node) == "mapped", "a mapping")
        assert node.reachability.mapping.status.protocol == "nat-pmp"
    async with LiveRouter(datagrams=False, upnp=True) as router:
        node = await mapping_node(nodes, router, "auto")
        await eventually(lambda: state(node) == "mapped", "a mapping")
        assert node.reachability.mapping.status.protocol == "upnp"


@pytest.mark.parametrize("protocol", ["auto", "upnp", "nat-pmp", "pcp"])
async def test_a_router_that_says_nothing(nodes: Nodes, protocol: str) -> None:
    async with LiveRouter(Router(silent=True)) as router:
        node = await mapping_node(nodes, router, protocol)
        await eventually(lambda: state(node) == "silent", "silence")
        assert "port_mapping" not in " ".join(node.reachability.advice)
        assert any("neither PCP" in each for each in node.reachability.advice)


@pytest.mark.parametrize("protocol", BOTH)
async def test_a_refusal_is_told_with_its_code(nodes: Nodes, protocol: str) -> None:
    async with LiveRouter(Router((protocol,), result=2)) as router:
        node = await mapping_node(nodes, router, protocol, TCP)
        await eventually(lambda: state(node) == "refused", "the refusal")
        [shown] = node.reachability.mapping.status.ports
        assert (shown.host, shown.code, shown.reason) == (None, 2, "not authorized")


async def test_nothing_is_asked_while_it_is_off(nodes: Nodes) -> None:
    async with LiveRouter(upnp=True) as router:
        node = await mapping_node(nodes, router, "off")
        assert state(node) == "off"
        await node.stop()
        assert (router.router.requests, router.searched) == ([], [])


async def test_a_router_that_starts_anew_says_so_and_is_asked_again(nodes: Nodes) -> None:
    async with LiveRouter(Router(("pcp",), started_at=time.monotonic() - 1000)) as router:
        node = await mapping_node(nodes, router, "pcp")
        wanted = ports(node)
        await eventually(lambda: len(node.reachability.mapping.mapped) == 2, "both ports")
        router.router.restart(time.monotonic())
        router.router.host = "11.3.1.9"
        router.announce()
        hosts = {"11.3.1.9"}
        await eventually(
            lambda: (
                {each.host for each in node.reachability.mapping.mapped} == hosts and router.held == wanted
            ),
            "both again",
        )
        assert {each.value("ip4") for each in node.own_addresses} >= hosts


async def test_a_socket_that_cannot_be_had_is_silence(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_way: DatagramWay) -> None:
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    monkeypatch.setattr(DatagramWay, "_open", refuse)
    async with LiveRouter() as router:
        node = await mapping_node(nodes, router, "pcp", TCP)
        await eventually(lambda: state(node) == "silent", "silence")
        assert node.swarm.listen_addresses, "the node goes on"


async def test_strangers_are_counted(nodes: Nodes) -> None:
    async with LiveRouter(Router(silent=True)) as router:
        node = await mapping_node(nodes, router, "pcp", TCP)
        await eventually(lambda: router.router.requests, "a request")
        way = node.reachability.mapping._way
        own = way._transports[0].get_extra_info("sockname")  # type: ignore[union-attr]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(router.router.announcement(0.0), own)
        await eventually(lambda: node.counters["port_mapping.ignored:stranger"], "the stranger")
        assert state(node) == "searching"


async def test_a_conflict_means_another_port(nodes: Nodes) -> None:
    async with LiveRouter(datagrams=False, upnp=True) as router:
        router.refusals = [718]
        node = await mapping_node(nodes, router, "upnp", TCP)
        await eventually(lambda: state(node) == "mapped", "a mapping")
        [(_, outside)] = router.forwarded
        [own] = ports(node)
        assert router.forwarded["TCP", outside][0] == own.number
        assert node.reachability.mapping.mapped[0].external_port == outside != own.number


async def test_a_router_that_maps_for_ever_only(nodes: Nodes) -> None:
    async with LiveRouter(datagrams=False, upnp=True) as router:
        router.refusals = [725]
        node = await mapping_node(nodes, router, "upnp", TCP)
        await eventually(lambda: state(node) == "mapped", "a mapping")
        assert [lease for _, lease in router.forwarded.values()] == [0]
        assert node.reachability.mapping.mapped[0].left_s is None
        await node.stop()
        assert router.forwarded == {}


async def test_a_refusal_of_upnp_is_told_with_its_code(nodes: Nodes) -> None:
    async with LiveRouter(datagrams=False, upnp=True) as router:
        router.refusals = [606] * 100
        node = await mapping_node(nodes, router, "upnp", TCP)
        await eventually(lambda: state(node) == "refused", "the refusal")
        assert node.reachability.mapping.status.ports[0].code == 606


# --- routers that lie ------------------------------------------------------------------------------------------------


async def found_nothing(nodes: Nodes, router: LiveRouter) -> Node:
    node = await mapping_node(nodes, router, "upnp", TCP)
    await eventually(lambda: state(node) == "silent", "the end of the search")
    assert router.forwarded == {}
    return node


async def test_a_description_elsewhere_is_not_fetched(nodes: Nodes) -> None:
    async with LiveRouter(upnp=True) as other, LiveRouter(datagrams=False, upnp=True) as router:
        router.location = other.location
        node = await found_nothing(nodes, router)
        assert other.asked == []
        assert node.counters["port_mapping.ignored:malformed"] > 0


async def test_an_action_elsewhere_is_not_called(nodes: Nodes) -> None:
    async with LiveRouter(upnp=True) as other, LiveRouter(datagrams=False, upnp=True) as router:
        elsewhere = other.location.replace("/root.xml", "/ctl")
        service_text = (
            "<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>"
            f"<controlURL>{elsewhere}</controlURL>"
        )
        router.answerer = lambda *_: http(f"<root><service>{service_text}</service></root>".encode())
        await found_nothing(nodes, router)
        assert other.asked == []


async def test_a_redirect_is_not_followed(nodes: Nodes) -> None:
    async with LiveRouter(datagrams=False, upnp=True) as router:
        asked = []

        def redirect(_method: str, path: str, _body: bytes) -> bytes:
            asked.append(path)
            return http(b"", "302 Found", f"Location: {router.location}?{len(asked)}\r\n")

        router.answerer = redirect
        await found_nothing(nodes, router)
        assert asked == ["/root.xml"]


async def test_answers_without_end_and_bombs_are_cut_off(nodes: Nodes) -> None:
    lines = '<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    bomb = f"<!DOCTYPE r [{lines}]><r>&b;</r>".encode()
    giant = b"HTTP/1.1 200 OK\r\n\r\n<root>" + b"a" * (4 * MAX_BYTES)
    headers = b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200_000
    for answer in (http(bomb), giant, headers, b"no HTTP at all\r\n\r\n", b""):
        async with LiveRouter(datagrams=False, upnp=True) as router:
            router.answerer = lambda *_, answer=answer: answer
            node = await found_nothing(nodes, router)
            assert node.counters.snapshot().keys() & {
                "port_mapping.ignored:malformed",
                "port_mapping.ignored:network",
            }


async def test_an_answer_that_never_ends_is_not_waited_for(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upnp_http, "REQUEST_S", 0.2)
    async with LiveRouter(datagrams=False, upnp=True) as router:
        release = asyncio.Event()

        async def wait() -> bytes:
            await release.wait()
            return b""

        router.answerer = lambda *_: wait()
        try:
            node = await found_nothing(nodes, router)
        finally:
            release.set()
        assert node.counters["port_mapping.ignored:timed-out"] > 0


async def test_actions_that_say_nothing_end_in_silence(nodes: Nodes) -> None:
    async with LiveRouter(datagrams=False, upnp=True) as router:
        plain = router.answerer

        def answer(method: str, path: str, body: bytes) -> bytes:
            found = plain(method, path, body) if method == "GET" else http(soap("<nothing/>"))
            assert isinstance(found, bytes)
            return found

        router.answerer = answer
        await found_nothing(nodes, router)


async def test_an_outside_address_that_is_none_is_a_refusal(nodes: Nodes) -> None:
    async with LiveRouter(datagrams=False, upnp=True) as router:
        router.router.host = "no address"
        node = await mapping_node(nodes, router, "upnp", TCP)
        await eventually(lambda: state(node) == "refused", "the refusal")


def test_answers_of_strangers_to_the_search_are_counted() -> None:
    ignored: list[str] = []
    search = upnp._Search(routes.Gateway("192.168.1.1", "192.168.1.10"), ignored.append)
    answer = (
        f"HTTP/1.1 200 OK\r\nST: {ssdp.TARGETS[0]}\r\nLOCATION: http://192.168.1.1:5000/\r\n\r\n".encode()
    )
    search.datagram_received(answer, ("192.168.1.66", 1900))
    for _ in range(upnp.MAX_LOCATIONS + 3):
        search.datagram_received(answer, ("192.168.1.1", 1900))
    assert ignored == ["stranger", *["too many"] * 3]


# --- the router and the settings -------------------------------------------------------------------------------------


def test_the_default_route_with_the_least_metric(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
    rows = [
        "eth1 00000000 0201A8C0 0003 0 0 200 00000000 0 0 0",
        "eth0 00000000 0101A8C0 0003 0 0 100 00000000 0 0 0",
        "eth0 0001A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0",
        "tun0 00000000 00000000 0001 0 0 0 00000000 0 0 0",
        "short",
    ]

    class Table:
        @staticmethod
        def read_text() -> str:
            return head + "\n".join(rows)

    monkeypatch.setattr(routes, "ROUTES", Table)
    assert routes._default_route() == "192.168.1.1"


def test_a_router_that_there_is_no_way_to_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert routes.find_gateway("127.0.0.9") == routes.Gateway("127.0.0.9", "127.0.0.1")
    assert routes.find_gateway("255.255.255.255") is None
    monkeypatch.setattr(routes, "_default_route", lambda: None)
    assert routes.find_gateway() is None


async def test_without_a_router_that_is_said(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "find_gateway", lambda _configured: None)
    node = await nodes.start(TCP, port_mapping="auto", private_addresses=True)
    assert state(node) == "no router"


async def test_another_network_means_another_router(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    async with LiveRouter(Router(("pcp",))) as first, LiveRouter(Router(("pcp",), host="11.4.1.2")) as second:
        at = [first]
        monkeypatch.setattr(service, "find_gateway", lambda _: routes.Gateway(at[0].host, "127.0.0.1"))
        node = await mapping_node(nodes, first, "pcp", TCP)
        await eventually(lambda: first.held == ports(node) and state(node) == "mapped", "the first")
        at[0] = second
        node.reachability.network_changed()
        await eventually(lambda: second.held == ports(node) and state(node) == "mapped", "the second")
        assert [each.host for each in node.reachability.mapping.mapped] == ["11.4.1.2"]


async def test_private_outside_addresses_are_not_told(nodes: Nodes) -> None:
    async with LiveRouter(Router(("pcp",), host="100.64.0.2")) as router:
        node = await mapping_node(nodes, router, "pcp", TCP)
        mapping = node.reachability.mapping
        await eventually(lambda: mapping.mapped, "a mapping")
        mapping._anywhere = False
        listener = Multiaddr.parse(f"/ip4/0.0.0.0/tcp/{next(iter(ports(node))).number}")
        assert mapping.outside([listener]) == []
        assert mapping.status.state == "private"


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ({"protocol": "igd"}, {"gateway": "router"}, {"gateway": "::1"}, {"lease_s": 0}):
        with pytest.raises(ConfigError):
            PortMappingSection(**wrong)


def test_faults_of_the_fake_router_are_faults() -> None:
    assert fault(718, "no").startswith(b"HTTP/1.1 500")
