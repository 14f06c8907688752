"""What has to be told to the network and was not yet: Beam's queue of operations (Beam digest, section 11).

An operation is known by what it does to what, so a newer one takes the place of an older one. Bounded: the one of least
priority, and of those the oldest, makes room. Instants are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

MAX_OPERATIONS: Final = 1024
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 300.0
REGISTER_NAME, REGISTER_SERVICE, WITHDRAW = "RegisterName", "RegisterService", "WithdrawService"
PRIORITIES: Final = {REGISTER_NAME: 2, REGISTER_SERVICE: 2, WITHDRAW: 1}


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing to be told. ``last_attempt_s`` is 0 before the first."""

    id: str
    operation: str
    subject: str
    created_s: float
    retry_count: int = 0
    last_attempt_s: float = 0.0

    @property
    def key(self) -> tuple[str, str]:
        return self.operation, self.subject

    @property
    def priority(self) -> int:
        return PRIORITIES[self.operation]

    @property
    def due_s(self) -> float:
        """When it is to be tried again."""
        if not self.retry_count:
            return self.created_s
        pause_s = min(FIRST_PAUSE_S * float(1 << min(self.retry_count - 1, 16)), LONGEST_PAUSE_S)
        return self.last_attempt_s + pause_s

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "operation": self.operation,
            "subject": self.subject,
            "created_at": self.created_s,
            "retry_count": self.retry_count,
            "last_attempt": self.last_attempt_s,
            "priority": self.priority,
        }


class Outbox:
    """The operations that wait."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Operation] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Operation]:
        return iter(list(self._waiting.values()))

    def add(self, operation: Operation) -> Operation | None:
        """Take one in; which other one had to make room, maybe this one itself."""
        self._waiting.pop(operation.key, None)
        self._waiting[operation.key] = operation
        if len(self._waiting) <= MAX_OPERATIONS:
            return None
        least = min(self._waiting.values(), key=lambda each: (each.priority, each.created_s))
        del self._waiting[least.key]
        return least

    def failed(self, operation: Operation, now_s: float) -> Operation:
        """It was tried and reached nobody: the operation as it waits now. Nothing changes for one that was replaced."""
        tried = replace(operation, retry_count=operation.retry_count + 1, last_attempt_s=now_s)
        if self._waiting.get(operation.key) == operation:
            self._waiting[operation.key] = tried
        return tried

    def done(self, operation: Operation) -> None:
        """It has been told."""
        if (held := self._waiting.get(operation.key)) is not None and held.id == operation.id:
            del self._waiting[operation.key]

    def cancel(self, operation: str, subject: str) -> None:
        """It need not be told any more."""
        self._waiting.pop((operation, subject), None)

    def due(self, now_s: float) -> list[Operation]:
        """Those to be tried now, by priority and age."""
        ready = [each for each in self._waiting.values() if each.due_s <= now_s]
        return sorted(ready, key=lambda each: (-each.priority, each.created_s))

    def next_s(self) -> float | None:
        """When the next one is due."""
        return min((each.due_s for each in self._waiting.values()), default=None)


def read_operation(document: dict[str, Any]) -> Operation | None:
    """An operation as it was kept; None for what is none."""
    try:
        made = Operation(
            str(document["id"]),
            str(document["operation"]),
            str(document["subject"]),
            float(document["created_at"]),
            int(document["retry_count"]),
            float(document["last_attempt"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
    return made if made.operation in PRIORITIES else None
