"""Clients that come and go, most of them killed; and the watched node visiting them meanwhile."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter

from tools.interop_peers.process import CommandFailed, PeerProcess, ProcessEnded

CLIENTS = 2
LIFE_S = (2.0, 15.0)
KILLED = 0.7
"""Part of the clients that end by SIGKILL; the others are asked."""
VISIT_S = (0.05, 0.5)


class Load:
    """Keeps a number of client processes busy with one node. ``did`` counts what they did, as far as they could tell."""

    def __init__(self, node: PeerProcess, seed: int, identities: int) -> None:
        self._node = node
        self._random = random.Random(seed)
        self._identities = str(identities)
        self._present: dict[str, PeerProcess] = {}
        self.did: Counter[str] = Counter()
        self.surprises: Counter[str] = Counter()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._clients())
            group.create_task(self._visits())

    async def _clients(self) -> None:
        while True:
            seed = str(self._random.randrange(1 << 32))
            command = (
                sys.executable,
                "-m",
                "tools.soak.client",
                self._identities,
                seed,
                *self._node.addresses,
            )
            async with PeerProcess(*command) as client:
                self._present[client.peer] = client
                try:
                    await asyncio.sleep(self._random.uniform(*LIFE_S))
                    if client.process.returncode is not None:
                        await client.call("nothing")  # raises `ProcessEnded` with what it said last
                    if self._random.random() < KILLED:
                        await client.kill()
                        self.did["killed clients"] += 1
                finally:
                    del self._present[client.peer]
                    self._take_over(client)

    async def _visits(self) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(*VISIT_S))
            if not self._present:
                continue
            client = self._random.choice(list(self._present.values()))
            try:
                await self._node.call("visit", addr=client.address)
            except (CommandFailed, TimeoutError) as failure:
                if client.peer in self._present:
                    self.surprises[str(failure)] += 1
                self.did["failed visits"] += 1
            except ProcessEnded as ended:
                raise RuntimeError(f"the node is gone: {ended}") from ended
            else:
                self.did["visits"] += 1

    def _take_over(self, client: PeerProcess) -> None:
        told = [event for event in client.events if event["event"] == "did"]
        if told:
            self.did.update(told[-1]["did"])
            self.surprises.update(told[-1]["surprised"])
