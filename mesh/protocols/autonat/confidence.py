"""What version 1's answers add up to: one verdict for the whole node (go-libp2p's rules; libp2p digest, section 18)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

FULL: Final = 3
BOOT_S: Final = 15.0
RETRY_S: Final = 90.0
REFRESH_S: Final = 900.0


class Reachability(StrEnum):
    """Whether others can dial."""

    UNKNOWN = "unknown"
    PUBLIC = "public"
    PRIVATE = "private"


class Confidence:
    """The verdict and how sure it is, 0 to 3. Answers that agree add to it, others take away before they change it; one
    success is proof enough to call the node public at once."""

    __slots__ = ("_next_at", "level", "verdict")

    def __init__(self, now: float) -> None:
        self.verdict = Reachability.UNKNOWN
        self.level = 0
        self._next_at = now + BOOT_S

    def note(self, answer: Reachability, now: float) -> bool:
        """An answer came, `UNKNOWN` for none that says something; tells whether the verdict changed."""
        before = self.verdict
        if answer is self.verdict:
            self.level = 0 if answer is Reachability.UNKNOWN else min(self.level + 1, FULL)
        elif answer is Reachability.PUBLIC or not self.level:
            self.verdict, self.level = answer, 0
        else:
            self.level -= 1
        sure = self.verdict is not Reachability.UNKNOWN and self.level == FULL
        self._next_at = now + (REFRESH_S if sure else RETRY_S)
        return self.verdict is not before

    def hurry(self, now: float) -> None:
        """The node's addresses changed: ask soon."""
        self._next_at = min(self._next_at, now + BOOT_S)

    def deadline(self) -> float:
        """When to ask next."""
        return self._next_at
