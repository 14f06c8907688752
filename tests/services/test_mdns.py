"""mDNS between live nodes, in a network of their own that carries multicast."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import httpx
import pytest

from mesh.api.server import ControlApi
from mesh.config import MdnsSection
from mesh.errors import ConfigError
from mesh.network import multicast
from mesh.network.multicast import Interface, interfaces, why_not
from mesh.node import Node
from mesh.protocols.mdns import Answer, Heard, Query, txt_of
from mesh.services.mdns import MdnsDiscovery
from mesh.services.mdns_packets import MAX_PACKET_BYTES, read_packet, write_packets
from tests.network.live import PATIENCE_S, Nodes, connected, eventually
from tests.protocols.test_mdns import HERE, LOCAL, SERVICE, THERE, A, linked
from tools.interop_peers.isolation import IsolationImpossible, add_address, add_bridge, isolated

HOST = "10.77.0.1"
LISTEN = f"/ip4/{HOST}/tcp/0"


@pytest.fixture
def link(_nothing_left: None) -> Iterator[str]:
    """The only interface of a network of its own besides loopback."""
    try:
        with isolated():
            add_bridge("m0", HOST)
            yield "m0"
    except IsolationImpossible as reason:
        pytest.skip(f"NOTHING WAS TESTED IN ISOLATION: {reason}")


def running(node: Node) -> MdnsDiscovery:
    assert node.discovery.mdns is not None
    return node.discovery.mdns


class Shouter:
    """A socket that sends what it likes to the group, over the link."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        through = socket.inet_aton(HOST)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, through)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)

    def __enter__(self) -> Shouter:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def shout(self, packet: bytes) -> None:
        self.socket.sendto(packet, (multicast.GROUPS[socket.AF_INET], multicast.PORT))


async def test_two_nodes_find_each_other(link: str, nodes: Nodes) -> None:
    one = await nodes.start(LISTEN, mdns=True)
    two = await nodes.start(LISTEN, mdns=True)
    connection = await connected(one, two)
    assert (await connected(two, one)).peer == one.peer_id
    assert str(connection.remote).startswith(f"/ip4/{HOST}/")
    await eventually(lambda: [each.peer for each in running(one).peers] == [two.peer_id], "the table")
    (heard,) = running(one).peers
    assert heard.addresses == tuple(each.without_peer() for each in two.listen_addrs)
    assert heard.link == link
    assert running(one).skipped == {"lo": "loopback"}
    counts = running(one).counts(link)
    await eventually(lambda: counts.answers_sent and counts.queries_heard, "its own question is answered")
    assert (counts.malformed, counts.dropped, counts.refused) == (0, 0, 0)
    await two.stop()
    await eventually(lambda: not running(one).peers, "the goodbye")


async def test_the_api_shows_what_was_heard(link: str, nodes: Nodes, tmp_path: Path) -> None:
    add_bridge("docker0", "10.99.0.1")
    one = await nodes.start(LISTEN, mdns=True)
    two = await nodes.start(LISTEN, mdns=True)
    await connected(one, two)
    await eventually(lambda: running(one).peers, "two's own answer")  # the connection may be two's doing
    async with ControlApi(one, f"unix:{tmp_path}/api.sock", tmp_path) as api:
        transport = httpx.AsyncHTTPTransport(uds=f"{tmp_path}/api.sock")
        headers = {"authorization": f"Bearer {api.token}"}
        async with httpx.AsyncClient(
            base_url="http://localhost", transport=transport, headers=headers
        ) as caller:
            told = (await caller.get("/v0/diag/mdns")).json()
    assert (told["enabled"], told["service"], told["instance"]) == (True, SERVICE, running(one).instance)
    assert told["skipped"] == {"lo": "loopback", "docker0": "a bridge of containers"}
    (shown,) = told["links"]
    assert (shown["interface"], shown["malformed"]) == (link, 0)
    assert "ip4" in shown["families"]
    assert shown["answers_heard"] >= 1
    (peer,) = told["peers"]
    assert (peer["peer"], peer["connected"]) == (str(two.peer_id), True)
    assert peer["addrs"] == list(map(str, two.own_addresses))


@pytest.mark.parametrize("service", ["_p2p-0123abcd._udp", "betar-mdns"])
async def test_another_service_is_another_network(link: str, nodes: Nodes, service: str) -> None:
    one = await nodes.start(LISTEN, mdns=True)
    two = await nodes.start(LISTEN, mdns=True, service=service)
    three = await nodes.start(LISTEN, mdns=True, service=service)
    await connected(two, three)
    await eventually(lambda: running(one).counts(link).answers_heard >= 4, "the others' answers")
    assert one.connections == []
    assert running(one).peers == []


async def test_off_is_silent(link: str, nodes: Nodes) -> None:
    quiet = await nodes.start(LISTEN)
    assert quiet.discovery.mdns is None
    one = await nodes.start(LISTEN, mdns=True)
    two = await nodes.start(LISTEN, mdns=True)
    await connected(one, two)
    assert quiet.connections == []


@pytest.mark.usefixtures("_nothing_left")
async def test_an_interface_that_comes_later_is_used(nodes: Nodes) -> None:
    try:
        with isolated():
            one = await nodes.start("/ip4/0.0.0.0/tcp/0", mdns=True)
            two = await nodes.start("/ip4/0.0.0.0/tcp/0", mdns=True)
            assert running(one).links == {}
            add_bridge("m0", HOST)
            await connected(one, two)
            assert list(running(one).links) == ["m0"]
            add_address("m0:1", "10.78.0.1")
            await eventually(
                lambda: any(
                    "10.78.0.1" in str(each) for peer in running(one).peers for each in peer.addresses
                ),
                "the new address",
            )
            await one.stop()
            await two.stop()
    except IsolationImpossible as reason:
        pytest.skip(f"NOTHING WAS TESTED IN ISOLATION: {reason}")


async def test_bridges_of_containers_are_left_out_unless_chosen(link: str, nodes: Nodes) -> None:
    add_bridge("docker0", "10.99.0.1")
    node = await nodes.start("/ip4/0.0.0.0/tcp/0", mdns=True)
    other = await nodes.start("/ip4/0.0.0.0/tcp/0", mdns=True)
    await eventually(lambda: list(running(node).links) == [link], "the link")
    assert running(node).skipped["docker0"] == "a bridge of containers"
    await eventually(lambda: running(node).peers, "the other")
    (heard,) = running(node).peers
    assert heard.peer == other.peer_id
    assert {each.value("ip4") for each in heard.addresses} == {HOST}
    chosen = await nodes.start("/ip4/0.0.0.0/tcp/0", mdns=True, interfaces=("docker*",))
    await eventually(lambda: list(running(chosen).links) == ["docker0"], "the chosen one")
    assert running(chosen).skipped[link] == "not among the chosen ones"


async def test_floods_and_forgeries_cost_little(link: str, nodes: Nodes) -> None:
    node = await nodes.start(LISTEN, mdns=True, peers_per_minute=5)
    await eventually(lambda: link in running(node).links, "the link")
    with Shouter() as shouter:
        forged = Answer(link, f"liar.{SERVICE}", txt_of([HERE], node.peer_id), 120.0)
        shouter.shout(write_packets(forged, SERVICE)[0])
        nowhere = f"/ip4/{HOST}/tcp/1"
        for number in range(40):
            record = txt_of([type(HERE).parse(nowhere)], A if number % 2 else LOCAL)
            (packet,) = write_packets(Answer(link, f"x{number}.{SERVICE}", record, 120.0), SERVICE)
            shouter.shout(packet)
        counts = running(node).counts(link)
        async with asyncio.timeout(PATIENCE_S):
            while not (counts.malformed and counts.dropped):
                for number in range(5000):
                    shouter.shout(number.to_bytes(2, "big") * 20)
                await asyncio.sleep(0.01)
    assert len(running(node).peers) == 2
    assert counts.refused > 20
    assert node.connections == []
    friend = await nodes.start(LISTEN, mdns=True)
    await connected(friend, node)


async def test_a_port_that_cannot_be_had(link: str, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(multicast, "_bound_socket", refuse)
    node = await nodes.start(LISTEN, mdns=True)
    await eventually(lambda: link in running(node).skipped, "the refusal")
    assert running(node).skipped[link].startswith("cannot join 224.0.0.251: Address already in use")


def test_packets_both_ways() -> None:
    (packet,) = write_packets(Query("m0", SERVICE), SERVICE)
    assert read_packet(packet) == Heard(asked=(SERVICE,))
    txt = txt_of([HERE, THERE], A)
    (packet,) = write_packets(
        Answer("m0", f"x.{SERVICE}", txt, 120.0, 4001, ("192.0.2.1", "2001:db8::1")), SERVICE
    )
    assert read_packet(packet) == Heard(
        pointers=((SERVICE, f"x.{SERVICE}", 120.0),), texts=((f"x.{SERVICE}", 120.0, txt),)
    )
    (packet,) = write_packets(Query("m0", f"x.{SERVICE}", instance=True), SERVICE)
    assert read_packet(packet) == Heard(asked=(f"x.{SERVICE}",))


@pytest.mark.parametrize("data", [b"", b"\x00" * 11, b"\xff" * 40, bytes(MAX_PACKET_BYTES + 1)])
def test_packets_that_are_none(data: bytes) -> None:
    assert read_packet(data) is None


def test_packets_with_faults_are_read_or_refused() -> None:
    """Whatever a datagram holds, reading it and hearing it raises nothing."""
    random = Random(7)
    answer = Answer("m0", f"x.{SERVICE}", txt_of([HERE, THERE], A), 120.0, 4001, ("192.0.2.1",))
    whole = [*write_packets(answer, SERVICE), *write_packets(Query("m0", SERVICE), SERVICE)]
    made, read = linked(), 0
    for number in range(20_000):
        data = bytearray(random.choice(whole))
        for _ in range(random.randint(1, 6)):
            at = random.randrange(len(data))
            if random.random() < 0.7:
                data[at] = random.randrange(256)
            elif random.random() < 0.5:
                data[at:at] = data[random.randrange(len(data)) :][:40]
            else:
                del data[at + 1 :]
        heard = read_packet(bytes(data))
        if heard is not None:
            read += 1
            made.receive("eth0", heard, float(number))
            made.wake(float(number))
            made.output()
            made.events()
    assert 1000 < read < 20_000


def test_which_interfaces() -> None:
    lan = Interface("eth0", 2, ("192.0.2.7",), ("fe80::1",))
    assert why_not(lan, ()) == why_not(lan, ("eth*",)) == why_not(lan, ("192.0.2.7",)) == ""
    assert why_not(lan, ("wlan0",))
    loopback = Interface("lo", 1, ("127.0.0.1",), ())
    assert why_not(loopback, ()) == "loopback"
    assert why_not(loopback, ("lo",)) == ""
    for name in ("docker0", "br-1234567890ab", "veth12ab", "virbr0", "cni0"):
        assert why_not(Interface(name, 3, ("172.17.0.1",), ()), ())
    assert any(each.is_loopback for each in interfaces())


@pytest.mark.parametrize("service", ["p2p", "_p2p", "_p2p._sctp", "_p2p._udp.local", "_p 2p._udp", "__._udp"])
def test_a_service_is_named_properly(service: str) -> None:
    with pytest.raises(ConfigError, match="service name"):
        MdnsSection(service=service)


def test_the_library_is_loaded_by_those_alone_who_use_it() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import mesh.node, sys; print('zeroconf' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert said.strip() == "False"
