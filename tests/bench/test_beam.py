"""The benchmark of Beam runs, on a network that is too small to say anything."""

from __future__ import annotations

from tools.bench import beam, beam_striping


async def test_a_small_network_is_measured() -> None:
    found = await beam.measure(4, 2, 1, 0.0)
    assert found["nodes"] == 5
    assert found["registrations_missed"] == 0
    assert found["found_share"] == 1.0
    shown = beam.table(found)
    assert shown.count("\n") == len(beam._TARGETS) + 5
    assert "| < 500 ms |" in shown


async def test_a_session_is_measured_over_one_path_and_over_two() -> None:
    one, two = await beam_striping.measure(20_000_000, 2_000_000)
    assert one > 0
    assert two > 0
