"""The side that takes messages: what a peer may send next on a stream that it opened, and pieces in their order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from mesh.codecs.agent_delivery import Acknowledgement, Frame, Offer
from mesh.errors import PeerError
from mesh.protocols.agent_delivery.offering import PROTOCOL_ID


@dataclass(frozen=True, slots=True)
class Offered:
    """A message was offered; ``body`` is None where it comes in pieces. The digest of a body has been checked."""

    message_id: str
    size: int
    digest: bytes
    queued_ms: int
    body: bytes | None


@dataclass(frozen=True, slots=True)
class PieceCame:
    """The next bytes of the message that was answered MORE; ``last`` when they complete its size."""

    message_id: str
    offset: int
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class AcknowledgementsCame:
    """The peer has receipts of ours durably."""

    acknowledged: tuple[Acknowledgement, ...]


@dataclass(frozen=True, slots=True)
class ReceiptsOffered:
    """The peer says what became of messages of ours; unchecked."""

    receipts: tuple[bytes, ...]


Came = Offered | PieceCame | AcknowledgementsCame | ReceiptsOffered


class Taking:
    """One stream's worth of taking. `expect` says that a message was answered MORE."""

    def __init__(self) -> None:
        self._message_id: str | None = None
        self._size = 0
        self._offset = 0

    def expect(self, offered: Offered, offset: int) -> None:
        """Pieces of this message come next, from ``offset`` on."""
        self._message_id, self._size, self._offset = offered.message_id, offered.size, offset

    def receive(self, frame: Frame) -> list[Came]:
        """What a frame means. Raises `PeerError` for one that does not belong here."""
        if frame.verdict is not None:
            raise PeerError("agent delivery: a verdict came from who offers", protocol=PROTOCOL_ID)
        found: list[Came] = []
        if frame.acknowledged:
            found.append(AcknowledgementsCame(tuple(frame.acknowledged)))
        if frame.receipts:
            found.append(ReceiptsOffered(tuple(frame.receipts)))
        if frame.offer is not None:
            found.append(self._offered(frame.offer))
        if frame.piece is not None:
            found.append(self._piece(frame.piece.offset, frame.piece.data))
        return found

    def _offered(self, offer: Offer) -> Offered:
        if self._message_id is not None:
            raise PeerError("agent delivery: an offer before the last piece", protocol=PROTOCOL_ID)
        body = offer.body
        if not offer.message_id or len(offer.message_id) > 128 or len(offer.digest) != 32 or not offer.size:
            raise PeerError("agent delivery: an offer without id, digest or size", protocol=PROTOCOL_ID)
        if body is not None and (len(body) != offer.size or hashlib.sha256(body).digest() != offer.digest):
            raise PeerError("agent delivery: a body that is not what was offered", protocol=PROTOCOL_ID)
        return Offered(offer.message_id, offer.size, offer.digest, offer.queued_ms, body)

    def _piece(self, offset: int, data: bytes) -> PieceCame:
        message_id, end = self._message_id, offset + len(data)
        if message_id is None or offset != self._offset or not data or end > self._size:
            raise PeerError(
                f"agent delivery: a piece at {offset} that nobody asked for", protocol=PROTOCOL_ID
            )
        self._offset = end
        last = end == self._size
        if last:
            self._message_id = None
        return PieceCame(message_id, offset, data, last)
