"""Marketplaces under test, each on a node of its own that ends with the test."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mesh.apps.market.agents import Offer
from mesh.apps.market.market import Market
from mesh.apps.market.work import CallableWorker
from mesh.config import BlocksSection, Config, GossipSection, MarketSection, NodeSection
from mesh.identity.keys import PrivateKey
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.market import LISTINGS_TOPIC, PROTOCOL_ID
from mesh.services.gossip import Topic
from tests.network.live import MEMORY, Nodes, configured, eventually
from tests.services.gossip.network import gossip_node


class Markets(Nodes):
    """Starts marketplaces; leaving it stops them and their nodes."""

    def config(
        self, *listen: str, folder: Path | None = None, settings: dict[str, Any] | None = None, **others: Any
    ) -> Config:
        """``settings`` are of the marketplace's section, ``others`` of any other."""
        return replace(
            configured(*(listen or (MEMORY,)), **others),
            node=NodeSection(path=folder),
            market=MarketSection(enabled=True, **(settings or {})),
            gossip=GossipSection(enabled=True, heartbeat_s=0.1),
            blocks=BlocksSection(enabled=True, exchange=True, search=False),
        )

    async def market(
        self,
        *listen: str,
        key: PrivateKey | None = None,
        folder: Path | None = None,
        settings: dict[str, Any] | None = None,
        wallet_key: str = "",
        **others: Any,
    ) -> Market:
        """A running marketplace; ``settings`` are those of its section, ``others`` of others."""
        config = self.config(*listen, folder=folder, settings=settings, **others)
        node = Node(config, key=key, memory=self.memory)
        self.push_async_callback(node.stop)
        await node.start()
        market = Market(node, config, wallet_key=wallet_key)
        self.push_async_callback(market.stop)
        await market.start()
        return market

    async def plain(self, market: Market) -> tuple[Node, Topic]:
        """A connected node without a marketplace, whose word in the topic nobody judges before it is sent."""
        node = await gossip_node(self, MEMORY)
        await node.connect(market.node.listen_addrs[0])
        topic = node.pubsub.join(LISTINGS_TOPIC)
        await eventually(lambda: topic.peers() and node.peer_id in market.listings.topic.peers(), "the topic")
        return node, topic

    async def end(self, market: Market) -> None:
        """Stop a marketplace and its node before the others."""
        await market.stop()
        await market.node.stop()


def shouting(name: str = "shout", price: float = 0.0, **fields: Any) -> tuple[Offer, CallableWorker]:
    """An agent that answers in capital letters."""
    return Offer(name, "Capital letters.", price, **fields), CallableWorker(str.upper)


async def join(one: Market, other: Market) -> None:
    """Connect two marketplaces."""
    await one.node.connect(other.node.listen_addrs[0])


@contextlib.asynccontextmanager
async def raw_stream(node: Node, market: Market, protocol: str = PROTOCOL_ID) -> AsyncIterator[Stream]:
    """A stream that the test writes bytes on."""
    stream = await node.open(market.node.listen_addrs[0], protocol)
    try:
        yield stream
    finally:
        stream.reset()
