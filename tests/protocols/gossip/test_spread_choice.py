"""Random picks: different, in random order, each as likely as any other."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocols.gossip.spread import choose


@given(st.integers(0, 1200), st.integers(-2, 1300), st.integers(0, 2**32))
def test_as_many_as_asked_and_each_once(size: int, count: int, seed: int) -> None:
    candidates = list(range(size))
    chosen = choose(candidates, count, Random(seed))
    assert len(set(chosen)) == len(chosen) == max(min(size, count), 0)
    assert set(chosen) <= set(candidates)
    assert candidates == list(range(size))


@pytest.mark.parametrize(("size", "count"), [(2000, 6), (60, 20), (20, 6), (7, 6), (6, 6)])
def test_each_is_as_likely(size: int, count: int) -> None:
    rng = Random(5)
    runs = 40 * size
    counts = [0] * size
    firsts = [0] * size
    for _ in range(runs):
        chosen = choose(range(size), count, rng)
        firsts[chosen[0]] += 1
        for each in chosen:
            counts[each] += 1
    for found, expected in ((counts, runs * count / size), (firsts, runs / size)):
        assert max(abs(each - expected) for each in found) < 6 * expected**0.5


def test_each_order_is_as_likely() -> None:
    rng = Random(5)
    counts = dict.fromkeys(permutations("abc"), 0)
    for _ in range(6000):
        counts[tuple(choose("abc", 3, rng))] += 1
    assert all(850 < each < 1150 for each in counts.values())
