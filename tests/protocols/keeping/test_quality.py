"""How good a peer is, from its probes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocols.keeping.quality import Quality


def of(*round_trips: float | None) -> Quality:
    quality = Quality()
    for each in round_trips:
        quality.note(each)
    return quality


def test_nothing_is_known_before_the_first_answer() -> None:
    assert of().score == 0.0
    assert of().reliability == 1.0
    assert of(None, None).score == 0.0
    assert of(None, None).reliability == 0.0


def test_latency_weighs_twice_what_reliability_does() -> None:
    assert of(0.0).score == pytest.approx(1.0)
    assert of(0.1).score == pytest.approx((0.4 * 0.5 + 0.2) / 0.6)
    assert of(0.1, None).score < of(0.1).score < of(0.01, None).score


def test_the_latest_probes_weigh_most() -> None:
    assert of(None, 0.1, 0.1).reliability > of(0.1, 0.1, None).reliability
    smoothed = of(0.1, 0.5).latency_s
    assert smoothed == pytest.approx(0.2)


@given(st.lists(st.none() | st.floats(0.0, 100.0), max_size=50))
def test_a_score_is_between_nothing_and_one(round_trips: list[float | None]) -> None:
    quality = of(*round_trips)
    assert 0.0 <= quality.score <= 1.0 + 1e-9
    assert 0.0 <= quality.reliability <= 1.0 + 1e-9
