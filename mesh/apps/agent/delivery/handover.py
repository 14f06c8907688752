"""One exchange by our protocol, as the side that opened the stream: messages out, verdicts and receipts in."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from mesh.apps.agent.delivery import outbox, proofs
from mesh.apps.agent.delivery.ledger import Journal, Ledger
from mesh.apps.agent.delivery.outbox import Waiting
from mesh.apps.agent.delivery.proofs import Checked
from mesh.apps.agent.records import DeliveryChanged
from mesh.codecs.agent_delivery import MAX_FRAME_BYTES, Acknowledgement, Frame, State
from mesh.errors import DecodeError, PeerError, TimedOut
from mesh.identity.peer_id import PeerId
from mesh.network.stream import Stream
from mesh.protocols.agent_delivery.offering import (
    MAX_OUTSTANDING,
    PROTOCOL_ID,
    Declined,
    Event,
    Offering,
    Outgoing,
    Postponed,
    ReceiptsCame,
    ReceiptsKept,
    Taken,
)
from mesh.protocols.agent_delivery.receipts import open_receipt

IDLE_S: Final = 30.0
"""Without a frame from the peer, while one is due."""
LINGER_S: Final = 1.0
"""The stream stays for messages that come so soon."""
TELL_AFTER_MS: Final = 2000
"""Receipts younger than this are still on their way as answers."""
FRAMES_AT_ONCE: Final = 128
RESERVE_BYTES: Final = 20 * 1024
ANSWER_BYTES: Final = 1024
"""Of what a relay lets pass, so much (but no more than a quarter) is left for what is under way, and so much for what
each offer or receipt brings back: what a relay cuts off is lost."""


def check_receipts(envelopes: Sequence[bytes], own: PeerId, peer: PeerId) -> list[Checked]:
    """Receipts that ``peer`` signed for our messages. Raises `PeerError` for any other."""
    try:
        return [Checked(open_receipt(each, own, peer), each) for each in envelopes]
    except DecodeError as error:
        raise PeerError(f"{peer} sent a receipt that is none: {error}", protocol=PROTOCOL_ID) from None


def keep_receipts(
    database: sqlite3.Connection,
    ledger: Ledger,
    peer_id: str,
    receipts: Sequence[Checked],
    now_ms: int,
    on_stored: Callable[[sqlite3.Connection, str, str, bytes], None],
) -> list[DeliveryChanged]:
    """Keep receipts of our messages, and move those on. ``on_stored`` hears of each answer of ours that is stored now:
    its id, the one it answers, the receipt. Receipts of what we do not know, or of other bodies, prove nothing."""
    changed = []
    for each in receipts:
        receipt = each.receipt
        sent = outbox.find(database, peer_id, receipt.message_id)
        if sent is None or sent.digest != receipt.digest or not proofs.keep(database, peer_id, each, now_ms):
            continue
        change = outbox.proven(database, ledger, sent, State(receipt.state), now_ms)
        if change is not None:
            changed.append(change)
        if sent.answers and receipt.state == State.STORED:
            on_stored(database, sent.message_id, sent.answers, each.envelope)
    return changed


class Handover:
    """Brings to a peer what waits for it, as long as the stream lasts. ``on_kept`` is `Inbox.acknowledged`.

    ``progress`` tells whether anything was achieved: a message taken or refused for good, a receipt acknowledged;
    ``retry_ms`` how long the peer wants to be left alone, 0 when it did not say so; ``used_up`` whether the relay between
    lets too little pass to go on.
    """

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        own: PeerId,
        peer: PeerId,
        now_ms: Callable[[], int],
        on_stored: Callable[[sqlite3.Connection, str, str, bytes], None],
        on_kept: Callable[[sqlite3.Connection, PeerId, Sequence[Acknowledgement]], list[bytes]],
        tell: Callable[[list[DeliveryChanged]], None],
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._own = own
        self._peer = peer
        self._name = str(peer)
        self._now_ms = now_ms
        self._on_stored = on_stored
        self._on_kept = on_kept
        self._tell = tell
        self._awake = asyncio.Event()
        self._fresh = True
        self._offering = Offering()
        self._leased: dict[str, Waiting] = {}
        self._last_number = self._last_proof = 0
        self._untold = self._in_flight = 0
        self._unproven: set[str] = set()
        self._budget: int | None = None
        self._written = 0
        self.progress = False
        self.retry_ms = 0
        self.used_up = False

    @property
    def head(self) -> Waiting | None:
        """The message whose verdict is awaited."""
        return next(iter(self._leased.values()), None)

    @property
    def resumed_at(self) -> tuple[str, int] | None:
        """The last large message that the peer asked pieces of, and how much of it the peer had."""
        return self._offering.resumed_at

    def hurry(self) -> None:
        """Something new may wait."""
        self._fresh = True
        self._awake.set()

    async def run(self, stream: Stream) -> None:
        """Until nothing waits any more, or the peer wants to be left alone for ``retry_ms``.

        Raises `MeshError`: what broke the exchange. Leases are the caller's to release.
        """
        stream.follow(self._awake.set)
        limited = stream.connection.limited
        self._budget = None if limited is None else limited.remaining_send_bytes
        while True:
            self._awake.clear()
            events = await self._read(stream)
            if events:
                await self._settle(events)
            self.used_up = self.used_up or self._spent(stream)
            if self._fresh and not self.used_up:
                await self._fill()
            if await self._write(stream) or events:
                continue
            if self.used_up and not self._offering.unanswered and not self._in_flight:
                return
            idle = self._offering.done and not self._untold and not self._unproven
            if idle and self._offering.stopped:
                return
            try:
                async with asyncio.timeout(LINGER_S if idle else IDLE_S):
                    await self._awake.wait()
            except TimeoutError:
                if self._offering.done:
                    return
                raise TimedOut(f"agent delivery: {self._peer} said nothing for {IDLE_S:g} s") from None

    async def _read(self, stream: Stream) -> list[Event]:
        events: list[Event] = []
        for _ in range(FRAMES_AT_ONCE):
            if not stream.pending:
                break
            try:
                async with asyncio.timeout(IDLE_S):
                    frame = Frame.decode(await stream.read_message(MAX_FRAME_BYTES))
            except TimeoutError:
                raise TimedOut(f"agent delivery: {self._peer} did not finish a frame") from None
            events += self._offering.receive(frame)
        return events

    def _spent(self, stream: Stream) -> bool:
        """Whether what the relay still lets pass is wanted for what is under way."""
        limited = stream.connection.limited
        if limited is None or self._budget is None:
            return False
        left = min(limited.remaining_send_bytes or 0, self._budget - self._written)
        back = limited.remaining_receive_bytes or 0
        answers = self._offering.unanswered + self._in_flight
        reserve = min(RESERVE_BYTES, limited.limit.data_bytes // 4)
        return left < reserve or back < reserve + answers * ANSWER_BYTES

    async def _write(self, stream: Stream) -> bool:
        wrote = False
        while not stream.pending:
            self.used_up = self.used_up or self._spent(stream)
            frame = self._offering.next_frame(ending=self.used_up)
            if frame is None:
                break
            wrote = True
            encoded = frame.encode()
            self._written += len(encoded) + len(encoded) // 32 + 64
            self._in_flight += len(frame.receipts)
            try:
                async with asyncio.timeout(IDLE_S):
                    await stream.write_message(encoded)
            except TimeoutError:
                raise TimedOut(f"agent delivery: {self._peer} took nothing for {IDLE_S:g} s") from None
        return wrote

    async def _fill(self) -> None:
        """Lease the next messages, and take along receipts that the peer lacks."""
        room = MAX_OUTSTANDING - len(self._leased)
        if not self._offering.room or room < MAX_OUTSTANDING // 2:
            return

        def take(database: sqlite3.Connection) -> tuple[list[Waiting], list[tuple[int, bytes]]]:
            now_ms = self._now_ms()
            waiting = outbox.lease(database, self._name, now_ms, after=self._last_number, limit=room)
            before_ms = now_ms - TELL_AFTER_MS
            return waiting, proofs.to_tell(database, self._name, before_ms, self._last_proof)

        waiting, receipts = await self._journal.write(take)
        self._fresh = bool(waiting or receipts)
        for each in waiting:
            self._last_number = each.number
            self._leased[each.message_id] = each
            self._offering.offer(Outgoing(each.message_id, each.body, each.digest, each.queued_ms))
        if receipts:
            self._last_proof = receipts[-1][0]
            self._untold += len(receipts)
            self._offering.tell([envelope for _, envelope in receipts])

    async def _settle(self, events: Sequence[Event]) -> None:
        """Commit what the peer said, then acknowledge what is durable by that."""
        receipts: list[Checked] = []
        declined: list[Declined] = []
        kept: list[Acknowledgement] = []
        for event in events:
            match event:
                case Taken(message_id, envelope):
                    [checked] = check_receipts([envelope], self._own, self._peer)
                    if (checked.receipt.message_id, checked.receipt.state) != (message_id, State.STORED):
                        raise PeerError(
                            f"{self._peer} took a message with another's receipt", protocol=PROTOCOL_ID
                        )
                    receipts.append(checked)
                    self._leased.pop(message_id, None)
                    self._unproven.add(message_id)
                case Declined():
                    declined.append(event)
                    self._leased.pop(event.message_id, None)
                case Postponed(retry_ms=retry_ms):
                    self.retry_ms = max(self.retry_ms, retry_ms, 1)
                case ReceiptsCame(envelopes):
                    receipts += check_receipts(envelopes, self._own, self._peer)
                case ReceiptsKept(acknowledged):
                    kept += acknowledged
                    self._untold = max(0, self._untold - len(acknowledged))
                    self._in_flight = max(0, self._in_flight - len(acknowledged))
        self.progress = self.progress or bool(receipts or declined or kept)
        changed, further = await self._journal.write(
            lambda database: self._commit(database, receipts, declined, kept)
        )
        self._tell(changed)
        self._untold += len(further)
        self._offering.tell(further)
        self._unproven.difference_update(
            each.receipt.message_id for each in receipts if each.receipt.state != State.STORED
        )
        self._offering.acknowledge(
            [
                Acknowledgement(message_id=each.receipt.message_id, state=each.receipt.state)
                for each in receipts
            ]
        )

    def _commit(
        self,
        database: sqlite3.Connection,
        receipts: Sequence[Checked],
        declined: Sequence[Declined],
        kept: Sequence[Acknowledgement],
    ) -> tuple[list[DeliveryChanged], list[bytes]]:
        """What changed by it, and receipts that the peer is to be told for what it acknowledged."""
        now_ms = self._now_ms()
        changed = keep_receipts(database, self._ledger, self._name, receipts, now_ms, self._on_stored)
        for each in declined:
            why = f"refused by the receiver: {each.reason}"
            change = outbox.bury(database, self._ledger, self._name, each.message_id, why, now_ms)
            if change is not None:
                changed.append(change)
        return changed, self._on_kept(database, self._peer, kept)
