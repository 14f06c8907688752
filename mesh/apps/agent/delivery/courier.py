"""What waits for one peer is brought to it: attempts, pauses between them, dead letters."""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from mesh.apps.agent.delivery import outbox, proofs, steps, stock_wire
from mesh.apps.agent.delivery.handover import TELL_AFTER_MS, Handover
from mesh.apps.agent.delivery.ledger import Journal, Ledger
from mesh.apps.agent.records import DeliveryChanged
from mesh.codecs.agent_delivery import Acknowledgement
from mesh.errors import Closed, MeshError, StorageError
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.protocols.agent_delivery.offering import PROTOCOL_ID
from mesh.protocols.agent_delivery.progress import retry_delay_ms

log = logging.getLogger(__name__)

RECEIPT_ATTEMPTS: Final = 6
"""Dials for the sake of receipts alone; then they wait for the peer to connect."""
SOON_MS: Final = 1000
"""Between two attempts, whoever asks for the second."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What couriers share. ``reach`` gives a connection, ``open`` a stream of the best protocol that the peer speaks;
    ``on_stored`` is `handover.keep_receipts`', ``on_kept`` is `Inbox.acknowledged`."""

    journal: Journal
    ledger: Ledger
    own: PeerId
    now_ms: Callable[[], int]
    reach: Callable[[PeerId, str], Awaitable[Connection]]
    open: Callable[[Connection], Awaitable[Stream]]
    on_stored: Callable[[PeerId], Callable[[sqlite3.Connection, str, str, bytes], None]]
    on_kept: Callable[[sqlite3.Connection, PeerId, Sequence[Acknowledgement]], list[bytes]]
    tell: Callable[[list[DeliveryChanged]], None]
    max_failures: int


class Courier:
    """One peer's. `run` ends when nothing waits for it. ``problem`` is why the last attempt failed, ``next_ms`` when the
    next one is, 0 while one is under way."""

    def __init__(self, desk: Desk, peer: PeerId) -> None:
        self._desk = desk
        self._peer = peer
        self._name = str(peer)
        self._awake = asyncio.Event()
        self._handover: Handover | None = None
        self._failures = 0
        self._not_before = 0
        self._resumed_at: tuple[str, int] | None = None
        self.problem = ""
        self.next_ms = 0

    def hurry(self, *, connected: bool = False) -> None:
        """Something new waits, or the peer is there."""
        if connected:
            self._failures = 0
        if self._handover is not None:
            self._handover.hurry()
        self._awake.set()

    async def run(self) -> None:
        """Until nothing waits, or only receipts for a peer that cannot be reached. Raises `StorageError`."""
        while True:
            self._awake.clear()
            head, receipts = await self._desk.journal.read(self._look)
            if head is None and (not receipts or self._failures >= RECEIPT_ATTEMPTS):
                if self._awake.is_set():
                    continue
                return
            began = self._desk.now_ms()
            pause_ms = await self._attempt(head)
            if pause_ms:
                await self._pause(began, pause_ms)

    def _look(self, database: sqlite3.Connection) -> tuple[tuple[str, str] | None, bool]:
        head = outbox.head(database, self._name)
        before_ms = self._desk.now_ms() - TELL_AFTER_MS
        return head, bool(proofs.to_tell(database, self._name, before_ms, limit=1))

    async def _pause(self, began: int, pause_ms: int) -> None:
        """Wait for the next attempt, or for somebody to ask for it."""
        now = self._desk.now_ms()
        self.next_ms = now + pause_ms
        earliest = max(began + SOON_MS, self._not_before)
        try:
            if earliest > now:
                await asyncio.sleep(min(earliest, self.next_ms) / 1000 - now / 1000)
            now = self._desk.now_ms()
            if self.next_ms > now:
                async with asyncio.timeout((self.next_ms - now) / 1000):
                    await self._awake.wait()
        except TimeoutError:
            pass
        finally:
            self.next_ms = 0

    async def _attempt(self, head: tuple[str, str] | None) -> int:
        """One visit; how long to wait for the next one, 0 for no time."""
        message_id, address = head or ("", "")
        try:
            connection = await self._desk.reach(self._peer, address)
        except MeshError as error:
            return await self._set_back(message_id, "peer not reached", error)
        try:
            stream = await self._desk.open(connection)
            if stream.protocol == PROTOCOL_ID:
                return await self._hand_over(stream)
            return await self._by_stock_wire(connection, stream)
        except StorageError:
            raise
        except Closed as error:
            if connection.limited is None:
                return await self._failed(message_id, error)
            return await self._set_back(message_id, "cut off by a relay", error)
        except MeshError as error:
            return await self._failed(message_id, error)
        finally:
            self._handover = None
            await self._desk.journal.write(lambda database: outbox.release(database, self._name))

    async def _hand_over(self, stream: Stream) -> int:
        desk = self._desk
        handover = self._handover = Handover(
            desk.journal,
            desk.ledger,
            desk.own,
            self._peer,
            desk.now_ms,
            desk.on_stored(self._peer),
            desk.on_kept,
            desk.tell,
        )
        try:
            async with stream:
                await handover.run(stream)
        except StorageError:
            raise
        except MeshError as error:
            further = self._further(handover)
            if handover.progress or further:
                self._succeeded()
                log.debug("%s: an exchange was cut: %s", self._peer, error)
                return 0
            if isinstance(error, Closed) and stream.connection.limited is not None:
                raise
            waiting = handover.head
            return await self._failed("" if waiting is None else waiting.message_id, error)
        if handover.used_up:
            await stream.connection.close()
            if not (handover.progress or self._further(handover)):
                raise Closed("the relay lets too little pass")
        self._succeeded()
        if handover.retry_ms:
            self.problem = "the peer wants to be left alone for now"
            self._not_before = desk.now_ms() + handover.retry_ms
        return handover.retry_ms

    def _further(self, handover: Handover) -> bool:
        """Whether a large message was begun, or went on since the last time."""
        before, now = self._resumed_at, handover.resumed_at
        if now is None:
            return False
        self._resumed_at = now
        return before is None or before[0] != now[0] or before[1] < now[1]

    async def _by_stock_wire(self, connection: Connection, stream: Stream) -> int:
        desk = self._desk
        opened: Stream | None = stream
        try:
            while True:
                found = await stock_wire.next_message(
                    desk.journal, desk.ledger, self._name, desk.now_ms, desk.tell
                )
                if isinstance(found, int):
                    self._succeeded()
                    return found
                opened = opened or await desk.open(connection)
                await stock_wire.hand_over(opened, found)
                opened = None
                desk.tell(await desk.journal.write(partial(self._sent, found)))
        finally:
            if opened is not None:
                opened.reset()

    def _sent(self, message: outbox.Waiting, database: sqlite3.Connection) -> list[DeliveryChanged]:
        return stock_wire.sent(database, self._desk.ledger, self._name, message, self._desk.now_ms())

    def _succeeded(self) -> None:
        self._failures = 0
        self.problem = ""

    async def _set_back(self, message_id: str, what: str, error: MeshError) -> int:
        """The peer is not there, or a relay let no more pass: that is nobody's failure, however often."""
        self._failures += 1
        self.problem = str(error)
        if message_id:
            now_ms = self._desk.now_ms()
            await self._desk.journal.write(
                lambda database: steps.add(database, self._name, message_id, now_ms, what, str(error))
            )
        return retry_delay_ms(self._failures, random.random())

    async def _failed(self, message_id: str, error: MeshError) -> int:
        """The peer was reached and the exchange failed at a message."""
        self._failures += 1
        self.problem = str(error)
        log.debug("%s: an exchange failed: %s", self._peer, error)
        if message_id:
            change = await self._desk.journal.write(
                lambda database: self._fail(database, message_id, str(error))
            )
            self._desk.tell([change] if change is not None else [])
        return retry_delay_ms(self._failures, random.random())

    def _fail(self, database: sqlite3.Connection, message_id: str, why: str) -> DeliveryChanged | None:
        desk = self._desk
        return outbox.failed(
            database, desk.ledger, self._name, message_id, why, desk.max_failures, desk.now_ms()
        )
