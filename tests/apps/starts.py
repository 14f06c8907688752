"""When a program is being started."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import pytest

PATIENCE_S: Final = 30.0


def noted_start(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set in the turn of the loop in which the next program is forked, whose start is known a few turns later."""
    begun, create = asyncio.Event(), asyncio.create_subprocess_exec

    async def noted(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        begun.set()
        return await create(*arguments, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    return begun


async def written(file: Path, end: str, *, turns: bool) -> str:
    """What a program has written once it ends so; the loop gets ``turns`` meanwhile, or none."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := _text(file)) is None or not found.endswith(end):
        assert time.monotonic() < deadline, "it wrote nothing"
        if turns:
            await asyncio.sleep(0.01)
        else:
            time.sleep(0.01)  # noqa: ASYNC251 - that is what is asked for
    return found.removesuffix(end)


def _text(file: Path) -> str | None:
    return file.read_text() if file.exists() else None
