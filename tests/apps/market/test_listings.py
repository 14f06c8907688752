"""Listings between live nodes: they reach everybody, are withdrawn, survive who is dishonest."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.apps.market import announcing, listings
from mesh.apps.market.market import Market
from mesh.errors import UsageError
from mesh.identity.keys import PrivateKey
from mesh.network.stream import Stream
from mesh.protocols.market import PROTOCOL_ID
from mesh.protocols.market.board import Query, Trust
from mesh.protocols.market.listing import DELIST, UPDATE, ListingMessage, announce, key_of, read_listing
from mesh.protocols.market.naming import agent_did
from mesh.protocols.market.signing import is_proven
from tests.apps.market.markets import Markets, join, shouting
from tests.network.live import MEMORY, eventually


def known(market: Market, agent_id: str) -> bool:
    return market.get(agent_id) is not None


async def test_a_listing_reaches_a_second_node_within_two_seconds(markets: Markets) -> None:
    seller, buyer = await markets.market(), await markets.market()
    await join(buyer, seller)
    await eventually(lambda: seller.listings.topic.peers() and buyer.listings.topic.peers(), "the topic")
    async with asyncio.timeout(2):
        agent = await seller.register(*shouting(price=0.5, capabilities=("text",)))
        while not known(buyer, agent.did):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    entry = buyer.get(agent.did)
    assert entry is not None
    assert entry.trust is Trust.SIGNED
    assert entry.listing.seller_id == str(seller.node.peer_id)
    assert agent.did == agent_did(seller.node.key.public, "shout")
    [found] = buyer.find(Query(text="SHOUT", capability="text", max_price=0.5, verified=True))
    assert found.listing == entry.listing


async def test_the_mapping_holds_what_the_real_node_would_read(markets: Markets) -> None:
    seller, buyer = await markets.market(), await markets.market()
    agent = await seller.register(*shouting())
    await join(buyer, seller)
    key = key_of(agent.did)
    await eventually(lambda: buyer.listings.mapping.get(key) is not None, "the mapping")
    value = buyer.listings.mapping.get(key)
    assert value is not None
    listing = read_listing(value)
    assert listing.write() == value
    assert is_proven(listing)
    assert (listing.id, listing.protocols) == (agent.did, ("/x402/libp2p/1.0.0",))
    assert [str(each) for each in seller.node.own_addresses] == list(listing.addrs)


async def test_a_newcomer_is_told_by_who_it_connects_to(markets: Markets) -> None:
    seller, between, newcomer = [await markets.market() for _ in range(3)]
    await join(between, seller)
    agent = await seller.register(*shouting())
    await eventually(lambda: known(between, agent.did), "the listing")
    await markets.end(seller)
    await join(newcomer, between)
    await eventually(lambda: known(newcomer, agent.did), "the listing of a seller that is gone")


async def test_what_is_withdrawn_disappears_and_may_come_back(markets: Markets) -> None:
    seller, buyer = await markets.market(), await markets.market()
    await join(buyer, seller)
    agent = await seller.register(*shouting())
    await eventually(lambda: known(buyer, agent.did), "the listing")
    await seller.withdraw(agent.did)
    await eventually(lambda: not known(buyer, agent.did), "the withdrawal")
    assert not known(seller, agent.did)
    await eventually(lambda: buyer.listings.mapping.get(key_of(agent.did)) is None, "the mapping")
    with pytest.raises(UsageError, match="no agent"):
        await seller.withdraw(agent.did)
    await seller.register(*shouting(price=0.25))
    await eventually(lambda: known(buyer, agent.did), "the listing again")
    assert buyer.get(agent.did).listing.price == 0.25  # type: ignore[union-attr]


async def test_a_stranger_neither_changes_nor_removes_a_listing(markets: Markets) -> None:
    seller, buyer, thief = [await markets.market() for _ in range(3)]
    for one in (buyer, thief):
        await join(one, seller)
    await join(thief, buyer)
    agent = await seller.register(*shouting(price=1.0))
    await eventually(lambda: known(buyer, agent.did) and known(thief, agent.did), "the listing")
    await eventually(lambda: buyer.node.peer_id in thief.listings.topic.peers(), "the topic")
    listing = thief.get(agent.did).listing  # type: ignore[union-attr]
    forged = replace(listing, price=0.0, timestamp=listing.timestamp + 100)
    before = buyer.listings.board.refused
    for kind in (UPDATE, DELIST):
        await thief.listings.topic.publish(announce(kind, forged).write())
    await eventually(lambda: buyer.listings.board.refused >= before + 2, "two refusals")
    assert buyer.get(agent.did).listing.price == 1.0  # type: ignore[union-attr]


async def test_a_seller_puts_its_listing_back(markets: Markets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcing, "GUARD_S", 0.05)
    seller, thief = await markets.market(), await markets.market()
    await join(thief, seller)
    agent = await seller.register(*shouting(price=1.0))
    key = key_of(agent.did)
    await eventually(lambda: thief.listings.mapping.get(key) is not None, "the mapping")
    value = thief.listings.mapping.get(key)
    assert value is not None
    await thief.listings.mapping.put(key, replace(read_listing(value), price=0.0).write())
    await eventually(lambda: seller.node.counters["market.listing:put_back"] >= 1, "the guard")
    await eventually(
        lambda: read_listing(thief.listings.mapping.get(key) or value).price == 1.0, "the price of the seller"
    )
    await asyncio.sleep(0.06)
    await thief.listings.mapping.delete(key)
    await eventually(lambda: seller.listings.mapping.get(key) is not None, "the listing")
    assert seller.get(agent.did).listing.price == 1.0  # type: ignore[union-attr]


async def test_a_listing_of_which_nothing_is_left_goes(
    markets: Markets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "SWEEP_S", 0.02)
    buyer = await markets.market()
    key = PrivateKey.from_seed(bytes(32))
    heard = ListingMessage("list", agent_did(key.public, "x"), "x", seller_id="nobody")
    buyer.listings.take(heard, "")
    assert len(buyer.listings.board) == 1
    monkeypatch.setattr(listings, "UNHEARD_S", 0.0)
    await eventually(lambda: len(buyer.listings.board) == 0, "the sweep")


NONSENSE = (b"", b"{", b"[]", b'{"type":"list"}', b"[" * 10_000, b'{"agentId":"a","price":-1}', b"x" * 70_000)


async def test_nonsense_in_topic_and_mapping_is_counted_and_ignored(markets: Markets) -> None:
    seller, buyer = await markets.market(), await markets.market()
    await join(buyer, seller)
    _, topic = await markets.plain(buyer)
    for data in NONSENSE:
        await topic.publish(data)
    counts = buyer.node.counters
    await eventually(lambda: counts["market.topic:unreadable"] == len(NONSENSE), "refusals")
    for key, value in (("/agents/YQ", b"{"), ("/agents/YWI", b'{"id":"b"}'), ("/agents/!", b'{"id":"a"}')):
        await seller.listings.mapping.put(key, value)
    await eventually(
        lambda: counts["market.mapping:unreadable"] == 2 and counts["market.mapping:misplaced"] == 1,
        "three more",
    )
    assert len(buyer.listings.board) == 0
    agent = await seller.register(*shouting())
    await eventually(lambda: known(buyer, agent.did), "a listing after that")


async def test_who_floods_the_topic_is_ignored_for_a_while(
    markets: Markets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "MESSAGES_A_MINUTE", 3)
    buyer = await markets.market()
    _, topic = await markets.plain(buyer)
    for number in range(6):
        await topic.publish(ListingMessage("list", f"agent-{number}").write())
    await eventually(lambda: buyer.node.counters["market.topic:too_many"] == 3, "three refusals")
    assert len(buyer.listings.board) == 3


async def test_own_announcements_are_never_too_many(
    markets: Markets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "MESSAGES_A_MINUTE", 1)
    seller = await markets.market()
    _, topic = await markets.plain(seller)
    with topic.subscribe() as heard:
        for number in range(4):
            await seller.register(*shouting(f"agent {number}"))
        for _ in range(4):
            async with asyncio.timeout(5):
                await anext(heard)


async def test_what_is_offered_no_more_after_a_restart_is_withdrawn(markets: Markets, tmp_path: Path) -> None:
    key, buyer = PrivateKey.generate(), await markets.market()
    first = await markets.market(key=key, folder=tmp_path)
    kept = await first.register(replace(shouting("kept")[0], command=("cat",)))
    gone = await first.register(*shouting("gone"))
    await join(buyer, first)
    await eventually(lambda: known(buyer, kept.did) and known(buyer, gone.did), "both")
    await markets.end(first)
    assert known(buyer, gone.did), "a seller that is away has not withdrawn"
    second = await markets.market(key=key, folder=tmp_path)
    await join(buyer, second)
    await eventually(lambda: not known(buyer, gone.did), "the withdrawal")
    assert known(buyer, kept.did)


async def test_a_peer_that_comes_and_goes_is_asked_once_in_a_while(markets: Markets) -> None:
    market, other = await markets.market(), await markets.start(MEMORY)
    asked = 0

    async def serve(stream: Stream) -> None:
        nonlocal asked
        asked += 1
        await stream.write(b"\0\0\0\2[]")

    other.handle(PROTOCOL_ID, serve)
    for _ in range(3):
        connection = await market.node.connect(other.listen_addrs[0])
        await eventually(lambda: other.peer_id in market.listings._asked, "the answer")
        await connection.close()
        await eventually(lambda: not market.node.swarm.is_connected(other.peer_id), "the end")
    assert asked == 1


async def test_agents_and_orders_are_there_after_a_restart(markets: Markets, tmp_path: Path) -> None:
    key = PrivateKey.generate()
    first = await markets.market(key=key, folder=tmp_path)
    offer = replace(shouting()[0], command=("cat",))
    agent = await first.register(offer)
    order = await first.orders.create(agent.did, 0.5, "")
    await markets.end(first)
    second = await markets.market(key=key, folder=tmp_path)
    assert [each.offer for each in second.agents.all] == [offer]
    assert second.orders.all == [order]
    assert second.get(agent.did).trust is Trust.SIGNED  # type: ignore[union-attr]
    assert (await second.execute(agent.did, "same")).output == "same"
