"""This node's part in the pubsub benchmarks: a publisher, a subscriber, or a whole network in one process.

The counterpart of the Go peer's `pubsub-bench`, with the same options, the same waiting and the same output: JSON lines,
the last of which has the figures. The publisher goes as fast as `publish` lets it unless it is given a rate.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from mesh.config import Config, GossipSection, LimitsSection, NetworkSection
from mesh.node import Node
from mesh.services.gossip import Topic

BEATS_S = 2.0
"""Two heartbeats: the last grafts and prunes after the meshes have filled."""
POLL_S = 0.01
PATIENCE_S = 30.0
BUFFER = 1 << 17
TURN = 16
"""Messages published between two looks at the clock."""


ALONE = GossipSection(enabled=True)
SHARED = GossipSection(enabled=True, verify_threads=1)
"""For hosts that share a process and its processors."""


def settings(gossip: GossipSection) -> Config:
    """A host on loopback with no limits of its own."""
    return Config(
        network=NetworkSection(listen=("/ip4/127.0.0.1/tcp/0",), max_connections=100_000),
        limits=LimitsSection(scale="unlimited"),
        gossip=gossip,
    )


@dataclass(slots=True)
class Meter:
    """Time and processor time of the process since it began."""

    started: float
    used: float

    @classmethod
    def start(cls) -> Meter:
        return cls(time.perf_counter(), processor_s())

    def report(self, role: str, count: int, at: float, used: float) -> dict[str, Any]:
        """Figures of a count reached ``at``, with the processor time ``used`` by then."""
        seconds, cpu = at - self.started, used - self.used
        return {
            "role": role,
            "seconds": seconds,
            "per_second": count / seconds if seconds else 0.0,
            "cpu_seconds": cpu,
            "per_cpu_second": count / cpu if cpu else 0.0,
        }


def processor_s() -> float:
    """User and system time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Count:
    """What came from others, and since when."""

    def __init__(self) -> None:
        self.received = 0
        self.since: Meter | None = None

    async def follow(self, topic: Topic) -> None:
        """Count until the topic is left."""
        async for _ in topic.subscribe(buffer=BUFFER, buffer_bytes=1 << 30):
            if self.since is None:
                self.since = Meter.start()
            self.received += 1

    async def until_quiet(self, enough: int, idle_s: float) -> tuple[float, float]:
        """When the last one came, and the processor time by then: at the latest when nothing came for so long."""
        seen, moved, used = -1, time.perf_counter(), processor_s()
        while seen < enough and time.perf_counter() - moved < idle_s:
            if self.received != seen:
                seen, moved, used = self.received, time.perf_counter(), processor_s()
            await asyncio.sleep(POLL_S)
        return moved, used


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - a mesh has no event
            await asyncio.sleep(POLL_S)


async def publish(
    topics: Sequence[Topic],
    options: argparse.Namespace,
    seconds: float,
    may_go: Callable[[int], bool] = lambda _sent: True,
) -> int:
    """Publish through the topics in turn; returns how many."""
    data = os.urandom(options.size)
    began = time.perf_counter()
    sent = 0
    while True:
        for _ in range(TURN):
            while options.rate and sent / options.rate > time.perf_counter() - began:  # noqa: ASYNC110
                await asyncio.sleep(max(0.0, sent / options.rate - (time.perf_counter() - began)))
            while not may_go(sent):  # noqa: ASYNC110 - the count of deliveries has no event
                await asyncio.sleep(0)
            await topics[sent % len(topics)].publish(data)
            sent += 1
        if sent >= options.rate * seconds if options.rate else time.perf_counter() - began >= seconds:
            return sent


async def subscriber(options: argparse.Namespace) -> dict[str, Any]:
    """Count until nothing comes any more."""
    async with Node(settings(ALONE)) as node, asyncio.TaskGroup() as tasks:
        count = Count()
        topic = node.pubsub.join(options.topic)
        tasks.create_task(count.follow(topic))
        print(json.dumps({"event": "ready", "addrs": [str(each) for each in node.listen_addrs]}), flush=True)
        while count.since is None:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(POLL_S)
        at, used = await count.until_quiet(1 << 62, options.idle)
        await topic.leave()
        return count.since.report("sub", count.received, at, used) | {"received": count.received}


async def publisher(options: argparse.Namespace) -> dict[str, Any]:
    """Publish to the subscriber once it is a neighbour."""
    async with Node(settings(ALONE)) as node:
        topic = node.pubsub.join(options.topic)
        await node.connect(options.to)
        await until(lambda: bool(topic.mesh()))
        meter = Meter.start()
        sent = await publish([topic], options, options.seconds)
        at, used = time.perf_counter(), processor_s()
        await asyncio.sleep(options.idle)
        dropped = {
            name: count
            for name, count in node.counters.snapshot().items()
            if name.startswith("gossip.") and "drop" in name
        }
        return meter.report("pub", sent, at, used) | {"sent": sent, "lost": dropped}


async def network(options: argparse.Namespace) -> dict[str, Any]:
    """Every host publishes in turn, and each message has to reach all the others."""
    nodes = [Node(settings(SHARED)) for _ in range(options.nodes)]
    count = Count()
    try:
        for node in nodes:
            await node.start()
        topics = [node.pubsub.join(options.topic) for node in nodes]
        following = [asyncio.create_task(count.follow(topic)) for topic in topics]
        connections = await link(nodes, options.links, random.Random(options.seed))
        wanted = min(5, options.links, len(nodes) - 1)
        await until(lambda: all(len(topic.mesh()) >= wanted for topic in topics))
        await asyncio.sleep(BEATS_S)
        others = len(nodes) - 1

        def window(before: int) -> Callable[[int], bool]:
            return lambda sent: sent - (count.received - before) // others < options.window

        warm = await publish(topics, options, options.warm_up, window(0))
        await count.until_quiet(warm * others, options.idle)
        before, meter = count.received, Meter.start()
        sent = await publish(topics, options, options.seconds, window(before))
        at, used = await count.until_quiet(before + sent * others, options.idle)
        delivered = count.received - before
        sizes = [len(topic.mesh()) for topic in topics]
        for topic in topics:
            await topic.leave()
        await asyncio.gather(*following)
        return meter.report("network", delivered, at, used) | {
            "nodes": len(nodes),
            "connections": connections,
            "sent": sent,
            "expected": sent * others,
            "delivered": delivered,
            "smallest_mesh": min(sizes),
            "largest_mesh": max(sizes),
        }
    finally:
        await asyncio.gather(*(node.stop() for node in nodes))


async def link(nodes: list[Node], links: int, choice: random.Random) -> int:
    """Connect each to others at random until it has that many connections."""
    degrees = dict.fromkeys(range(len(nodes)), 0)
    made: set[frozenset[int]] = set()
    for index, node in enumerate(nodes):
        for other in choice.sample(range(len(nodes)), len(nodes)):
            if degrees[index] >= links:
                break
            pair = frozenset((index, other))
            if other == index or pair in made:
                continue
            await node.connect(nodes[other].listen_addrs[0])
            made.add(pair)
            degrees[index] += 1
            degrees[other] += 1
    return len(made)


ROLES = {"pub": publisher, "sub": subscriber, "network": network}


def parsed() -> argparse.Namespace:
    """The options, named as the Go peer's."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=sorted(ROLES))
    parser.add_argument("--topic", default="bench")
    parser.add_argument("--to")
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--idle", type=float, default=2.0)
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--links", type=int, default=10)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--warm-up", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Run the role and print its figures."""
    options = parsed()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(ROLES[options.role](options))), flush=True)


if __name__ == "__main__":
    main()
