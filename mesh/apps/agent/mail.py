"""Messages of a running agent, out and in: queued, handed over, taken, answered."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mesh.apps.agent.delivery import history, outbox, tables
from mesh.apps.agent.delivery.courier import Desk
from mesh.apps.agent.delivery.couriers import Couriers
from mesh.apps.agent.delivery.handover import TELL_AFTER_MS
from mesh.apps.agent.delivery.inbox import DAY_MS, REMEMBERED_MS, Inbox, Stored
from mesh.apps.agent.delivery.proofs import Notary
from mesh.apps.agent.delivery.reaching import Reaching
from mesh.apps.agent.delivery.reception import Reception
from mesh.apps.agent.logbook import Logbook, sats_of, sent_record
from mesh.apps.agent.messenger import Messenger
from mesh.apps.agent.records import (
    Accepted,
    AgentEvent,
    DeliveryChanged,
    DeliveryState,
    Direction,
    MessageLogged,
    MessageRecord,
)
from mesh.apps.agent.requests import Reply, Requests
from mesh.apps.agent.store import AgentStore, address_book, message_log, schema
from mesh.apps.agent.way import Way
from mesh.codecs.agent_delivery import MAX_BODY_BYTES, State
from mesh.errors import StorageError, TimedOut, UsageError
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.protocols.agent_delivery.offering import PROTOCOL_ID as DELIVERY
from mesh.protocols.openclaw import ping
from mesh.protocols.openclaw.message import PROTOCOL_ID as MESSAGE
from mesh.protocols.openclaw.message import message_id, read_message, write_message
from mesh.protocols.openclaw.rate_window import RateWindow

if TYPE_CHECKING:
    from mesh.apps.agent.waking.queue import Invocation
    from mesh.apps.agent.waking.waking import Waking
    from mesh.node import Node

log = logging.getLogger(__name__)

SWEEP_S: Final = 60.0


class Mail:
    """``announced`` gives the addresses that a peer announced, ``tell`` hears of events. ``waking`` is set before `start`
    where the agent is to be waked."""

    def __init__(
        self,
        node: Node,
        store: AgentStore,
        announced: Callable[[str], Sequence[str]],
        tell: Callable[[Sequence[AgentEvent]], None],
    ) -> None:
        self._node = node
        self._store = store
        self._tell = tell
        self._settings = node.config.agent
        self._scope = Scope("agent mail")
        self.requests = Requests()
        self.waking: Waking | None = None
        self._reaching = Reaching(node, announced)
        self._stock_rate: RateWindow[PeerId] = RateWindow()
        self._rate: RateWindow[PeerId] = RateWindow(self._settings.rate, self._settings.rate_window_s)
        self._proved: dict[PeerId, None] = {}

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Serve the protocols and send off what waits. Raises `StorageError`."""
        node, store = self._node, self._store
        await store.write(
            lambda database: schema.prepare(database, tables.PART, tables.VERSION, tables.STATEMENTS)
        )
        self._ledger = Logbook(self.requests.awaits, now_ms, self.waking)
        self._inbox = Inbox(
            Notary(node.key), self._ledger, lambda peer: self._rate.take(peer, time.monotonic()), now_ms
        )
        self._couriers = Couriers(
            Desk(
                store,
                self._ledger,
                node.peer_id,
                now_ms,
                self._reaching.reach,
                self._reaching.open,
                self._answer_stored,
                self._inbox.acknowledged,
                self._changed,
                self._settings.max_attempts,
            ),
            self._scope,
        )
        messenger = Messenger(
            store, self._inbox, node.peer_id, self._stock_rate, now_ms, self._stored_one, node.counters
        )
        reception = Reception(
            store,
            self._ledger,
            self._inbox,
            node.peer_id,
            now_ms,
            self._answer_stored,
            self._stored,
            self._ended,
        )
        node.handle(MESSAGE, messenger.serve_message, limited=True)
        node.handle(ping.PROTOCOL_ID, messenger.serve_ping, limited=True)
        node.handle(DELIVERY, reception.serve, limited=True)
        node.swarm.observers.connected.append(self._connected)
        await self._couriers.start()
        self._scope.spawn(self._sweep(), "agent mail: what is old")

    async def stop(self) -> None:
        """Serve and send no more; what waits stays in the outbox."""
        node = self._node
        for protocol in (MESSAGE, ping.PROTOCOL_ID, DELIVERY):
            node.unhandle(protocol)
        if self._connected in node.swarm.observers.connected:
            node.swarm.observers.connected.remove(self._connected)
        await self._scope.close()

    # -- sending -----------------------------------------------------------------------------------------------------

    async def post(
        self, peer_text: str, kind: str, fields: Mapping[str, Any], multiaddr: str | None = None
    ) -> Accepted:
        """See `Agent.post`."""
        return await self._post(
            self.recipient(peer_text, multiaddr), kind, fields, multiaddr or "", _new_id()
        )

    async def request(
        self, peer_text: str, fields: Mapping[str, Any], timeout_s: float, multiaddr: str | None = None
    ) -> Reply:
        """See `Agent.request`."""
        peer, id = self.recipient(peer_text, multiaddr), _new_id()
        answer = self.requests.expect(str(peer), id)
        try:
            async with asyncio.timeout(timeout_s):
                await self._post(peer, "request", fields, multiaddr or "", id)
                return await answer
        except TimeoutError:
            raise TimedOut(f"{peer} did not answer the request within {timeout_s:g} s") from None
        finally:
            self.requests.forget(str(peer), id)

    def recipient(self, text: str, multiaddr: str | None) -> PeerId:
        """The peer that is meant. Raises `DecodeError`, `UsageError`."""
        peer = PeerId.parse(text)
        if peer == self._node.peer_id:
            raise UsageError(f"{peer} is this node itself")
        if multiaddr:
            self._reaching.check(multiaddr, peer)
        return peer

    async def _post(
        self, peer: PeerId, kind: str, fields: Mapping[str, Any], address: str, id: str
    ) -> Accepted:
        now = now_ms()
        body = write_message(id, kind, now, self._node.peer_id, peer, fields)
        if len(body) > MAX_BODY_BYTES:
            raise UsageError(
                f"a message of {len(body)} bytes; {MAX_BODY_BYTES} are the most: send it in parts"
            )
        message = read_message(body)
        digest = hashlib.sha256(body).digest()
        name = str(peer)

        def queue(database: sqlite3.Connection) -> MessageRecord:
            sats = sats_of(kind, message.document)
            address_book.exchanged(database, name, Direction.OUTBOUND, now, sats)
            record = message_log.add(database, sent_record(name, message, now))
            outbox.add(
                database, name, id, record.id, body, digest, now, address=address, answers=message.answers
            )
            return record

        record = await self._store.write(queue)
        self._tell([MessageLogged(record)])
        self._couriers.hurry(peer)
        return Accepted(id, name, DeliveryState.QUEUED)

    # -- questions ---------------------------------------------------------------------------------------------------

    async def why(self, id: str) -> tuple[Way, ...]:
        """See `Agent.why`."""
        own = str(self._node.peer_id)
        return tuple(await self._store.read(lambda database: history.ways(database, id, own, self._outlook)))

    async def retry(self, id: str) -> int:
        """See `Agent.retry`."""
        now = now_ms()
        since = now - self._settings.outbox_days * DAY_MS
        changed = await self._store.write(
            lambda database: outbox.revive(database, self._ledger, id, since, now)
        )
        self._changed(changed)
        for each in changed:
            self._couriers.hurry(PeerId.parse(each.peer_id))
        return len(changed)

    async def resumed(self, peer: PeerId, log_row: int, evidence: str) -> tuple[str, int] | None:
        """The agent has the message of a log row; its id and how often that was said by now."""
        found = await self._store.write(
            lambda database: self._inbox.resumed(database, peer, log_row, evidence)
        )
        self._couriers.hurry(peer)
        return found

    async def connection_to(self, peer: PeerId) -> Connection:
        """A connection to a peer. Raises `DialError`."""
        return await self._reaching.reach(peer)

    # -- the waker's side --------------------------------------------------------------------------------------------

    def invoked(self, database: sqlite3.Connection, invocation: Invocation) -> None:
        """The agent was called for messages: their evidence, within the waker's transaction."""
        peer = PeerId.parse(invocation.peer_id)
        evidence = f"{invocation.evidence}, idempotency key {invocation.key}"
        for id in invocation.message_ids:
            self._inbox.advance(database, peer, id, State.INVOKED, evidence)

    def told(self, invocation: Invocation) -> None:
        """That transaction is committed."""
        self._couriers.hurry(PeerId.parse(invocation.peer_id))

    # -- within ------------------------------------------------------------------------------------------------------

    def _outlook(self, peer_id: str) -> tuple[str, int]:
        return self._couriers.outlook(PeerId.parse(peer_id))

    def _answer_stored(self, peer: PeerId) -> Callable[[sqlite3.Connection, str, str, bytes], None]:
        """What is done within the transaction that keeps the receipt of an answer of ours."""

        def prove(database: sqlite3.Connection, answer: str, answered: str, receipt: bytes) -> None:
            evidence = f"reply {answer}, receipt sha256 {hashlib.sha256(receipt).hexdigest()}"
            if self._inbox.advance(database, peer, answered, State.ANSWERED, evidence) is not None:
                self._proved[peer] = None

        return prove

    def _changed(self, changed: Sequence[DeliveryChanged]) -> None:
        """A transaction is committed by which messages of ours went on."""
        self._tell(changed)
        while self._proved:
            peer = next(iter(self._proved))
            del self._proved[peer]
            self._couriers.hurry(peer)

    def _stored_one(self, stored: Stored) -> None:
        self._stored([stored], [])

    def _stored(self, stored: Sequence[Stored], changed: Sequence[DeliveryChanged]) -> None:
        """A transaction is committed by which messages of others were stored."""
        self._tell([MessageLogged(each.record) for each in stored])
        for each in stored:
            if each.record.id in self._ledger.unwaked:
                self._ledger.unwaked.discard(each.record.id)
                if not self.requests.settle(each.record.peer_id, each.message):
                    self._scope.spawn(self._wake_after_all(each.record), "an answer that nobody waits for")
        self._changed([*(each.changed for each in stored if each.changed is not None), *changed])
        if stored and self.waking is not None:
            self.waking.kick()

    async def _wake_after_all(self, record: MessageRecord) -> None:
        await self._store.write(lambda database: self._ledger.wake(database, record))
        if self.waking is not None:
            self.waking.kick()

    def _ended(self, peer: PeerId) -> None:
        """An exchange that a peer opened is over; receipts that were cut off with it are told a little later."""
        asyncio.get_running_loop().call_later(TELL_AFTER_MS / 1000 + 0.1, self._couriers.hurry, peer)

    def _connected(self, connection: Connection) -> None:
        self._couriers.arrived(connection.peer)

    async def _sweep(self) -> None:
        """Give up what waits for too long, forget what ended long ago, see that nothing lies unsent."""
        while True:
            try:
                await self._sweep_once()
                await self._couriers.look()
            except StorageError as error:
                log.error("the outbox cannot be looked through: %s", error)
            await asyncio.sleep(SWEEP_S)

    async def _sweep_once(self) -> None:
        self._stock_rate.sweep(time.monotonic())
        now = now_ms()
        given_up = now - self._settings.outbox_days * DAY_MS
        ledger = self._ledger
        while changed := await self._store.write(
            lambda database: outbox.expire(database, ledger, given_up, now)
        ):
            self._changed(changed)
        while await self._store.write(lambda database: outbox.forget(database, now - REMEMBERED_MS)):
            pass
        while await self._store.write(self._inbox.forget):
            pass


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _new_id() -> str:
    return message_id(now_ms(), secrets.randbits(64))
