"""A lookup's rules one by one, and any order of answers, failures and time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import UsageError
from mesh.protocols.kademlia import Candidate, Ending, Lookup, LookupSettings, RoundTrips
from mesh.protocols.kademlia.lookup import TIMEOUT
from mesh.protocols.kademlia.trace import Answered, Asked, Ended, Failed, Overdue


def peers(*numbers: int, groups: tuple[bytes, ...] | None = ()) -> list[Candidate[int]]:
    """Peers whose key, and so distance from target 0, is their number."""
    return [Candidate(number, number, groups) for number in numbers]


def lookup(*seeds: int, exclude: tuple[int, ...] = (), **changes: Any) -> Lookup[int]:
    return Lookup(0, peers(*seeds), LookupSettings(**changes), RoundTrips(), 0.0, exclude=exclude, trace=True)


def answer(machine: Lookup[int], *asked: int, now: float = 0.1) -> list[int]:
    for peer in asked:
        machine.answered(peer, (), now)
    return machine.requests()


def test_nobody_to_ask() -> None:
    machine = lookup()
    assert machine.finished
    assert machine.result().ending is Ending.STARVED
    assert machine.result().closest == []
    assert machine.result().hops == 0
    assert machine.deadline() is None
    assert machine.events() == [Ended(0.0, Ending.STARVED)]
    machine.wake(1.0)
    machine.stop(1.0)
    assert machine.result().ending is Ending.STARVED


def test_the_nearest_are_asked_first() -> None:
    machine = lookup(7, 5, 9, 3, 1, alpha=2)
    assert machine.requests() == [1, 3]
    assert machine.requests() == []
    assert answer(machine, 3) == [5]


def test_it_ends_when_beta_have_answered_and_follows_up() -> None:
    machine = lookup(*range(1, 30), alpha=3)
    assert machine.requests() == [1, 2, 3]
    assert answer(machine, 1, 2) == [4, 5]
    assert answer(machine, 3) == list(range(6, 21))
    assert not machine.finished
    answer(machine, *range(4, 20))
    assert not machine.finished
    answer(machine, 20)
    assert machine.finished
    assert [each.peer for each in machine.result().closest] == list(range(1, 21))
    assert machine.result().ending is Ending.CONVERGED


def test_a_nearer_peer_named_in_the_follow_up_is_asked() -> None:
    machine = lookup(*range(10, 20), alpha=3, k=5)
    machine.requests()
    assert answer(machine, 10, 11, 12) == [13, 14]
    machine.answered(13, peers(1), 0.2)
    assert machine.requests() == [1]
    assert answer(machine, 14, 1) == []
    assert machine.finished
    assert [each.peer for each in machine.result().closest] == [1, 10, 11, 12, 13]


def test_failed_peers_are_replaced_by_the_next() -> None:
    machine = lookup(1, 2, 3, 4, alpha=2, beta=1, k=2)
    assert machine.requests() == [1, 2]
    machine.failed(1, 0.1, "refused")
    assert machine.requests() == [3]
    machine.failed(2, 0.1)
    assert machine.requests() == [4]
    answer(machine, 3)
    assert not machine.finished
    answer(machine, 4)
    assert [each.peer for each in machine.result().closest] == [3, 4]
    assert machine.result().failures == 2


def test_an_overdue_request_frees_its_place_and_its_late_answer_counts() -> None:
    machine = lookup(1, 2, 3, alpha=1, beta=2, k=2)
    assert machine.requests() == [1]
    assert machine.deadline() == 2.0
    machine.wake(1.9)
    assert machine.requests() == []
    machine.wake(2.0)
    assert machine.requests() == [2]
    assert answer(machine, 2, now=2.1) == [3]
    machine.answered(1, (), 2.2)
    assert [each.peer for each in machine.result().closest] == [1, 2]
    assert machine.finished
    kinds = [type(step) for step in machine.events()]
    assert kinds == [Asked, Overdue, Asked, Answered, Asked, Answered, Ended]
    assert machine.result().overdue == 1


def test_nothing_is_waited_for_longer_than_ten_seconds() -> None:
    machine = lookup(1)
    machine.wake(2.0)
    assert machine.deadline() == 10.0
    assert not machine.finished
    machine.wake(10.0)
    assert machine.finished
    failed = [step for step in machine.events() if isinstance(step, Failed)]
    assert [(step.cause, step.peer) for step in failed] == [(TIMEOUT, 1)]
    machine.answered(1, peers(2), 11.0)
    assert machine.result().answers == 0


def test_one_wake_may_come_very_late() -> None:
    machine = lookup(1, 2)
    machine.wake(50.0)
    assert machine.finished
    assert machine.result().failures == 2
    machine = lookup(1, 2)
    machine.wake(61.0)
    assert machine.finished


def test_the_time_limit() -> None:
    machine = lookup(*range(1, 9), alpha=1, beta=8, limit_s=5.0, request_limit_s=100.0)
    machine.wake(2.0)
    machine.wake(4.0)
    assert machine.deadline() == 5.0
    machine.wake(5.0)
    assert machine.result().ending is Ending.TIME_LIMIT
    assert machine.result().duration_s == 5.0


def test_the_request_limit() -> None:
    machine = lookup(*range(1, 30), max_requests=4)
    assert machine.requests() == [1, 2, 3, 4]
    for peer in (1, 2, 3, 4):
        machine.failed(peer, 0.1)
    assert machine.finished
    assert machine.result().ending is Ending.REQUEST_LIMIT


def test_only_whom_it_asked_can_answer() -> None:
    machine = lookup(1)
    with pytest.raises(UsageError):
        machine.answered(2, (), 0.0)
    with pytest.raises(UsageError):
        machine.failed(2, 0.0)
    machine.answered(1, (), 0.1)
    machine.answered(1, peers(3), 0.2)
    machine.failed(1, 0.3)
    assert machine.result().answers == 1


def test_excluded_and_repeated_names() -> None:
    machine = lookup(5, exclude=(1,))
    machine.requests()
    machine.answered(5, peers(1, 5, 6, 6), 0.1)
    assert machine.requests() == [6]


def test_one_answer_counts_for_21_peers() -> None:
    machine = lookup(500, alpha=100, k=100)
    machine.requests()
    machine.answered(500, peers(*range(1, 60)), 0.1)
    assert machine.requests() == list(range(1, 22))


def test_crowded_networks_drop_out_of_an_answer() -> None:
    machine = lookup(500, max_per_group=3)
    machine.requests()
    named = [*peers(1, 2, 3, 4, groups=(b"x",)), *peers(5, 6, 7, groups=(b"y",)), *peers(8, groups=None)]
    machine.answered(500, named, 0.1)
    assert machine.requests() == [5, 6, 7, 8]


def test_memory_is_bounded_and_the_nearest_stay() -> None:
    machine = lookup(*range(900, 910), max_candidates=30)
    machine.requests()
    for at, peer in enumerate(range(900, 910)):
        machine.answered(peer, peers(*range(800 - 20 * at, 780 - 20 * at, -1)), 0.1)
        assert len(machine._known) <= 30
    assert 601 in machine._known


def test_who_named_five_dead_peers_is_believed_no_further() -> None:
    machine = lookup(100, 200, alpha=2, beta=2)
    machine.requests()
    machine.answered(100, peers(*range(1, 11)), 0.1)
    asked = machine.requests()
    while asked:
        assert len(asked) <= 2
        for peer in asked:
            machine.failed(peer, 0.2)
        asked = machine.requests()
        if machine.result().failures >= 5:
            break
    machine.answered(200, peers(9), 0.3)
    assert not set(range(7, 9)) & set(machine._known)
    assert 9 in machine._known


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["answer", "answer", "fail", "wait", "repeat"]),
        st.integers(0, 30),
        st.lists(st.integers(1, 400), max_size=25),
    ),
    max_size=60,
)


def live(
    seeds: list[int], moves: list[tuple[str, int, list[int]]], limits: LookupSettings
) -> tuple[Any, ...]:
    """A lookup's life in any order of events, with what must always hold; returns all that could be seen."""
    machine = Lookup(0, peers(*seeds), limits, RoundTrips(), 0.0, exclude=(7,), trace=True)
    under_way: list[int] = []
    asked: list[int] = []
    answered: set[int] = set()
    now, steps = 0.0, []
    for verb, number, named in moves:
        under_way += (new := machine.requests())
        asked += new
        if machine.finished:
            break
        if verb == "wait":
            deadline = machine.deadline()
            assert deadline is not None
            now = max(now, deadline)
            machine.wake(now)
        elif under_way:
            peer = under_way[number % len(under_way)]
            now += number / 20
            if verb == "answer":
                machine.answered(peer, peers(*named), now)
                answered.add(peer)
            elif verb == "fail":
                machine.failed(peer, now)
            if verb != "repeat":
                under_way.remove(peer)
        steps += machine.events()
    while not machine.finished:
        asked += machine.requests()
        machine.wake(machine.deadline() or 0.0)
        steps += machine.events()
    result = machine.result()
    assert len(asked) == len(set(asked)) == result.requests <= limits.max_requests
    assert 7 not in asked
    found = [each.key for each in result.closest]
    assert found == sorted(found)
    assert set(found) <= answered
    assert len(found) <= limits.k
    assert result.answers <= len(answered)
    assert len(machine._known) <= limits.max_candidates
    return asked, steps, result


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(1, 400), max_size=20),
    MOVES,
    st.sampled_from([1, 2, 3]),
    st.sampled_from([1, 4, 10]),
    st.booleans(),
)
def test_any_order_of_events(
    seeds: list[int], moves: list[tuple[str, int, list[int]]], paths: int, alpha: int, follow_up: bool
) -> None:
    limits = LookupSettings(
        paths=paths,
        alpha=alpha,
        follow_up=follow_up,
        k=6,
        max_candidates=40,
        max_requests=25,
        max_bad_names=2,
    )
    assert live(seeds, moves, limits) == live(seeds, moves, limits)
