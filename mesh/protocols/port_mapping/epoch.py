"""Whether a router still knows what it granted: it says for how many seconds it has, and that has to keep up with our
clock (RFC 6887 section 8.5, which is stricter than RFC 6886 section 3.6)."""

from __future__ import annotations

from typing import Final

SLACK_S: Final = 2
DRIFT: Final = 16
"""Clocks may differ by a sixteenth."""


class Epoch:
    """The router's latest word and when it came."""

    __slots__ = ("_came_at", "_told_s")

    def __init__(self) -> None:
        self._told_s: int | None = None
        self._came_at = 0.0

    def follows(self, told_s: int, now: float) -> bool:
        """Take the router's word; False when it must have lost its mappings since the last one."""
        before, came_at = self._told_s, self._came_at
        self._told_s, self._came_at = told_s, now
        if before is None:
            return True
        if told_s + 1 < before:
            return False
        ours, theirs = now - came_at, told_s - before
        return ours + SLACK_S >= theirs - theirs / DRIFT and theirs + SLACK_S >= ours - ours / DRIFT
