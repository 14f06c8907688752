"""What a facilitator of development does wrong when it is told to: one fault for one call, in the order given."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mesh.errors import UsageError

MAX_WAITING: Final = 1000
MAX_SECONDS: Final = 3600.0


class Kind(Enum):
    """What goes wrong with a call."""

    LATE = "late"
    """All is done, the answer comes after some seconds."""
    SLOW = "slow"
    """Nothing is done for some seconds; then all is as usual."""
    LOST = "lost"
    """All is done, but the connection breaks before the answer."""
    UNHEARD = "unheard"
    """The connection breaks before anything is done."""
    SILENT = "silent"
    """All is done, and there is never an answer."""
    DUPLICATE = "duplicate"
    """The settlement is sent to the ledger twice."""
    REORDER = "reorder"
    """The call waits until a later one of its kind has been answered, or for some seconds."""
    LIE_PAID = "lie-paid"
    """Success is claimed with a transaction that does not exist; nothing is done."""
    LIE_OTHER = "lie-other"
    """Success is claimed with the last transaction that settled something; nothing is done."""
    LIE_FAILED = "lie-failed"
    """Failure is claimed; all is done."""
    DOWN = "down"
    """Status 503; nothing is done."""
    GARBAGE = "garbage"
    """All is done, and the answer is not JSON."""
    BOMB = "bomb"
    """All is done, and the answer is 4 MiB of opening brackets."""


@dataclass(frozen=True, slots=True)
class Fault:
    """``on`` is the route without its slash: settle or verify. ``seconds`` matter to what waits."""

    kind: Kind
    seconds: float = 1.0
    on: str = "settle"


class FaultScript:
    """Faults that wait for their calls."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._waiting: dict[str, deque[Fault]] = {"settle": deque(), "verify": deque()}
        self.add(*faults)

    def add(self, *faults: Fault) -> None:
        """Raises `UsageError` when too many wait."""
        if len(self) + len(faults) > MAX_WAITING:
            raise UsageError(f"at most {MAX_WAITING} faults may wait")
        for each in faults:
            self._waiting[each.on].append(each)

    def take(self, on: str) -> Fault | None:
        """What goes wrong with this call."""
        waiting = self._waiting[on]
        return waiting.popleft() if waiting else None

    def clear(self) -> None:
        for each in self._waiting.values():
            each.clear()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))


def fault_named(text: str) -> Fault:
    """A fault of `KIND[:SECONDS][@settle|@verify]`. Raises `UsageError`."""
    named, _, on = text.partition("@")
    kind, _, seconds = named.partition(":")
    try:
        made = Fault(Kind(kind), float(seconds or 1), on or "settle")
    except ValueError:
        kinds = ", ".join(each.value for each in Kind)
        raise UsageError(f"{text!r} is not KIND[:SECONDS][@settle|@verify]; kinds are {kinds}") from None
    if made.on not in ("settle", "verify") or not 0 <= made.seconds <= MAX_SECONDS:
        raise UsageError(f"{text!r}: a fault is of settle or verify and takes at most {MAX_SECONDS:g} s")
    return made
