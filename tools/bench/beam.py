"""`python -m tools.bench.beam`: Beam's targets on real nodes, each beside its goal.

On loopback all nodes are in one process. They join one after the other through the first few, register services, and are
asked for them: by latecomers who have heard of none (cold), and again (cached). Two providers of one service show how
soon the second serves when the first is gone or falls silent; sessions, relays and chains are measured by themselves.
With ``--namespaces`` the same nodes run again in ten processes, each in a network namespace behind a line with a delay.
Figures are of this machine under the load that it has, which is told beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvloop

from mesh.apps.beam.beam import Beam
from mesh.apps.beam.registry import Wanted
from mesh.apps.beam.tunnel_server import PROBE_PROTOCOL, TUNNEL_PROTOCOL
from mesh.lab import missing_ability
from tools.bench import beam_places, beam_striping
from tools.bench.beam_network import Network, echo_service, first_byte, p95, until
from tools.bench.beam_paths import added_by_hops, stillness
from tools.bench.beam_routes import route_calculation
from tools.bench.beam_table import missed, renewed, table
from tools.bench.report import machine

ROUND_TRIPS: Final = 300
SETTLE_S: Final = 16.0
"""Rumours are told to newcomers for 15 s; who comes later has to ask."""
DELAY_MS: Final = 5.0


async def measure(
    nodes: int, services: int, late: int, settle_s: float = SETTLE_S, round_trips: int = ROUND_TRIPS
) -> dict[str, Any]:
    """All figures on loopback, in milliseconds where they are times."""
    found = await _network(nodes, services, late, settle_s)
    found |= await added_by_hops(round_trips) | await stillness()
    found["routing"], _ = route_calculation()
    one, two = await beam_striping.measure()
    return found | {"striping": two / one, "load": os.getloadavg()[0]}


async def _network(nodes: int, services: int, late: int, settle_s: float) -> dict[str, Any]:
    """A network as it grows, is used, and loses a provider."""
    chance = random.Random(1)
    async with Network() as network:
        for _ in range(nodes):
            await network.join()
        registered = [await _register(network, chance, f"app-{number}") for number in range(services)]
        times, spreads, busy = zip(*registered, strict=True)
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
            "registration": median(times),
            "registration_p95": p95(times),
            "registration_processor": median(busy),
            "spread": p95(spreads),
            "cold": median(cold),
            "cold_p95": p95(cold),
            "cached": p95(cached),
            "found_share": found / len(cold),
            "connections_median": median(connections),
            "connections_most": max(connections),
        } | figures


async def _register(network: Network, chance: random.Random, name: str) -> tuple[float, float, float]:
    """How long a majority took, how long it was until every node had heard of it, and the processor time of all nodes
    until the former; in ms. Nothing else goes on meanwhile: the gossip of the one before has come to rest."""
    owner = chance.choice(network.all)
    began, busy_s = time.perf_counter(), time.process_time()
    _, done = await owner.register(name, lambda service_id: Wanted(service_id, "http"))
    took_s, busy_s = time.perf_counter() - began, time.process_time() - busy_s
    assert done.told.reached
    place = f"{name}.local", owner.node.peer_id
    await until(lambda: all(each.table.get(*place) for each in network.all))
    spread_s = time.perf_counter() - began
    await asyncio.gather(*(each.gossip.neighbours.written() for each in network.all))
    return 1000 * took_s, 1000 * spread_s, 1000 * busy_s


async def _tunnels(network: Network) -> dict[str, float]:
    """Failover between providers, and what a tunnel adds."""
    one, two, client = network.all[1:4]
    async with echo_service() as port:
        await one.expose("echo", port, public=True)
        await one.names.allow("echo", two.node.peer_id)
        await two.expose("echo", port, public=True)
        tunnel = await client.open("echo")
        direct = await _round_trips("127.0.0.1", port)
        tunnelled = await _round_trips(tunnel.host, tunnel.port)
        silenced = next(each for each in (one, two) if each.node.peer_id == tunnel.provider)
        _silence(silenced, True)
        silent = await first_byte(tunnel.port)
        _silence(silenced, False)
        for peer in (one.node.peer_id, two.node.peer_id):
            client.watchman.health("echo.local", peer).answered(0.001, time.time())
        await first_byte(tunnel.port)
        ended = next(each for each in (one, two) if each.node.peer_id == tunnel.provider)
        await ended.node.swarm.close()
        closed = await first_byte(tunnel.port)
    return {
        "added": tunnelled - direct,
        "direct_round_trip": direct,
        "failover_silent": silent,
        "failover_closed": closed,
    }


def _silence(beam: Beam, on: bool) -> None:
    """Let a provider answer nothing to who opens a tunnel, whichever way, or let it answer again."""
    sessions = beam.routing.sessions
    if on:
        beam.server.stop()
        for protocol in (TUNNEL_PROTOCOL, PROBE_PROTOCOL):
            beam.node.handle(protocol, _say_nothing)
        sessions.serve(TUNNEL_PROTOCOL, _say_nothing)
    else:
        for protocol in (TUNNEL_PROTOCOL, PROBE_PROTOCOL):
            beam.node.unhandle(protocol)
        beam.server.start()
        sessions.serve(TUNNEL_PROTOCOL, beam.server.serve_from)


async def _say_nothing(*_: object) -> None:
    await asyncio.sleep(60)


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


async def _in_namespaces(options: argparse.Namespace) -> dict[str, Any]:
    with beam_places.laboratory(options.delay_ms) as spots:
        found = await beam_places.measure(
            spots, options.nodes, options.services, options.late, options.settle_s
        )
    return found | {"load": os.getloadavg()[0], "delay_ms": options.delay_ms}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; 1 when a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.beam")
    parser.add_argument("--nodes", type=int, default=30)
    parser.add_argument("--services", type=int, default=60)
    parser.add_argument("--late", type=int, default=5, help="nodes that join after the registrations")
    parser.add_argument("--settle-s", type=float, default=SETTLE_S, help="rest before they come")
    parser.add_argument("--namespaces", action="store_true", help="again in network namespaces")
    parser.add_argument("--delay-ms", type=float, default=DELAY_MS, help="of a place's line, each way")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="renew the table there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    options = parser.parse_args(arguments)
    grounds = {
        "on loopback": uvloop.run(measure(options.nodes, options.services, options.late, options.settle_s))
    }
    if options.namespaces and (why := missing_ability()):
        print(f"no namespaces: {why}", file=sys.stderr)
    elif options.namespaces:
        grounds["in namespaces"] = uvloop.run(_in_namespaces(options))
    print(table(grounds))
    if options.readme is not None:
        options.readme.write_text(renewed(options.readme.read_text(), table(grounds)))
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine(), "figures": grounds}, indent=1) + "\n")
    found = missed(grounds)
    for text in found:
        print(f"missed: {text}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
