"""Links: latency of pairs, loss, partitions."""

from __future__ import annotations

from statistics import median

import pytest

from mesh.errors import UsageError
from mesh.simulation.links import JITTER, Latency, Links
from mesh.simulation.world import World


def links(loss: float = 0.0, spread: float = 0.25) -> tuple[World, Links]:
    world = World(3)
    return world, Links(world, Latency(50.0, spread, 3), loss)


def test_pairs_have_a_round_trip_of_their_own() -> None:
    latency = Latency(50.0, 0.25, 1)
    drawn = [latency.round_trip_ms(a, b) for a in range(100) for b in range(a)]
    assert median(drawn) == pytest.approx(50, rel=0.02)
    assert sum(33 < each < 75.5 for each in drawn) / len(drawn) == pytest.approx(0.9, abs=0.02)
    assert all(latency.round_trip_ms(a, b) == latency.round_trip_ms(b, a) for a, b in [(1, 2), (70, 4)])
    assert [Latency(50.0, 0.25, 2).round_trip_ms(n, n + 1) for n in range(9)] != drawn[:9]
    assert {Latency(50.0, 0.0, 1).round_trip_ms(a, 9) for a in range(9)} == {50.0}


def test_a_message_takes_half_of_it_and_a_little() -> None:
    _, lines = links()
    half = lines.latency.round_trip_ms(1, 2) / 2
    drawn = {lines.one_way_ms(1, 2) for _ in range(200)}
    assert half - 1 <= min(drawn) <= max(drawn) <= half * (1 + JITTER) + 1
    assert len(drawn) > 1 or half < 10


def test_messages_arrive() -> None:
    world, lines = links(spread=0.0)
    arrived: list[tuple[int, str]] = []
    assert lines.send(1, 2, 100, lambda name: arrived.append((world.now_ms, name)), "hello")
    world.run(1000)
    ((at, name),) = arrived
    assert 125 <= at <= 128
    assert name == "hello"


def test_loss() -> None:
    world, lines = links(loss=0.1)
    arrived: list[int] = []
    for number in range(5000):
        lines.send(1, 2, 0, arrived.append, number)
    world.run(1000)
    assert lines.sent == 5000
    assert len(arrived) + lines.lost == 5000
    assert lines.lost == pytest.approx(500, rel=0.2)
    for wrong in (-0.1, 1.0):
        with pytest.raises(UsageError):
            links(loss=wrong)


def test_partitions_cut_and_heal() -> None:
    world, lines = links()
    arrived: list[str] = []
    lines.partition([1, 2], [3])
    assert lines.send(1, 2, 0, arrived.append, "1 to 2")
    assert lines.send(8, 9, 0, arrived.append, "the rest is one side")
    assert not lines.send(1, 3, 0, arrived.append, "cut")
    assert not lines.send(8, 1, 0, arrived.append, "cut")
    assert lines.cut == 2
    lines.heal()
    assert lines.send(1, 3, 0, arrived.append, "1 to 3")
    world.run(1000)
    assert sorted(arrived) == ["1 to 2", "1 to 3", "the rest is one side"]


@pytest.mark.parametrize(("median_ms", "spread"), [(0.0, 0.1), (-1.0, 0.1), (50.0, -0.1)])
def test_nonsense_is_refused(median_ms: float, spread: float) -> None:
    with pytest.raises(UsageError):
        Latency(median_ms, spread, 1)
