"""What delivery asks of the rest of the agent, within its own transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar

from mesh.apps.agent.records import DeliveryState, MessageRecord
from mesh.protocols.openclaw.message import Envelope

T = TypeVar("T")


class Journal(Protocol):
    """The agent's database: `mesh.apps.agent.store.AgentStore`."""

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run in a transaction, which is committed when this returns. Raises `StorageError`."""

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run on what is committed. Raises `StorageError`."""


class Ledger(Protocol):
    """Log, address book and waking. Every method runs in the store's thread, in a transaction."""

    def received(self, database: sqlite3.Connection, peer_id: str, message: Envelope) -> MessageRecord:
        """Log a message that was handed to us, count it, queue its wake; the record as stored."""

    def advanced(self, database: sqlite3.Connection, log_row: int, state: DeliveryState) -> None:
        """A message of the log has come further."""
