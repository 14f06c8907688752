"""A run as a JSON document."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from mesh.conformance.runner import Report
from mesh.conformance.verdict import Result, Verdict


def document(report: Report) -> dict[str, Any]:
    """Header and results: `id`, `level`, `verdict`, `expected`, `actual`, `ending`, `milliseconds`, `wire`."""
    target = report.target
    return {
        "target": str(target.address),
        "peer_id": str(target.peer),
        "agent_version": target.agent,
        "protocols": list(target.protocols),
        "harness_version": version("mesh"),
        "seed": report.options.seed,
        "timeout_scale": report.options.scale,
        "started": report.started.isoformat(timespec="seconds"),
        "seconds": round(report.seconds, 3),
        "survived": report.survived,
        "counts": {each.value: report.count(each) for each in Verdict},
        "results": [_result(each) for each in report.results],
    }


def _result(result: Result) -> dict[str, Any]:
    return {
        "id": result.id,
        "title": result.title,
        "level": result.level.value,
        "source": result.source,
        "verdict": result.verdict.value,
        "expected": result.expected,
        "actual": result.actual,
        "ending": result.ending,
        "milliseconds": result.milliseconds,
        "wire": result.wire.lines(),
    }
