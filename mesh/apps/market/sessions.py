"""What was asked of agents and answered, on both sides (section 3.10)."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Final

from mesh.errors import DecodeError
from mesh.go_json import write_instant
from mesh.protocols.market.sessions import (
    Exchange,
    PaymentRecord,
    Session,
    add_exchange,
    agent_prefix,
    new_session,
    session_key,
)

if TYPE_CHECKING:
    from mesh.storage.datastore import LocalDatastore

MAX_KEY_BYTES: Final = 4096
MAX_SESSIONS_OF_AN_AGENT: Final = 10_000


class Sessions:
    """Sessions in a store, one for each agent and caller."""

    def __init__(self, store: LocalDatastore) -> None:
        self._store = store
        self._writing = asyncio.Lock()

    async def add(
        self,
        agent_id: str,
        caller_id: str,
        request_id: str,
        input_text: str,
        output: str,
        error: str = "",
        payment: PaymentRecord | None = None,
    ) -> None:
        """Write down one exchange; callers whose name is too long have none. Raises `StorageError`."""
        key = session_key(agent_id, caller_id).encode()
        if len(key) > MAX_KEY_BYTES:
            return
        now_ns = time.time_ns()
        exchange = Exchange(request_id, input_text, output, error, write_instant(now_ns), payment)
        async with self._writing:
            session = _read(await self._store.get(key))
            if session is None:
                count, _ = self._store.measure(agent_prefix(agent_id).encode())
                if count >= MAX_SESSIONS_OF_AN_AGENT:
                    return
                session = new_session(str(uuid.uuid4()), agent_id, caller_id, now_ns)
            await self._store.put(key, add_exchange(session, exchange, now_ns).write())

    async def of_agent(self, agent_id: str) -> list[Session]:
        """All sessions with an agent. Raises `StorageError`."""
        found = [_read(value) async for _, value in self._store.scan(agent_prefix(agent_id).encode())]
        return [session for session in found if session is not None]

    async def get(self, agent_id: str, caller_id: str) -> Session | None:
        """The session of a caller with an agent. Raises `StorageError`."""
        key = session_key(agent_id, caller_id).encode()
        return _read(await self._store.get(key)) if len(key) <= MAX_KEY_BYTES else None


def _read(value: bytes | None) -> Session | None:
    if value is None:
        return None
    try:
        return Session.read(value)
    except DecodeError:
        return None
