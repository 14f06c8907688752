"""Our node in the place of the recorded one: the same calls get the same answers, but for a table of differences."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.market.agents import Offer
from mesh.apps.market.frames import exchange
from mesh.apps.market.market import Market
from mesh.apps.market.work import CallableWorker
from mesh.codecs.market import Frame
from mesh.go_json import read_records
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.cid import Cid
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.market import LISTINGS_TOPIC, PAID_PROTOCOL_ID, PROTOCOL_ID
from mesh.protocols.market.listing import Listing, read_message
from tests.apps.agent.agents import until
from tests.apps.market.markets import Markets, join
from tests.network.live import MEMORY, eventually
from tests.vectors import load

LIVE: dict[str, Any] = load("live", "betar")
KEY = PrivateKey.from_protobuf(bytes.fromhex(load("identity", "betar")["keys"][0]["key_file_hex"]))
TESTS = Path(__file__).parents[2]
ANNOUNCED = next(each for each in LIVE["gossip"] if each["topic"] == LISTINGS_TOPIC)
DIFFERENCES = {
    name: load(name, "betar_differences") for name in ("identify", "marketplace", "announcement", "behaviour")
}


async def recorded_seller(markets: Markets, price: float = 0.001) -> Market:
    """A node with the recorded key and its agent."""
    seller = await markets.market(key=KEY)
    offer = Offer("math-agent", "It does sums.", price)
    await seller.register(offer, CallableWorker(lambda text: f"echo: {text}"))
    return seller


def other_keys(found: dict[str, Any], recorded: dict[str, Any]) -> set[str]:
    return {key for key in {*found, *recorded} if found.get(key) != recorded.get(key)}


@pytest.mark.parametrize("case", LIVE["marketplace"], ids=lambda case: f"{case['type']} {case['data'][:4]}")
async def test_recorded_calls(markets: Markets, case: dict[str, str]) -> None:
    seller, client = await recorded_seller(markets), await markets.start(MEMORY)
    await client.connect(seller.node.listen_addrs[0])
    data = case["data"].encode()
    answer = await exchange(client, seller.node.peer_id, PROTOCOL_ID, Frame(case["type"], data), typed=False)
    if case["type"] != "info":
        assert answer.data.decode() == case["response_text"]
        return
    [found], [recorded] = json.loads(answer.data), json.loads(case["response_text"])
    assert other_keys(found, recorded) == set(DIFFERENCES["marketplace"])
    assert [key for key in found if key in recorded] == list(recorded)
    assert read_records(Listing, answer.data)[0].id == recorded["id"]


async def test_a_recorded_free_call(markets: Markets) -> None:
    """The first request of the series, of an agent that costs nothing, over the paid protocol; and an unknown one."""
    seller, client = await recorded_seller(markets, 0.0), await markets.start(MEMORY)
    await client.connect(seller.node.listen_addrs[0])
    calls = {case["name"]: case for case in LIVE["x402"]}
    for name in ("malformed JSON", "unknown resource", "unknown type"):
        case = calls[name]
        frame = Frame(case["request_type"], case["request_json"].encode())
        answer = await exchange(client, seller.node.peer_id, PAID_PROTOCOL_ID, frame, typed=True)
        assert (answer.kind, answer.data.decode()) == (case["response_type"], case["response_json"])
    asked = json.loads(calls["unknown resource"]["request_json"])
    asked["resource"] = ANNOUNCED_ID
    frame = Frame("x402.request", json.dumps(asked).encode())
    answer = await exchange(client, seller.node.peer_id, PAID_PROTOCOL_ID, frame, typed=True)
    paid = json.loads(calls["good payment, v = 0/1"]["response_json"])
    free = {**paid, "correlation_id": asked["correlation_id"], "tx_hash": ""}
    assert (answer.kind, json.loads(answer.data)) == ("x402.response", free)


ANNOUNCED_ID = json.loads(next(each["data_text"] for each in LIVE["gossip"] if "data_text" in each))[
    "agentId"
]


async def test_the_recorded_announcement(markets: Markets) -> None:
    seller = await markets.market(key=KEY)
    _, topic = await markets.plain(seller)
    recorded = json.loads(bytes.fromhex(ANNOUNCED["data_hex"]))
    with topic.subscribe() as heard:
        offer = Offer("math-agent", "It does sums.", 0.001)
        await seller.register(offer, CallableWorker(lambda text: text))
        message = await anext(heard)
    found = json.loads(message.data)
    assert other_keys(found, recorded) == set(DIFFERENCES["announcement"])
    assert [key for key in found if key in recorded] == list(recorded)
    assert str(message.author) == ANNOUNCED["from"]
    assert len(message.seqno or b"") == len(ANNOUNCED["seqno_hex"]) // 2


async def test_our_node_takes_what_the_recorded_one_said(markets: Markets) -> None:
    buyer = await markets.market()
    node, topic = await markets.plain(buyer)
    await topic.publish(bytes.fromhex(ANNOUNCED["data_hex"]))
    await eventually(lambda: buyer.get(ANNOUNCED_ID), "the recorded listing")
    entry = buyer.get(ANNOUNCED_ID)
    assert entry is not None
    assert entry.listing == read_message(bytes.fromhex(ANNOUNCED["data_hex"])).listing
    assert not entry.verified, "another peer said it"
    assert entry.listing.seller_id != str(node.peer_id)


async def test_recorded_protocols(markets: Markets) -> None:
    seller, client = await recorded_seller(markets), await markets.start(MEMORY)
    told = await client.identify(seller.node.listen_addrs[0])
    missing = set(LIVE["identify"]["protocols"]) - set(told.protocols)
    assert missing == set(DIFFERENCES["identify"]["missing"])


async def test_an_announcement_is_no_write_to_the_mapping(markets: Markets) -> None:
    seller = await recorded_seller(markets)
    _, topic = await markets.plain(seller)
    heads = seller.listings.mapping.status().heads
    [listed] = seller.agents.listings()
    with topic.subscribe() as heard:
        for _ in range(3):
            await seller._announcing.list_now(listed, "update")
        times = [read_message((await anext(heard)).data).timestamp for _ in range(3)]
    assert times == sorted(set(times)), "each has a time of its own"
    assert seller.listings.mapping.status().heads == heads


async def test_only_own_agents_are_sold(markets: Markets) -> None:
    seller, between = await recorded_seller(markets), await markets.market()
    await join(between, seller)
    await eventually(lambda: between.get(ANNOUNCED_ID), "the listing")
    assert between.agents.price(ANNOUNCED_ID) is None
    client = await markets.start(MEMORY)
    await client.connect(between.node.listen_addrs[0])
    asked = {
        "version": "1.0",
        "correlation_id": "c",
        "resource": ANNOUNCED_ID,
        "method": "execute",
        "payment": None,
    }
    frame = Frame("x402.request", json.dumps(asked).encode())
    answer = await exchange(client, between.node.peer_id, PAID_PROTOCOL_ID, frame, typed=True)
    assert json.loads(answer.data)["error_code"] == 3000


async def test_connections_that_stand_at_the_start_are_asked(markets: Markets) -> None:
    other = await markets.start(MEMORY)
    listing = Listing("plain", "plain", 0.0, "", str(other.peer_id))

    async def serve(stream: Stream) -> None:
        told = b"[" + listing.write() + b"]"
        await stream.write(len(told).to_bytes(4) + told)

    other.handle(PROTOCOL_ID, serve)
    node_config = markets.config()
    node = Node(node_config, memory=markets.memory)
    markets.push_async_callback(node.stop)
    await node.start()
    await node.connect(other.listen_addrs[0])
    async with Market(node, node_config) as market:
        await eventually(lambda: market.get("plain"), "the listing")


async def test_the_rendezvous_of_the_dht(markets: Markets) -> None:
    """Who is in the DHT is found among the providers of the recorded rendezvous."""
    dht: dict[str, Any] = {"mode": "server", "prefix": "/mesh/test", "addresses": "all"}
    seller, other = await markets.market(**dht), await markets.start(MEMORY, **dht)
    await other.connect(seller.node.listen_addrs[0])
    cid = Cid.parse(load("dht", "betar")["cid"])

    async def providers() -> list[PeerId]:
        return [each.peer async for each in other.dht.find_providers(cid)]

    found = await until(providers, bool)
    assert found == [seller.node.peer_id]


def test_every_behaviour_has_its_test() -> None:
    """The table names tests that are there, and gives each difference a reason."""
    there = {
        node.name
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    behaviours: Any = DIFFERENCES["behaviour"]
    for each in behaviours:
        assert each["test"] in there, each
        assert each["about"]
        assert each["reason"]
    assert len({each["about"] for each in behaviours}) == len(behaviours)
