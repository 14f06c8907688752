"""Lookups among 1,000 peers: they find the true 20 closest, whatever some of the peers do."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from mesh.protocols.kademlia import Candidate, Ending, LookupSettings, RoundTrips
from mesh.protocols.kademlia.trace import Answered, Asked, Ended, Failed, Overdue
from tests.protocols.kademlia.network import Network, Run, network, run

RNG = random.Random(20)
TARGETS = [RNG.getrandbits(256) for _ in range(20)]
VARIANTS = {
    "go": LookupSettings(),
    "classic": LookupSettings(alpha=3),
    "one at a time": LookupSettings(alpha=1),
    "three paths": LookupSettings(alpha=9, paths=3),
    "more paths than requests": LookupSettings(alpha=2, paths=4),
}


def world_with(share: float, what: str) -> Network:
    world = network()
    some = frozenset(random.Random(what).sample(range(1, 1000), int(1000 * share)))
    setattr(world, what, some)
    return world


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_the_true_closest(settings: LookupSettings) -> None:
    world = network()
    for asker, target in enumerate(TARGETS):
        done = run(world, target, settings, asker)
        result = done.lookup.result()
        assert done.found == world.nearest(target, asker)
        assert result.ending is Ending.CONVERGED
        assert result.requests == len(done.asked) == len(set(done.asked))
        assert result.failures == result.overdue == 0
        assert asker not in done.asked
        assert result.requests <= 60
        assert 1 <= result.hops <= 5


@pytest.mark.parametrize("what", ["silent", "refusing"])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_with_dead_peers(what: str, share: float) -> None:
    world = world_with(share, what)
    lost = 0
    for target in TARGETS:
        done = run(world, target)
        assert done.found == world.nearest(target, 0)
        result = done.lookup.result()
        lost += result.failures + result.overdue
        assert result.duration_s < (12 if what == "silent" else 3)
    assert lost > 0


def test_with_dead_peers_that_nobody_has_noticed() -> None:
    """Answers name 20 peers, dead ones among them, so the outermost of the 20 that live may stay unknown."""
    world = world_with(0.3, "refusing")
    world.stale = 1.0
    for target in TARGETS:
        done = run(world, target)
        assert done.found[:10] == world.nearest(target, 0, 10)
        assert len({*done.found} & {*world.nearest(target, 0)}) >= 16


def test_a_dead_peer_costs_a_few_round_trips() -> None:
    world = world_with(0.2, "silent")
    trips: RoundTrips[int] = RoundTrips()
    run(world, TARGETS[0], trips=trips)
    durations = [run(world, target, trips=trips).lookup.result().duration_s for target in TARGETS]
    assert sorted(durations)[10] < 3.0


def inventing(peer: int, target: int) -> Sequence[Candidate[int]]:
    """Twenty peers that are not there, nearer than anybody."""
    rng = random.Random(f"{peer}")
    return [Candidate(10**6 + peer * 100 + n, target ^ rng.getrandbits(200)) for n in range(20)]


def hiding(peer: int, target: int) -> Sequence[Candidate[int]]:
    """Only friends, and these know nobody else."""
    liars = sorted(LIARS, key=lambda each: network().peers[each].key ^ target)
    return [network().peers[each] for each in liars[:20]]


LIARS = frozenset(random.Random(3).sample(range(1, 1000), 100))


@pytest.mark.parametrize("paths", [1, 3])
@pytest.mark.parametrize("lies", [inventing, hiding], ids=lambda lies: lies.__name__)
def test_with_liars(lies: object, paths: int) -> None:
    world = network()
    world.liars, world.lies = LIARS, lies  # type: ignore[assignment]
    exact = 0
    for target in TARGETS:
        done = run(world, target, LookupSettings(paths=paths))
        assert len(done.asked) <= 256
        assert set(done.found) <= set(range(1000))
        exact += done.found == world.nearest(target, 0)
    assert exact == len(TARGETS)


def test_who_invents_peers_is_believed_no_further() -> None:
    world = network()
    world.liars, world.lies = LIARS, inventing
    asked = dict.fromkeys((0, 5), 0)
    for limit in asked:
        for target in TARGETS:
            asked[limit] += len(run(world, target, LookupSettings(max_bad_names=limit)).asked)
    assert asked[5] < asked[0] * 0.8


def test_a_slow_network_is_waited_for() -> None:
    """Everybody takes longer than the first timeout: the lookup must not end with nothing."""
    world = network()
    world.delays = lambda peer: 4.0
    done = run(world, TARGETS[0])
    assert done.found == world.nearest(TARGETS[0], 0)
    assert done.lookup.result().overdue > 0
    assert any(isinstance(step, Answered) and step.late for step in done.steps)


def test_a_small_network_is_asked_whole() -> None:
    world = network(8)
    done = run(world, TARGETS[0])
    assert done.found == world.nearest(TARGETS[0], 0)
    assert len(done.found) == 7


def test_disjoint_paths_ask_nobody_twice() -> None:
    settings = LookupSettings(paths=3, alpha=9)
    done = run(network(), TARGETS[1], settings)
    asked = [step for step in done.steps if isinstance(step, Asked)]
    assert {step.path for step in asked} == {0, 1, 2}
    assert len({step.peer for step in asked}) == len(asked)


def test_alpha_bounds_the_search() -> None:
    for alpha in (1, 3, 10):
        done = run(network(), TARGETS[2], LookupSettings(alpha=alpha, follow_up=False))
        under_way = most = 0
        for step in done.steps:
            under_way += isinstance(step, Asked) - isinstance(step, Answered | Failed | Overdue)
            most = max(most, under_way)
        assert most == alpha


def test_without_follow_up_the_three_closest_have_answered() -> None:
    world = network()
    for target in TARGETS:
        done = run(world, target, LookupSettings(follow_up=False))
        assert done.found[:3] == world.nearest(target, 0, 3)
        assert len(done.asked) <= len(run(world, target).asked)


def test_stopping() -> None:
    done = run(network(), TARGETS[3], until=lambda peer: True)
    result = done.lookup.result()
    assert (result.ending, result.answers) == (Ending.STOPPED, 1)
    assert done.steps[-1] == Ended(result.duration_s, Ending.STOPPED)


def test_hops_follow_who_named_whom() -> None:
    done = run(network(), TARGETS[4])
    hops = {step.peer: step.hop for step in done.steps if isinstance(step, Asked)}
    for step in done.steps:
        if isinstance(step, Asked):
            assert step.hop == (1 if step.named_by is None else hops[step.named_by] + 1)
    result = done.lookup.result()
    assert list(result.path_lengths) == [hops[peer] for peer in done.found]
    assert result.hops == max(result.path_lengths)


def shown(done: Run) -> object:
    return done.asked, done.steps, done.lookup.result()


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_a_life_replays(settings: LookupSettings) -> None:
    world = world_with(0.2, "silent")
    world.liars, world.lies = LIARS, inventing
    assert shown(run(world, TARGETS[5], settings)) == shown(run(world, TARGETS[5], settings))
