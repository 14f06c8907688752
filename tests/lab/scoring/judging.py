"""One cell from its laboratory to its result, and what all results come to."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mesh.errors import MeshError
from tests.lab.ground_truth import Cell
from tests.lab.scoring.daemons import LabDaemon
from tests.lab.scoring.scene import Scene, built
from tests.lab.scoring.treatment import is_direct, treat

UNKNOWN: Final = "unknown"
NEEDED_RIGHT: Final = 0.95
NEEDED_CURED: Final = 0.90
BEFORE_S: Final = 3.0
FOLDER_PREFIX: Final = "mesh-score-"


@dataclass(slots=True)
class Result:
    """What was said of a cell. ``direct_before`` is whether the goal was met already, which no curable cell may have."""

    cell: Cell
    said: str = UNKNOWN
    confidence: int = 0
    evidence: list[str] = field(default_factory=list)
    remedy: list[str] = field(default_factory=list)
    asked_s: float = 0.0
    direct_before: bool | None = None
    cured: bool | None = None
    failure: str = ""
    logs: str = ""

    @property
    def right(self) -> bool:
        """Whether the cause is the true one."""
        return self.said == self.cell.cause

    @property
    def penalty(self) -> int:
        """Cells lost: one for what was not named, two for what was named wrongly."""
        return 0 if self.right else 1 if self.said == UNKNOWN else 2


@dataclass(frozen=True, slots=True)
class Score:
    """All results together."""

    cells: int
    right: int
    wrong: int
    penalty: int
    curable: int
    cured: int

    @property
    def right_share(self) -> float:
        """Of all cells, those lost taken off, a wrong one twice."""
        return (self.cells - self.penalty) / self.cells if self.cells else 0.0

    @property
    def cured_share(self) -> float:
        """Of the curable cells, those whose path became direct."""
        return self.cured / self.curable if self.curable else 1.0

    @property
    def enough(self) -> bool:
        """Whether both shares are what is asked of them."""
        return self.right_share >= NEEDED_RIGHT and self.cured_share >= NEEDED_CURED


def score(results: Sequence[Result]) -> Score:
    """Count them."""
    return Score(
        len(results),
        sum(each.right for each in results),
        sum(not each.right and each.said != UNKNOWN for each in results),
        sum(each.penalty for each in results),
        sum(each.cell.curable for each in results),
        sum(bool(each.cured) for each in results if each.cell.curable),
    )


async def judge(cell: Cell, seed: int, name: str) -> Result:
    """Build it, ask, and carry out the remedy where there is one. A cell that cannot be built counts as not named."""
    result = Result(cell)
    via = random.Random(f"{seed} {cell.id}").choice(("tcp", "quic"))
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
    try:
        async with built(cell, folder / "n", name, via) as scene:
            await _judge(scene, result)
    except (AssertionError, MeshError, TimeoutError) as error:
        result.failure = f"{type(error).__name__}: {error}"
    finally:
        if result.failure or not result.right or (cell.curable and not result.cured):
            result.logs = _logs(folder)
        shutil.rmtree(folder)
    return result


def _logs(folder: Path) -> str:
    """The ends of what the nodes logged."""
    found = sorted(folder.rglob("log"))
    return "\n".join(f"--- {each.parent.name}\n{each.read_text()[-3000:]}" for each in found)


async def _judge(scene: Scene, result: Result) -> None:
    cell = scene.cell
    if cell.curable and cell.ask == "nat":
        result.direct_before = await is_direct(scene, BEFORE_S)
    began = time.monotonic()
    told = await _diagnosis(scene.a, scene)
    result.asked_s = time.monotonic() - began
    verdict: dict[str, Any] = told["diagnosis"]
    if cell.ask == "path" and cell.curable:
        result.direct_before = told["path"] == "direct"
    result.said, result.confidence = verdict["cause"], verdict["confidence"]
    result.evidence = verdict["evidence"]
    result.remedy = [each["command"] or each["text"] for each in verdict["remedy"]]
    if cell.curable and verdict["remedy"]:
        await treat(scene, result.said, verdict["remedy"])
        result.cured = await is_direct(scene) and not result.direct_before
    elif cell.curable:
        result.cured = False


async def _diagnosis(node: LabDaemon, scene: Scene) -> dict[str, Any]:
    """What the command line of A says."""
    if scene.cell.ask == "nat":
        return await node.told("diag", "nat")
    return await node.told("diag", "path", *scene.target)
