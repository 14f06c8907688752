"""A waker as a process of its own, to be killed: `python -m tests.apps.agent.waking.waker FILE URL`."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from mesh.apps.agent.store import AgentStore
from mesh.apps.agent.waking.hook import Gateway, WebHook
from mesh.apps.agent.waking.queue import Budget
from mesh.apps.agent.waking.waking import Pace, Waking

PACE = Pace(Budget(100_000, 100_000, messages=5), retry_s=0.01, retry_max_s=0.05, attempts=10_000)


async def run(file: Path, url: str) -> None:
    """Wake until it is killed; once its input has ended, until nothing waits."""
    channel = WebHook(Gateway(url, "token"))
    async with (
        AgentStore(file) as store,
        Waking(store, channel, clock=time.time, api_url="http://127.0.0.1:4003", pace=PACE) as waking,
    ):
        await asyncio.to_thread(sys.stdin.read)
        while (await waking.state()).waiting:  # noqa: ASYNC110 - the state is the database's
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2]))
