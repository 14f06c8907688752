"""Ends that do nothing: every wait has its end, and nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from mesh.errors import DialError, MeshError, StreamReset, TimedOut, UsageError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.stream import Stream
from mesh.services.autonat import v1_client, v1_server, v2_client, v2_server
from mesh.services.autonat.v1_server import PROTOCOL_ID
from mesh.services.autonat.v2_server import DIAL_BACK_ID, DIAL_REQUEST_ID
from tests.network.live import PATIENCE_S, Nodes, eventually
from tests.services.autonat.network import NOBODY, dial_v1, make, request, server, start

SOON_S = 0.1


@contextlib.asynccontextmanager
async def silent_listener() -> AsyncIterator[Multiaddr]:
    """Takes connections and says nothing."""
    writers: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(lambda _reader, writer: writers.append(writer), "127.0.0.1", 0)
    try:
        yield Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{listener.sockets[0].getsockname()[1]}")
    finally:
        for writer in writers:
            writer.close()
        listener.close()


async def test_a_dial_back_that_hangs_is_given_up(nodes: Nodes) -> None:
    at, peer = await server(nodes), make(nodes)
    async with silent_listener() as address:
        with pytest.raises(DialError, match=f"not reached within {SOON_S:g} s"):
            await at.reachability._dialing.reach(peer.peer_id, [address], SOON_S)
    with pytest.raises(DialError):
        await at.reachability._dialing.reach(peer.peer_id, [Multiaddr.parse(NOBODY)], 5.0)
    assert not at.reachability._dialing._locks


async def test_a_node_that_is_stopped_dials_nobody(nodes: Nodes) -> None:
    node = make(nodes)
    with pytest.raises(UsageError):
        node.reachability._dialing.can_dial(node.peer_id, Multiaddr.parse(NOBODY))


@pytest.mark.parametrize("protocol", [PROTOCOL_ID, DIAL_REQUEST_ID, DIAL_BACK_ID])
async def test_who_asks_and_says_nothing_is_reset(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setattr(v1_server, "STREAM_S", SOON_S)
    monkeypatch.setattr(v2_server, "REQUEST_S", SOON_S)
    monkeypatch.setattr(v2_client, "DIAL_BACK_S", SOON_S)
    at, client = await server(nodes, ask=True), await start(nodes)
    at.reachability.v2.dial_back_s = 0.0
    stream = await client.open(at.listen_addrs[0], protocol)
    with pytest.raises(StreamReset):
        async with asyncio.timeout(PATIENCE_S):
            await stream.read()
    assert at.reachability.v2._limits.running == 0


@pytest.mark.parametrize("protocol", [PROTOCOL_ID, DIAL_REQUEST_ID])
async def test_a_server_that_says_nothing_is_given_up(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setattr(v1_client, "ASK_S", SOON_S)
    monkeypatch.setattr(v2_client, "ASK_S", SOON_S)
    at, client = await start(nodes), await start(nodes)

    async def hold(_stream: Stream) -> None:
        await asyncio.Event().wait()

    at.handle(protocol, hold)
    connection = await client.connect(at.listen_addrs[0])
    by_v1 = v1_client.ask_v1(connection, client.peer_id, [])
    by_v2 = client.reachability.client.ask(connection, client.listening)
    asked, other = (by_v1, by_v2) if protocol == PROTOCOL_ID else (by_v2, by_v1)
    other.close()
    with pytest.raises(TimedOut, match="did not answer"):
        await asked


@pytest.mark.parametrize("version", [1, 2])
async def test_a_server_that_stops_in_the_middle_of_a_dial_leaves_nothing(nodes: Nodes, version: int) -> None:
    at, client = await server(nodes), await start(nodes)
    at.reachability.v1.dial_s = 30.0
    async with silent_listener() as address:
        if version == 1:
            stream = await client.open(at.listen_addrs[0], PROTOCOL_ID)
            await stream.write_message(dial_v1(client, str(address)).encode())
        else:
            stream = await request(client, at, str(address))
        await eventually(lambda: at.reachability._dialing._waiting, "the dial")
        async with asyncio.timeout(PATIENCE_S):
            await at.stop()
        with pytest.raises(MeshError):
            await stream.read_message(4096)
    assert not at.reachability._dialing._waiting
    assert at.reachability.v2._limits.running == 0
