"""The marketplace's streams on live nodes: recorded requests, one byte over each limit, peers that stop at each step."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from mesh.apps.market import frames
from mesh.apps.market.frames import exchange
from mesh.apps.market.market import Market
from mesh.codecs.market import MAX_DATA_BYTES, Frame, decode_reply
from mesh.errors import Closed, Malformed, MeshError, StreamReset, TimedOut
from mesh.go_json import read_records
from mesh.identity.keys import PrivateKey
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.market import PAID_PROTOCOL_ID, PROTOCOL_ID
from mesh.protocols.market.listing import Listing
from mesh.protocols.market.orders import OrderRefused
from tests.apps.market.markets import Markets, join, raw_stream, shouting
from tests.network.live import MEMORY, eventually
from tests.vectors import load

VECTORS: dict[str, Any] = load("frames", "betar")
MARKET, PAID = VECTORS["marketplace_1_0_0"], VECTORS["x402_libp2p_1_0_0"]
SERVER, CLIENT = (PrivateKey.from_seed(bytes([number]) * 32) for number in (2, 1))
SERVED = [case for case in MARKET["cases"] if case["type"] not in ("echo", "fail", "nil")]
SERVED += [case for case in MARKET["malformed"] if case["response_hex"]]
CLOSED = [(PROTOCOL_ID, case) for case in MARKET["malformed"] if not case["response_hex"]]
CLOSED += [(PAID_PROTOCOL_ID, case) for case in PAID["malformed"]]


async def answered(node: Node, market: Market, data: bytes, protocol: str = PROTOCOL_ID) -> bytes:
    """All that comes back for some bytes."""
    async with raw_stream(node, market, protocol) as stream:
        await stream.write(data)
        async with asyncio.timeout(10):
            return await stream.read_all(MAX_DATA_BYTES + 100)


async def serves(node: Node, market: Market) -> bool:
    """Whether it answers as ever."""
    return await answered(node, market, Frame("info", b"").encode()) == b"\0\0\0\2[]"


@pytest.mark.parametrize("case", SERVED, ids=lambda case: case["name"][:40])
async def test_recorded_requests(markets: Markets, case: dict[str, Any]) -> None:
    market, client = await markets.market(key=SERVER), await markets.start(MEMORY, key=CLIENT)
    answer = await answered(client, market, bytes.fromhex(case["request_hex"]))
    recorded = bytes.fromhex(case["response_hex"])
    if b'"timestamp":1795198693' in recorded:
        order = json.loads(decode_reply(answer)[0])["order"]
        assert abs(order["timestamp"] - time.time()) < 60
        answer = answer.replace(str(order["timestamp"]).encode(), b"1795198693")
    assert answer == recorded


@pytest.mark.parametrize(
    ("protocol", "case"), CLOSED, ids=lambda value: value if isinstance(value, str) else value["name"]
)
async def test_what_is_no_frame_is_closed_without_a_byte(
    markets: Markets, protocol: str, case: dict[str, Any]
) -> None:
    market, client = await markets.market(), await markets.start(MEMORY)
    assert await answered(client, market, bytes.fromhex(case["request_hex"]), protocol) == b""
    assert market.node.counters.total("market.") == 1
    assert await serves(client, market)


async def test_a_request_in_four_pieces(markets: Markets) -> None:
    market, client = await markets.market(), await markets.start(MEMORY)
    async with raw_stream(client, market) as stream:
        for piece in (b"\0\4", b"info", b"\0\0\0\0"):
            await stream.write(piece)
            await asyncio.sleep(0)
        assert await stream.read_exactly(6) == b"\0\0\0\2[]"
        assert await stream.read() == b""


WHOLE = Frame("order.create", b'{"orderId":"o"}').encode()


@pytest.mark.parametrize("protocol", [PROTOCOL_ID, PAID_PROTOCOL_ID])
@pytest.mark.parametrize("sent", range(len(WHOLE)), ids=lambda sent: f"after {sent} bytes")
async def test_a_peer_that_ends_within_a_request(markets: Markets, sent: int, protocol: str) -> None:
    market, client = await markets.market(), await markets.start(MEMORY)
    async with raw_stream(client, market, protocol) as stream:
        await stream.write(WHOLE[:sent])
        await stream.close_write()
        assert await stream.read() == b""
    assert market.orders.all == []
    assert await serves(client, market)


@pytest.mark.parametrize("sent", [0, 1, 2, 8, len(WHOLE) - 1])
async def test_a_peer_that_stops_within_a_request(
    markets: Markets, sent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "TIMEOUT_S", 0.1)
    market, client = await markets.market(), await markets.start(MEMORY)
    async with raw_stream(client, market) as stream:
        await stream.write(WHOLE[:sent])
        with pytest.raises(StreamReset):
            async with asyncio.timeout(10):
                await stream.read()
    assert market.node.counters["market.stream:slow"] == 1
    assert market.orders.all == []


@pytest.mark.parametrize("sent", range(1, 9))
async def test_a_seller_that_stops_within_its_answer(markets: Markets, sent: int) -> None:
    """It ends after so many bytes of an answer of ten, or says nothing more."""
    market = await markets.market()
    answer = b"\0\0\0\6" + b"[null]"
    ends = True

    async def serve(stream: Stream) -> None:
        await stream.write(answer[:sent])
        if not ends:
            await asyncio.sleep(60)

    liar = await markets.start(MEMORY)
    liar.handle(PROTOCOL_ID, serve)
    await market.node.connect(liar.listen_addrs[0])
    with pytest.raises(Closed):
        await exchange(market.node, liar.peer_id, PROTOCOL_ID, Frame("info", b""), typed=False)
    ends = False
    with pytest.raises(TimedOut):
        await exchange(
            market.node, liar.peer_id, PROTOCOL_ID, Frame("info", b""), typed=False, timeout_s=0.05
        )


async def test_an_answer_that_is_too_long_is_not_read(markets: Markets) -> None:
    market = await markets.market()

    async def serve(stream: Stream) -> None:
        await stream.write((MAX_DATA_BYTES + 1).to_bytes(4) + bytes(100))

    liar = await markets.start(MEMORY)
    liar.handle(PROTOCOL_ID, serve)
    await market.node.connect(liar.listen_addrs[0])
    with pytest.raises(Malformed):
        await exchange(market.node, liar.peer_id, PROTOCOL_ID, Frame("info", b""), typed=False)


BOMBS = {
    "deep": b"[" * 4_000_000,
    "wide": b"[" + b"[]," * 2_000_000 + b"[]]",
    "numbers": b"[" + b"1" * 8_000_000 + b"]",
    "text": b"unknown message type: info",
    "null": b"null",
    "empty elements": b"[" + b"{}," * 10_000 + b"null]",
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_peer_that_answers_info_with_a_bomb(markets: Markets, name: str) -> None:
    market = await markets.market()
    asked = 0

    async def serve(stream: Stream) -> None:
        nonlocal asked
        asked += 1
        await stream.write(len(BOMBS[name]).to_bytes(4) + BOMBS[name])

    liar = await markets.start(MEMORY)
    liar.handle(PROTOCOL_ID, serve)
    await market.node.connect(liar.listen_addrs[0])
    await eventually(lambda: asked >= 1, "the question")
    await eventually(
        lambda: name == "null" or market.node.counters.total("market.info:") >= 1, "that it is counted"
    )
    assert len(market.listings.board) == 0
    assert await serves(await markets.start(MEMORY), market)


@pytest.mark.parametrize("name", BOMBS)
async def test_an_order_that_is_a_bomb(markets: Markets, name: str) -> None:
    market, client = await markets.market(), await markets.start(MEMORY)
    answer, _ = decode_reply(await answered(client, market, Frame("order.create", BOMBS[name]).encode()))
    assert "error" in json.loads(answer)
    assert market.orders.all == []


async def test_a_peer_that_opens_many_streams_and_says_nothing(
    markets: Markets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "MAX_STREAMS_OF_A_PEER", 3)
    market, client = await markets.market(), await markets.start(MEMORY)
    silent = [await client.open(market.node.listen_addrs[0], PROTOCOL_ID) for _ in range(3)]
    for stream in silent:
        await stream.write(b"\0")
    await eventually(lambda: market._streams[PROTOCOL_ID]._streams.get(client.peer_id) == 3, "three streams")
    assert await answered(client, market, Frame("info", b"").encode()) == b""
    assert market.node.counters["market.stream:crowded"] == 1
    assert await serves(await markets.start(MEMORY), market)
    for stream in silent:
        stream.reset()
    await eventually(lambda: not market._streams[PROTOCOL_ID]._streams, "no streams")
    assert await serves(client, market)


async def test_frames_under_way_hold_no_more_than_they_may(
    markets: Markets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "MAX_HELD_BYTES", 50_000)
    market, client = await markets.market(), await markets.start(MEMORY)
    async with raw_stream(client, market) as stream:
        await stream.write(Frame("info", bytes(100_000)).encode()[:90_000])
        assert await stream.read() == b""
    assert market.node.counters["market.stream:full"] == 1
    assert market._streams[PROTOCOL_ID]._held_bytes == 0
    assert await serves(client, market)


async def test_info_holds_as_many_listings_as_a_frame(
    markets: Markets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.apps.market.listings.MAX_DATA_BYTES", 1500)
    market, client = await markets.market(), await markets.start(MEMORY)
    own = await market.register(*shouting())
    for number in range(20):
        market.listings.board.put(Listing(f"a{number}", "n" * 100, 0.0, "", "s"), "", time.time())
    data, _ = decode_reply(await answered(client, market, Frame("info", b"").encode()))
    told = read_records(Listing, data)
    assert len(data) <= 1500
    assert told[0].id == own.did
    assert 1 < len(told) < 20


async def test_orders_between_two_nodes(markets: Markets) -> None:
    seller, buyer = await markets.market(), await markets.market()
    await join(buyer, seller)
    order = await buyer.orders.create("did:key:z", 0.5, str(seller.node.peer_id))
    assert (order.status, order.seller_id) == ("pending", str(seller.node.peer_id))
    assert seller.orders.all == buyer.orders.all == [order]
    third = await markets.start(MEMORY)
    frame = Frame("order.cancel", b'{"orderId":"' + order.order_id.encode() + b'"}')
    refusal, _ = decode_reply(await answered(third, seller, frame.encode()))
    assert "belongs to another peer" in json.loads(refusal)["error"]
    with pytest.raises(MeshError):
        await buyer.orders.create("did:key:z", 0.5, str(third.peer_id))


async def test_a_seller_that_refuses_an_order(markets: Markets) -> None:
    buyer, liar = await markets.market(), await markets.start(MEMORY)

    async def serve(stream: Stream) -> None:
        await stream.write(b"\0\0\0\x11" + b'{"error":"never"}')

    liar.handle(PROTOCOL_ID, serve)
    await buyer.node.connect(liar.listen_addrs[0])
    with pytest.raises(OrderRefused, match="never"):
        await buyer.orders.create("did:key:z", 0.5, str(liar.peer_id))
    assert buyer.orders.all == []


async def test_orders_of_one_peer_do_not_push_out_those_of_others(markets: Markets) -> None:
    seller = await markets.market(settings={"max_orders": 3})
    one, other = await markets.start(MEMORY), await markets.start(MEMORY)
    own = await seller.orders.create("did:key:z", 0.5, "")
    frames_of = [Frame("order.create", b'{"orderId":"o%d"}' % number).encode() for number in range(6)]
    await answered(other, seller, Frame("order.create", b'{"orderId":"first"}').encode())
    for data in frames_of:
        await answered(one, seller, data)
    assert [each.order_id for each in seller.orders.all] == [own.order_id, "first", "o5"]
