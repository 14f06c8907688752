"""When a relayed connection ends, as a relay says it."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.codecs import relay as codec


@dataclass(frozen=True, slots=True)
class Limit:
    """Seconds, and bytes each way; 0 is no limit."""

    duration_s: int
    data_bytes: int

    def __bool__(self) -> bool:
        return bool(self.duration_s or self.data_bytes)

    def to_message(self) -> codec.Limit | None:
        """As it is sent: nothing at all where nothing is limited, which is how others tell the two apart."""
        return codec.Limit(duration=self.duration_s, data=self.data_bytes) if self else None


def limit_of(message: codec.Limit | None) -> Limit | None:
    """What was received; None when the relay sets no limit. One that is there counts, though its numbers be 0."""
    return None if message is None else Limit(message.duration or 0, message.data or 0)
