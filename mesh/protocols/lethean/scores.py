"""The score of a peer, from 0 to 100 (section 12.4). In Go nothing calls these; we feed them events."""

from __future__ import annotations

from enum import Enum
from typing import Final

START: Final = 50.0
LOWEST: Final = 0.0
HIGHEST: Final = 100.0


class Outcome(Enum):
    """What came of dealing with a peer."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"


STEPS: Final = {Outcome.SUCCESS: 1.0, Outcome.FAILURE: -5.0, Outcome.TIMEOUT: -3.0}


def clamp(score: float) -> float:
    """The score within its bounds; what is no number counts as the lowest."""
    return min(HIGHEST, score) if score > LOWEST else LOWEST


def rated(score: float, outcome: Outcome) -> float:
    """The score after an outcome."""
    return clamp(score + STEPS[outcome])
