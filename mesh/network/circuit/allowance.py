"""What a relay lets pass over one connection, and how much of it is left."""

from __future__ import annotations

from mesh.protocols.relay import Limit


class Allowance:
    """The relay's ``limit`` of a connection that began at ``since`` (monotonic seconds), and bytes so far, each way."""

    __slots__ = ("limit", "received_bytes", "sent_bytes", "since")

    def __init__(self, limit: Limit, since: float) -> None:
        self.limit = limit
        self.since = since
        self.sent_bytes = 0
        self.received_bytes = 0

    def __repr__(self) -> str:
        limit = self.limit
        return f"<Allowance {limit.duration_s or 'any'} s, {limit.data_bytes or 'any'} bytes each way>"

    def remaining_s(self, now: float) -> float | None:
        """Seconds until the relay ends the connection; None when it sets none."""
        return max(0.0, self.since + self.limit.duration_s - now) if self.limit.duration_s else None

    @property
    def remaining_send_bytes(self) -> int | None:
        """Bytes that may still be sent, those of the upgrade counted; None when the relay sets no number."""
        return max(0, self.limit.data_bytes - self.sent_bytes) if self.limit.data_bytes else None

    @property
    def remaining_receive_bytes(self) -> int | None:
        """The same for what comes."""
        return max(0, self.limit.data_bytes - self.received_bytes) if self.limit.data_bytes else None
