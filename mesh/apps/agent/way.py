"""What one message went through, as far as this node knows: the answer to `mesh agent why`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mesh.apps.agent.records import DeliveryState, Direction


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a message: an attempt, a refusal, a state. ``at`` in milliseconds since 1970 by the
    clock of who says so. ``signed_by`` is the peer whose receipt says it and was verified, None for what we saw."""

    at: int
    what: str
    detail: str = ""
    signed_by: str | None = None

    def document(self) -> dict[str, Any]:
        return {"at": self.at, "what": self.what, "detail": self.detail, "signedBy": self.signed_by}


@dataclass(frozen=True, slots=True)
class Way:
    """A message's whole way. ``waits_for`` says in words what has to happen next, empty where nothing has to;
    ``next_try`` is 0 where none is planned."""

    message_id: str
    peer_id: str
    direction: Direction
    state: DeliveryState
    size: int
    attempts: int
    next_try: int
    waits_for: str
    steps: tuple[Step, ...]

    def document(self) -> dict[str, Any]:
        return {
            "messageId": self.message_id,
            "peerId": self.peer_id,
            "direction": self.direction.value,
            "state": self.state.value,
            "size": self.size,
            "attempts": self.attempts,
            "nextTry": self.next_try or None,
            "waitsFor": self.waits_for or None,
            "steps": [each.document() for each in self.steps],
        }
