"""The table of what is broken in which laboratory, read from `ground_truth.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TABLE: Final = Path(__file__).with_name("ground_truth.toml")


@dataclass(frozen=True, slots=True)
class Cell:
    """One laboratory; the fields are those of the table, which says what they mean."""

    id: str
    ask: str
    a: str
    cause: str
    curable: bool
    b: str = ""
    to: str = ""
    faults: frozenset[str] = frozenset()
    goal: str = ""
    quick: bool = False

    @property
    def setting(self) -> tuple[str, str, str, frozenset[str]]:
        """What tells it from the other cells of its cause."""
        return self.ask, self.a, self.b, self.faults

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The cells, and in words what the causes are and how the faults are built."""

    causes: dict[str, str]
    faults: dict[str, str]
    cells: tuple[Cell, ...]


def read_table() -> GroundTruth:
    """All of it."""
    table: dict[str, Any] = tomllib.loads(TABLE.read_text())
    cells = [Cell(**(each | {"faults": frozenset(each.get("faults", ()))})) for each in table["cell"]]
    return GroundTruth(table["causes"], table["faults"], tuple(cells))
