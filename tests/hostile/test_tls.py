"""Dialers and listeners whose TLS is wrong in one thing: a live node refuses them with the right alert and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from OpenSSL import SSL

from mesh.errors import CutOff, DialError, PeerError
from mesh.identity.certificate import issue
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.security import TLS_PROTOCOL_ID
from mesh.node import Node
from mesh.protocols.machine import Role
from tests.hostile.conftest import Target
from tests.network.live import PATIENCE_S, Nodes, eventually
from tests.network.raw_tls import AGREED, NOW, STRANGER, RawTls
from tests.network.test_tls import expired, signed_by_another, without_extension
from tests.protocols import flipped

TLS = "upgrade.failed:tls handshake"
STRANGER_ID = PeerId.from_public_key(STRANGER.public)


class Wire:
    """A socket: what came before a reset is read before the reset is."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._skip = len(AGREED)

    async def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await asyncio.get_running_loop().sock_sendall(self._raw, data)

    async def receive(self) -> bytes:
        """What comes next behind the agreement on TLS; b"" at the end."""
        data = b""
        while not data:
            async with asyncio.timeout(PATIENCE_S):
                try:
                    came = await asyncio.get_running_loop().sock_recv(self._raw, 65536)
                except ConnectionError:
                    return b""
            if not came:
                return b""
            data = came[self._skip :]
            self._skip = max(0, self._skip - len(came))
        return data

    async def talk(self, tls: RawTls, until: Callable[[], bool] = lambda: False) -> None:
        """Until the end of the connection, or ``until`` holds."""
        tls.take(b"")
        await self.send(AGREED + tls.output())
        while not until() and (data := await self.receive()):
            tls.take(data)
            await self.send(tls.output())


@contextlib.asynccontextmanager
async def dialled(node: Node) -> AsyncIterator[Wire]:
    """A TCP connection to the node."""
    with socket.socket() as raw:
        raw.setblocking(False)
        port = int(node.swarm.listen_addresses[0].value("tcp") or 0)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        yield Wire(raw)


WRONG: dict[str, tuple[Callable[[], RawTls], int]] = {
    "alpn": (lambda: RawTls(Role.INITIATOR, alpn=[b"h2"]), 120),
    "no certificate": (lambda: RawTls(Role.INITIATOR, anonymous=True), 116),
    "expired": (lambda: RawTls(Role.INITIATOR, certificate=expired()), 45),
    "no extension": (lambda: RawTls(Role.INITIATOR, certificate=without_extension()), 42),
    "self-signature": (lambda: RawTls(Role.INITIATOR, certificate=signed_by_another()), 42),
    "TLS 1.2": (lambda: RawTls(Role.INITIATOR, version=SSL.TLS1_2_VERSION), 70),
}


@pytest.mark.both_loops
@pytest.mark.parametrize("what", WRONG)
async def test_dialers_are_told_why(target: Target, what: str) -> None:
    make, alert = WRONG[what]
    tls = make()
    async with dialled(target.node) as wire:
        await wire.talk(tls)
    assert tls.alerts == [alert]
    assert target.node.counters[TLS] == 1


async def test_two_certificates(target: Target) -> None:
    tls = RawTls(Role.INITIATOR, chain=[issue(PrivateKey.generate(), NOW)])
    async with dialled(target.node) as wire:
        await wire.talk(tls)
    assert target.node.counters[TLS] == 1


@pytest.mark.parametrize(
    "said",
    [
        b"\x00" * 100,
        b"GET / HTTP/1.1\r\n\r\n" * 9,
        b"\x16\x03\x01\x40\x00" + b"\xff" * 16_384,
        b"\x17\x03\x03\x00\x01x",
    ],
    ids=["zeros", "http", "full record", "payload"],
)
async def test_garbage(target: Target, said: bytes) -> None:
    async with dialled(target.node) as wire:
        await wire.send(AGREED + said)
        while await wire.receive():
            pass
    assert target.node.counters[TLS] == 1


@pytest.mark.parametrize("target", [{"upgrade_timeout_s": 1.0}], indirect=True)
@pytest.mark.parametrize("size", [0, 1, 200])
async def test_half_a_hello_and_silence(target: Target, size: int) -> None:
    tls = RawTls(Role.INITIATOR)
    tls.take(b"")
    async with dialled(target.node) as wire:
        await wire.send(AGREED + tls.output()[:size])
        while await wire.receive():
            pass
    assert target.node.counters[TLS] == 1


async def stranger_at(node: Node) -> Connection:
    await eventually(lambda: node.swarm.connection_to(STRANGER_ID), "the connection")
    found = node.swarm.connection_to(STRANGER_ID)
    assert found is not None
    return found


async def test_an_altered_record(target: Target) -> None:
    tls = RawTls(Role.INITIATOR)
    async with dialled(target.node) as wire:
        await wire.talk(tls, lambda: tls.done)
        connection = await stranger_at(target.node)
        tls.connection.sendall(bytes(12))
        await wire.send(flipped(tls.output(), 20))
        while data := await wire.receive():
            tls.take(data)
    assert tls.alerts == [20]
    assert isinstance(connection.close_reason, PeerError)
    assert connection.close_reason.wire_code == 20


async def test_an_end_without_a_word(target: Target) -> None:
    tls = RawTls(Role.INITIATOR)
    async with dialled(target.node) as wire:
        await wire.talk(tls, lambda: tls.done)
        connection = await stranger_at(target.node)
        wire._raw.shutdown(socket.SHUT_WR)
        while data := await wire.receive():
            tls.take(data)
    assert isinstance(connection.close_reason, CutOff)
    assert tls.failure == "close_notify"


async def test_an_end_as_it_should_be(target: Target) -> None:
    tls = RawTls(Role.INITIATOR)
    async with dialled(target.node) as wire:
        await wire.talk(tls, lambda: tls.done)
        connection = await stranger_at(target.node)
        tls.connection.shutdown()
        await wire.send(tls.output())
        while data := await wire.receive():
            tls.take(data)
    assert connection.close_reason is not None
    assert connection.close_reason.code == "closed"
    assert str(connection.close_reason) == "the peer closed the connection"


# --- the node dials -----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def listening(tls: RawTls) -> AsyncIterator[str]:
    """An address where one dialer is served by ``tls``, to the end."""
    loop = asyncio.get_running_loop()
    with socket.socket() as server:
        server.setblocking(False)
        server.bind(("127.0.0.1", 0))
        server.listen()

        async def serve() -> None:
            raw, _ = await loop.sock_accept(server)
            with raw:
                await Wire(raw).talk(tls)

        serving = asyncio.create_task(serve())
        yield f"/ip4/127.0.0.1/tcp/{server.getsockname()[1]}"
        async with asyncio.timeout(PATIENCE_S):
            await serving


@pytest.mark.parametrize(
    ("tls", "words", "alert"),
    [
        (lambda: RawTls(Role.RESPONDER, certificate=expired()), "expired", 45),
        (lambda: RawTls(Role.RESPONDER, certificate=without_extension()), "no libp2p extension", 42),
        (lambda: RawTls(Role.RESPONDER, chain=[issue(STRANGER, NOW)]), "2 certificates", 42),
    ],
    ids=["expired", "no extension", "two"],
)
async def test_listeners_are_told_why(
    nodes: Nodes, tls: Callable[[], RawTls], words: str, alert: int
) -> None:
    node = await nodes.start("", security=("tls",))
    other = tls()
    async with listening(other) as address:
        with pytest.raises(DialError, match=f"tls handshake: certificate refused: .*{words}"):
            await node.connect(address)
    assert other.alerts == [alert]


async def test_another_peer_than_dialled(nodes: Nodes) -> None:
    node = await nodes.start("", security=("tls",))
    other = RawTls(Role.RESPONDER)
    wanted = PeerId.from_public_key(PrivateKey.generate().public)
    async with listening(other) as address:
        with pytest.raises(DialError, match=f"tls: dialled {wanted} but {STRANGER_ID} answered"):
            await node.connect(f"{address}/p2p/{wanted}")
    assert other.alerts == [42]


async def test_noise_is_proposed_first_and_tls_on_a_connection_of_its_own(nodes: Nodes) -> None:
    server = await nodes.start(security=("tls",))
    client = await nodes.start("")
    connection = await client.connect(server.listen_addrs[0])
    assert connection.security == "tls"
    assert connection.proposal == 1
    await eventually(lambda: server.counters["upgrade.failed:security negotiation"] == 1)
    assert client.counters["connection.opened:outbound"] == 1
    assert TLS_PROTOCOL_ID == "/tls/1.0.0"
