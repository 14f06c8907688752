"""Frames on their way out, gathered into batches of whole frames that each fit one record of the channel below."""

from __future__ import annotations

from mesh.codecs.yamux import HEADER, HEADER_BYTES, FrameType
from mesh.protocols.machine import Buffer

DATA = int(FrameType.DATA)
MIN_PIECE_BYTES = 1024
"""A batch with less room than this is left as it is: a smaller frame would not be worth its header."""


class Outbox:
    """Frames in order. ``batch_bytes`` is the largest batch."""

    __slots__ = ("_batch", "_batch_bytes", "_batches", "_limit")

    def __init__(self, batch_bytes: int) -> None:
        self._limit = batch_bytes
        self._batches: list[list[Buffer]] = []
        self._batch: list[Buffer] = []
        self._batch_bytes = 0

    @property
    def queued_bytes(self) -> int:
        """How much `take` would give, to within a batch."""
        return self._batch_bytes + len(self._batches) * self._limit

    @property
    def room(self) -> int:
        """How long the body of the next data frame is to be, so that it fills a batch."""
        room = self._limit - self._batch_bytes - HEADER_BYTES
        return room if room >= MIN_PIECE_BYTES else self._limit - HEADER_BYTES

    def put(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        """A frame without a body."""
        if self._batch_bytes + HEADER_BYTES > self._limit:
            self._close()
        self._batch.append(HEADER.pack(0, kind, flags, stream_id, length))
        self._batch_bytes += HEADER_BYTES

    def put_data(self, flags: int, stream_id: int, payload: Buffer, size: int) -> None:
        """A data frame; header and body together fit a batch."""
        total = self._batch_bytes + HEADER_BYTES + size
        if total > self._limit and self._batch:
            self._close()
            total = HEADER_BYTES + size
        self._batch.append(HEADER.pack(0, DATA, flags, stream_id, size))
        self._batch.append(payload)
        self._batch_bytes = total
        if total == self._limit:
            self._close()

    def take_full(self) -> list[list[Buffer]]:
        """The batches that are closed; frames of the open one stay for what follows them."""
        batches = self._batches[:]
        self._batches.clear()
        return batches

    def own(self) -> None:
        """Copy what is queued, so that buffers lent by callers are theirs again."""
        self._batches = [[b"".join(each)] for each in self._batches]
        if self._batch:
            self._batch = [b"".join(self._batch)]

    def take(self) -> list[list[Buffer]]:
        """Every batch, oldest first; the box is empty afterwards."""
        if self._batch:
            self._close()
        batches = self._batches
        if batches:
            self._batches = []
        return batches

    def _close(self) -> None:
        self._batches.append(self._batch)
        self._batch = []
        self._batch_bytes = 0
