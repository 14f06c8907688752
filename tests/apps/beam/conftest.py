"""Beams that end with the test and leave nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.apps.beam.beams import Beams
from tests.network.live import nothing_left


@pytest.fixture
async def beams() -> AsyncIterator[Beams]:
    """Starts nodes with Beam on loopback or in memory."""
    async with nothing_left(), Beams() as started:
        yield started
