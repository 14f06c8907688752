"""Ways that are tried: a black hole costs a head start, and one that sits in many of the best does not hide the rest."""

from __future__ import annotations

import pytest

from mesh.codecs.beam_route import RouteStatus
from mesh.protocols.beam.route_trial import HEAD_START_S, LIMIT_S, RouteTrial, diverse, innocent
from tests.protocols.beam.signers import PEERS

A, B, C, D = PEERS[:4]


def test_ways_that_share_a_peer_with_better_ones_come_later() -> None:
    ways = [(A,), (A, B), (A, C), (A, D), (B, C), (D,)]
    assert diverse(ways, tuple) == [(A,), (B, C), (D,), (A, B), (A, C), (A, D)]
    assert diverse(ways, tuple, 4) == [(A,), (B, C), (D,), (A, B)]
    assert diverse(ways[:2], tuple) == [(A,), (A, B)]
    assert diverse(ways, tuple, 2) == [(A,), (B, C)]
    assert diverse([], tuple) == []


def test_a_black_hole_costs_a_head_start() -> None:
    trial = RouteTrial("abc", 10.0)
    assert trial.due(10.0) == ["a"]
    assert trial.due(10.0) == []
    assert trial.deadline() == pytest.approx(10.0 + HEAD_START_S)
    assert trial.due(10.0 + HEAD_START_S) == ["b"]
    trial.reached("b")
    assert trial.finished
    assert trial.found == "b"
    assert trial.deadline() is None
    assert trial.due(20.0) == []
    trial.reached("a")
    assert trial.found == "b"


def test_a_failure_makes_the_next_one_due_at_once() -> None:
    trial = RouteTrial("ab", 0.0)
    assert trial.due(0.0) == ["a"]
    trial.failed("a", 0.1)
    assert trial.deadline() == 0.1
    assert trial.due(0.1) == ["b"]
    assert trial.deadline() == pytest.approx(0.1 + LIMIT_S)
    assert trial.overdue(0.1 + LIMIT_S) == ["b"]
    assert trial.finished
    assert trial.found is None
    assert RouteTrial("", 0.0).finished


def test_a_forwarder_without_a_free_place_is_not_to_blame_if_it_says_so_at_once() -> None:
    assert innocent(RouteStatus.BUSY, HEAD_START_S)
    assert not innocent(RouteStatus.BUSY, HEAD_START_S + 0.01)
    assert not innocent(RouteStatus.FAILED, 0.0)
    assert not innocent(None, 0.0)
