"""What every test here leaves behind: nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.network.live import nothing_left


@pytest.fixture(autouse=True)
async def _nothing_left() -> AsyncIterator[None]:
    async with nothing_left():
        yield
