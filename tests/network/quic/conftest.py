"""Runs a test that asks for ``pairing`` with every pair of engines, and one that asks for ``make_engine`` with each."""

from __future__ import annotations

import pytest

from mesh.network.quic.engine import MakeEngine
from tests.network.quic.pairing import ENGINES, PAIRINGS


@pytest.fixture(params=list(PAIRINGS.values()), ids=list(PAIRINGS))
def pairing(request: pytest.FixtureRequest) -> tuple[MakeEngine, MakeEngine]:
    pair: tuple[MakeEngine, MakeEngine] = request.param
    return pair


@pytest.fixture(params=list(ENGINES.values()), ids=list(ENGINES))
def make_engine(request: pytest.FixtureRequest) -> MakeEngine:
    engine: MakeEngine = request.param
    return engine
