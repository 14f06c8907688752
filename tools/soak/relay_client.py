"""A process of peers that are reached through a relay, and of visitors that keep circuits to them busy.

`python -m tools.soak.relay_client RELAY CIRCUIT-S CIRCUIT-BYTES HIDDEN VISITORS SEED`: every event `did` has what was
done and `surprised` what no limit explains. A circuit that outlives its time or carries more than it may is a surprise.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass

import uvloop

from mesh.codecs.relay import MAX_MESSAGE_BYTES, Status
from mesh.config import Config, NetworkSection, RelaySection
from mesh.errors import MeshError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.node import Node
from mesh.protocols.relay import HOP_PROTOCOL, ask_connect, read_status
from mesh.protocols.relay.requests import RESERVE
from mesh.services import echo
from tools.bench import lines

REPORT_S = 1.0
RESERVE_S = 60.0
FAST = (8192, 0.04)
SLOW = (200, 0.2)
"""Bytes of one echo, and the pause behind it: the first meets the limit of bytes, the second that of time."""
SLACK_S = 10.0
"""An end arrives later where two processors carry everything."""
CROWD_EVERY_S = 20.0
MOST_CIRCUITS = 16
SETTLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the relay lets a circuit do."""

    circuit_s: float
    circuit_bytes: int


class RelayClient:
    """What one process does, all of it drawn from one seed."""

    def __init__(self, relay: str, limits: Limits, seed: int) -> None:
        self._relay = relay
        self._limits = limits
        self._random = random.Random(seed)
        self.hidden: list[Node] = []
        self.did: Counter[str] = Counter()
        self.surprises: Counter[str] = Counter()

    async def reserve(self, stack: AsyncExitStack, count: int) -> None:
        """Start peers that only the relay reaches, and wait until it holds a reservation for each."""
        section = RelaySection(relays=(self._relay,))
        for _ in range(count):
            node = Node(Config(network=NetworkSection(listen=()), relay=section))
            node.handle(echo.PROTOCOL_ID, echo.serve, limited=True)
            self.hidden.append(await stack.enter_async_context(node))
        async with asyncio.timeout(RESERVE_S):
            while not all(each.listen_addrs for each in self.hidden):  # noqa: ASYNC110 - of many nodes
                await asyncio.sleep(0.05)

    async def visits(self) -> None:
        """One circuit after another by the same visitor, each used until the relay ends it."""
        async with Node(Config(network=NetworkSection(listen=()))) as visitor:
            while True:
                try:
                    await self._visit(visitor, self._random.choice(self.hidden).listen_addrs[0])
                except MeshError as error:
                    self.surprises[f"{type(error).__name__}: {error}"] += 1

    async def _visit(self, visitor: Node, target: Multiaddr) -> None:
        began, carried = time.monotonic(), 0
        connection = await visitor.connect(target)
        self.did["circuits"] += 1
        size, pause_s = self._random.choice((FAST, SLOW))
        data = self._random.randbytes(size)
        try:
            stream = await visitor.open(connection, echo.PROTOCOL_ID, allow_limited=True)
            while True:
                await stream.write(data)
                carried += len(await stream.read_exactly(size))
                await asyncio.sleep(pause_s)
        except MeshError:
            lasted_s = time.monotonic() - began
        self.did["bytes echoed"] += carried
        self._judge(carried, lasted_s)
        await connection.close()

    def _judge(self, carried: int, lasted_s: float) -> None:
        """Which limit ended a circuit, and whether it was one."""
        if carried > self._limits.circuit_bytes or lasted_s > self._limits.circuit_s + SLACK_S:
            self.surprises[f"a limit was passed: {carried} bytes, {lasted_s:.0f} s"] += 1
        elif lasted_s >= self._limits.circuit_s:
            self.did["circuits ended by their time"] += 1
        elif carried > self._limits.circuit_bytes * 0.8:
            self.did["circuits ended by their bytes"] += 1
        else:
            self.surprises[f"ended early: {carried} bytes, {lasted_s:.1f} s"] += 1

    async def crowds(self) -> None:
        """A peer too many for the reservations, and one that wants more circuits than one peer may have."""
        quiet = Config(network=NetworkSection(listen=()))
        async with Node(quiet) as late, Node(quiet) as greedy:
            while True:
                await asyncio.sleep(CROWD_EVERY_S)
                try:
                    await self._expect(late, RESERVE, Status.RESERVATION_REFUSED, "reservations refused")
                    await self._crowd(greedy)
                except MeshError as error:
                    self.surprises[f"crowd: {type(error).__name__}: {error}"] += 1

    async def _crowd(self, greedy: Node) -> None:
        """Sixteen circuits at once, and one more, which has to be refused."""
        targets = self._random.sample(self.hidden, min(MOST_CIRCUITS, len(self.hidden)))
        held = [await greedy.connect(each.listen_addrs[0]) for each in targets]
        if len(held) == MOST_CIRCUITS:
            extra = ask_connect(self._random.choice(self.hidden).peer_id)
            await self._expect(greedy, extra, Status.RESOURCE_LIMIT_EXCEEDED, "circuits refused")
        for each in held:
            await each.close()

    async def _expect(self, node: Node, request: bytes, expected: Status, what: str) -> None:
        stream = await node.open(Multiaddr.parse(self._relay), HOP_PROTOCOL)
        await stream.write_message(request)
        status, _ = read_status(await stream.read_message(MAX_MESSAGE_BYTES))
        stream.reset()
        if status == expected:
            self.did[what] += 1
        else:
            self.surprises[f"status {status} instead of {expected.value}"] += 1

    async def tell(self) -> None:
        """Say what was done so far."""
        while True:
            await asyncio.sleep(REPORT_S)
            held = sum(bool(each.listen_addrs) for each in self.hidden)
            lines.say({"event": "did", "did": self.did, "surprised": self.surprises, "held": held})


async def main(relay: str, limits: Limits, hidden: int, visitors: int, seed: int) -> None:
    """Everything at once until the input ends."""
    client = RelayClient(relay, limits, seed)
    async with AsyncExitStack() as stack:
        await client.reserve(stack, hidden)
        lines.say({"event": "ready", "peer": str(client.hidden[0].peer_id), "addrs": []})
        work = [*(client.visits() for _ in range(visitors)), client.tell(), client.crowds()]
        tasks = [asyncio.create_task(each) for each in work]
        waiting = asyncio.create_task(lines.serve({}))
        ended, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in ended:
            task.result()


if __name__ == "__main__":
    at, seconds, size, hidden_count, visitor_count, number = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            main(at, Limits(float(seconds), int(size)), int(hidden_count), int(visitor_count), int(number))
        )
