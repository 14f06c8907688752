"""What becomes of each message that arrives after the handshake, in the specification's order (section 8).

Rate limit, decryption and parsing, our own messages come back, ids seen before. What is dropped vanishes without an
answer and is counted; the connection stays.
"""

from __future__ import annotations

from enum import Enum

from mesh.errors import DecodeError
from mesh.protocols.lethean.compat import SAFE, Strictness
from mesh.protocols.lethean.dedup import SeenTable
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.rate_limit import TokenBucket
from mesh.protocols.lethean.session import Session


class Drop(Enum):
    """Why a message went no further."""

    RATE_LIMITED = "rate-limited"
    UNREADABLE = "unreadable"
    REFLECTED = "reflected"
    DUPLICATE = "duplicate"


class Intake:
    """One a connection; `seen` is the node's table. `proven` turns true with the first message that decrypts."""

    __slots__ = ("_bucket", "_own_id", "_seen", "_session", "_strictness", "dropped", "proven", "taken")

    def __init__(
        self,
        session: Session,
        own_id: str,
        seen: SeenTable,
        bucket: TokenBucket,
        strictness: Strictness = SAFE,
        proven: bool = False,
    ) -> None:
        self._session = session
        self._own_id = own_id
        self._seen = seen
        self._bucket = bucket
        self._strictness = strictness
        self.proven = proven
        self.taken = 0
        self.dropped = dict.fromkeys(Drop, 0)

    def receive(self, data: bytes, now: float, unix_s: float) -> Envelope | None:
        """The message to handle, or None. `now` runs the rate limit, `unix_s` the table of ids."""
        if not self.admit(now):
            return None
        message = self.open(data)
        return None if message is None else self.judge(message, unix_s)

    def admit(self, now: float) -> bool:
        """The first step of `receive`, for callers that open long messages elsewhere: the rate limit."""
        if self._bucket.take(now):
            return True
        self._count(Drop.RATE_LIMITED)
        return False

    def open(self, data: bytes) -> Envelope | None:
        """The second step, which needs nothing but the session: decryption and parsing."""
        try:
            return self._session.open(data)
        except DecodeError:
            return self._count(Drop.UNREADABLE)

    def judge(self, message: Envelope, unix_s: float) -> Envelope | None:
        """The last step: messages of our own, and ids that were seen."""
        if self._strictness.no_reflection and message.sender == self._own_id:
            return self._count(Drop.REFLECTED)
        self.proven = True
        if not self._seen.note(message.id, unix_s):
            return self._count(Drop.DUPLICATE)
        self.taken += 1
        return message

    def _count(self, cause: Drop) -> Envelope | None:
        self.dropped[cause] += 1
        return None
