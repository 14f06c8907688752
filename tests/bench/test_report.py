"""When a ratio to go-libp2p counts."""

from __future__ import annotations

import pytest

from tools.bench.report import _trusted
from tools.bench.rows import Figure


@pytest.mark.parametrize(
    ("baseline", "witness", "counts"),
    [(100.0, None, True), (50.0, None, False), (50.0, 52.0, True), (50.0, 90.0, False), (50.0, 20.0, True)],
)
def test_a_second_program_speaks_for_the_first(baseline: float, witness: float | None, counts: bool) -> None:
    figure = Figure("work", "1/s", "per_second", reference=100.0)
    assert _trusted(figure, baseline, witness) is counts
    slower = Figure("time", "us", "median_us", higher_is_better=False, reference=0.01)
    assert _trusted(slower, 1 / baseline, None if witness is None else 1 / witness) is counts
