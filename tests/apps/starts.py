"""When a program is being started."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest


def noted_start(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set in the turn of the loop in which the next program is forked, whose start is known a few turns later."""
    begun, create = asyncio.Event(), asyncio.create_subprocess_exec

    async def noted(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        begun.set()
        return await create(*arguments, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    return begun
