"""What a message that was handed to us writes into log, address book and the queue of wakes: all in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mesh.apps.agent.records import MAX_SATS, DeliveryState, Direction, MessageRecord
from mesh.apps.agent.store import address_book, message_log
from mesh.protocols.openclaw.json_text import write_object
from mesh.protocols.openclaw.message import Envelope

if TYPE_CHECKING:
    from mesh.apps.agent.waking.waking import Waking

_SUMMARY = ("txid", "vout", "amount", "toAddress", "memo")


class Logbook:
    """See `delivery.ledger.Ledger`. ``awaited`` tells whether somebody waits for a message as an answer: then the agent
    is not waked for it. ``waking`` is None where nothing wakes."""

    def __init__(
        self, awaited: Callable[[str, Envelope], bool], now_ms: Callable[[], int], waking: Waking | None
    ) -> None:
        self._awaited = awaited
        self._now_ms = now_ms
        self._waking = waking
        self.unwaked: set[int] = set()
        """Rows of answers that somebody waited for, until it is known that he got them."""

    def received(self, database: sqlite3.Connection, peer_id: str, message: Envelope) -> MessageRecord:
        now_ms = self._now_ms()
        address_book.exchanged(
            database, peer_id, Direction.INBOUND, now_ms, sats_of(message.type, message.document)
        )
        awaited = self._awaited(peer_id, message)
        record = message_log.add(
            database,
            MessageRecord(
                id=0,
                peer_id=peer_id,
                direction=Direction.INBOUND,
                content=message.content,
                message_type=message.type,
                timestamp=now_ms,
                message_id=message.id,
                sent_at=message.timestamp,
                read=awaited,
            ),
        )
        if awaited:
            self.unwaked.add(record.id)
        elif self._waking is not None:
            self._waking.enqueue(database, record)
        return record

    def advanced(self, database: sqlite3.Connection, log_row: int, state: DeliveryState) -> None:
        message_log.set_state(database, log_row, state)

    def wake(self, database: sqlite3.Connection, record: MessageRecord) -> None:
        """Wake the agent for an answer after all: whoever waited has gone."""
        message_log.mark_read(database, record.peer_id, record.id, read=False)
        if self._waking is not None:
            self._waking.enqueue(database, record)


def sent_record(peer_id: str, message: Envelope, now_ms: int) -> MessageRecord:
    """The log's row of a message of ours: a text is `chat` there, a payment without its transaction (section 6.2)."""
    kind, content = message.type, message.content
    if kind == "text":
        kind = "chat"
    elif kind == "payment":
        summary = {key: message.document[key] for key in _SUMMARY if key in message.document}
        content = write_object({**summary, **({"beef": "(included)"} if "beef" in message.document else {})})
    return MessageRecord(
        id=0,
        peer_id=peer_id,
        direction=Direction.OUTBOUND,
        content=content,
        message_type=kind,
        timestamp=now_ms,
        message_id=message.id,
        sent_at=now_ms,
        state=DeliveryState.QUEUED,
        read=True,
    )


def sats_of(kind: str, document: Any) -> int | None:
    """What a payment message says was paid; None for other messages."""
    if kind != "payment":
        return None
    amount = document.get("amount")
    whole = isinstance(amount, int) and not isinstance(amount, bool)
    return amount if whole and 0 <= amount <= MAX_SATS else 0
