"""A bucket that fills with time."""

from __future__ import annotations

from mesh.protocols.allowance import Allowance


def test_a_burst_and_then_the_rate() -> None:
    allowance = Allowance(2.0, 3)
    assert allowance.full(0.0)
    assert [allowance.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not allowance.full(100.0)
    assert not allowance.take(100.4)
    assert allowance.take(100.5)
    assert not allowance.take(100.5)
    assert [allowance.take(1000.0) for _ in range(4)] == [True, True, True, False]
    assert allowance.full(1001.5)


def test_time_that_runs_backwards_fills_nothing() -> None:
    allowance = Allowance(1.0, 1)
    assert allowance.take(50.0)
    assert not allowance.take(10.0)
    assert not allowance.take(50.5)
    assert allowance.take(51.0)
