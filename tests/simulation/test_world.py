"""The virtual clock: order, alarms, randomness."""

from __future__ import annotations

import pytest

from mesh.errors import UsageError
from mesh.simulation.world import RING_MS, Alarm, World


def test_what_is_due_first_runs_first() -> None:
    world = World()
    seen: list[tuple[int, str]] = []

    def note(name: str) -> None:
        seen.append((world.now_ms, name))

    for at in (70_000, 5, 3, RING_MS, RING_MS - 1, 200_000):
        world.at(at, note, f"{at}")
    world.run(100_000)
    assert seen == [(at, f"{at}") for at in (3, 5, RING_MS - 1, RING_MS, 70_000)]
    assert world.now_ms == 100_000
    assert world.now_s == 100.0
    assert world.events == 5
    world.run(200_000)
    assert seen[-1] == (200_000, "200000")


def test_one_millisecond_keeps_the_order_of_scheduling() -> None:
    world = World()
    seen: list[str] = []
    far = 3 * RING_MS
    world.at(far, seen.append, "from afar")
    world.at(far - 10, lambda: world.at(far, seen.append, "near"))
    world.at(far, seen.append, "from afar too")
    world.at(far - 10, lambda: world.after(10, seen.append, "near too"))
    world.run(far)
    assert seen == ["from afar", "from afar too", "near", "near too"]


def test_an_action_may_schedule_for_its_own_millisecond() -> None:
    world = World()
    seen: list[int] = []

    def again(left: int) -> None:
        seen.append(world.now_ms)
        if left:
            world.after(0, again, left - 1)

    world.at(7, again, 3)
    world.run(7)
    assert seen == [7] * 4
    world.at(2, again, 0)
    world.run(8)
    assert seen[-1] == 7


def test_the_past_is_past() -> None:
    world = World()
    world.run(10)
    with pytest.raises(UsageError, match="has passed"):
        world.run(9)


def test_an_empty_world_is_quick() -> None:
    world = World()
    world.run(10**12)
    assert world.now_ms == 10**12


def test_streams_of_randomness_are_apart() -> None:
    one, other = World(1), World(1)
    one.random("churn").random()
    assert one.random("links").random() == other.random("links").random()
    assert one.random("links").random() != one.random("churn").random()
    assert one.random("links").random() != World(2).random("links").random()


def test_an_alarm_follows_its_deadline() -> None:
    world = World()
    woken: list[int] = []
    alarm = Alarm(world, lambda: woken.append(world.now_ms))
    alarm.set(1.0)
    alarm.set(0.5)
    alarm.set(2.0004)
    world.run(3000)
    assert woken == [2001]
    alarm.set(4.0)
    alarm.set(None)
    world.run(5000)
    assert woken == [2001]
    alarm.set(1.0)
    world.run(6000)
    assert woken == [2001, 5001]


def test_an_alarm_may_be_set_while_it_rings() -> None:
    world = World()
    woken: list[int] = []

    def wake() -> None:
        woken.append(world.now_ms)
        if len(woken) < 3:
            alarm.set(world.now_s)

    alarm = Alarm(world, wake)
    alarm.set(0.01)
    world.run(100)
    assert woken == [10, 11, 12]
