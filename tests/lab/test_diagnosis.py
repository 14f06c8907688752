"""A few cells of the ground truth: the right cause, and a remedy that makes the path direct.

All of them, with their score: `python -m tests.lab.scoring`.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.lab.ground_truth import Cell, read_table
from tests.lab.scoring.judging import Result, judge, score

SEED = 1
AT_ONCE = 4
CELLS = read_table().cells
WITHOUT_PORTS = Cell(
    "unknown-port/port-restricted",
    "nat",
    "port-restricted",
    "nat-unmapped",
    False,
    "open",
    faults=frozenset({"a-no-punching"}),
)
"""Its connections leave from ports that do not listen, so that nobody can be asked about any."""


async def judged(cells: list[Cell]) -> list[Result]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, cell: Cell) -> Result:
        async with gate:
            return await judge(cell, SEED, f"q{number}x")

    return await asyncio.gather(*(one(*each) for each in enumerate(cells)))


def told(result: Result) -> str:
    return f"{result.cell.id}: {result.said}, cured {result.cured}, {result.failure}\n{result.evidence}\n{result.logs}"


@pytest.mark.usefixtures("laboratory")
async def test_quick_cells_are_named_and_cured() -> None:
    """At the same time, since most of each is waiting."""
    for result in await judged([*(each for each in CELLS if each.quick), WITHOUT_PORTS]):
        assert result.right, told(result)
        assert result.cured or not result.cell.curable, told(result)


def test_a_wrong_name_costs_twice_what_none_does() -> None:
    cells = [each for each in CELLS if each.curable][:4]
    results = [Result(each, said=each.cause, cured=True) for each in cells]
    assert (score(results).right_share, score(results).cured_share) == (1.0, 1.0)
    results[0].said = "unknown"
    assert (score(results).penalty, score(results).wrong) == (1, 0)
    results[1].said = "healthy"
    assert (score(results).penalty, score(results).wrong) == (3, 1)
    results[2].cured = False
    assert score(results).cured_share == 0.75
    assert not score(results).enough
