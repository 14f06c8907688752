"""Levin connections over TCP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from mesh.apps.lethean.levin_peer import LevinListener, LevinPeer, dial_levin
from mesh.errors import Closed, DialError
from mesh.protocols.lethean.levin import Answered, Asked, LevinNode, Notified, Ponged
from tests.network.live import eventually
from tests.vectors import load

NEW_BLOCK, OBJECTS = 2001, 2003


def levin_node(peer_id: int, network: bytes = bytes(range(16))) -> LevinNode:
    return LevinNode(peer_id, network, 0, 100 + peer_id, bytes(32), 1_800_000_000)


@contextlib.asynccontextmanager
async def listening(max_connections: int = 100) -> AsyncIterator[tuple[LevinListener, list[LevinPeer]]]:
    found: list[LevinPeer] = []
    listener = LevinListener(levin_node(1), found.append, max_connections=max_connections)
    await listener.start("127.0.0.1", 0)
    yield listener, found
    await listener.close()


async def test_handshake_ping_requests_and_notifications() -> None:
    async with (
        listening() as (listener, found),
        await dial_levin("127.0.0.1", listener.port, levin_node(2)) as ours,
    ):
        assert (await ours.connected).peer_id == 1
        await eventually(lambda: found, "the listener's side")
        theirs = found[0]
        assert (await theirs.connected).height == 102
        async with asyncio.timeout(10):
            ours.ping()
            ponged = await ours.next_event()
            assert isinstance(ponged, Ponged)
            assert ponged.peer_id == 1
            ours.request(OBJECTS, b"which")
            asked = await theirs.next_event()
            assert asked == Asked(OBJECTS, b"which")
            theirs.respond(OBJECTS, b"x" * 1_000_000)
            answered = await ours.next_event()
            assert isinstance(answered, Answered)
            assert answered.payload == b"x" * 1_000_000
            theirs.notify(NEW_BLOCK, b"block")
            assert await ours.next_event() == Notified(NEW_BLOCK, b"block")


async def test_another_network_is_no_peer() -> None:
    async with listening() as (listener, found):
        with pytest.raises(DialError):
            await dial_levin("127.0.0.1", listener.port, levin_node(2, b"another network!"))
        assert found == []


@pytest.mark.parametrize(
    "data",
    [
        bytes(33),
        bytes.fromhex(load("levin", "lethean")["headers"][0]["encoded_hex"])[:8] + b"\xff" * 25,
        *(bytes.fromhex(case["bytes_hex"]) for case in load("levin", "lethean")["packets"]),
    ],
    ids=range(2 + len(load("levin", "lethean")["packets"])),
)
async def test_bytes_before_a_handshake_end_their_connection_alone(data: bytes) -> None:
    async with (
        listening() as (listener, found),
        await dial_levin("127.0.0.1", listener.port, levin_node(2)) as friend,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(data)
        writer.write_eof()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        friend.ping()
        async with asyncio.timeout(10):
            assert isinstance(await friend.next_event(), Ponged)
        assert len(found) == 1


async def test_connections_are_limited() -> None:
    async with listening(max_connections=1) as (listener, _found):
        async with await dial_levin("127.0.0.1", listener.port, levin_node(2)) as first:
            with pytest.raises(DialError):
                await dial_levin("127.0.0.1", listener.port, levin_node(3))
        with pytest.raises(Closed):
            await first.next_event()
