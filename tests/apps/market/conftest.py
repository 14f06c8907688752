"""Marketplaces that end with the test, and no key or address from the environment."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.apps.market.markets import Markets
from tests.network.live import nothing_left

BETRAYED = "no test takes a key from here"
VARIABLES = ("ETHEREUM_PRIVATE_KEY", "ETHEREUM_RPC_URL", "FACILITATOR_URL", "BETAR_WALLET_KEY_PATH")


@pytest.fixture(autouse=True)
def _no_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads these gets nothing that could be used."""
    for name in VARIABLES:
        monkeypatch.setenv(name, BETRAYED)


@pytest.fixture
async def markets() -> AsyncIterator[Markets]:
    """Starts marketplaces in memory or on loopback; all of them end with the test."""
    async with nothing_left(), Markets() as started:
        yield started
