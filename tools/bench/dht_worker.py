"""A network of this node's DHT servers in one process: joins it, runs each operation over and over, prints the times.

The counterpart of the Go peer's `kad-bench`, with the same options, the same operations in the same order and the same
output: one JSON object with median and 90th percentile of each operation in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvloop

from mesh.config import Config, KademliaSection, LimitsSection, NetworkSection
from mesh.node import Node

JOIN_WORKERS = 4
TABLE_POLL_S = 0.005


class AnyBytes:
    """The namespace `v` of the Go network: any bytes, the greatest wins."""

    def validate(self, key: bytes, value: bytes, now: float) -> None:
        """Everything is valid."""

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        return max(range(len(values)), key=values.__getitem__)


def settings(prefix: str) -> Config:
    """A server on loopback with no limits of its own."""
    return Config(
        network=NetworkSection(listen=("/ip4/127.0.0.1/tcp/0",), max_connections=100_000),
        limits=LimitsSection(scale="unlimited"),
        kademlia=KademliaSection(mode="server", prefix=prefix),
    )


async def join(nodes: list[Node], links: int, choice: random.Random) -> None:
    """Connect each to a few before it, then refresh every table, a few at a time."""
    for index, node in enumerate(nodes):
        for earlier in choice.sample(nodes[:index], min(links, index)):
            await node.connect(earlier.listen_addrs[0])
    while any(not len(node.dht.table) for node in nodes):  # noqa: ASYNC110 - a table has no event
        await asyncio.sleep(TABLE_POLL_S)
    waiting = iter(nodes)

    async def work() -> None:
        for node in waiting:
            await node.dht.refresh()

    await asyncio.gather(*(work() for _ in range(JOIN_WORKERS)))


class Bench:
    """How long each operation took, in seconds."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self.trips: dict[str, list[float]] = {}

    async def round(self) -> None:
        """Each operation once; what one node gave is got by another, and has to be what it was."""
        giver, seeker = random.sample(self._nodes, 2)
        value = os.urandom(32)
        key = b"/v/" + os.urandom(32).hex().encode()
        content = b"\x12\x20" + hashlib.sha256(value).digest()
        await self._measure("closest_peers", seeker.dht.closest_peers(os.urandom(32)))
        await self._measure("provide", giver.dht.provide(content))
        await self._measure("put_value", giver.dht.put_value(key, value))
        found = await self._measure("find_providers", self._providers(seeker, content))
        if found != [giver.peer_id]:
            raise RuntimeError(f"found {found}, wanted {giver.peer_id}")
        if await self._measure("get_value", seeker.dht.get_value(key)) != value:
            raise RuntimeError("what was got is not what was put")

    async def _providers(self, seeker: Node, content: bytes) -> list[Any]:
        return [each.peer async for each in seeker.dht.find_providers(content)]

    async def _measure(self, name: str, work: Awaitable[Any]) -> Any:
        started = time.perf_counter()
        result = await work
        self.trips.setdefault(name, []).append(time.perf_counter() - started)
        return result


def summary(trips: list[float]) -> dict[str, float]:
    """Median and 90th percentile in milliseconds."""
    ordered = sorted(trips)
    return {
        "median_ms": statistics.median(ordered) * 1e3,
        "p90_ms": ordered[min(len(ordered) - 1, len(ordered) * 9 // 10)] * 1e3,
    }


async def main(report: Callable[[dict[str, Any]], None]) -> None:
    """Run it and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--prefix", default="/bench")
    parser.add_argument("--links", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--warm-up", type=int, default=100)
    options = parser.parse_args()
    nodes = [Node(settings(options.prefix)) for _ in range(options.nodes)]
    try:
        for node in nodes:
            await node.start()
            node.dht.validators.register("v", AnyBytes())
        started = time.perf_counter()
        await join(nodes, options.links, random.Random(0))
        joined_ms = (time.perf_counter() - started) * 1e3
        bench = Bench(nodes)
        for number in range(options.warm_up + options.rounds):
            if number == options.warm_up:
                bench.trips.clear()
            await bench.round()
        smallest = min(len(node.dht.table) for node in nodes)
        results: dict[str, Any] = {name: summary(trips) for name, trips in bench.trips.items()}
        report({"nodes": len(nodes), "smallest_table": smallest, "join_ms": joined_ms, **results})
    finally:
        await asyncio.gather(*(node.stop() for node in nodes))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(lambda found: print(json.dumps(found), flush=True)))
