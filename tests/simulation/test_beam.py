"""Beam's registry in virtual time: reproducible, and honest nodes find services among attackers."""

from __future__ import annotations

import json
import random

import pytest

from mesh.errors import UsageError
from mesh.simulation.beam import Attacker, BeamNetwork, BeamParameters, _figures, run

SMALL = BeamParameters(peers=40, operations=24, minutes=0.5, attackers=0.2, routers=0)


def test_services_are_found_in_every_run() -> None:
    done = run(SMALL)
    for each in done.runs:
        assert each.figures["discoveries"]["success"] > 0.95, each.name
        assert each.figures["registrations"]["success"] > 0.95, each.name
    assert [each.figures["attackers"] > 0 for each in done.runs] == [False, False, True]
    assert done.runs[1].figures["departures"] == 8
    assert json.loads(done.to_json()) == json.loads(run(SMALL).to_json()), (
        "the same seed gives the same figures"
    )
    assert done.to_markdown().count("\n| ") == 4


def test_the_same_seed_gives_the_same_figures() -> None:
    tiny = BeamParameters(peers=24, operations=16, minutes=0.2).of_run(0.2)
    one, other = (_figures(BeamNetwork(tiny, 0.3, harsh=True)) for _ in range(2))
    assert one == other


def test_attackers_are_never_picked_and_leave_like_others() -> None:
    network = BeamNetwork(SMALL.of_run(0.2), 0.5, harsh=True)
    network.build()
    pick = random.Random(1).randrange
    assert not any(isinstance(network.member(pick), Attacker) for _ in range(50))
    hostile = [each.number for each in network.nodes.values() if isinstance(each, Attacker)]
    assert len(network._hostile) == len(hostile) > 5
    network.leave(hostile[0])
    assert len(network._hostile) == len(hostile) - 1


def test_more_than_half_makes_no_sense() -> None:
    with pytest.raises(UsageError):
        BeamParameters(attackers=0.6)
