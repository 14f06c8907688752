"""One request to one server over UDP: sent again until it is answered or given up (RFC 8489 section 6.2.1).

Only the server's own answer counts: with our transaction id, and from the address that was asked or, for a request that
wants it, from another of the server's. Anything else changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from mesh.errors import DecodeError
from mesh.protocols.stun.message import Answer, HostPort, read_answer, write_request

RTO_S: Final = 0.5
MOST_SENT: Final = 7
LAST_WAIT: Final = 16
"""The wait after the last request, in first waits."""


class Transaction:
    """``output`` gives the datagram whenever it is due; ``answer`` is there once it came, ``failed`` once it will not.

    ``sources`` are the addresses an answer may come from. ``most_sent`` below 7 gives up sooner, as a test of filtering
    does, where silence is an answer.
    """

    __slots__ = (
        "_due_at",
        "_ends_at",
        "_most",
        "_rto_s",
        "_sources",
        "_wait_s",
        "answer",
        "failed",
        "request",
    )

    def __init__(
        self,
        transaction_id: bytes,
        sources: Collection[HostPort],
        now: float,
        *,
        change_address: bool = False,
        change_port: bool = False,
        rto_s: float = RTO_S,
        most_sent: int = MOST_SENT,
    ) -> None:
        self.request = write_request(transaction_id, change_address=change_address, change_port=change_port)
        self._sources = frozenset(sources)
        self._rto_s = self._wait_s = rto_s
        self._most = most_sent
        self._due_at: float | None = now
        self._ends_at: float | None = None
        self.answer: Answer | None = None
        self.failed = False

    @property
    def transaction_id(self) -> bytes:
        """What answers are known by."""
        return self.request[8:20]

    @property
    def over(self) -> bool:
        """Whether it was answered or given up."""
        return self.failed or self.answer is not None

    def output(self, now: float) -> bytes | None:
        """The request, if it is time to send it."""
        if self.over or self._due_at is None or now < self._due_at:
            return None
        self._most -= 1
        if self._most:
            self._due_at = now + self._wait_s
            self._wait_s *= 2
        else:
            self._due_at, self._ends_at = None, now + self._last_wait_s()
        return self.request

    def receive(self, datagram: bytes, source: HostPort) -> bool:
        """A datagram came; whether it was the answer."""
        if self.over or source not in self._sources or datagram[8:20] != self.transaction_id:
            return False
        try:
            answer = read_answer(datagram)
        except DecodeError:
            return False
        if answer is None:
            return False
        self.answer = answer
        return True

    def wake(self, now: float) -> None:
        """Give up when the time for the last answer is over."""
        if self._ends_at is not None and now >= self._ends_at and not self.over:
            self.failed = True

    def deadline(self) -> float | None:
        """When to call `output` or `wake` next, None when it is over."""
        if self.over:
            return None
        return self._ends_at if self._due_at is None else self._due_at

    def _last_wait_s(self) -> float:
        """16 first waits after seven requests; after fewer, no more than one that would have followed."""
        return LAST_WAIT * self._rto_s if self._wait_s >= self._rto_s * 2 ** (MOST_SENT - 1) else self._wait_s
