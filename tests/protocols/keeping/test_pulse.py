"""When a peer is probed and when it counts as dead, in made-up time."""

from __future__ import annotations

from mesh.protocols.keeping.pulse import IDLE_S, USED_S, Pulse


def test_the_silent_are_probed_after_an_interval_and_dead_after_two_misses() -> None:
    pulse = Pulse(USED_S, 0.0)
    assert pulse.deadline() == 2.0
    assert not pulse.take_due(1.9)
    assert pulse.take_due(2.0)
    assert pulse.deadline() is None
    assert not pulse.take_due(3.0), "one probe at a time"
    assert not pulse.missed(4.0)
    assert pulse.deadline() == 4.0, "the second comes at once"
    assert pulse.take_due(4.0)
    assert pulse.missed(6.0)


def test_whoever_is_heard_begins_anew() -> None:
    pulse = Pulse(USED_S, 0.0)
    pulse.take_due(2.0)
    pulse.missed(4.0)
    pulse.heard(4.5)
    assert pulse.misses == 0
    assert pulse.deadline() == 6.5
    pulse.take_due(6.5)
    assert not pulse.missed(8.5)


def test_a_peer_that_comes_into_use_is_probed_sooner_and_one_that_goes_out_of_it_later() -> None:
    pulse = Pulse(IDLE_S, 0.0)
    pulse.set_interval(USED_S, 10.0)
    assert pulse.deadline() == 12.0
    pulse.set_interval(USED_S, 11.0)
    assert pulse.deadline() == 12.0
    pulse.set_interval(IDLE_S, 11.5)
    assert pulse.deadline() == 41.5
    pulse.hurry(20.0)
    assert pulse.take_due(20.0)
