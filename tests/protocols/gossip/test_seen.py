"""How long ids are known, and how many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import UsageError
from mesh.protocols.gossip.seen import SeenCache


def test_an_id_is_new_once() -> None:
    seen = SeenCache(120, 1000, 0.0)
    assert b"a" not in seen
    assert seen.add(b"a", 1.0)
    assert not seen.add(b"a", 2.0)
    assert b"a" in seen
    assert seen.add(b"b", 2.0)
    assert len(seen) == 2


@given(
    start=st.floats(0, 1000),
    steps=st.lists(st.tuples(st.floats(0, 200), st.integers(0, 5)), max_size=60),
)
def test_an_id_is_known_for_its_time_and_at_most_twice_as_long(
    start: float, steps: list[tuple[float, int]]
) -> None:
    seen = SeenCache(100, 1000, start)
    now, first = start, dict[int, float]()
    for passed, number in steps:
        now += passed
        new = seen.add(bytes([number]), now)
        age = now - first[number] if number in first else float("inf")
        if age < 100 - 1e-6:
            assert not new
        elif age > 200 + 1e-6:
            assert new
        if new:
            first[number] = now
        assert bytes([number]) in seen


@given(st.integers(2, 20), st.lists(st.integers(0, 300), max_size=100))
def test_memory_is_bounded(limit: int, numbers: list[int]) -> None:
    seen = SeenCache(120, limit, 0.0)
    for number in numbers:
        seen.add(str(number).encode(), 1.0)
        assert str(number).encode() in seen
        assert len(seen) <= limit


def test_what_is_least_is_kept_when_there_are_too_many() -> None:
    seen = SeenCache(120, 10, 0.0)
    for number in range(100):
        assert seen.add(bytes([number]), 0.0)
    assert all(bytes([number]) in seen for number in range(95, 100))


def test_idle_caches_forget() -> None:
    seen = SeenCache(120, 1000, 0.0)
    seen.add(b"a", 0.0)
    seen.wake(119.0)
    assert b"a" in seen
    seen.wake(241.0)
    assert len(seen) == 0
    assert seen.add(b"a", 241.0)


def test_after_a_pause_nothing_stays() -> None:
    seen = SeenCache(10, 1000, 0.0)
    seen.add(b"a", 0.0)
    assert seen.add(b"a", 500.0)


@pytest.mark.parametrize(("ttl_s", "max_ids"), [(0, 10), (-1, 10), (10, 1)])
def test_misuse(ttl_s: float, max_ids: int) -> None:
    with pytest.raises(UsageError):
        SeenCache(ttl_s, max_ids, 0.0)


@pytest.mark.parametrize("ids", [[b"a", b"new"], [b"old", b"new"], [b"new", b"new"], [b"1", b"2", b"3"]])
def test_ids_are_noted_together_or_not_at_all(ids: list[bytes]) -> None:
    seen = SeenCache(120, 8, 0.0)
    seen.add(b"old", 0.0)
    seen.add(b"a", 120.0)
    seen.add(b"b", 120.0)
    assert not seen.add_all(ids, 121.0)
    assert len(seen) == 3
    assert seen.add_all([b"c", b"d"], 121.0)
    assert not seen.add(b"d", 121.0)


def test_ids_noted_together_are_forgotten_in_time() -> None:
    seen = SeenCache(120, 8, 0.0)
    assert seen.add_all([b"a", b"b"], 0.0)
    assert seen.add_all([b"c"], 240.0)
    assert b"a" not in seen
    assert seen.add_all([b"a", b"b"], 240.0)
