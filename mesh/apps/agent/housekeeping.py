"""What is forgotten in a running agent, as the settings say: old messages, strangers of the address book."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from mesh.apps.agent.store import AgentStore, address_book, retention
from mesh.config import AgentSection
from mesh.errors import StorageError

log = logging.getLogger(__name__)

EVERY_S: Final = 600.0


async def keep_house(store: AgentStore, section: AgentSection, every_s: float = EVERY_S) -> None:
    """Forget what is to be forgotten, now and every ten minutes, for ever."""
    while True:
        try:
            messages, peers = await forget(store, section)
        except StorageError as error:
            log.error("what is old cannot be forgotten: %s", error)
        else:
            if messages or peers:
                log.info("forgot %d messages and %d peers", messages, peers)
        await asyncio.sleep(every_s)


async def forget(store: AgentStore, section: AgentSection) -> tuple[int, int]:
    """Messages and peers that went. A few at a time, so that others can write meanwhile. Raises `StorageError`."""
    now = time.time_ns() // 1_000_000
    days, most, max_peers = section.retention_days, section.retention_messages, section.max_peers
    messages = 0
    while gone := await store.write(lambda database: retention.forget(database, now, days, most)):
        messages += gone
    peers = await store.write(lambda database: address_book.forget_strangers(database, max_peers))
    return messages, peers
