"""The challenges that are open: one for each peer and correlation id, for one attempt, for five minutes (section 3.4).

They are in memory. A challenge that was lost with the process refuses a payment, and costs nobody anything.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

LIFETIME_S: Final = 300.0
MAX_OPEN: Final = 65_536
MAX_OPEN_A_PEER: Final = 1_024


@dataclass(frozen=True, slots=True)
class OpenChallenge:
    """What was asked for: a nonce of 32 bytes, the resource, the amount, until when in Unix seconds."""

    nonce: bytes
    resource: str
    amount: int
    expires_at_s: float


class Challenges:
    """Open challenges in order of issue. Beyond a limit the oldest goes: of the same peer, or of all."""

    def __init__(self, max_open: int = MAX_OPEN, max_open_a_peer: int = MAX_OPEN_A_PEER) -> None:
        self._max_open = max_open
        self._max_open_a_peer = max_open_a_peer
        self._open: OrderedDict[tuple[bytes, str], OpenChallenge] = OrderedDict()
        self._of_peer: dict[bytes, OrderedDict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def issue(self, remote: bytes, correlation_id: str, challenge: OpenChallenge, now: float) -> None:
        """Open a challenge, in place of one that the peer had under this id."""
        self._forget(remote, correlation_id)
        self._expire(now)
        own = self._of_peer.get(remote)
        if own is not None and len(own) >= self._max_open_a_peer:
            self._forget(remote, next(iter(own)))
        elif len(self._open) >= self._max_open:
            self._forget(*next(iter(self._open)))
        self._open[remote, correlation_id] = challenge
        self._of_peer.setdefault(remote, OrderedDict())[correlation_id] = None

    def take(self, remote: bytes, correlation_id: str, now: float) -> OpenChallenge | None:
        """The challenge, which is closed by this; None when there is none, or it is too old."""
        challenge = self._forget(remote, correlation_id)
        return challenge if challenge is not None and now <= challenge.expires_at_s else None

    def _expire(self, now: float) -> None:
        while self._open:
            key, oldest = next(iter(self._open.items()))
            if now <= oldest.expires_at_s:
                return
            self._forget(*key)

    def _forget(self, remote: bytes, correlation_id: str) -> OpenChallenge | None:
        challenge = self._open.pop((remote, correlation_id), None)
        if challenge is not None:
            own = self._of_peer[remote]
            del own[correlation_id]
            if not own:
                del self._of_peer[remote]
        return challenge
