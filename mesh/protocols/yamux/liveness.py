"""Is the peer still there, and how far away: one ping under way at a time, its round trip and its deadline."""

from __future__ import annotations


class Liveness:
    """Pings every ``interval_s``; one unanswered for ``timeout_s`` is the end. ``rtt_s`` is the smoothed round trip,
    None before the first answer. The first ping is due at once."""

    __slots__ = ("_interval_s", "_next", "_sent_at", "_timeout_s", "_value", "rtt_s")

    def __init__(self, interval_s: float, timeout_s: float, now: float) -> None:
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._value = 0
        self._sent_at: float | None = None
        self._next = now
        self.rtt_s: float | None = None

    @property
    def deadline(self) -> float:
        """When something is due: the next ping, or the answer to the one under way."""
        return self._next if self._sent_at is None else self._sent_at + self._timeout_s

    def overdue(self, now: float) -> bool:
        """Whether a ping has gone unanswered for too long."""
        return self._sent_at is not None and now >= self.deadline

    def ping(self, now: float) -> int | None:
        """The value of the ping that is to leave now, if one is due."""
        if self._sent_at is not None or now < self._next:
            return None
        self._value = (self._value + 1) & 0xFFFFFFFF
        self._sent_at = now
        self._next = now + self._interval_s
        return self._value

    def pong(self, value: int, now: float) -> None:
        """An answer; one that nobody asked for is ignored."""
        if self._sent_at is None or value != self._value:
            return
        sample = now - self._sent_at
        self.rtt_s = sample if self.rtt_s is None else (self.rtt_s + sample) / 2
        self._sent_at = None
