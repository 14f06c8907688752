"""Agents that end with the test, and no gateway from the environment."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mesh.apps.agent.presence import KEY_VARIABLE
from mesh.apps.agent.waking.channels import TOKEN_VARIABLE, URL_VARIABLE
from tests.apps.agent.agents import Agents
from tests.network.live import nothing_left


@pytest.fixture(autouse=True)
def _no_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (KEY_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def agents() -> AsyncIterator[Agents]:
    """Starts agents on loopback or in memory; all of them end with the test."""
    async with nothing_left(), Agents() as started:
        yield started
