"""A store in a folder of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from mesh.apps.agent.store import AgentStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[AgentStore]:
    async with AgentStore(tmp_path / "agent.db") as opened:
        yield opened
