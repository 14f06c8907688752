"""Results that are expected of a peer, so that a report becomes a difference."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.conformance.runner import Report
from mesh.conformance.verdict import Verdict
from mesh.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Difference:
    """A case whose verdict is not the expected one."""

    id: str
    expected: str
    found: str
    actual: str

    def __str__(self) -> str:
        return f"{self.id}: {self.expected} expected, {self.found} found: {self.actual}"


def write(path: Path, report: Report) -> None:
    """Keep the verdicts of a run; what was skipped may be tried another time."""
    verdicts = {each.id: each.verdict for each in report.results if each.verdict is not Verdict.SKIP}
    kept = {"agent_version": report.target.agent, "verdicts": verdicts}
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, str]:
    """Verdicts by case id, from a baseline or from a whole JSON report. Raises `ConfigError`."""
    try:
        kept: Any = json.loads(path.read_text(encoding="utf-8"))
        if "results" in kept:
            return {str(each["id"]): str(each["verdict"]) for each in kept["results"]}
        return {str(name): str(verdict) for name, verdict in kept["verdicts"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is no baseline: {error}") from None


def differences(report: Report, expected: dict[str, str]) -> list[Difference]:
    """Where a run and the expected verdicts differ; cases that the baseline lacks are left alone, and those that the run
    was not meant to try."""
    return [
        Difference(each.id, expected[each.id], each.verdict.value, each.actual)
        for each in report.results
        if each.asked and each.id in expected and expected[each.id] != each.verdict.value
    ]
