"""When to ping a peer, and when it counts as gone (section 8)."""

from __future__ import annotations

from enum import Enum
from typing import Final

PING_INTERVAL_S: Final = 30.0
PONG_TIMEOUT_S: Final = 10.0


class Due(Enum):
    """What the time asks for."""

    PING = "ping"
    CLOSE = "close"


class Keepalive:
    """Each data message counts, also one that does not decrypt; WebSocket control frames do not.

    A missing pong alone ends nothing: a Go node may never answer, while its own pings show that it lives.
    """

    __slots__ = ("_heard", "_interval_s", "_next_ping", "_silence_s")

    def __init__(
        self, now: float, interval_s: float = PING_INTERVAL_S, pong_timeout_s: float = PONG_TIMEOUT_S
    ) -> None:
        self._interval_s = interval_s
        self._silence_s = interval_s + pong_timeout_s
        self._heard = now
        self._next_ping = now + interval_s

    def note_message(self, now: float) -> None:
        """A data message came."""
        self._heard = now

    def deadline(self) -> float:
        """When `wake` is to be called next."""
        return min(self._next_ping, self._heard + self._silence_s)

    def wake(self, now: float) -> Due | None:
        """What to do now: send an encrypted ping, end the connection, or nothing yet."""
        if now >= self._heard + self._silence_s:
            return Due.CLOSE
        if now >= self._next_ping:
            self._next_ping = now + self._interval_s
            return Due.PING
        return None
