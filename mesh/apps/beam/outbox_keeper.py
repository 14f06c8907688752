"""The outbox at work: operations on disk until they are done, tried with growing pauses, and soon when a peer comes."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

from mesh.apps.beam.store import OUTBOX, BeamStore
from mesh.errors import MeshError
from mesh.protocols.beam.outbox import Operation, Outbox, read_operation

log = logging.getLogger(__name__)

NEWCOMER_S: Final = 1.0
"""After a peer came, for others to come too."""
LONGEST_WAIT_S: Final = 3600.0

Doing = Callable[[Operation], Awaitable[bool]]
"""Carries an operation out; whether it is done."""


class OutboxKeeper:
    """`does` says who carries out which operation."""

    def __init__(self, store: BeamStore) -> None:
        self._store = store
        self._doing: dict[str, Doing] = {}
        self._changed = asyncio.Event()
        self._hurried = False
        self.waiting = Outbox()

    def does(self, operation: str, doing: Doing) -> None:
        """Have an operation carried out by this."""
        self._doing[operation] = doing

    async def open(self) -> None:
        """Read what waits. Raises `StorageError`."""
        async for _, document in self._store.documents(OUTBOX):
            operation = read_operation(document)
            if operation is not None:
                self.waiting.add(operation)

    async def add(self, operation: str, subject: str) -> None:
        """Try later. Raises `StorageError`."""
        made = Operation(str(uuid.uuid4()), operation, subject, time.time(), 1, time.time())
        evicted = self.waiting.add(made)
        if evicted is not None:
            await self._store.remove(OUTBOX, _name(evicted))
        await self._store.put_document(OUTBOX, _name(made), made.document())
        self._changed.set()

    async def cancel(self, operation: str, subject: str) -> None:
        """It need not be done any more. Raises `StorageError`."""
        self.waiting.cancel(operation, subject)
        await self._store.remove(OUTBOX, f"{operation} {subject}")

    def newcomer(self) -> None:
        """A peer came: everything is worth a try soon."""
        if len(self.waiting):
            asyncio.get_running_loop().call_later(NEWCOMER_S, self._hurry)

    async def run(self) -> None:
        """Carry out what is due, for ever."""
        while True:
            due = list(self.waiting) if self._hurried else self.waiting.due(time.time())
            self._hurried = False
            await self.attempt(due)
            next_s = self.waiting.next_s()
            wait_s = LONGEST_WAIT_S if next_s is None else max(0.05, next_s - time.time())
            try:
                async with asyncio.timeout(min(wait_s, LONGEST_WAIT_S)):
                    await self._changed.wait()
            except TimeoutError:
                continue
            self._changed.clear()

    async def attempt(self, operations: list[Operation]) -> None:
        """Carry out these now."""
        for each in operations:
            doing = self._doing.get(each.operation)
            try:
                done = doing is None or await doing(each)
            except MeshError as error:
                log.info("%s %s: %s", each.operation, each.subject, error)
                done = False
            if done:
                self.waiting.done(each)
                await self._store.remove(OUTBOX, _name(each))
            else:
                tried = self.waiting.failed(each, time.time())
                await self._store.put_document(OUTBOX, _name(tried), tried.document())

    def _hurry(self) -> None:
        self._hurried = True
        self._changed.set()


def _name(operation: Operation) -> str:
    return f"{operation.operation} {operation.subject}"
