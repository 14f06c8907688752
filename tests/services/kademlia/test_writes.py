"""One message to several peers: when a majority holds it, and what becomes of the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from mesh.errors import Closed
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.services.kademlia.writes import Write, write
from tests.network.live import eventually

PEERS = [PeerId.from_public_key(PrivateKey.from_seed(bytes([each]) * 32).public) for each in range(1, 21)]


class Sending:
    """Peers that take, refuse or keep silent; ``tasks`` are the writes under way."""

    def __init__(self, accept: int, refuse: int = 0) -> None:
        self.accept = set(PEERS[:accept])
        self.refuse = set(PEERS[accept : accept + refuse])
        self.silent = asyncio.Event()
        self.tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        return task

    async def send(self, peer: PeerId) -> None:
        if peer in self.refuse:
            raise Closed("not me")
        if peer not in self.accept:
            await self.silent.wait()

    async def write(self, count: int = 20) -> Write:
        async with asyncio.timeout(10):
            return await write(PEERS[:count], self.send, self.spawn)


@pytest.mark.parametrize(
    ("count", "accept", "refuse", "reached"),
    [
        (20, 11, 0, True),
        (20, 0, 10, False),
        (20, 10, 10, False),
        (20, 11, 9, True),
        (3, 2, 0, True),
        (1, 1, 0, True),
    ],
)
async def test_a_majority_decides(count: int, accept: int, refuse: int, reached: bool) -> None:
    sending = Sending(accept, refuse)
    result = await sending.write(count)
    assert result.reached is reached
    assert result.asked == count
    sending.silent.set()
    await asyncio.wait(sending.tasks)
    assert set(result.accepted) == set(PEERS[:count]) - sending.refuse, "the rest goes on"
    assert result.refused == dict.fromkeys(PEERS[accept : accept + refuse], "not me")


async def test_nobody_to_write_to() -> None:
    result = await Sending(0).write(0)
    assert not result.reached
    assert result.asked == 0


async def test_an_undecided_write_waits() -> None:
    sending = Sending(10, 9)
    running = asyncio.create_task(sending.write())
    await eventually(lambda: sum(task.done() for task in sending.tasks) == 19)
    assert not running.done()
    sending.silent.set()
    assert (await running).reached


async def test_the_end_of_the_service_ends_the_wait() -> None:
    sending = Sending(3)
    running = asyncio.create_task(sending.write())
    await eventually(lambda: sum(task.done() for task in sending.tasks) == 3)
    for task in sending.tasks:
        task.cancel()
    result = await running
    assert not result.reached
    assert result.accepted == PEERS[:3]


async def test_one_that_breaks_counts_for_nothing() -> None:
    sending = Sending(0)

    async def send(_peer: PeerId) -> None:
        raise ArithmeticError

    async with asyncio.timeout(10):
        result = await write(PEERS[:3], send, sending.spawn)
    assert not result.reached
    assert all(isinstance(task.exception(), ArithmeticError) for task in sending.tasks)
