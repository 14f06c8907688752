"""Ten nodes over TCP, none connected to more than a few: a listing is everywhere within ten seconds, and gone again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.apps.market.markets import Markets, join, shouting
from tests.network.live import TCP, eventually

NODES = 10


async def test_a_listing_reaches_ten_nodes(markets: Markets, tmp_path: Path) -> None:
    started = [await markets.market(TCP, folder=tmp_path / str(number)) for number in range(NODES)]
    for number, market in enumerate(started[1:], 1):
        await join(market, started[number - 1])
        if number > 3:
            await join(market, started[number - 4])
    await eventually(lambda: all(each.listings.topic.peers() for each in started), "the topic")
    async with asyncio.timeout(10):
        agent = await started[0].register(*shouting(price=0.5))
        while not all(each.get(agent.did) for each in started):  # noqa: ASYNC110 - any of many
            await asyncio.sleep(0.01)
    await eventually(lambda: all(_verified(each.get(agent.did)) for each in started), "the seller's word")
    await started[0].withdraw(agent.did)
    await eventually(lambda: not any(each.get(agent.did) for each in started), "the withdrawal")


def _verified(entry: object) -> bool:
    return bool(getattr(entry, "verified", False))
