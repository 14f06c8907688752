"""A running agent forgets what its settings tell it to."""

from __future__ import annotations

import asyncio
import sqlite3

from mesh.apps.agent.housekeeping import forget, keep_house
from mesh.apps.agent.store import AgentStore, address_book, message_log
from mesh.config import AgentSection
from tests.apps.agent.store.messages import START, message


def fill(database: sqlite3.Connection) -> None:
    for number in range(600):
        message_log.add(database, message(str(number), at=START + number))
    for number in range(20):
        address_book.met(database, f"stranger {number}", START + number)


async def test_old_messages_and_strangers_go() -> None:
    async with AgentStore(None) as store:
        await store.write(fill)
        assert await forget(store, AgentSection()) == (0, 0)
        assert await forget(store, AgentSection(retention_messages=10, max_peers=16)) == (590, 4)
        assert (await store.read(message_log.figures)).inbound == 10


async def test_it_is_done_again_and_again_and_outlives_a_store_that_fails() -> None:
    async with AgentStore(None) as store:
        keeping = asyncio.create_task(keep_house(store, AgentSection(retention_messages=10), every_s=0.001))
        for _ in range(3):
            await store.write(fill)
            async with asyncio.timeout(10):
                while (await store.read(message_log.figures)).inbound > 10:
                    pass
        await store.close()
        await asyncio.sleep(0.01)
        assert not keeping.done()
        keeping.cancel()
        await asyncio.wait([keeping])
