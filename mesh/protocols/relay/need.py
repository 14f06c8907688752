"""Whether a node needs relays: as long as nobody is known to reach it without (libp2p digest, section 16)."""

from __future__ import annotations

from typing import Final

RELEASE_S: Final = 60.0
"""So long a node has to be public before it lets its reservations go."""


class Need:
    """``wanted`` tells; it begins true. Times are seconds of any one clock."""

    __slots__ = ("_ends_at", "wanted")

    def __init__(self) -> None:
        self.wanted = True
        self._ends_at: float | None = None

    def note(self, public: bool | None, now: float) -> None:
        """The verdict on the node; None for unknown, which changes nothing but ends a wait. Private counts at once."""
        if public:
            if self.wanted and self._ends_at is None:
                self._ends_at = now + RELEASE_S
            return
        self._ends_at = None
        if public is not None:
            self.wanted = True

    def deadline(self) -> float | None:
        """When `wake` wants to be called."""
        return self._ends_at

    def wake(self, now: float) -> None:
        """Time has passed."""
        if self._ends_at is not None and now >= self._ends_at:
            self._ends_at = None
            self.wanted = False
