"""Messages by the stock protocol: one a stream, no answer, so nothing is proven (section 5.1).

A stock daemon drops what is more than 100 messages in 60 seconds without a word, and what is longer than 1 MiB: we hold
ourselves to both, so that nothing is lost there.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from typing import Final

from mesh.apps.agent.delivery import outbox
from mesh.apps.agent.delivery.ledger import Journal, Ledger
from mesh.apps.agent.delivery.outbox import Waiting
from mesh.apps.agent.records import DeliveryChanged, DeliveryState
from mesh.codecs.openclaw import MAX_MESSAGE_BYTES
from mesh.errors import TimedOut
from mesh.network.stream import Stream
from mesh.protocols.openclaw.message import PROTOCOL_ID
from mesh.protocols.openclaw.rate_window import LIMIT, WINDOW_S

WRITE_S: Final = 60.0
GRACE_S: Final = 0.2
WINDOW_MS: Final = int(WINDOW_S * 1000) + 1000
"""The receiver's window, and what its clock may differ."""


async def next_message(
    journal: Journal,
    ledger: Ledger,
    peer_id: str,
    now_ms: Callable[[], int],
    tell: Callable[[list[DeliveryChanged]], None],
) -> Waiting | int:
    """The next message for a stock daemon under lease; else how many milliseconds to wait for one, 0 when none waits."""

    def take(database: sqlite3.Connection) -> tuple[Waiting | int, list[DeliveryChanged]]:
        now = now_ms()
        sent = outbox.sent_since(database, peer_id, now - WINDOW_MS, LIMIT)
        if len(sent) == LIMIT:
            return max(1, sent[0] + WINDOW_MS - now), []
        changed: list[DeliveryChanged] = []
        while waiting := outbox.lease(database, peer_id, now, limit=1):
            [message] = waiting
            if len(message.body) <= MAX_MESSAGE_BYTES:
                return message, changed
            why = f"{len(message.body)} bytes, a stock daemon drops what is longer than {MAX_MESSAGE_BYTES}"
            change = outbox.bury(database, ledger, peer_id, message.message_id, why, now)
            if change is not None:
                changed.append(change)
        return 0, changed

    found, changed = await journal.write(take)
    tell(changed)
    return found


async def hand_over(stream: Stream, message: Waiting) -> None:
    """Write one message and end our side. A stock daemon never ends its own, but one that has no room for the stream, or
    cannot read the message, resets it: that is waited for a little. Raises `MeshError`."""
    try:
        async with asyncio.timeout(WRITE_S):
            await stream.write_message(message.body)
            await stream.close_write()
            await stream.negotiated()
    except TimeoutError:
        raise TimedOut(f"{PROTOCOL_ID}: the peer took no message within {WRITE_S:g} s") from None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE_S):
            await stream.read()
    await stream.close()


def sent(
    database: sqlite3.Connection, ledger: Ledger, peer_id: str, message: Waiting, now_ms: int
) -> list[DeliveryChanged]:
    """The message is written: all that is ever known of it, unless it is answered."""
    row = outbox.find(database, peer_id, message.message_id)
    change = None if row is None else outbox.move(database, ledger, row, DeliveryState.SENT, now_ms)
    return [] if change is None else [change]
