"""The report of a score, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.lab.scoring.judging import Result, score

INTRODUCTION: Final = """\
What `mesh diag nat` and `mesh diag path` say in laboratories whose fault is known (tests/lab/ground_truth.toml, written
before the diagnosis). Each cell has a new laboratory and new nodes, run as `mesh daemon`; the printed remedy is carried
out step by step, and it counts as cured when the path of the cell's goal becomes direct. What is not named counts as one
cell lost, a wrong name as two."""


def written(results: Sequence[Result], seed: int, seconds: float) -> str:
    """The command with its seed, the figures, and a row for each cell."""
    found = score(results)
    return "\n".join(
        [
            "# The diagnosis against the truth",
            "",
            INTRODUCTION,
            "",
            "```console",
            f"$ python -m tests.lab.scoring --seed {seed}",
            "```",
            "",
            "| claim | figure | asked |",
            "|---|---|---|",
            f"| right cause | {found.right} of {found.cells}, {found.wrong} wrong: {found.right_share:.1%} | 95 % |",
            f"| cured, of the curable | {found.cured} of {found.curable}: {found.cured_share:.1%} | 90 % |",
            f"| time for all cells | {seconds / 60:.0f} min | |",
            f"| time for an answer, median and longest | {_times(results)} | |",
            "",
            "| cell | said | confidence | answer after | cured |",
            "|---|---|---|---|---|",
            *(_row(each) for each in results),
            "",
        ]
    )


def _times(results: Sequence[Result]) -> str:
    times = sorted(each.asked_s for each in results)
    return f"{times[len(times) // 2]:.1f} s, {times[-1]:.1f} s"


def _row(result: Result) -> str:
    cell = result.cell
    said = "right" if result.right else f"**{result.said}**"
    cured = "" if not cell.curable else "yes" if result.cured else "**no**"
    return f"| {cell.id} | {said} | {result.confidence} | {result.asked_s:.1f} s | {cured} |"
