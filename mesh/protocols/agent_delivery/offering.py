"""The side that hands messages over, and receipts of messages that it has taken before.

`offer` takes messages in order, `tell` receipts, `next_frame` gives what is to be written, `receive` takes what the peer
says and tells what it means. One large message is under way at a time: nothing follows it until its last piece is
written.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from mesh.codecs.agent_delivery import (
    MAX_INLINE_BYTES,
    MAX_PIECE_BYTES,
    MAX_RECEIPTS,
    Acknowledgement,
    Frame,
    Offer,
    Piece,
    VerdictCode,
)
from mesh.errors import PeerError

PROTOCOL_ID: Final = "/mesh/agent-delivery/1.0.0"
MAX_OUTSTANDING: Final = 64
MAX_OUTSTANDING_BYTES: Final = 256 * 1024
"""Offers without a verdict, and their bodies."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to hand over; ``queued_ms`` is when it was queued."""

    message_id: str
    body: bytes
    digest: bytes
    queued_ms: int


@dataclass(frozen=True, slots=True)
class Taken:
    """The peer stored the message; ``receipt`` is its envelope, unchecked."""

    message_id: str
    receipt: bytes


@dataclass(frozen=True, slots=True)
class Postponed:
    """The peer wants the message, and all behind it, later."""

    message_id: str
    retry_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The peer will never take the message."""

    message_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReceiptsCame:
    """Receipts of earlier messages, unchecked."""

    receipts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ReceiptsKept:
    """The peer has these receipts of ours durably."""

    acknowledged: tuple[Acknowledgement, ...]


Event = Taken | Postponed | Declined | ReceiptsCame | ReceiptsKept


class Offering:
    """One stream's worth of handing over."""

    def __init__(self) -> None:
        self._waiting: deque[Outgoing] = deque()
        self._outstanding: deque[Outgoing] = deque()
        self._outstanding_bytes = 0
        self._large: Outgoing | None = None
        self._offset: int | None = None
        self._acknowledged: list[Acknowledgement] = []
        self._receipts: list[bytes] = []
        self._stopped = False
        self.resumed_at: tuple[str, int] | None = None
        """The last large message that pieces were asked of, and from where on."""

    @property
    def room(self) -> bool:
        """Whether one more message may be given now."""
        return not self._stopped and len(self._waiting) + len(self._outstanding) < MAX_OUTSTANDING

    @property
    def done(self) -> bool:
        """Whether nothing waits to be written or for a verdict."""
        return not (self._waiting or self._outstanding or self._acknowledged or self._receipts)

    @property
    def stopped(self) -> bool:
        """Whether the peer asked to be left alone for now: nothing more is offered on this stream."""
        return self._stopped

    def offer(self, message: Outgoing) -> None:
        """One more message, behind those given before."""
        self._waiting.append(message)

    def acknowledge(self, done: list[Acknowledgement]) -> None:
        """Tell the peer that receipts are durable here."""
        self._acknowledged += done

    def tell(self, receipts: list[bytes]) -> None:
        """What became of messages of the peer's: receipts in their envelopes."""
        self._receipts += receipts

    @property
    def unanswered(self) -> int:
        """Offers that wait for a verdict; a large one whose pieces are still to be written is none."""
        return len(self._outstanding) - (self._offset is not None)

    def next_frame(self, *, ending: bool = False) -> Frame | None:
        """The next frame to write, None when there is none for now. ``ending``: acknowledgements alone."""
        if self._acknowledged:
            done, self._acknowledged = self._acknowledged[:MAX_RECEIPTS], self._acknowledged[MAX_RECEIPTS:]
            return Frame(acknowledged=done)
        if ending:
            return None
        if self._receipts:
            told, self._receipts = self._receipts[:MAX_RECEIPTS], self._receipts[MAX_RECEIPTS:]
            return Frame(receipts=told)
        if self._large is not None:
            return None if self._offset is None else self._next_piece(self._large, self._offset)
        if not self._waiting or self._stopped:
            return None
        message = self._waiting[0]
        size = len(message.body)
        inline = size <= MAX_INLINE_BYTES
        if inline and self._outstanding and self._outstanding_bytes + size > MAX_OUTSTANDING_BYTES:
            return None
        self._outstanding.append(self._waiting.popleft())
        if inline:
            self._outstanding_bytes += size
        else:
            self._large, self._offset = message, None
        return Frame(
            offer=Offer(
                message_id=message.message_id,
                size=size,
                digest=message.digest,
                queued_ms=message.queued_ms,
                body=message.body if inline else None,
            )
        )

    def receive(self, frame: Frame) -> list[Event]:
        """What a frame means. Raises `PeerError` for one that does not belong here."""
        if frame.offer is not None or frame.piece is not None:
            raise PeerError("agent delivery: an offer came on a stream for answers", protocol=PROTOCOL_ID)
        found: list[Event] = [ReceiptsCame(tuple(frame.receipts))] if frame.receipts else []
        if frame.acknowledged:
            found.append(ReceiptsKept(tuple(frame.acknowledged)))
        verdict = frame.verdict
        if verdict is None:
            return found
        if not self._outstanding or self._outstanding[0].message_id != verdict.message_id:
            raise PeerError("agent delivery: a verdict on what was not offered", protocol=PROTOCOL_ID)
        message = self._outstanding[0]
        if verdict.code == VerdictCode.MORE:
            self._want(message, verdict.offset or 0)
            return found
        self._outstanding.popleft()
        if message is self._large:
            self._large = self._offset = None
        else:
            self._outstanding_bytes -= len(message.body)
        if verdict.code == VerdictCode.TAKEN:
            found.append(Taken(message.message_id, verdict.receipt or b""))
        elif verdict.code == VerdictCode.LATER:
            self._stopped = True
            self._waiting.clear()
            found.append(Postponed(message.message_id, verdict.retry_ms or 0, verdict.reason or ""))
        else:
            found.append(Declined(message.message_id, verdict.reason or "no reason given"))
        return found

    def _want(self, message: Outgoing, offset: int) -> None:
        if message is not self._large or self._offset is not None or offset >= len(message.body):
            raise PeerError(
                f"agent delivery: {offset} bytes of {len(message.body)} are not to be gone on from",
                protocol=PROTOCOL_ID,
            )
        self._offset = offset
        self.resumed_at = (message.message_id, offset)

    def _next_piece(self, message: Outgoing, offset: int) -> Frame | None:
        data = message.body[offset : offset + MAX_PIECE_BYTES]
        if not data:
            return None
        self._offset = offset + len(data)
        if self._offset == len(message.body):
            self._large = self._offset = None
            self._outstanding_bytes += len(message.body)
        return Frame(piece=Piece(offset=offset, data=data))
