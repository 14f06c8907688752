"""Nodes over ws and wss: addresses, certificates, configuration, closing."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import time
from pathlib import Path

import pytest
from websockets.frames import Frame, Opcode

from mesh.errors import AddressInUse, ConfigError, DialError, DialFailure, UsageError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network import websocket_pipe
from mesh.network.addresses import TcpEndpoint, websocket_endpoint
from mesh.network.driver import CLOSE_S
from mesh.network.websocket import WebSocketTransport
from mesh.network.websocket_pipe import WebSocketPipe
from mesh.node import Node
from mesh.protocols import yamux
from mesh.protocols.machine import Buffer
from mesh.services import echo
from tests.network.certificates import NAME, Certificates, make_certificates
from tests.network.live import Nodes, byte_driver, connected, eventually, exchange, round_trip

WS = "/ip4/127.0.0.1/tcp/0/ws"
WSS = "/ip4/127.0.0.1/tcp/0/tls/ws"
MIB = 1 << 20


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


def port_of(node: Node) -> int:
    return int(node.swarm.listen_addresses[0].value("tcp") or 0)


async def failure_of(node: Node, address: object) -> DialFailure:
    with pytest.raises(DialError) as caught:
        async with asyncio.timeout(10):
            await node.connect(str(address))
    return caught.value.failures[0]


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "secure", "name", "suffix"),
    [
        ("/ip4/192.0.2.1/tcp/80/ws", False, "192.0.2.1", "/ws"),
        ("/ip6/2001:db8::1/tcp/80/ws", False, "2001:db8::1", "/ws"),
        ("/dns4/mesh.test/tcp/80/ws", False, "mesh.test", "/ws"),
        ("/ip4/192.0.2.1/tcp/443/wss", True, "192.0.2.1", "/tls/ws"),
        ("/ip4/192.0.2.1/tcp/443/tls/ws", True, "192.0.2.1", "/tls/ws"),
        ("/dns/mesh.test/tcp/443/wss", True, "mesh.test", "/tls/sni/mesh.test/ws"),
        ("/ip4/192.0.2.1/tcp/443/tls/sni/mesh.test/ws", True, "mesh.test", "/tls/sni/mesh.test/ws"),
        ("/dns/a.test/tcp/443/tls/sni/b.test/ws", True, "b.test", "/tls/sni/b.test/ws"),
    ],
)
def test_addresses_that_are_websocket(text: str, secure: bool, name: str, suffix: str) -> None:
    endpoint = websocket_endpoint(Multiaddr.parse(text))
    assert endpoint is not None
    assert (endpoint.secure, endpoint.name, endpoint.suffix) == (secure, name, suffix)
    assert WebSocketTransport(1).handles(Multiaddr.parse(text))


def test_an_address_with_a_zone() -> None:
    endpoint = websocket_endpoint(Multiaddr.parse("/ip6zone/eth0/ip6/fe80::1/tcp/80/ws"))
    assert endpoint is not None
    assert endpoint.tcp == TcpEndpoint("fe80::1%eth0", 80, socket.AF_INET6)
    assert endpoint.name == "fe80::1"


@pytest.mark.parametrize(
    "text",
    [
        "/ip4/192.0.2.1/tcp/80",
        "/ip4/192.0.2.1/udp/80/ws",
        "/ip4/192.0.2.1/ws",
        "/ws",
        "/ip4/192.0.2.1/tcp/80/sni/mesh.test/ws",
        "/ip4/192.0.2.1/tcp/80/tls",
        "/ip4/192.0.2.1/tcp/80/ws/ws",
        "/ip4/192.0.2.1/tcp/80/tls/wss",
        "/ip4/192.0.2.1/tcp/80/ws/p2p/12D3KooWFZWHcppRZeX2rq4aRhYRgzcBuJZuWhr6udjMyNHyVEb4/p2p-circuit",
    ],
)
def test_addresses_that_are_not(text: str) -> None:
    assert websocket_endpoint(Multiaddr.parse(text)) is None


async def test_other_addresses_are_refused() -> None:
    with pytest.raises(UsageError, match="not a WebSocket address"):
        await WebSocketTransport(1).listen(Multiaddr.parse("/memory/1"), lambda: pytest.fail("accepted"))


async def test_a_port_in_use(nodes: Nodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}/ws"
        with pytest.raises(AddressInUse, match="another program"):
            await nodes.start(address)


# -- two nodes ---------------------------------------------------------------------------------------------------------


@pytest.mark.both_loops
@pytest.mark.parametrize("listen", [WS, WSS], ids=["ws", "wss"])
async def test_two_nodes(nodes: Nodes, certificates: Certificates, listen: str) -> None:
    server, client, connection = await nodes.pair(listen, **certificates.settings)
    suffix = listen.partition("/tcp/0")[2]
    assert str(connection.remote) == f"/ip4/127.0.0.1/tcp/{port_of(server)}{suffix}"
    assert str(server.listen_addrs[0]) == f"{connection.remote}/p2p/{server.peer_id}"
    accepted = await connected(server, client)
    assert accepted.remote == connection.local
    assert str(accepted.remote).endswith(suffix)
    assert await round_trip(client, server) > 0

    sent, received = hashlib.sha256(), hashlib.sha256()
    async with await client.open(connection, echo.PROTOCOL_ID) as stream:

        async def send() -> None:
            for _ in range(64):
                chunk = os.urandom(256 * 1024)
                sent.update(chunk)
                await stream.write(chunk)
            await stream.close_write()

        async def receive() -> None:
            while chunk := await stream.read_chunk():
                received.update(chunk)

        async with asyncio.timeout(30):
            await asyncio.gather(send(), receive())
    assert received.digest() == sent.digest()
    assert connection.driver.received_bytes > 16 * MIB
    began = time.monotonic()
    await connection.close()
    await eventually(lambda: not server.connections)
    assert time.monotonic() - began < CLOSE_S
    assert server.counters["connection.closed:closed"] == client.counters["connection.closed:closed"] == 1


@pytest.mark.both_loops
@pytest.mark.parametrize("listen", [WS, WSS], ids=["ws", "wss"])
async def test_fragments_of_one_byte(
    nodes: Nodes, certificates: Certificates, listen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fragmented(buffers: list[Buffer], masked: bool) -> list[Buffer]:
        data = b"".join(buffers)
        parts = [Frame(Opcode.CONT, data[at : at + 1], fin=False) for at in range(len(data))]
        parts[0] = Frame(Opcode.BINARY, data[:1], fin=False)
        parts.insert(1, Frame(Opcode.PING, b"are you there"))
        parts.append(Frame(Opcode.CONT, b""))
        return [each.serialize(mask=masked) for each in parts]

    monkeypatch.setattr(websocket_pipe, "frames", fragmented)
    _, client, connection = await nodes.pair(listen, **certificates.settings)
    async with await client.open(connection, echo.PROTOCOL_ID) as stream:
        payload = os.urandom(3000)
        assert await exchange(stream, payload) == payload


async def test_a_name_for_the_certificate(nodes: Nodes, certificates: Certificates) -> None:
    server = await nodes.start(f"/ip4/127.0.0.1/tcp/0/tls/sni/{NAME}/ws", **certificates.settings)
    address = server.swarm.listen_addresses[0]
    assert str(address) == f"/ip4/127.0.0.1/tcp/{port_of(server)}/tls/sni/{NAME}/ws"
    client = await nodes.start("", tls_trust=certificates.authority)
    connection = await client.connect(address)
    assert connection.peer == server.peer_id
    assert connection.remote == address
    other = await nodes.start("", tls_trust=certificates.authority)
    assert (await other.connect(f"/ip4/127.0.0.1/tcp/{port_of(server)}/wss")).peer == server.peer_id


async def test_a_certificate_of_another_name(nodes: Nodes, certificates: Certificates) -> None:
    server = await nodes.start(WSS, **certificates.settings)
    client = await nodes.start("", tls_trust=certificates.authority)
    failure = await failure_of(client, f"/ip4/127.0.0.1/tcp/{port_of(server)}/tls/sni/other.test/ws")
    assert failure.stage == "tls handshake"
    assert "other.test" in failure.cause
    await eventually(lambda: server.counters["upgrade.failed:tls handshake"] == 1)


async def test_an_authority_that_is_not_trusted(nodes: Nodes, certificates: Certificates) -> None:
    server = await nodes.start(WSS, **certificates.settings)
    client = await nodes.start("")
    failure = await failure_of(client, server.swarm.listen_addresses[0])
    assert failure.stage == "tls handshake"
    assert "TLS: " in failure.cause
    assert "certificate" in failure.cause
    await eventually(lambda: server.counters["upgrade.failed:tls handshake"] == 1)
    assert client.counters["upgrade.failed:tls handshake"] == 1


@pytest.mark.parametrize(("listen", "asked"), [(WS, "/tls/ws"), (WSS, "/ws")], ids=["plain", "secure"])
async def test_the_other_kind_of_listener(
    nodes: Nodes, certificates: Certificates, listen: str, asked: str
) -> None:
    server = await nodes.start(listen, **certificates.settings)
    client = await nodes.start("", tls_trust=certificates.authority)
    failure = await failure_of(client, f"/ip4/127.0.0.1/tcp/{port_of(server)}{asked}")
    assert failure.stage == ("tls handshake" if asked == "/tls/ws" else "websocket handshake")
    stage = "websocket handshake" if listen == WS else "tls handshake"
    await eventually(lambda: server.counters[f"upgrade.failed:{stage}"] == 1)


# -- configuration -----------------------------------------------------------------------------------------------------


async def test_listening_needs_a_certificate(nodes: Nodes, certificates: Certificates) -> None:
    with pytest.raises(ConfigError, match=r"network\.tls_certificate is not set"):
        await nodes.start(WSS)
    with pytest.raises(ConfigError, match=r"network\.tls_key is not set"):
        await nodes.start(WS, tls_certificate=certificates.certificate)


@pytest.mark.parametrize("setting", ["tls_certificate", "tls_key", "tls_trust"])
@pytest.mark.parametrize("damage", ["missing", "empty", "folder"])
async def test_files_that_cannot_be_used(
    nodes: Nodes, certificates: Certificates, tmp_path: Path, setting: str, damage: str
) -> None:
    file = tmp_path / "bad.pem"
    if damage == "empty":
        file.touch()
    elif damage == "folder":
        file.mkdir()
    with pytest.raises(ConfigError, match=rf"network\.{setting}.*bad\.pem"):
        await nodes.start(WS, **(certificates.settings | {setting: file}))


async def test_a_key_of_another_certificate(nodes: Nodes, tmp_path: Path) -> None:
    folders = tmp_path / "one", tmp_path / "two"
    for folder in folders:
        folder.mkdir()
    one, two = map(make_certificates, folders)
    with pytest.raises(ConfigError, match="cannot be used together"):
        await nodes.start(WSS, tls_certificate=one.certificate, tls_key=two.key)


# -- ends --------------------------------------------------------------------------------------------------------------


@pytest.mark.both_loops
async def test_a_peer_that_never_answers_the_close(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It heeds no go away, neither answers the close frame nor closes its socket when ours is."""
    monkeypatch.setattr(yamux.Session, "_take_go_away", lambda self, code: None)
    hear, end = WebSocketPipe._peer_closed, WebSocketPipe.eof_received
    monkeypatch.setattr(
        WebSocketPipe, "_peer_closed", lambda self, said: None if self._masks else hear(self, said)
    )
    monkeypatch.setattr(WebSocketPipe, "eof_received", lambda self: True if self._masks else end(self))
    server, client, _ = await nodes.pair(WS)
    accepted = await connected(server, client)
    began = time.monotonic()
    await accepted.close()
    assert websocket_pipe.CLOSE_S * 0.9 < time.monotonic() - began < CLOSE_S
    assert not server.connections


@pytest.mark.both_loops
async def test_a_peer_that_reads_nothing_cannot_keep_a_closing_connection(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is queued for it is given up after the driver's limit."""
    server, client, connection = await nodes.pair(WS, max_window_bytes=16 * MIB)
    accepted = await connected(server, client)
    monkeypatch.setattr("mesh.network.driver.CLOSE_S", 0.15)
    raw = byte_driver(connection).transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    byte_driver(connection).transport.pause_reading()
    byte_driver(accepted).transport.writelines([bytes(8 * MIB), bytes(8 * MIB)])
    assert byte_driver(accepted).transport.get_write_buffer_size() > MIB
    async with asyncio.timeout(5):
        await accepted.close()
    assert not server.connections
    byte_driver(connection).transport.resume_reading()


@pytest.mark.both_loops
async def test_stopping_in_every_stage(nodes: Nodes, certificates: Certificates) -> None:
    """Connections that say nothing, or not everything, end with the node."""
    server = nodes.make(WS, WSS, **certificates.settings)
    await server.start()
    ports = [int(each.value("tcp") or 0) for each in server.swarm.listen_addresses]
    writers = []
    for port, said in [
        (ports[0], b""),
        (ports[0], b"GET / HTTP/1.1\r\n"),
        (ports[1], b""),
        (ports[1], b"\x16\x03"),
    ]:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        writers.append(writer)
    await eventually(lambda: server.swarm._inbound_upgrades == 4)
    async with asyncio.timeout(1):
        await server.stop()
    for writer in writers:
        writer.close()
