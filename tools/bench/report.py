"""Medians, ratios and what they cost: as a full table and as JSON (`compact` has the short one)."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tools.bench.measure import Results
from tools.bench.pairs import BASELINE, WITNESS, Pair, of_row
from tools.bench.rows import Figure, Row

TRUSTED = 0.2
"""A ratio counts when go-libp2p with itself is this close to its reference, or another Go program with itself to it."""
DOUBTED = (
    f"(*) go-go was more than {TRUSTED:.0%} off its reference, and no second Go program came to the same: this ratio "
    "does not count."
)
_COLUMNS = ("work", "client-server", "median", "range", "ratio to go-go", "CPU s client / server", "wall s")


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of one pair. ``ratio`` above 1 is better than go-libp2p with itself in the same run; ``trusted`` is
    None where no reference is known."""

    row: str
    figure: str
    unit: str
    pair: str
    median: float
    least: float
    most: float
    ratio: float | None
    trusted: bool | None
    client_cpu_s: float
    server_cpu_s: float
    wall_s: float


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "load": [round(each, 2) for each in os.getloadavg()],
        "python": platform.python_version(),
        "processor": _processor(),
    }


def processor_ticks() -> tuple[int, int]:
    """Stolen from this machine by others on its host since it began, and in all; zeros where the system does not tell."""
    try:
        ticks = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return 0, 0
    return (ticks[7] if len(ticks) > 7 else 0), sum(ticks)


def stolen_since(before: tuple[int, int]) -> float:
    """The share of all processor time that others on the host took since ``before`` of `processor_ticks`."""
    stolen, whole = processor_ticks()
    return (stolen - before[0]) / max(whole - before[1], 1)


def _processor() -> str:
    """Its name where the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def lines(results: Results, rows: Sequence[Row], pairs: Sequence[Pair]) -> Iterator[Line]:
    """Every figure of every pair that has samples, in the table's order."""
    for row in rows:
        for index, figure in enumerate(row.figures):
            baseline = _median(results, row, BASELINE, index)
            trusted = _trusted(figure, baseline, _median(results, row, WITNESS, index))
            for pair in of_row(row, pairs):
                if results.of(row, pair):
                    yield _line(results, row, pair, index, figure, baseline, trusted)


def _median(results: Results, row: Row, pair: Pair, index: int) -> float | None:
    values = [sample.figures[index] for sample in results.of(row, pair)]
    return median(values) if values else None


def _trusted(figure: Figure, baseline: float | None, witness: float | None) -> bool | None:
    """Whether ratios to ``baseline`` count; None where nothing says so. A second program that does worse than the first
    one speaks for it, too."""
    if baseline is None or figure.reference is None:
        return None
    if abs(baseline / figure.reference - 1) <= TRUSTED:
        return True
    if witness is None:
        return False
    return (witness / baseline if figure.higher_is_better else baseline / witness) <= 1 + TRUSTED


def _line(
    results: Results,
    row: Row,
    pair: Pair,
    index: int,
    figure: Figure,
    baseline: float | None,
    trusted: bool | None,
) -> Line:
    samples = results.of(row, pair)
    values = [sample.figures[index] for sample in samples]
    middle = median(values)
    ratio = None
    if baseline is not None:
        ratio = middle / baseline if figure.higher_is_better else baseline / middle
    return Line(
        row=row.name,
        figure=figure.name,
        unit=figure.unit,
        pair=pair.name,
        median=middle,
        least=min(values),
        most=max(values),
        ratio=ratio,
        trusted=trusted,
        client_cpu_s=median(sample.client_cpu_s for sample in samples),
        server_cpu_s=median(sample.server_cpu_s for sample in samples),
        wall_s=median(sample.wall_s for sample in samples),
    )


def markdown(table: Sequence[Line], failures: Sequence[str] = ()) -> str:
    """The table; below it a note when a ratio does not count, and what failed."""
    text = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    for line in table:
        doubt = "" if line.trusted in (None, True) or line.ratio is None else " (*)"
        cells = (
            line.figure,
            line.pair,
            f"{number(line.median)} {line.unit}",
            f"{number(line.least)} to {number(line.most)}",
            "" if line.ratio is None else f"{ratio_text(line.ratio)}{doubt}",
            f"{line.client_cpu_s:.2f} / {line.server_cpu_s:.2f}",
            f"{line.wall_s:.1f}",
        )
        text.append(f"| {' | '.join(cells)} |")
    if any(line.trusted is False for line in table):
        text += ["", DOUBTED]
    if failures:
        text += ["", "Failed:", *(f"- {each}" for each in failures)]
    return "\n".join(text)


def as_json(table: Sequence[Line], results: Results, settings: dict[str, Any]) -> dict[str, Any]:
    """Everything: the lines of the table and all samples."""
    return {
        **settings,
        "failures": results.failures,
        "lines": [asdict(line) for line in table],
        "samples": [
            {"row": row, "pair": pair, "runs": [asdict(sample) for sample in samples]}
            for (row, pair), samples in results.samples.items()
        ],
    }


def ratio_text(ratio: float) -> str:
    """Two decimals, more where they would say nothing."""
    return f"{ratio:.2f}" if ratio >= 0.01 else f"{ratio:.1g}"


def number(value: float) -> str:
    """As many digits as mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
