"""The benchmark of Beam runs, on networks that are too small to say anything."""

from __future__ import annotations

import pytest

from tools.bench import beam, beam_places, beam_striping
from tools.bench.beam_places import Spot
from tools.bench.beam_table import HEADING, TARGETS, missed, renewed, table


async def test_a_small_network_is_measured() -> None:
    found = await beam.measure(4, 2, 1, 0.0, 5)
    assert found["nodes"] == 5
    assert found["found_share"] == 1.0
    assert {each.key for each in TARGETS} <= found.keys()
    shown = table({"on loopback": found})
    assert shown.count("\n") == len(TARGETS) + 4
    assert "| < 500 ms |" in shown


async def test_nodes_in_several_processes_are_measured() -> None:
    found = await beam_places.measure([Spot("127.0.0.1")] * 3, 5, 2, 1, 0.0)
    assert found["nodes"] == 6
    assert found["registrations_missed"] == 0
    assert found["found_share"] == 1.0
    assert "| in namespaces |" in table({"in namespaces": found})


def test_what_was_missed_is_told() -> None:
    good = {"nodes": 30, "join": 1.0, "striping": 1.9, "connections_median": 30, "connections_most": 40}
    assert missed({"on loopback": good}) == []
    assert missed({"on loopback": good | {"join": 10_001.0, "striping": 1.6, "connections_most": 51}}) == [
        "join, worst, on loopback",
        "two paths of the same speed together, on loopback",
        "connections of a node, on loopback",
    ]


def test_the_table_of_a_text_is_renewed() -> None:
    made = f"{HEADING}\n|---|\n| join | 1 s |"
    before = f"# A\n\n{HEADING} in namespaces |\n|---|\n| join | 2 s |\n| more |\n\n| another |\n"
    assert renewed(before, made) == f"# A\n\n{made}\n\n| another |\n"
    with pytest.raises(ValueError, match="no table"):
        renewed("# A\n", made)


async def test_a_session_is_measured_over_one_path_and_over_two() -> None:
    one, two = await beam_striping.measure(20_000_000, 2_000_000)
    assert one > 0
    assert two > 0
