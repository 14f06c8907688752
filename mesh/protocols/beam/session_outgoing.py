"""What one end of a session sends: bytes held until the other end has them, in segments that may be sent again."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import Final

from mesh.codecs.beam_session import MAX_SEGMENT_BYTES
from mesh.errors import Malformed, UsageError
from mesh.protocols.machine import Buffer

MAX_HELD_BYTES: Final = 4 * 1024 * 1024
MAX_SEGMENTS: Final = 4096
FIRST_WINDOW_BYTES: Final = 256 * 1024
"""What may be sent before the other end has said anything."""


@dataclass(slots=True)
class Segment:
    """Bytes from an offset on, and the path that they left by last; the end is a segment without bytes."""

    offset: int
    data: bytearray
    final: bool = False
    path: int | None = None

    @property
    def end(self) -> int:
        return self.offset + len(self.data) + self.final


class Outgoing:
    """Bytes of one direction. ``acknowledged``: the other end has everything below; ``end``: what was written so far."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.end = 0
        self.sent = 0
        self.resent = 0
        """Segments that were sent again."""
        self.finished = False
        self._limit = FIRST_WINDOW_BYTES
        self._segments: dict[int, Segment] = {}
        self._unsent: deque[int] = deque()
        self._again: list[int] = []

    @property
    def room(self) -> int:
        """Bytes that may be written now."""
        if self.finished or len(self._segments) >= MAX_SEGMENTS - 1:
            return 0
        return max(0, MAX_HELD_BYTES - (self.end - self.acknowledged))

    @property
    def complete(self) -> bool:
        """Whether the other end has all of it and knows that nothing follows."""
        return self.finished and self.acknowledged == self.end

    def write(self, data: Buffer) -> int:
        """Take as much as there is room for; how much that was. Raises `UsageError` after `finish`."""
        if self.finished:
            raise UsageError("the session was ended for writing")
        given = memoryview(data).cast("B")
        taken = 0
        while taken < len(given) and (room := self.room):
            piece = given[taken : taken + min(room, MAX_SEGMENT_BYTES)]
            last = self._segments[self._unsent[-1]] if self._unsent else None
            if last is not None and len(last.data) + len(piece) <= MAX_SEGMENT_BYTES:
                last.data += piece
            else:
                self._append(Segment(self.end, bytearray(piece)))
            self.end += len(piece)
            taken += len(piece)
        return taken

    def finish(self) -> None:
        """Nothing will be written after what was; safe to call twice."""
        if not self.finished:
            self.finished = True
            self._append(Segment(self.end, bytearray(), final=True))
            self.end += 1

    def waiting(self) -> bool:
        """Whether there is something that may be sent now."""
        return bool(self._again) or (
            bool(self._unsent) and self._segments[self._unsent[0]].end <= self._limit
        )

    def take(self, path: int) -> Segment | None:
        """The next segment to send by a path: what has to be sent again before what is new."""
        while self._again:
            offset = heapq.heappop(self._again)
            segment = self._segments.get(offset)
            if segment is not None and segment.path is None:
                segment.path = path
                self.resent += 1
                return segment
        if not self._unsent or self._segments[self._unsent[0]].end > self._limit:
            return None
        segment = self._segments[self._unsent.popleft()]
        segment.path = path
        self.sent = segment.end
        return segment

    def acknowledge(self, received: int, window_bytes: int) -> bool:
        """The other end has everything below ``received``, and takes so much after that; whether anything was new.
        Raises `Malformed` for what was never sent."""
        if received > self.sent:
            raise Malformed("SessionFrame.received", None, f"{received}, of {self.sent} bytes that were sent")
        before = self.acknowledged, self._limit
        self._limit = max(self._limit, received + window_bytes)
        self.acknowledged = max(self.acknowledged, received)
        while self._segments:
            offset = next(iter(self._segments))
            if self._segments[offset].end > self.acknowledged:
                break
            del self._segments[offset]
        return before != (self.acknowledged, self._limit)

    def lost(self, path: int) -> None:
        """What left by a path and is not acknowledged has to be sent again."""
        for segment in self._segments.values():
            if segment.path == path:
                segment.path = None
                heapq.heappush(self._again, segment.offset)

    def _append(self, segment: Segment) -> None:
        self._segments[segment.offset] = segment
        self._unsent.append(segment.offset)
