"""What one end of a session receives: bytes in whatever order, given out in theirs, within a window."""

from __future__ import annotations

from collections import deque
from typing import Final

from mesh.errors import Malformed

WINDOW_BYTES: Final = 4 * 1024 * 1024
MAX_FRAGMENTS: Final = 4096


class Incoming:
    """Bytes of one direction. ``received``: everything below has come, the end counted as one byte."""

    def __init__(self) -> None:
        self.received = 0
        self.complete = False
        """Whether everything and the end have come; something may be unread yet."""
        self._read = 0
        self._end: int | None = None
        self._ready: deque[bytes] = deque()
        self._early: dict[int, bytes] = {}
        self._early_bytes = 0

    @property
    def window_bytes(self) -> int:
        """What may come after ``received``."""
        return 0 if self.complete else max(0, self._read + WINDOW_BYTES - self.received)

    @property
    def readable(self) -> bool:
        """Whether there are bytes to read."""
        return bool(self._ready)

    @property
    def ended(self) -> bool:
        """Whether everything was read."""
        return self.complete and not self._ready

    def take(self, max_bytes: int) -> bytes:
        """Bytes in their order; none when there are none."""
        if not self._ready:
            return b""
        chunk = self._ready.popleft()
        if len(chunk) > max_bytes:
            self._ready.appendleft(chunk[max_bytes:])
            chunk = chunk[:max_bytes]
        self._read += len(chunk)
        return chunk

    def add(self, offset: int, data: bytes, final: bool) -> None:
        """Bytes from an offset on, ``final`` if the end follows them. Raises `Malformed` for what goes beyond the window
        or the end, or comes in too many pieces."""
        end = offset + len(data)
        if final:
            if (self._end is not None and self._end != end) or end < self.received - self.complete:
                raise Malformed("SessionFrame.final", None, f"an end at {end}, after one elsewhere")
            if any(start + len(each) > end for start, each in self._early.items()):
                raise Malformed("SessionFrame.final", None, f"an end at {end}, before bytes that have come")
        if end > self._read + WINDOW_BYTES or (self._end is not None and end > self._end):
            raise Malformed("SessionFrame.offset", None, f"bytes to {end}, beyond the window or the end")
        if final:
            self._end = end
        if data and end > self.received:
            self._keep(offset, data)
        self._join()

    def _keep(self, offset: int, data: bytes) -> None:
        if offset <= self.received:
            self._deliver(data[self.received - offset :])
            return
        held = self._early.get(offset, b"")
        if len(held) >= len(data):
            return
        self._early_bytes += len(data) - len(held)
        self._early[offset] = data
        if self._early_bytes > WINDOW_BYTES or len(self._early) > MAX_FRAGMENTS:
            raise Malformed("SessionFrame.data", None, "pieces that overlap, or too many of them")

    def _deliver(self, data: bytes) -> None:
        self._ready.append(data)
        self.received += len(data)

    def _join(self) -> None:
        """Give out what has its turn now."""
        while self._early:
            first = self.received if self.received in self._early else min(self._early)
            if first > self.received:
                break
            data = self._early.pop(first)
            self._early_bytes -= len(data)
            if first + len(data) > self.received:
                self._deliver(data[self.received - first :])
        if self._end == self.received and not self.complete:
            self.complete = True
            self.received += 1
