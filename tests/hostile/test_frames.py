"""Authenticated peers that break yamux, or keep to it and are greedy."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from mesh.codecs.yamux import HEADER, GoAwayCode
from mesh.multiformats import varint
from mesh.network import driver
from mesh.protocols import multistream
from mesh.protocols.yamux import ResetCode
from tests.hostile.conftest import Target
from tests.hostile.raw_peer import DATA, GO_AWAY, PING, WINDOW, frame, session
from tests.network.live import eventually

SYN, ACK, FIN, RST = 1, 2, 4, 8
KIB = 1024
ECHO = "/echo/1.0.0"
HOLD = "/test/hold/1"


async def went_away(target: Target, *frames: bytes) -> None:
    """These frames end the connection with go away 1."""
    async with session(target.node) as peer:
        peer.open(ECHO, 1)
        await peer.until(lambda each: each.stream == 1 and each.kind == DATA)
        peer.send(*frames)
        assert (await peer.until(lambda each: each.kind == GO_AWAY)).length == GoAwayCode.PROTOCOL_ERROR
        await peer.ended()
    assert target.node.counters["connection.closed:peer"] == 1


@pytest.mark.parametrize(
    "frames",
    [
        HEADER.pack(1, DATA, 0, 1, 0),
        HEADER.pack(0, 4, 0, 1, 0),
        b"\xff" * 120,
        frame(DATA, 0, 1, length=256 * KIB + 1),
        frame(DATA, 0, 1, length=2**31 - 1),
        frame(DATA, 0, 1, body=bytes(200 * KIB)) + frame(DATA, 0, 1, length=100 * KIB),
        frame(WINDOW, SYN, 2),
        frame(WINDOW, SYN, 0),
        frame(WINDOW, SYN, 1),
        frame(WINDOW, 0, 1, length=2**32 - 1),
        frame(DATA, 0, 99, length=2**32 - 1),
    ],
    ids=[
        "version 1",
        "type 4",
        "garbage",
        "one byte over the window",
        "2 GiB announced",
        "overrun in two steps",
        "even id",
        "id 0",
        "live id",
        "credit over 32 bits",
        "oversize frame for an unknown stream",
    ],
)
async def test_a_violation_ends_the_connection(target: Target, frames: bytes) -> None:
    async def hold(stream: object) -> None:
        await asyncio.Event().wait()

    target.node.unhandle(ECHO)
    target.node.handle(ECHO, hold)
    await went_away(target, frames)


@pytest.mark.parametrize("bad", [b"\x00\x00", b"\x00\x0f" + bytes(15), b"\x00\x40" + bytes(64)], ids=range(3))
async def test_a_record_that_is_not_authentic(target: Target, bad: bytes) -> None:
    async with session(target.node) as peer:
        await peer.frame()
        peer.write(bad)
        await peer.ended()
    assert target.node.counters["connection.closed:peer"] == 1


async def test_a_record_twice(target: Target) -> None:
    async with session(target.node) as peer:
        assert peer.channel is not None
        record = b"".join(peer.channel.seal([frame(PING, SYN, length=7)]))
        await eventually(lambda: len(target.node.connections) == 2, "the end of the handshake over there")
        peer.write(record, record)
        await peer.ended()
    assert target.node.counters["connection.closed:peer"] == 1


async def test_frames_that_must_do_nothing(target: Target) -> None:
    async with session(target.node) as peer:
        peer.send(
            frame(DATA, 0, 99, body=b"nobody"),
            frame(DATA, FIN, 99),
            frame(WINDOW, RST, 99),
            frame(WINDOW, ACK, 99),
            frame(WINDOW, 0, 99, length=1000),
            frame(PING, ACK, length=5),
            frame(PING, 0, length=5),
            frame(WINDOW, SYN | RST, 7),
        )
        assert peer.channel is not None
        peer.write(*[b"".join(peer.channel.seal([b""])) for _ in range(100)])
        peer.open(ECHO, 1, b"still here")
        body = b""
        while not body.endswith(b"still here"):
            body += (await peer.until(lambda each: each.stream == 1 and each.kind == DATA)).body
    await eventually(lambda: target.node.counters.total("connection.closed") == 1)


@pytest.mark.parametrize("code", [0, 1, 2, 77])
async def test_go_away(target: Target, code: int) -> None:
    async with session(target.node) as peer:
        peer.send(frame(GO_AWAY, length=code))
        if code:
            await peer.ended()
    await eventually(lambda: target.node.counters.total("connection.closed") == 1)


async def test_cut_inside_a_record_and_inside_a_frame(target: Target) -> None:
    async with session(target.node) as peer:
        peer.open(ECHO, 1)
        peer.send(frame(DATA, 0, 1, length=1000)[:-5])
        peer.write(b"\x01\x00half")
        peer.writer.write_eof()
        await peer.ended()
    await eventually(lambda: target.node.counters["connection.closed:closed"] == 1)


async def test_one_byte_frames_hold_no_more_than_they_carry(target: Target) -> None:
    node = target.node
    release = asyncio.Event()

    async def hold(_stream: object) -> None:
        await release.wait()

    node.handle(HOLD, hold)
    async with session(node) as peer:
        peer.open(HOLD, 1)
        for _ in range(20):
            peer.send(frame(DATA, 0, 1, body=b"x") * 2000)
            await peer.writer.drain()
        await eventually(lambda: node.swarm.memory.used_bytes > 39_000)
        assert node.swarm.memory.used_bytes < 2 * 40_000
        assert node.swarm.memory.peak_bytes < 2 * 40_000
    release.set()
    await eventually(lambda: node.counters.total("connection.closed") == 1)


@pytest.mark.parametrize("target", [{"connection_held_bytes": 300 * KIB}], indirect=True)
async def test_one_connection_may_not_hold_more_than_its_share(target: Target) -> None:
    node = target.node

    async def hold(_stream: object) -> None:
        await asyncio.Event().wait()

    node.handle(HOLD, hold)
    async with session(node) as peer:
        for stream in (1, 3):
            peer.open(HOLD, stream)
            peer.send(*(frame(DATA, 0, stream, body=bytes(20 * KIB)) for _ in range(10)))
        assert await peer.reset_of(3) == ResetCode.RESOURCE_LIMIT
        assert node.swarm.memory.peak_bytes < 2 * 300 * KIB


@pytest.mark.parametrize("target", [{"max_held_bytes": 256 * KIB}], indirect=True)
async def test_a_full_node_sheds_the_greediest_stream(target: Target) -> None:
    node = target.node

    async def hold(_stream: object) -> None:
        await asyncio.Event().wait()

    node.handle(HOLD, hold)
    async with session(node) as peer:
        for stream, frames in ((1, 5), (3, 12), (5, 4)):
            peer.open(HOLD, stream)
            peer.send(*(frame(DATA, 0, stream, body=bytes(20 * KIB)) for _ in range(frames)))
        shed = await peer.until(lambda each: bool(each.flags & RST))
        assert (shed.stream, shed.length) == (3, ResetCode.RESOURCE_LIMIT)
        assert node.swarm.memory.used_bytes <= 256 * KIB


async def test_growing_windows_do_not_outgrow_the_node(target: Target) -> None:
    """Reading fast doubles windows; all of it is given back with the stream."""
    async with session(target.node) as peer:
        peer.open("/echo/1.0.0", 1)
        sent = got = 0
        while got < 3_000_000:
            if sent - got < 200_000:
                peer.send(frame(DATA, 0, 1, body=bytes(50_000)))
                sent += 50_000
            found = await peer.until(lambda each: each.stream == 1)
            if found.kind == DATA:
                got += len(found.body)
                peer.send(frame(WINDOW, 0, 1, length=len(found.body) or 1))
        assert target.node.swarm.memory.used_bytes < 64 * 1024 * KIB


@pytest.mark.parametrize("target", [{"max_inbound_streams": 20, "accept_backlog": 256}], indirect=True)
async def test_a_flood_of_streams_is_cut_at_the_limit(target: Target) -> None:
    async with session(target.node) as peer:
        peer.send(*(frame(WINDOW, SYN, 1 + 2 * number) for number in range(200)))
        codes = [await peer.reset_of(41 + 2 * number) for number in range(180)]
        assert set(codes) == {ResetCode.RESOURCE_LIMIT}
        assert target.node.counters["stream.inbound"] <= 20 + len(target.node.connections)


@pytest.mark.parametrize("target", [{"negotiate_timeout_s": 0.1}], indirect=True)
async def test_streams_that_never_negotiate_are_reset(target: Target) -> None:
    async with session(target.node) as peer:
        peer.send(*(frame(WINDOW, SYN, 1 + 2 * number) for number in range(50)))
        peer.send(frame(DATA, SYN, 1001, body=multistream.opening(ECHO)[:8]))
        assert await peer.reset_of(1001) == ResetCode.NEGOTIATION_FAILED
    await eventually(lambda: target.node.counters.total("connection.closed") == 1)


async def test_opening_and_resetting_streams_leaves_none(target: Target) -> None:
    async with session(target.node) as peer:
        for number in range(500):
            peer.open(ECHO, 1 + 2 * number, b"x" * 100)
            peer.send(frame(WINDOW, RST, 1 + 2 * number))
        peer.send(frame(PING, SYN, length=77))
        await peer.until(lambda each: each.kind == PING and each.flags == ACK and each.length == 77)
        inbound = next(each for each in target.node.connections if each.peer != target.bystander.peer_id)
        await eventually(lambda: inbound.stream_count <= 1)  # our own identify waits for its answer


async def flood(target: Target, chunk: bytes, most: int, first: bytes = b"") -> int:
    """Send ``chunk`` again and again without reading, until the node ends it or ``most`` bytes have gone."""
    sent = 0
    async with session(target.node, receive_buffer=4096) as peer:
        peer.writer.transport.set_write_buffer_limits(high=64 * KIB)
        peer.send(first)
        with contextlib.suppress(ConnectionError):
            while sent < most:
                peer.send(chunk)
                sent += len(chunk)
                async with asyncio.timeout(5):
                    await peer.writer.drain()
    return sent


async def test_a_ping_flood_without_reading(target: Target) -> None:
    """At most 32 answers wait for each read, so that the flood costs the flooder most."""
    sent = await flood(target, frame(PING, SYN, length=1) * 5000, 6_000_000)
    assert sent >= 6_000_000, "pings are no violation"


@pytest.mark.parametrize("target", [{"max_inbound_streams": 10}], indirect=True)
async def test_a_stream_flood_without_reading_is_cut_off(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "MAX_UNSENT_BYTES", driver.HIGH_WATER_BYTES + 100 * KIB)
    taken = b"".join(frame(WINDOW, SYN, 1 + 2 * number) for number in range(10))
    refused = b"".join(frame(WINDOW, SYN, 21 + 2 * number) for number in range(5000))
    sent = await flood(target, refused, 40_000_000, first=taken)
    assert sent < 40_000_000, "the node queued answers without end"
    await eventually(lambda: target.node.counters["connection.closed:network"] == 1)


@pytest.mark.parametrize("parts", [[100 * KIB], [8000] * 20, [2**40]], ids=["large", "many", "announced"])
async def test_an_identify_answer_that_does_not_end(target: Target, parts: list[int]) -> None:
    answer = b"".join(varint.encode(size) + bytes(min(size, 100 * KIB)) for size in parts)
    async with session(target.node) as peer:
        await peer.until(lambda each: each.stream == 2 and each.kind == DATA)
        peer.send(frame(DATA, ACK, 2, body=multistream.opening("/ipfs/id/1.0.0") + answer))
        assert await peer.reset_of(2) == ResetCode.NONE
        assert target.node.counters.total("identify.failed") == 1
        peer.send(frame(PING, SYN, length=3))
        await peer.until(lambda each: each.kind == PING and each.flags == ACK)


@pytest.mark.parametrize(
    "token", [b"garbage" * 20, b"\xff" * 12, b"\x00", multistream.opening("/no")[:-1] + b"x"], ids=range(4)
)
async def test_garbage_where_a_stream_is_negotiated(target: Target, token: bytes) -> None:
    async with session(target.node) as peer:
        peer.send(frame(DATA, SYN, 1, body=token))
        assert await peer.reset_of(1) == ResetCode.NEGOTIATION_FAILED
        peer.open(ECHO, 3, b"works")
        await peer.until(lambda each: each.stream == 3 and each.body.endswith(b"works"))
    assert target.node.counters["stream.refused:peer"] == 1


@pytest.mark.parametrize("target", [{"keepalive_s": 0.1, "keepalive_timeout_s": 0.1}], indirect=True)
async def test_a_peer_that_falls_silent_is_noticed(target: Target) -> None:
    async with session(target.node) as peer:
        await peer.ended()
    assert target.node.counters["connection.closed:timed-out"] == 1


async def test_a_peer_that_says_go_away_and_stays_is_left(target: Target) -> None:
    """Nothing can be opened on its connection any more, so it ends when its last stream has."""
    async with session(target.node) as peer:
        peer.open(ECHO, 1)
        await peer.until(lambda each: each.stream == 1 and each.kind == DATA)
        peer.send(frame(GO_AWAY), frame(WINDOW, FIN, 1), frame(WINDOW, RST, 2))
        await peer.ended()
    assert target.node.counters["connection.closed:closed"] == 1
