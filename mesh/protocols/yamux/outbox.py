"""Frames on their way out, gathered into batches of whole frames that each fit one record of the channel below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.codecs.yamux import HEADER, HEADER_BYTES, FrameType
from mesh.protocols.machine import Buffer

if TYPE_CHECKING:
    from mesh.protocols.yamux.stream import Stream

DATA = int(FrameType.DATA)
MIN_PIECE_BYTES = 1024
"""A batch with less room than this is left as it is: a smaller frame would not be worth its header."""


JOINED_BYTES = 1024
"""The first words of a protocol join the frame that opens or accepts its stream, unless they are longer than this."""
Place = tuple[int, int, int]
"""Of a frame that waits: the number of its batch, where in it the payload is, and the frame's flags."""


class Outbox:
    """Frames in order. ``batch_bytes`` is the largest batch."""

    __slots__ = ("_batch", "_batch_bytes", "_batches", "_limit", "_number")

    def __init__(self, batch_bytes: int) -> None:
        self._limit = batch_bytes
        self._number = 0
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

    def put_of(self, stream: Stream, payload: Buffer, size: int) -> None:
        """A data frame of a stream; what follows the frame that opens or accepts it joins that one, if it waits still."""
        flags, opening = stream.pending_flags, stream.opening
        if flags:
            stream.pending_flags = 0
            self.put_data(flags, stream.id, payload, size)
            stream.opening = (self._number, len(self._batch) - 1, flags) if self._batch else None
            return
        if opening is not None:
            stream.opening = None
            number, at, flags = opening
            if number == self._number and size <= JOINED_BYTES and self._batch_bytes + size <= self._limit:
                joined = b"".join((self._batch[at], payload))
                self._batch[at - 1 : at + 1] = HEADER.pack(0, DATA, flags, stream.id, len(joined)), joined
                self._batch_bytes += size
                return
        self.put_data(0, stream.id, payload, size)

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
            self._number += 1

    def take(self) -> list[list[Buffer]]:
        """Every batch, oldest first; the box is empty afterwards."""
        batch, batches = self._batch, self._batches
        if batch:
            self._batch = []
            self._batch_bytes = 0
            self._number += 1
            if not batches:
                return [batch]
            batches.append(batch)
        if batches:
            self._batches = []
        return batches

    def _close(self) -> None:
        self._batches.append(self._batch)
        self._number += 1
        self._batch = []
        self._batch_bytes = 0
