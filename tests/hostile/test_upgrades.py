"""Peers that never get as far as a connection: garbage, silence, trickles and floods."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from mesh.protocols import multistream
from tests.hostile.conftest import Target
from tests.hostile.raw_peer import RawPeer, raw_peer
from tests.network.live import eventually

SECURITY, NOISE = "upgrade.failed:security negotiation", "upgrade.failed:noise handshake"
GARBAGE = bytes(range(251, 0, -1)) * 300
HEADER = b"\x13/multistream/1.0.0\n"


async def test_a_dialer_that_waits_for_the_header(target: Target) -> None:
    """The listener speaks first if it has to, and its header comes once."""
    async with raw_peer(target.node) as peer:
        assert await peer.receive() == HEADER
        peer.write(HEADER + b"\x07/noise\n")
        assert await peer.receive() == b"\x07/noise\n"


async def test_the_header_leaves_with_the_answer(target: Target) -> None:
    first = b""
    for _ in range(5):  # a machine that stops for 50 ms in between sees them apart
        async with raw_peer(target.node) as peer:
            peer.write(HEADER + b"\x07/noise\n")
            first = await peer.receive()
        if first != HEADER:
            break
    assert first == HEADER + b"\x07/noise\n"


@pytest.mark.parametrize(
    "said",
    [
        GARBAGE,
        b"GET / HTTP/1.1\r\nHost: example\r\n" + b"X: y\r\n" * 20,
        b"\x13/multistream/2.0.0\n",
        b"\x07/noise\n",
        HEADER[:-1] + b"x",
        b"\x00",
        b"\x93\x80\x00",
        b"\xff\xff\xff\xff\x07",
        b"\xff" * 10,
        HEADER + b"\x81\x08" + b"a" * 1024 + b"\n",
        HEADER + b"\x05\xff\xff\xff\xff\n",
        HEADER + b"\x03na\n" * 257,
    ],
    ids=[
        "garbage",
        "http",
        "version 2",
        "no header",
        "no newline",
        "length 0",
        "length not minimal",
        "huge length",
        "endless length",
        "token of 1025 bytes",
        "no text",
        "257 proposals",
    ],
)
async def test_bytes_that_are_no_negotiation(target: Target, said: bytes) -> None:
    async with raw_peer(target.node) as peer:
        peer.write(said)
        await peer.ended()
    assert target.node.counters[SECURITY] == 1


@pytest.mark.parametrize(
    "message",
    [
        b"\x00\x00",
        b"\x00\x1f" + bytes(31),
        b"\x00\x20" + bytes(32),
        b"\xff\xff" + bytes(65535),
        b"\x00\x20" + os.urandom(32) + b"\x00\x40" + os.urandom(64),
    ],
    ids=["empty", "31 bytes", "low order point", "65535 zeros", "garbage as message 3"],
)
async def test_a_bad_noise_message(target: Target, message: bytes) -> None:
    async with raw_peer(target.node) as peer:
        await peer.negotiate()
        peer.write(message)
        await peer.ended()
    assert target.node.counters[NOISE] == 1


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("where", [2, 40, -1], ids=["start", "middle", "end"])
async def test_an_altered_handshake_message(target: Target, number: int, where: int) -> None:
    def flip(which: int, message: bytes) -> bytes:
        if which != number:
            return message
        altered = bytearray(message)
        altered[min(where, len(altered) - 1)] ^= 1
        return bytes(altered)

    async with raw_peer(target.node) as peer:
        with contextlib.suppress(AssertionError):  # our own machine sees that message 2 does not fit
            await peer.handshake(flip)
        await peer.ended() if number == 3 else peer.writer.close()
    await eventually(lambda: target.node.counters[NOISE] == 1)


async def test_the_nodes_own_message_sent_back(target: Target) -> None:
    async with raw_peer(target.node) as peer:
        await peer.negotiate()
        peer.write(b"\x00\x20" + os.urandom(32))
        peer.write(await peer.receive())
        await peer.ended()
    assert target.node.counters[NOISE] == 1


@pytest.mark.parametrize("target", [{"upgrade_timeout_s": 1.0}], indirect=True)
@pytest.mark.parametrize("said", [b"", HEADER, HEADER[:7], HEADER + b"\x07/noise\n\x00\x20abc"], ids=range(4))
async def test_silence_after_any_byte_ends_at_the_limit(target: Target, said: bytes) -> None:
    async with raw_peer(target.node) as peer:
        peer.write(said)
        await peer.ended()
    assert target.node.counters.total("upgrade.failed") == 1


@pytest.mark.parametrize("target", [{"upgrade_timeout_s": 1.0}], indirect=True)
async def test_a_trickle_does_not_extend_the_limit(target: Target) -> None:
    async with raw_peer(target.node) as peer:
        ended = asyncio.create_task(peer.ended())
        for byte in multistream.opening("/noise") + b"\x00\x20" + bytes(1000):
            peer.write(bytes([byte]))
            await asyncio.wait([ended], timeout=0.02)
            if ended.done():
                break
        assert ended.done(), "a byte now and then kept the upgrade alive"
    assert target.node.counters.total("upgrade.failed") == 1


async def test_a_handshake_byte_by_byte_works(target: Target) -> None:
    class Slow(RawPeer):
        def write(self, *buffers: bytes | bytearray | memoryview) -> None:
            for byte in b"".join(buffers):
                self.writer.write(bytes([byte]))

    async with raw_peer(target.node) as plain:
        peer = Slow(plain.reader, plain.writer)
        await peer.handshake()
        await eventually(lambda: len(target.node.connections) == 2)


@pytest.mark.parametrize("said", [b"", HEADER, HEADER + b"\x07/noise\n"], ids=["nothing", "header", "noise"])
async def test_a_half_closed_connection_ends(target: Target, said: bytes) -> None:
    async with raw_peer(target.node) as peer:
        peer.write(said)
        peer.writer.write_eof()
        await peer.ended()
    assert target.node.counters.total("upgrade.failed") == 1


async def test_connecting_and_vanishing(target: Target) -> None:
    for _ in range(50):
        async with raw_peer(target.node) as peer:
            peer.write(HEADER)
    await eventually(lambda: target.node.counters.total("upgrade.failed") == 50)


@pytest.mark.parametrize("target", [{"max_pending_upgrades": 8, "upgrade_timeout_s": 2.0}], indirect=True)
async def test_a_flood_of_connections_is_cut_at_the_limit(target: Target) -> None:
    async with contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(raw_peer(target.node)) for _ in range(40)]
        await eventually(lambda: target.node.counters["connection.refused:pending upgrades"] == 32)
        assert len(target.node.swarm._upgrading) == 8
        await asyncio.gather(*(peer.ended() for peer in peers))
    assert target.node.counters["upgrade.failed:security negotiation"] == 8


@pytest.mark.parametrize("target", [{"max_pending_upgrades": 8}], indirect=True)
async def test_bytes_behind_a_refusal_are_not_read(target: Target) -> None:
    async with contextlib.AsyncExitStack() as stack:
        pending = [await stack.enter_async_context(raw_peer(target.node)) for _ in range(8)]
        await eventually(lambda: len(target.node.swarm._upgrading) == 8, "as many as may be pending")
        refused = [await stack.enter_async_context(raw_peer(target.node)) for _ in range(4)]
        for peer in refused:
            with contextlib.suppress(ConnectionError):
                peer.write(GARBAGE)
        await eventually(lambda: target.node.counters["connection.refused:pending upgrades"] == 4)
        for peer in pending:
            peer.write(GARBAGE)
        await asyncio.gather(*(peer.ended() for peer in (*pending, *refused)))
    await eventually(lambda: not target.node.swarm._upgrading)


# -- inside the encrypted channel, before the muxer ------------------------------------------------------------------


async def test_a_peer_that_offers_no_muxer_early_negotiates_it(target: Target) -> None:
    agreed = multistream.opening("/yamux/1.0.0")
    async with raw_peer(target.node) as peer:
        await peer.handshake(muxers=())
        peer.send(agreed)
        assert await peer.text(len(agreed)) == agreed
        peer.open("/echo/1.0.0", 1, b"works")
        await peer.until(lambda each: each.stream == 1 and each.body.endswith(b"works"))


@pytest.mark.parametrize("said", [GARBAGE[:500], b"\x13/multistream/2.0.0\n", b"\x00"], ids=range(3))
async def test_garbage_where_the_muxer_is_negotiated(target: Target, said: bytes) -> None:
    async with raw_peer(target.node) as peer:
        await peer.handshake(muxers=("/mplex/6.7.0",))
        peer.send(said)
        await peer.ended()
    assert target.node.counters["upgrade.failed:muxer negotiation"] == 1


async def test_a_bad_record_where_the_muxer_is_negotiated(target: Target) -> None:
    async with raw_peer(target.node) as peer:
        await peer.handshake(muxers=())
        await peer.text(1)
        peer.write(b"\x00\x20" + bytes(32))
        await peer.ended()
    assert target.node.counters["upgrade.failed:muxer negotiation"] == 1


async def test_a_bad_record_right_behind_the_handshake(target: Target) -> None:
    """In the same segment as message 3: the upgrade itself must notice."""
    async with raw_peer(target.node) as peer:
        await peer.handshake(lambda number, message: message + b"\x00\x01x" if number == 3 else message)
        await peer.ended()
    await eventually(
        lambda: (
            target.node.counters.total("upgrade.failed") + target.node.counters["connection.closed:peer"] == 1
        )
    )
