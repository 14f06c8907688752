"""How strictly a case is meant, how it came out, and the three ways in which a case stops before its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from mesh.conformance.wire_log import WireLog


class Level(StrEnum):
    """RFC 2119's words, as the source has them."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


class Verdict(StrEnum):
    """pass; fail: a MUST broken; warn: a SHOULD broken; info: a MAY, recorded; skip: not tried; error: harness, network
    or a target that no longer answers."""

    PASS = "pass"
    FAIL = "fail"
    WARN = "warn"
    INFO = "info"
    SKIP = "skip"
    ERROR = "error"


class Deviation(Exception):  # noqa: N818 - what the peer did, not what went wrong here
    """The target did something else than the case asks for; ``level`` overrides the case's."""

    def __init__(self, actual: str, level: Level | None = None) -> None:
        super().__init__(actual)
        self.actual = actual
        self.level = level


class Skipped(Exception):  # noqa: N818
    """The case cannot be tried on this target."""


class Unprepared(Exception):  # noqa: N818
    """What the case builds on did not come about, so that it says nothing of the target."""


@dataclass(slots=True)
class Result:
    """What became of one case. ``ending``: how its last connection ended, or that it was open. ``asked`` is False where
    the run was not meant to try it."""

    id: str
    level: Level
    title: str
    expected: str
    source: str
    verdict: Verdict
    actual: str = ""
    ending: str = ""
    milliseconds: int = 0
    asked: bool = True
    wire: WireLog = field(default_factory=WireLog)


def broken(level: Level) -> Verdict:
    """The verdict on a deviation from a case of this level."""
    return {Level.MUST: Verdict.FAIL, Level.SHOULD: Verdict.WARN, Level.MAY: Verdict.INFO}[level]
