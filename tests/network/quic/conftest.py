"""Runs a test that asks for ``pairing`` with every pair of engines, and one that asks for ``make_engine`` with each."""

from __future__ import annotations

import pytest

from mesh.network.quic.engine import MakeEngine
from tests.network.quic.pairing import ENGINES, PAIRINGS

NOT_YET = {
    "test_data_survives_loss_reordering_and_duplication[qh3-aioquic-3]": (
        "the first large datagram is lost by chance, `Trial` makes the core's datagrams small, and the core cannot split"
        " what it has to repeat: `packet builder capacity exhausted` for ever"
    ),
    "test_a_handshake_survives_heavy_loss[aioquic-qh3-12]": (
        "held to three times what came, qh3's core raises the same where it should wait"
    ),
    "test_a_path_that_carries_small_datagrams_only_is_found_out[aioquic-qh3]": (
        "`Trial` takes a datagram of 1,253 bytes for a large one"
    ),
}
"""Tests that fail, and why. One that passes fails here, so that it is taken off."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name in NOT_YET:
            item.add_marker(pytest.mark.xfail(reason=NOT_YET[item.name], strict=True))


@pytest.fixture(params=list(PAIRINGS.values()), ids=list(PAIRINGS))
def pairing(request: pytest.FixtureRequest) -> tuple[MakeEngine, MakeEngine]:
    pair: tuple[MakeEngine, MakeEngine] = request.param
    return pair


@pytest.fixture(params=list(ENGINES.values()), ids=list(ENGINES))
def make_engine(request: pytest.FixtureRequest) -> MakeEngine:
    engine: MakeEngine = request.param
    return engine
