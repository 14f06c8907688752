"""`python -m tests.lab.scoring`: score the diagnosis, all cells or those whose ids contain a word, and write a report."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mesh.lab import missing_ability
from tests.lab.ground_truth import Cell, read_table
from tests.lab.scoring.judging import Result, judge, score
from tests.lab.scoring.report import written


async def run(cells: Sequence[Cell], seed: int, at_once: int) -> list[Result]:
    """The results in the table's order."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    gate = asyncio.Semaphore(at_once)
    order = list(enumerate(cells))
    random.Random(seed).shuffle(order)
    results: dict[int, Result] = {}

    async def one(number: int, cell: Cell) -> None:
        async with gate:
            began = time.monotonic()
            result = results[number] = await judge(cell, seed, f"c{number}x")
            _say(result, time.monotonic() - began)

    await asyncio.gather(*(one(*each) for each in order))
    return [results[number] for number in range(len(cells))]


def _say(result: Result, seconds: float) -> None:
    cell = result.cell
    named = "right" if result.right else f"WRONG: {result.said}"
    cured = "" if not cell.curable else ", cured" if result.cured else ", NOT CURED"
    failure = f" ({result.failure})" if result.failure else ""
    print(f"{cell.id}: {named}{cured}, asked {result.asked_s:.1f} s of {seconds:.1f} s{failure}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--only", default="", help="cells whose id contains this")
    parser.add_argument("--report", type=Path, help="write a Markdown report there")
    parser.add_argument("--results", type=Path, help="write every result there, as JSON lines")
    options = parser.parse_args()
    if missing := missing_ability(delay=False):
        print(f"no laboratory can be built here: {missing}", file=sys.stderr)
        return 1
    cells = [each for each in read_table().cells if options.only in each.id]
    began = time.monotonic()
    results = asyncio.run(run(cells, options.seed, options.at_once))
    found = score(results)
    print(
        f"right {found.right}/{found.cells}, wrong {found.wrong}, score {found.right_share:.1%};"
        f" cured {found.cured}/{found.curable} ({found.cured_share:.1%})"
    )
    if options.report is not None:
        seconds = time.monotonic() - began
        options.report.write_text(written(results, options.seed, seconds))
    if options.results is not None:
        lines = [
            json.dumps(
                {"id": each.cell.id, "said": each.said, "evidence": each.evidence, "remedy": each.remedy}
                | {
                    "cured": each.cured,
                    "before": each.direct_before,
                    "failure": each.failure,
                    "logs": each.logs,
                }
            )
            for each in results
        ]
        options.results.write_text("\n".join(lines) + "\n")
    return 0 if found.enough else 1


if __name__ == "__main__":
    sys.exit(main())
