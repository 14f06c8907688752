"""`python -m tools.bench.beam`: Beam's targets on real nodes, all in one process, over TCP on loopback.

Nodes join one after the other through the first few, register services, and are asked for them: by latecomers who have
heard of none (cold), and again (cached). Two providers of one service show how soon the second serves when the first is
gone or falls silent. Figures are of this machine under the load that it has.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvloop

from mesh.apps.beam.beam import Beam
from mesh.apps.beam.registry import Wanted
from mesh.apps.beam.tunnel_server import PROBE_PROTOCOL, TUNNEL_PROTOCOL
from mesh.config import BeamSection, Config, KademliaSection, NetworkSection
from mesh.node import Node
from tools.bench.beam_routes import route_calculation
from tools.bench.report import machine

FIRST: Final = 3
ROUND_TRIPS: Final = 300
SETTLE_S: Final = 16.0
"""Rumours are told to newcomers for 15 s; who comes later has to ask."""
_TARGETS: Final = (
    ("join", "join, worst", 10_000.0),
    ("registration", "registration to a majority, median", 500.0),
    ("registration_p95", "registration to a majority, 95 %", 500.0),
    ("cold", "discovery, cold, median", 2_000.0),
    ("cold_p95", "discovery, cold, 95 %", 2_000.0),
    ("cached", "discovery, cached, 95 %", 50.0),
    ("failover_closed", "next connection after a provider ended", 1_000.0),
    ("failover_silent", "next connection after a provider fell silent", 5_000.0),
    ("added", "added by a tunnel to a round trip, median", 50.0),
    ("routing", "ranking the routes to a peer where 1,000 links are told of", 100.0),
)


class Network(AsyncExitStack):
    """Nodes with Beam, in order of birth; all end with it."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Beam] = []
        self.joins_ms: list[float] = []

    async def join(self) -> Beam:
        """One more node; measured until it found its own neighbourhood in the DHT and a neighbour for gossip."""
        began = time.perf_counter()
        settings = BeamSection(enabled=True)
        config = Config(
            network=NetworkSection(listen=("/ip4/127.0.0.1/tcp/0",)),
            kademlia=KademliaSection(mode="server", prefix="/beam"),
            beam=settings,
        )
        node = await self.enter_async_context(Node(config))
        beam = await self.enter_async_context(Beam(node, settings))
        for other in self.all[:FIRST]:
            await node.connect(other.node.listen_addrs[0])
        if self.all:
            while not beam.directory.known_peers:  # noqa: ASYNC110 - a table has no event
                await asyncio.sleep(0.002)
            await node.dht.refresh()
            self.joins_ms.append(1000 * (time.perf_counter() - began))
        self.all.append(beam)
        return beam


async def measure(nodes: int, services: int, late: int, settle_s: float = SETTLE_S) -> dict[str, Any]:
    """All figures, in milliseconds where they are times."""
    chance = random.Random(1)
    async with Network() as network:
        for _ in range(nodes):
            await network.join()
        registrations, missed, busy_s = [], 0, time.process_time()
        for number in range(services):
            owner = chance.choice(network.all)
            began = time.perf_counter()
            _, done = await owner.register(f"app-{number}", lambda service_id: Wanted(service_id, "http"))
            registrations.append(1000 * (time.perf_counter() - began))
            missed += not done.told.reached
        busy_s = time.process_time() - busy_s
        await asyncio.sleep(settle_s)
        cold, cached, found = [], [], 0
        for _ in range(late):
            latecomer = await network.join()
            for number in chance.sample(range(services), min(services, 20)):
                answer = await latecomer.find(f"app-{number}", fresh=True)
                found += bool(answer.providers) and answer.source == "dht"
                cold.append(1000 * answer.took_s)
                cached.append(1000 * (await latecomer.find(f"app-{number}")).took_s)
        figures = await _tunnels(network)
        connections = [len(each.node.swarm.peers) for each in network.all]
        return {
            "nodes": len(network.all),
            "join": max(network.joins_ms),
            "registration": median(registrations),
            "registration_p95": _p95(registrations),
            "registrations_missed": missed,
            "registration_processor": 1000 * busy_s / services,
            "load": os.getloadavg()[0],
            "cold": median(cold),
            "cold_p95": _p95(cold),
            "cached": _p95(cached),
            "found_share": found / len(cold),
            "connections_median": median(connections),
            "connections_most": max(connections),
            "routing": route_calculation()[0],
        } | figures


async def _tunnels(network: Network) -> dict[str, float]:
    """Failover and added latency."""
    one, two, client = network.all[1:4]
    async with _echo() as port:
        await one.expose("echo", port, public=True)
        await one.names.allow("echo", two.node.peer_id)
        await two.expose("echo", port, public=True)
        tunnel = await client.open("echo")
        direct = await _round_trips("127.0.0.1", port)
        tunnelled = await _round_trips(tunnel.host, tunnel.port)
        silenced = next(each for each in (one, two) if each.node.peer_id == tunnel.provider)
        silenced.server.stop()
        for protocol in (TUNNEL_PROTOCOL, PROBE_PROTOCOL):
            silenced.node.handle(protocol, _say_nothing)
        silenced.routing.sessions.serve(TUNNEL_PROTOCOL, _say_nothing)
        silent = await _first_byte(tunnel.port)
        for protocol in (TUNNEL_PROTOCOL, PROBE_PROTOCOL):
            silenced.node.unhandle(protocol)
        silenced.server.start()
        silenced.routing.sessions.serve(TUNNEL_PROTOCOL, silenced.server.serve_from)
        for peer in (one.node.peer_id, two.node.peer_id):
            client.watchman.health("echo.local", peer).answered(0.001, time.time())
        await _first_byte(tunnel.port)
        ended = next(each for each in (one, two) if each.node.peer_id == tunnel.provider)
        await ended.node.swarm.close()
        closed = await _first_byte(tunnel.port)
    return {
        "added": tunnelled - direct,
        "direct_round_trip": direct,
        "failover_silent": silent,
        "failover_closed": closed,
    }


async def _say_nothing(*_: object) -> None:
    await asyncio.sleep(60)


@asynccontextmanager
async def _echo() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _round_trips(host: str, port: int) -> float:
    """The median round trip of a byte over one connection, in ms."""
    reader, writer = await asyncio.open_connection(host, port)
    taken = []
    for _ in range(ROUND_TRIPS):
        began = time.perf_counter()
        writer.write(b"x")
        await reader.readexactly(1)
        taken.append(1000 * (time.perf_counter() - began))
    writer.close()
    return median(taken)


async def _first_byte(port: int) -> float:
    """From connecting to the first byte back, in ms."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x")
    await reader.readexactly(1)
    writer.close()
    return 1000 * (time.perf_counter() - began)


def _p95(samples: Sequence[float]) -> float:
    return sorted(samples)[int(0.95 * (len(samples) - 1))]


def table(found: dict[str, Any]) -> str:
    """Each target beside its goal, as Markdown."""
    lines = [f"| {found['nodes']} nodes on loopback | goal | measured |", "|---|---:|---:|"]
    for key, text, goal_ms in _TARGETS:
        lines.append(f"| {text} | < {_time(goal_ms)} | {_time(found[key])} |")
    text = "processor time of all nodes together for a registration"
    lines.append(f"| {text} | | {_time(found['registration_processor'])} |")
    lines.append(f"| waiting for a processor on this machine, on average | | {found['load']:.1f} |")
    lines.append(f"| discoveries that succeed, in the DHT | > 98 % | {found['found_share']:.1%} |")
    held = f"{found['connections_median']:g} ({found['connections_most']})"
    lines.append(f"| connections of a node, median (most) | 25-50 | {held} |")
    return "\n".join(lines)


def _time(milliseconds: float) -> str:
    return f"{milliseconds / 1000:g} s" if milliseconds >= 1000 else f"{milliseconds:.3g} ms"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; 1 when a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.beam")
    parser.add_argument("--nodes", type=int, default=30)
    parser.add_argument("--services", type=int, default=60)
    parser.add_argument("--late", type=int, default=5, help="nodes that join after the registrations")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    options = parser.parse_args(arguments)
    found = uvloop.run(measure(options.nodes, options.services, options.late))
    print(table(found))
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine(), "figures": found}, indent=1) + "\n")
    missed = [text for key, text, goal_ms in _TARGETS if found[key] > goal_ms]
    for text in missed:
        print(f"missed: {text}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
