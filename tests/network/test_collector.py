"""The garbage collector's thresholds."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from mesh.network.collector import DEFAULTS, LAST_THRESHOLD, collect_less_often


@pytest.fixture(autouse=True)
def _thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize("default", sorted(DEFAULTS), ids=str)
def test_defaults_are_raised(default: tuple[int, int, int]) -> None:
    gc.set_threshold(*default)
    assert collect_less_often()
    assert gc.get_threshold() == (*default[:2], LAST_THRESHOLD)


@pytest.mark.parametrize("chosen", [(0, 0, 0), (500, 5, 5), (50_000, 10, 10)], ids=str)
def test_a_programs_own_choice_is_kept(chosen: tuple[int, int, int]) -> None:
    gc.set_threshold(*chosen)
    assert not collect_less_often()
    assert gc.get_threshold() == chosen
