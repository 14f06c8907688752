"""Where the peer of a connection over qh3 is, and whether that is proven (RFC 9000 sections 8.2 and 9).

qh3's core has room for four addresses in a connection's life, never goes back to one it left, and may fail at the second.
So the core is always shown the address of the handshake, and what it sends is addressed here:

- A dialer takes nothing from an address other than the one it dialled (section 9), and until the handshake has finished
  a listener does neither.
- Later a listener follows a packet that is authentic, that is no copy of one it had, whose number is the highest so far,
  and that does more than probe (9.3). Whoever knows no keys can therefore move nothing: made-up packets are not
  authentic, repeated ones not new, delayed ones not the highest. Who gets a genuine packet here before its sender does,
  from an address of his own, diverts what is sent until the next genuine one comes, or until the proof fails (9.3.3).
- The new address has to return 8 random bytes that were sent to it alone, in a PATH_CHALLENGE. Any packet from there that
  has them among its frames is a proof, since nobody else can know them. Until then it gets no more than three times the
  bytes that came from it (8.1); the rest waits. A connection id or the number of a packet acknowledged would prove less:
  the peer itself may lie about its address, and it knows or can guess those.
- The address left behind is challenged too (9.3.3): a peer that is still there answers, and the highest number decides.
- Without a proof in time, everything goes to the last proven address again (9.3.2).
- A peer that changed its host, not its port alone, begins with a small window anew (9.4), opened as slow start would.

Challenges are made here, in packets of our own; the core gives way to their numbers and knows nothing of them. That a
path carries 1,200 bytes is tried as far as the limit lets it (8.2.1) and otherwise left to the detection of losses.
"""

from __future__ import annotations

import os
from typing import Final

from mesh.network.quic.engine import MIN_DATAGRAM_BYTES, Address
from mesh.network.quic.protection import OVERHEAD_BYTES

EXPIRES_S: Final = 3.0
"""A proof's time: three probe timeouts of a path nothing is known of, or of this one if longer (RFC 9000, 8.2.4)."""
FIRST_ASK_S: Final = 0.1
"""The wait before a second challenge; then twice that, and so on."""
MIN_WINDOW_BYTES: Final = 14_720
"""What may be in flight at first (RFC 9002, 7.2)."""
AMPLIFICATION: Final = 3
_PATH_CHALLENGE: Final = 0x1A
_PATH_RESPONSE: Final = 0x1B
_NEW_CONNECTION_ID: Final = 0x18
_PADDING: Final = 0x00
_TOKEN_BYTES: Final = 8
CHALLENGE_BYTES: Final = 1 + _TOKEN_BYTES
_MAX_TOKENS: Final = 8
_TWO_NUMBERS: Final = 2


class Path:
    """``peer`` is where to send. ``limit`` is how many bytes more may go there, None when the address is proven.
    ``newest`` is the highest packet number known to have come from there; ``head`` the beginning of the last packet.
    ``came``: packets from the peer since one was opened. ``narrow``: `window` has to be asked."""

    __slots__ = (
        "_ask_at",
        "_asks",
        "_challenge_old",
        "_expires_at",
        "_proven",
        "_tokens",
        "_window",
        "_window_at",
        "came",
        "head",
        "limit",
        "narrow",
        "newest",
        "peer",
    )

    def __init__(self, address: Address) -> None:
        self.peer = self._proven = address
        self.limit: int | None = None
        self.head = b""
        self.came = 0
        self.newest = -1
        self._tokens: list[bytes] = []
        self._asks = 0
        self._ask_at = self._expires_at = 0.0
        self._challenge_old = False
        self.narrow = False
        self._window = MIN_WINDOW_BYTES
        self._window_at = 0.0

    def heard(
        self, number: int, payload: bytes, size: int, address: Address, now: float, rtt_s: float | None
    ) -> bool:
        """A new authentic packet came from an address that is not proven, or not where we send. Whether the peer has
        moved there with it. ``size`` is its datagram's."""
        if address == self.peer:
            self.newest = max(self.newest, number)
            if self.limit is not None:
                self.limit += AMPLIFICATION * size
                if any(token in payload for token in self._tokens):
                    self._prove(now)
            return False
        if number <= self.newest or is_probing(payload):
            return False
        self.newest = number
        self.peer = address
        self._tokens.clear()
        if address == self._proven:
            self.limit = None
            return True
        self.limit = AMPLIFICATION * size
        self._challenge_old = True
        self._asks = 0
        self._ask_at = now
        self._expires_at = now + max(EXPIRES_S, 9 * (rtt_s or 0.0))
        return True

    def spend(self, size: int) -> bool:
        """Whether a datagram of this size may be sent to the peer now, which then counts as sent."""
        if self.limit is None:
            return True
        if size > self.limit:
            return False
        self.limit -= size
        return True

    def challenges(self, now: float) -> list[tuple[bytes, Address]]:
        """The frames of challenges that are due, for packets that add `OVERHEAD_BYTES` at most, and where they go. They
        count as sent."""
        if self.limit is None:
            return []
        due: list[tuple[bytes, Address]] = []
        room = min(self.limit, MIN_DATAGRAM_BYTES + OVERHEAD_BYTES)
        if now >= self._ask_at and room >= CHALLENGE_BYTES + OVERHEAD_BYTES:
            self.limit -= room
            token = os.urandom(_TOKEN_BYTES)
            self._tokens = [*self._tokens[1 - _MAX_TOKENS :], token]
            due.append((_challenge(token, room - OVERHEAD_BYTES), self.peer))
            self._ask_at = now + FIRST_ASK_S * (1 << self._asks)
            self._asks += 1
        if self._challenge_old:
            self._challenge_old = False
            frame = _challenge(os.urandom(_TOKEN_BYTES), MIN_DATAGRAM_BYTES)
            due.append((frame, self._proven))
        return due

    def deadline(self) -> float | None:
        """When `wake` or `challenges` has something to do; None for never."""
        if self.limit is None:
            return None
        may_ask = self.limit >= CHALLENGE_BYTES + OVERHEAD_BYTES
        return min(self._ask_at, self._expires_at) if may_ask else self._expires_at

    def wake(self, now: float) -> None:
        """Time has passed."""
        if self.limit is not None and now >= self._expires_at:
            self.peer = self._proven
            self.limit = None
            self._tokens.clear()

    def window(self, most: int, now: float, rtt_s: float | None) -> int:
        """How much may be in flight for a while after the peer has changed its host, and in the end ``most``."""
        round_s = rtt_s or FIRST_ASK_S
        while now >= self._window_at + round_s and self._window < most:
            self._window *= 2
            self._window_at += round_s
        self.narrow = self._window < most
        return min(self._window, most)

    def _prove(self, now: float) -> None:
        if self.peer[0] != self._proven[0]:
            self.narrow = True
            self._window = MIN_WINDOW_BYTES
            self._window_at = now
        self._proven = self.peer
        self.limit = None
        self._tokens.clear()


def _challenge(token: bytes, size: int) -> bytes:
    return (bytes([_PATH_CHALLENGE]) + token).ljust(size, b"\0")


def is_probing(payload: bytes) -> bool:
    """Whether a packet's frames are of the kinds that only probe a path (RFC 9000 section 9.1)."""
    at, end = 0, len(payload)
    while at < end:
        kind = payload[at]
        at += 1
        if kind in (_PATH_CHALLENGE, _PATH_RESPONSE):
            at += _TOKEN_BYTES
        elif kind == _NEW_CONNECTION_ID:
            for _ in range(_TWO_NUMBERS):
                at += 1 << (payload[at] >> 6) if at < end else 1
            at += 1 + (payload[at] if at < end else 0) + 16
        elif kind != _PADDING:
            return False
    return True
