"""Takes batches from the queue, calls the agent, and writes down what came of it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

from mesh.apps.agent.records import MessageRecord
from mesh.apps.agent.store import schema
from mesh.apps.agent.waking import queue
from mesh.apps.agent.waking.background import Background, background_of
from mesh.apps.agent.waking.queue import Batch, Budget, Invocation, QueueState
from mesh.apps.agent.waking.text import Told, wake_text
from mesh.errors import StorageError
from mesh.network.scope import Scope

log = logging.getLogger(__name__)

T = TypeVar("T")

KEPT_MS: Final = 30 * 24 * 3600 * 1000
"""What ended is forgotten after this long."""
SWEEP_S: Final = 3600.0
STORAGE_RETRY_S: Final = 5.0
LONG_CHARACTERS: Final = 8 * 1024
"""Texts about more than this are made beside the loop."""


class Journal(Protocol):
    """The agent's database: one writer, transactions run as functions of its connection."""

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run in one transaction, committed when this returns. Raises StorageError."""

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run on a connection that only reads. Raises StorageError."""


class CallFailed(Exception):  # noqa: N818 - an outcome, not a fault of ours
    """The agent was not called, or did not say yes; the text is for people and holds no secret."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Channel(Protocol):
    """How the agent is called."""

    @property
    def name(self) -> str:
        """In words, without secrets."""

    async def call(self, text: str, batch: Batch) -> str:
        """Call the agent; the evidence that it was. Raises CallFailed."""

    async def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True, slots=True)
class Pace:
    """``budget`` of batches, ``parallel`` calls at once, ``attempts`` before a batch is given up, and pauses that double
    from ``retry_s`` to ``retry_max_s``."""

    budget: Budget = field(default_factory=Budget)
    parallel: int = 4
    attempts: int = 30
    retry_s: float = 1.0
    retry_max_s: float = 300.0

    def pause_ms(self, calls: int) -> int:
        """How long after that many calls the next one comes."""
        return round(min(self.retry_s * 2.0 ** min(calls - 1, 32), self.retry_max_s) * 1000)


class Waking:
    """The waker of a running agent: `async with Waking(...)`.

    ``invoked`` runs inside the transaction that ends a batch, so that delivery's
    evidence is committed with it; ``told`` runs on the loop after that. ``api_url`` stands in the texts' commands;
    it may be set anew.
    """

    def __init__(
        self,
        journal: Journal,
        channel: Channel,
        *,
        clock: Callable[[], float],
        api_url: str,
        pace: Pace | None = None,
        invoked: Callable[[sqlite3.Connection, Invocation], None] | None = None,
        told: Callable[[Invocation], None] | None = None,
    ) -> None:
        self._journal = journal
        self._channel = channel
        self._clock = clock
        self.api_url = api_url
        self._pace = pace or Pace()
        self._invoked = invoked
        self._told = told
        self._scope = Scope("waking")
        self._busy: set[str] = set()
        self._more = asyncio.Event()

    @property
    def channel(self) -> str:
        """How the agent is called, in words."""
        return self._channel.name

    def enqueue(self, database: sqlite3.Connection, record: MessageRecord) -> None:
        """Queue the wake of an inbound message inside the transaction that stores it (``record.id`` is its row)."""
        queue.enqueue(database, record, self._now_ms())

    def kick(self) -> None:
        """The transaction of `enqueue` is committed: look at the queue. For the loop's thread."""
        self._more.set()

    async def resumed(self, message_id: str, token: str) -> tuple[str, int] | None:
        """The sender and log row of the message that the agent confirms; None when the token is not that of its wake.

        Raises StorageError.
        """
        return await self._journal.read(lambda database: queue.redeem(database, message_id, token))

    async def state(self) -> QueueState:
        """How the queue stands. Raises StorageError."""
        return await self._journal.read(queue.state)

    async def revive(self) -> int:
        """Try again what was given up; returns how many batches. Raises StorageError."""
        count = await self._journal.write(lambda database: queue.revive(database, self._now_ms()))
        self.kick()
        return count

    async def prepare(self) -> None:
        """Make the queue's tables where they are missing; before the first `enqueue`. Raises StorageError."""
        await self._journal.write(
            lambda database: schema.prepare(database, "waking", queue.VERSION, queue.STATEMENTS)
        )

    async def start(self) -> None:
        """Begin to call; what an earlier run left open comes first. Raises StorageError."""
        await self.prepare()
        self._scope.spawn(self._run(), "wakes")
        self._scope.spawn(self._sweep(), "old wakes")

    async def stop(self) -> None:
        """End calls under way; their batches stay open and are called again by the next run."""
        await self._scope.close()
        await self._channel.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    # -- within ------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            self._more.clear()
            pause_s = await self._begin_due()
            try:
                async with asyncio.timeout(pause_s):
                    await self._more.wait()
            except TimeoutError:
                continue

    async def _begin_due(self) -> float | None:
        """Begin what is due and fits; how long until there is more, None when only a kick brings it."""
        free = self._pace.parallel - len(self._busy)
        if free <= 0:
            return None
        busy = frozenset(self._busy)
        try:
            due, later = await self._journal.write(
                lambda database: queue.take(
                    database, self._now_ms(), self._pace.budget, self._pace.pause_ms, busy, free
                )
            )
        except StorageError as error:
            log.error("the queue of wakes cannot be read", extra={"error": str(error)})
            return STORAGE_RETRY_S
        for batch in due:
            self._busy.add(batch.peer_id)
            self._scope.spawn(self._deliver(batch), f"wake {batch.id}")
        return None if later is None else max(later - self._now_ms(), 1) / 1000

    async def _deliver(self, batch: Batch) -> None:
        try:
            await self._settle(batch)
        except StorageError as error:
            log.error("a wake's outcome is not stored", extra={"batch": batch.id, "error": str(error)})
            await asyncio.sleep(STORAGE_RETRY_S)
        finally:
            self._busy.discard(batch.peer_id)
            self._more.set()

    async def _settle(self, batch: Batch) -> None:
        text = batch.text or await self._freeze(batch)
        if not text:
            return
        try:
            evidence = await self._channel.call(text, batch)
        except CallFailed as failed:
            failure = failed
            await self._journal.write(lambda database: self._fail(database, batch, failure))
            return
        invocation = await self._journal.write(lambda database: self._succeed(database, batch, evidence))
        log.debug("agent waked", extra={"batch": batch.id, "evidence": evidence})
        if self._told is not None:
            self._told(invocation)

    async def _freeze(self, batch: Batch) -> str:
        """The text that all calls of the batch have; empty, and the batch given up, when no message of it is left."""
        background = await self._journal.read(lambda database: background_of(database, batch))
        if not background.messages:
            await self._journal.write(
                lambda database: queue.bury(database, batch, self._now_ms(), "no longer in the log")
            )
            return ""
        if sum(len(each.content) for each in background.messages) > LONG_CHARACTERS:
            text = await asyncio.to_thread(self._text, batch, background)
        else:
            text = self._text(batch, background)
        await self._journal.write(lambda database: queue.freeze_text(database, batch, text))
        return text

    def _text(self, batch: Batch, background: Background) -> str:
        wakes = {each.message: each for each in batch.wakes}
        return wake_text(
            batch.peer_id,
            background.peer,
            background.recent,
            background.total,
            [
                Told(record, wakes[record.id].message_id, wakes[record.id].token)
                for record in background.messages
            ],
            api_url=self.api_url,
        )

    def _succeed(self, database: sqlite3.Connection, batch: Batch, evidence: str) -> Invocation:
        invocation = queue.finish(database, batch, self._now_ms(), evidence)
        if self._invoked is not None:
            self._invoked(database, invocation)
        return invocation

    def _fail(self, database: sqlite3.Connection, batch: Batch, failure: CallFailed) -> None:
        extra = {"batch": batch.id, "calls": batch.calls, "error": str(failure)}
        if batch.calls >= self._pace.attempts:
            log.error("a wake is given up", extra=extra)
            queue.bury(database, batch, self._now_ms(), str(failure))
            return
        log.warning("a wake failed and will be tried again", extra=extra)
        pause_ms = self._pace.pause_ms(batch.calls)
        if failure.retry_after_s is not None:
            pause_ms = max(pause_ms, round(failure.retry_after_s * 1000))
        queue.postpone(database, batch, self._now_ms() + pause_ms, str(failure))

    async def _sweep(self) -> None:
        while True:
            try:
                await self._journal.write(lambda database: queue.sweep(database, self._now_ms() - KEPT_MS))
            except StorageError as error:
                log.error("old wakes cannot be removed", extra={"error": str(error)})
            await asyncio.sleep(SWEEP_S)

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)
