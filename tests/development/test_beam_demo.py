"""Beam's demonstration in five processes: the relay in use is killed, or falls silent, amid a download."""

from __future__ import annotations

import signal

import pytest

from mesh.development.beam_demo import MEBIBYTE, BeamDemo


@pytest.mark.timeout(300)
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "silent"])
async def test_a_download_goes_on_by_the_other_relay(ending: signal.Signals) -> None:
    told: list[str] = []
    async with BeamDemo(told.append, size_bytes=40 * MEBIBYTE, ending=ending) as demo:
        seen = await demo.run()
    assert seen.whole
    assert seen.received == 40 * MEBIBYTE
    assert {seen.before, seen.after} == {"relayed by relay one", "relayed by relay two"}
    assert any(("silent" in reason) is (ending == signal.SIGSTOP) for reason in seen.reasons)
    assert told[0] == "five processes, on loopback with direct dialling off, not behind NATs"
