"""One message to several peers: when a majority holds it, and what becomes of the rest."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import Closed
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.services.kademlia.writes import OnOutcome, Write, write
from tests.network.live import eventually

PEERS = [PeerId.from_public_key(PrivateKey.from_seed(bytes([each]) * 32).public) for each in range(1, 21)]


class Sending:
    """Peers that take, refuse or keep silent until told otherwise."""

    def __init__(self, accept: int, refuse: int = 0) -> None:
        self.accept = set(PEERS[:accept])
        self.refuse = set(PEERS[accept : accept + refuse])
        self.silent: list[OnOutcome] = []

    def send(self, peer: PeerId, told: OnOutcome) -> None:
        if peer in self.refuse:
            asyncio.get_running_loop().call_soon(told, Closed("not me"))
        elif peer in self.accept:
            asyncio.get_running_loop().call_soon(told, None)
        else:
            self.silent.append(told)

    def speak(self) -> None:
        for told in self.silent:
            told(None)

    async def write(self, count: int = 20) -> Write:
        async with asyncio.timeout(10):
            return await write(PEERS[:count], self.send)


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
    sending.speak()
    await eventually(lambda: len(result.accepted) + len(result.refused) == count)
    assert set(result.accepted) == set(PEERS[:count]) - sending.refuse, "the rest goes on"
    assert result.refused == dict.fromkeys(PEERS[accept : accept + refuse], "not me")


async def test_nobody_to_write_to() -> None:
    result = await Sending(0).write(0)
    assert not result.reached
    assert result.asked == 0


async def test_an_undecided_write_waits() -> None:
    sending = Sending(10, 9)
    running = asyncio.create_task(sending.write())
    await eventually(lambda: sending.silent)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not running.done()
    sending.speak()
    assert (await running).reached
