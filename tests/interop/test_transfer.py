"""A gibibyte through echo each way, checksums compared; perf and count."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator

import pytest

from mesh.codecs.perf import Request
from mesh.network.stream import Stream
from mesh.services import echo, perf
from tests.interop.peers import DIRECTIONS, SECURITY, GoPeer, meet
from tests.network.live import Nodes

pytestmark = pytest.mark.interop

MIB = 1 << 20
GIB = 1 << 30
TRANSFER_S = 100.0
COUNT_PROTOCOL = "/count/1.0.0"


def chunks(size: int) -> Iterator[bytes]:
    """Random bytes, each chunk of them numbered: no two are alike, so that none can take the place of another."""
    block = os.urandom(256 * 1024 - 8)
    for number in range(size // (256 * 1024)):
        yield number.to_bytes(8, "big") + block


async def send(stream: Stream, size: int) -> str:
    """The digest of what was sent; our side is closed then."""
    digest = hashlib.sha256()
    for chunk in chunks(size):
        digest.update(chunk)
        await stream.write(chunk)
    await stream.close_write()
    return digest.hexdigest()


async def receive(stream: Stream) -> tuple[int, str]:
    """How much came up to the end, and its digest."""
    digest, size = hashlib.sha256(), 0
    while chunk := await stream.read_chunk():
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


@pytest.mark.both_loops
async def test_gibibyte_through_the_echo_of_go(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    connection = await meet(node, go)
    async with asyncio.timeout(TRANSFER_S), await node.open(connection, echo.PROTOCOL_ID) as stream:
        sent, (size, received) = await asyncio.gather(send(stream, GIB), receive(stream))
    assert size == GIB
    assert received == sent
    assert connection.driver.session.held_bytes == 0


@pytest.mark.both_loops
async def test_gibibyte_from_go_through_our_echo(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    connection = await meet(node, go, we_dial=False)
    answer = await go.call("echo", peer=str(node.peer_id), bytes=GIB, seed=7, within_s=TRANSFER_S)
    assert answer["bytes"] == GIB
    assert len(answer["sha256"]) == 64
    assert connection.driver.session.held_bytes == 0


@pytest.mark.both_loops
@DIRECTIONS
async def test_echo_over_tls_both_ways(nodes: Nodes, we_dial: bool) -> None:
    node = await nodes.start()
    async with GoPeer("--security", "tls") as go:
        connection = await meet(node, go, we_dial=we_dial)
        assert connection.security == "tls"
        async with asyncio.timeout(TRANSFER_S), await node.open(connection, echo.PROTOCOL_ID) as stream:
            sent, (size, received) = await asyncio.gather(send(stream, GIB // 4), receive(stream))
        assert (size, received) == (GIB // 4, sent)
        size = GIB // 4
        answer = await go.call("echo", peer=str(node.peer_id), bytes=size, seed=7, within_s=TRANSFER_S)
        assert answer["bytes"] == size
        assert connection.driver.session.held_bytes == 0


@DIRECTIONS
async def test_go_counts_and_digests_what_we_send(nodes: Nodes, go: GoPeer, we_dial: bool) -> None:
    node = await nodes.start()
    connection = await meet(node, go, we_dial=we_dial)
    async with asyncio.timeout(TRANSFER_S), await node.open(connection, COUNT_PROTOCOL) as stream:
        sent = await send(stream, 64 * MIB)
        answer = await stream.read_all(64)
    assert int.from_bytes(answer[:8], "big") == 64 * MIB
    assert answer[8:].hex() == sent


AMOUNTS = pytest.mark.parametrize(("upload", "download"), [(128 * MIB, 0), (0, 128 * MIB), (64 * MIB + 1, 5)])


@SECURITY
@AMOUNTS
async def test_perf_of_go_against_us(nodes: Nodes, security: str, upload: int, download: int) -> None:
    node = await nodes.start(serve=("perf",))
    async with GoPeer("--security", security) as go:
        await meet(node, go, we_dial=False)
        answer = await go.call("perf", peer=str(node.peer_id), upload=upload, download=download)
    assert (answer["upload_bytes"], answer["download_bytes"]) == (upload, download)


@SECURITY
@AMOUNTS
async def test_our_perf_against_go(nodes: Nodes, security: str, upload: int, download: int) -> None:
    node = await nodes.start()
    async with GoPeer("--security", security) as go:
        connection = await meet(node, go)
        async with asyncio.timeout(TRANSFER_S), await node.open(connection, perf.PROTOCOL_ID) as stream:
            await stream.write(Request(download).encode())
            await perf.send_zeros(stream, upload)
            await stream.close_write()
            size = 0
            while chunk := await stream.read_chunk():
                size += len(chunk)
    assert size == download


@DIRECTIONS
async def test_several_transfers_share_a_connection(nodes: Nodes, go: GoPeer, we_dial: bool) -> None:
    node = await nodes.start()
    connection = await meet(node, go, we_dial=we_dial)

    async def through_go() -> None:
        async with await node.open(connection, echo.PROTOCOL_ID) as stream:
            sent, (size, received) = await asyncio.gather(send(stream, 8 * MIB), receive(stream))
        assert (size, received) == (8 * MIB, sent)

    async def through_us(seed: int) -> None:
        answer = await go.call("echo", peer=str(node.peer_id), bytes=8 * MIB, chunk=1000 + seed, seed=seed)
        assert answer["bytes"] == 8 * MIB

    async with asyncio.timeout(TRANSFER_S):
        await asyncio.gather(*(through_go() for _ in range(8)), *map(through_us, range(8)))
    assert connection.driver.session.held_bytes == 0


async def test_slow_reader_holds_one_stream_back_and_no_other(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    connection = await meet(node, go)
    async with asyncio.timeout(TRANSFER_S), await node.open(connection, perf.PROTOCOL_ID) as slow:
        await slow.write(Request(128 * MIB).encode())
        await slow.close_write()
        size = len(await slow.read_chunk())
        trips = [each async for each in node.ping(connection, count=200, interval_s=0.001)]
        assert None not in trips
        held = connection.driver.session.held_bytes
        assert 0 < held <= node.config.yamux.max_window_bytes * 2
        while chunk := await slow.read_chunk():
            size += len(chunk)
    assert size == 128 * MIB
