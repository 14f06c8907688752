"""A program that reads none of its input, or not all of it."""

from __future__ import annotations

import asyncio
import sys

import pytest

from mesh.apps.feeding import feed
from tests.apps.starts import PATIENCE_S

READS_SOME = "import sys; sys.stdin.buffer.read(10)"


async def begun(program: str) -> tuple[asyncio.subprocess.Process, asyncio.StreamWriter]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), stdin=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    return process, process.stdin


@pytest.mark.both_loops
@pytest.mark.parametrize("size", [0, 10, 1 << 20])
async def test_one_that_has_ended_before(size: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        process, pipe = await begun("")
        assert await process.wait() == 0
        await feed(pipe, bytes(size))


@pytest.mark.both_loops
@pytest.mark.parametrize("size", [0, 10, 1 << 20])
async def test_one_that_ends_meanwhile(size: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        process, pipe = await begun(READS_SOME)
        await feed(pipe, bytes(size))
        assert await process.wait() == 0
