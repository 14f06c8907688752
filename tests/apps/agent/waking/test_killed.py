"""A waker that is killed at any moment calls for every message, in order, and repeats only what bears the same key."""

from __future__ import annotations

import asyncio
import random
import re
import sys
import time
from functools import partial
from pathlib import Path

from mesh.apps.agent.store import AgentStore
from mesh.apps.agent.waking import queue
from mesh.apps.agent.waking.hook import Gateway as Place
from mesh.apps.agent.waking.hook import WebHook
from mesh.apps.agent.waking.waking import Waking
from tests.apps.agent.waking.parts import ANN, BOB, Call, Gateway, receive

MESSAGES = 200
KILLS = 7


async def test_nothing_is_lost_and_nothing_is_done_twice(tmp_path: Path) -> None:
    chance = random.Random(7)
    file = tmp_path / "agent.db"
    async with Gateway() as gateway:
        async with AgentStore(file) as store:
            waking = Waking(
                store, WebHook(Place(gateway.url, "x")), clock=time.time, api_url="http://127.0.0.1:4003"
            )
            await waking.prepare()
            for number in range(MESSAGES):
                work = partial(receive, waking, peer=(ANN, BOB)[number % 2], contents=[f"<{number}>"])
                await store.write(work)
            await waking.stop()
        for _ in range(KILLS):
            await run_for(gateway, file, chance.randrange(1, 8))
        await run_until_all_came(gateway, file)
        async with AgentStore(file) as store:
            state = await store.read(queue.state)
    assert (state.waiting, state.dead) == (0, 0)
    effects = {call.headers["idempotency-key"]: numbers(call) for call in gateway.calls}
    for call in gateway.calls:
        assert effects[call.headers["idempotency-key"]] == numbers(call), "one key, one set of messages"
    texts = {(call.headers["idempotency-key"], call.text) for call in gateway.calls}
    assert len(texts) == len(effects), "one key, one text"
    for parity in (0, 1):
        done = [number for each in effects.values() for number in each if number % 2 == parity]
        assert done == list(range(parity, MESSAGES, 2)), "each once, in order"


async def run_for(gateway: Gateway, file: Path, calls: int) -> None:
    """Start a waker and kill it when so many more calls have come."""
    process = await started(gateway, file)
    until = len(gateway.calls) + calls
    async with asyncio.timeout(30):
        while len(gateway.calls) < until and len(seen(gateway)) < MESSAGES:  # noqa: ASYNC110 - another process calls
            await asyncio.sleep(0)
    process.kill()
    await process.wait()


async def run_until_all_came(gateway: Gateway, file: Path) -> None:
    process = await started(gateway, file)
    async with asyncio.timeout(60):
        while len(seen(gateway)) < MESSAGES:  # noqa: ASYNC110 - another process calls
            await asyncio.sleep(0.01)
    assert process.stdin is not None
    process.stdin.close()
    assert await process.wait() == 0


async def started(gateway: Gateway, file: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.apps.agent.waking.waker", str(file), gateway.url),
        stdin=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[4],
    )


def numbers(call: Call) -> list[int]:
    """The messages that a call tells of."""
    return [int(each) for each in re.findall(r"^> <(\d+)>$", call.text, re.MULTILINE)]


def seen(gateway: Gateway) -> set[int]:
    return {number for call in gateway.calls for number in numbers(call)}
