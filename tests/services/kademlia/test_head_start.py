"""A coroutine begun without a task and ended in one."""

from __future__ import annotations

import asyncio

import pytest

from mesh.services.kademlia.head_start import HeadStart


class Steps(list[str]):
    """How far the work is."""

    def __init__(self) -> None:
        self.half = asyncio.Event()


async def work(first: asyncio.Future[int], second: asyncio.Future[int], steps: Steps) -> int:
    try:
        steps.append("begun")
        total = await first
        steps.append("half")
        steps.half.set()
        return total + await second
    finally:
        steps.append("ended")


def begin() -> tuple[HeadStart[int], asyncio.Future[int], asyncio.Future[int], Steps]:
    loop = asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()
    steps = Steps()
    coroutine = work(first, second, steps)
    rest = HeadStart(coroutine, coroutine.send(None))
    assert steps == ["begun"]
    return rest, first, second, steps


async def finish(rest: HeadStart[int]) -> int:
    return await rest


async def test_the_rest_waits_as_the_whole_would() -> None:
    rest, first, second, steps = begin()
    task = asyncio.create_task(finish(rest))
    await asyncio.sleep(0)
    first.set_result(1)
    await steps.half.wait()
    second.set_result(2)
    assert await task == 3
    assert steps == ["begun", "half", "ended"]


async def test_errors_reach_it() -> None:
    rest, first, _, steps = begin()
    first.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await rest
    assert steps[-1] == "ended"


@pytest.mark.parametrize("waits", [1, 2])
async def test_cancelling_ends_it(waits: int) -> None:
    rest, first, _, steps = begin()
    task = asyncio.create_task(finish(rest))
    await asyncio.sleep(0)
    if waits == 2:
        first.set_result(1)
        await steps.half.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps[-1] == "ended"


async def test_what_is_dropped_ends() -> None:
    rest, _, _, steps = begin()
    rest.drop()
    assert steps == ["begun", "ended"]
