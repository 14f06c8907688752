"""How much a peer may send on each stream of a connection over qh3 (RFC 9000 section 4.1).

qh3's core would allow more the moment an event is taken from it, and its events stand in one queue: a stream that nobody
reads could only be held back together with all others. So the core is told that a stream's window has no end; the one
that the peer was promised is kept here, widened as the owner reads, and a peer that goes beyond it is found out here. A
stream that is not read thus holds one window and stops, while the others go on. For the connection as a whole the core
allows more as events are taken, which `qh3.engine` stops while more is held than the connection's window.

A wider window is told in a packet of our own, whose fate nobody tells. It is told again, at growing intervals, until
bytes come that it was needed for, or the peer says that it is blocked; the intervals add up to more than a connection
outlives silence.
"""

from __future__ import annotations

from typing import Final

from mesh.codecs.wire import encode_varint62
from mesh.network.quic.qh3.streams import Stream

FIRST_REPEAT_S: Final = 0.05
MAX_REPEATS: Final = 10
"""The intervals double, so the last is some 50 s after the first telling at the least."""
MAX_FRAMES: Final = 32
"""Told in one packet."""
MAX_FRAME_BYTES: Final = 1 + 8 + 8
UNBOUNDED: Final = (1 << 60) - 1
"""What the core takes for a stream's window."""
_MAX_STREAM_DATA: Final = 0x11


class Telling:
    """A stream's limit that the peer may not know yet: that it had before, and when it is told again."""

    __slots__ = ("at", "before", "stream", "times")

    def __init__(self, stream: Stream, before: int) -> None:
        self.stream = stream
        self.before = before
        self.times = 0
        self.at = 0.0


class Credit:
    """The windows of a connection's streams, each of ``window`` bytes."""

    __slots__ = ("_tellings", "_window", "due_at")

    def __init__(self, window: int) -> None:
        self._window = window
        self._tellings: dict[int, Telling] = {}
        self.due_at: float | None = None
        """When `frames` has something to tell."""

    def widen(self, stream_id: int, stream: Stream, now: float) -> None:
        """The peer may send as much more of ``stream`` as was consumed."""
        before, stream.limit = stream.limit, stream.received - stream.held + self._window
        self._tellings[stream_id] = Telling(stream, before)
        self.due_at = now

    def blocked(self, stream_id: int, now: float) -> None:
        """The peer says that it waits for a wider window."""
        telling = self._tellings.get(stream_id)
        if telling is not None:
            telling.at = now
            self.due_at = now if self.due_at is None else min(now, self.due_at)

    def frames(self, now: float, rtt_s: float | None) -> bytes:
        """What is to be told now, in one packet; nothing if that is not due."""
        told: list[bytes] = []
        interval_s = max(FIRST_REPEAT_S, 3 * (rtt_s or 0.0))
        for stream_id, telling in [*self._tellings.items()]:
            stream = telling.stream
            if stream.received > telling.before or not stream.reading or telling.times > MAX_REPEATS:
                del self._tellings[stream_id]
            elif telling.at <= now and len(told) < MAX_FRAMES:
                limits = encode_varint62(stream_id) + encode_varint62(stream.limit)
                told.append(bytes([_MAX_STREAM_DATA]) + limits)
                telling.at = now + interval_s * (1 << telling.times)
                telling.times += 1
        self.due_at = min((telling.at for telling in self._tellings.values()), default=None)
        return b"".join(told)

    def clear(self) -> None:
        self._tellings.clear()
        self.due_at = None
