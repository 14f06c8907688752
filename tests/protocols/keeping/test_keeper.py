"""Whom to keep, seek and replace, over hours of made-up time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import UsageError
from mesh.identity.peer_id import PeerId
from mesh.protocols.keeping.keeper import MEASURED, TURNED_AWAY_S, Keeper
from mesh.protocols.keeping.lost import LASTING_S, MAX_LOST
from mesh.protocols.keeping.settings import (
    Close,
    Dead,
    Event,
    Lifecycle,
    Probe,
    Redial,
    Seek,
    Settings,
    Standing,
    Try,
)

DAY = 86_400.0


def peer(number: int) -> PeerId:
    return PeerId.from_bytes(b"\x12\x20" + number.to_bytes(32, "big"))


class World:
    """Peers that answer pings after a round trip of their own, and a keeper that is woken whenever it wants to be."""

    def __init__(self, low: int = 3, high: int = 5, **numbers: float) -> None:
        self.now = 0.0
        self.protected: set[PeerId] = set()
        self.round_trips: dict[PeerId, float | None] = {}
        self.keeper = Keeper(
            Settings(low, high, **numbers), self.protected.__contains__, random.Random(1).random
        )
        self.seen: list[tuple[float, Event]] = []

    def connect(self, number: int, network: str = "", *, rtt: float = 0.1, dialled: bool = True) -> PeerId:
        found = peer(number)
        self.round_trips.setdefault(found, rtt)
        self.keeper.connected(found, network or f"net {number}", self.now, dialled=dialled)
        return found

    def lose(self, found: PeerId) -> None:
        self.keeper.disconnected(found, self.now)

    def step(self) -> list[Event]:
        """What is to be done now; pings are answered or missed on the spot."""
        self.keeper.wake(self.now)
        events = self.keeper.events()
        for event in events:
            if isinstance(event, Probe):
                round_trip = self.round_trips[event.peer]
                if round_trip is None:
                    self.keeper.missed(event.peer, self.now)
                else:
                    self.keeper.answered(event.peer, round_trip, self.now)
        events += self.keeper.events()
        self.seen += [(self.now, event) for event in events]
        return events

    def run(self, seconds: float) -> list[tuple[float, Event]]:
        """What is to be done within so much time, probes left out; at most ten thousand steps."""
        until, self.seen = self.now + seconds, []
        for _ in range(10_000):
            self.step()
            deadline = self.keeper.deadline()
            if deadline is None or deadline > until:
                break
            self.now = max(self.now, deadline)
        else:
            pytest.fail("it wants to be called again and again")
        self.now = until
        return [each for each in self.seen if not isinstance(each[1], Probe)]

    def probes(self, found: PeerId) -> list[float]:
        return [at for at, event in self.seen if event == Probe(found)]

    def standing(self, found: PeerId) -> Standing:
        return next(each for each in self.keeper.standings(self.now) if each.peer == found)


def full(low: int = 3, high: int = 5, **numbers: float) -> World:
    """As many as are wanted at least, all of a kind, measured and settled."""
    world = World(low, high, **numbers)
    for number in range(low):
        world.connect(number)
    world.run(100.0)
    return world


# --- probes ----------------------------------------------------------------------------------------------------------


def test_newcomers_are_probed_often_until_they_are_measured_then_every_thirty_seconds() -> None:
    world = World()
    found = world.connect(1)
    world.run(100.0)
    assert world.probes(found) == [2.0, 4.0, 6.0, 36.0, 66.0, 96.0]
    assert world.standing(found).latency_s == 0.1


def test_relays_and_routes_in_use_are_probed_every_two_seconds() -> None:
    world = World()
    found = world.connect(1)
    world.run(10.0)
    world.keeper.use([found], world.now)
    world.run(10.0)
    assert world.probes(found) == [12.0, 14.0, 16.0, 18.0, 20.0]
    world.keeper.use([], world.now)
    world.run(60.0)
    assert world.probes(found) == [50.0, 80.0]


def test_two_misses_are_death() -> None:
    world = World()
    found = world.connect(1)
    world.keeper.use([found], 0.0)
    world.run(9.0)
    world.round_trips[found] = None
    world.run(2.0)
    assert [event for _, event in world.seen] == [Probe(found), Probe(found), Dead(found)]
    assert world.standing(found).reliability < 1.0


def test_who_was_used_before_it_came_is_probed_often_as_well() -> None:
    world = World()
    world.keeper.use([peer(1)], 0.0)
    world.connect(1)
    world.run(20.0)
    assert len(world.probes(peer(1))) == 10


# --- below the lower bound -------------------------------------------------------------------------------------------


def test_more_are_sought_while_there_are_too_few_ever_more_rarely() -> None:
    world = World()
    assert [at for at, event in world.run(1000.0) if event == Seek()] == [
        0.0,
        30.0,
        90.0,
        210.0,
        450.0,
        750.0,
    ]
    for number in range(3):
        world.connect(number)
    assert Seek() not in [event for _, event in world.run(1000.0)]


def test_a_lost_peer_that_lasted_is_dialled_at_once_then_after_pauses_with_jitter() -> None:
    world = World()
    found = world.connect(1)
    world.run(LASTING_S)
    world.lose(found)
    assert Redial(found) in world.step()
    began = world.now
    pauses = []
    for _ in range(12):
        world.keeper.failed(found, world.now)
        failed_at = world.now
        [again] = [at for at, event in world.run(400.0) if event == Redial(found)]
        pauses.append(again - failed_at)
        world.now = again
    assert began < world.now
    for number, pause in enumerate(pauses):
        middle = min(2.0**number, 300.0)
        assert 0.75 * middle <= pause <= 1.25 * middle
    assert len({round(pause / min(2.0**number, 300.0), 6) for number, pause in enumerate(pauses)}) > 6


def test_a_connection_that_does_not_last_counts_as_a_failure() -> None:
    world = World()
    times = []
    for _ in range(5):
        world.connect(1)
        world.now += 1.0
        world.lose(peer(1))
        lost_at = world.now
        times.append(next(at for at, event in world.run(60.0) if event == Redial(peer(1))) - lost_at)
        world.now = lost_at + times[-1]
    assert times == sorted(times)
    assert times[-1] > 8 * times[0]


def test_who_is_barred_waits_for_the_end_of_that() -> None:
    world = World()
    found = world.connect(1)
    world.run(60.0)
    world.lose(found)
    world.step()
    world.keeper.failed(found, world.now, 600.0)
    assert world.standing(found).lifecycle is Lifecycle.DISCOVERY
    [again] = [at for at, event in world.run(700.0) if event == Redial(found)]
    assert again >= 660.0


def test_nobody_is_dialled_again_who_came_by_itself_or_while_there_are_enough() -> None:
    world = World(low=2)
    own, theirs = world.connect(1), world.connect(2, dialled=False)
    others = [world.connect(3), world.connect(4)]
    world.run(60.0)
    world.lose(own)
    world.lose(theirs)
    assert Redial(own) not in [event for _, event in world.run(60.0)]
    world.lose(others[0])
    world.step()
    assert [event for _, event in world.seen if isinstance(event, Redial)] == [Redial(own)]


def test_another_network_ends_every_pause_and_has_everybody_probed() -> None:
    world = World(low=9, high=9)
    stays, lost = world.connect(1), world.connect(2)
    world.run(100.0)
    world.lose(lost)
    for _ in range(6):
        world.keeper.failed(lost, world.now)
    world.seen = []
    assert Redial(lost) not in world.step()
    world.keeper.network_changed(world.now)
    assert {Redial(lost), Probe(stays), Seek()} <= set(world.step())


def test_the_lost_are_bounded() -> None:
    world = World(low=1000, high=1000)
    for number in range(MAX_LOST + 10):
        world.lose(world.connect(number))
    assert len(world.keeper.standings(world.now)) == MAX_LOST


# --- between the bounds ----------------------------------------------------------------------------------------------


def tried(world: World, number: int, rtt: float, network: str = "") -> list[Event]:
    """What comes of a candidate that is dialled when one may be."""
    world.run(120.0)
    assert world.keeper.has_room(world.now)
    world.keeper.dialling(peer(number), world.now)
    assert not world.keeper.has_room(world.now), "one at a time"
    world.connect(number, network, rtt=rtt)
    found = [event for _, event in world.run(30.0) if isinstance(event, Close)]
    for each in found:
        world.lose(each.peer)
    return list(found)


def test_a_better_one_takes_the_place_of_the_worst() -> None:
    world = full()
    worst = world.connect(9, rtt=0.5)
    world.run(100.0)
    assert tried(world, 10, 0.01) == [Close(worst, True)]
    assert world.keeper.count == 4
    assert worst not in [each.peer for each in world.keeper.standings(world.now)], "it is not dialled again"


def test_who_is_hardly_better_goes_itself_and_is_not_tried_again_for_a_while() -> None:
    world = full()
    assert tried(world, 10, 0.095) == [Close(peer(10), False)]
    assert not world.keeper.admits(peer(10), world.now)
    assert world.keeper.admits(peer(10), world.now + TURNED_AWAY_S)
    world.lose(peer(0))
    assert world.keeper.admits(peer(10), world.now), "better than too few"


def test_protected_used_and_fresh_ones_are_spared() -> None:
    world = World(low=3)
    protected, used, fresh = (world.connect(number, rtt=0.9) for number in range(3))
    world.protected.add(protected)
    world.keeper.use([used], 0.0)
    assert Try() not in [event for _, event in world.run(59.0)]
    assert not world.keeper.has_room(world.now)
    assert tried(world, 10, 0.001) == [Close(fresh, True)]
    world.run(20.0)
    assert not world.keeper.has_room(world.now), "nobody would give way"


def test_a_crowd_in_one_network_gives_way_to_another_network() -> None:
    world = World(low=4)
    for number in range(3):
        world.connect(number, "crowd", rtt=0.01)
    lonely = world.connect(3, "elsewhere", rtt=0.05)
    world.run(100.0)
    [closed] = tried(world, 10, 0.05, "far")
    assert isinstance(closed, Close)
    assert closed.replaced
    assert closed.peer != lonely
    assert world.keeper.choose({peer(20): "crowd", peer(21): "new", peer(22): "far"}) == peer(21)


def test_nobody_is_tried_at_the_upper_bound() -> None:
    world = full()
    for number in range(10, 12):
        world.connect(number)
    assert Try() not in [event for _, event in world.run(1000.0)]
    assert not world.keeper.has_room(world.now)


def test_a_trial_that_cannot_be_dialled_makes_room_for_the_next() -> None:
    world = full()
    assert world.keeper.has_room(world.now)
    world.keeper.dialling(peer(9), world.now)
    world.keeper.failed(peer(9), world.now)
    assert not world.keeper.has_room(world.now)
    assert Try() in [event for _, event in world.run(120.0)]
    assert world.keeper.has_room(world.now)


# --- the lifecycle ---------------------------------------------------------------------------------------------------


def test_the_six_names_in_their_order() -> None:
    world = full()
    assert [each.value for each in Lifecycle] == [
        "discovery",
        "handshake",
        "encrypted channel",
        "monitoring",
        "optimisation",
        "closing",
    ]
    world.run(120.0)
    world.keeper.dialling(peer(9), world.now)
    assert world.keeper.dialled == [peer(9)]
    world.connect(9, rtt=0.3)
    assert world.standing(peer(9)).lifecycle is Lifecycle.CHANNEL
    world.now += 2.0
    world.step()
    assert world.standing(peer(9)).lifecycle is Lifecycle.OPTIMISATION
    world.run(10.0)
    assert world.standing(peer(9)).lifecycle is Lifecycle.CLOSING
    assert world.standing(peer(0)).lifecycle is Lifecycle.MONITORING


def test_bounds_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="lower bound"):
        Settings(low=6, high=5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5), st.floats(0.0, 90.0)), max_size=60))
def test_whatever_happens_it_neither_spins_nor_dials_more_than_it_wants(
    happenings: list[tuple[int, int, float]],
) -> None:
    world = World(low=3, high=5)
    keeper = world.keeper
    for number, what, pause in happenings:
        if what == 0:
            world.connect(number, f"net {number % 3}", rtt=number / 20)
        elif what == 1:
            world.lose(peer(number))
        elif what == 2 and keeper.has_room(world.now):
            keeper.dialling(peer(number), world.now)
        elif what == 3:
            keeper.failed(peer(number), world.now)
        elif what == 4:
            world.round_trips[peer(number)] = None if number % 2 else 0.1
        else:
            keeper.network_changed(world.now)
        for _, event in world.run(pause):
            if isinstance(event, Redial):
                assert keeper.count + len(keeper.dialled) <= 3
            if isinstance(event, (Dead, Close)):
                world.lose(event.peer)
    assert len(keeper.standings(world.now)) <= 13


def test_a_day_of_a_full_node_costs_a_probe_each_half_a_minute() -> None:
    world = full(low=5, high=5)
    began = world.now
    world.seen = []
    while world.now < began + DAY / 24:
        world.run(600.0)
    assert len(world.probes(peer(0))) <= 600.0 / 30.0 + 1
    assert MEASURED == 3
