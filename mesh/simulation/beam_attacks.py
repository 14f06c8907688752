"""Routes among attackers: uses that succeed, with and without attackers, and what became of each kind of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from statistics import median
from typing import Any, Final

from mesh.simulation.beam_hostile import KINDS
from mesh.simulation.beam_nodes import HONEST
from mesh.simulation.beam_routing import RoutingNetwork, RoutingParameters
from mesh.simulation.beam_uses import Uses
from mesh.simulation.figures import spread_of

LEAST_SUCCESS: Final = 0.95
RANKING: Final = 30
"""Nodes whose ranking is measured."""


def routing(
    parameters: RoutingParameters,
    seeds: int,
    tell: Callable[[str], None],
    clock: Callable[[], float] | None = None,
) -> dict[str, Any]:
    """Runs with and without attackers, each seed after the other; figures of each, and what attackers came to in all.
    By ``clock``, if there is one, it is measured how long nodes of the last network take to rank routes."""
    runs: dict[str, Any] = {}
    totals: dict[str, Counter[tuple[str, str]]] = {
        name: Counter() for name in ("tried", "refused", "alerts", "blamed")
    }
    network: RoutingNetwork | None = None
    for seed, attackers in product(
        range(parameters.seed, parameters.seed + seeds), (0.0, parameters.attackers)
    ):
        name = f"seed {seed}, {attackers:.0%} attackers"
        tell(f"routes: {name}")
        network = RoutingNetwork(replace(parameters, seed=seed, attackers=attackers))
        uses = Uses(network)
        uses.run()
        runs[name] = {"seed": seed, "attackers": len(network.hostile), **uses.figures()}
        if attackers:
            totals["tried"] += network.attempts
            totals["refused"] += network.refusals
            totals["alerts"] += network.alerts
            totals["blamed"] += Counter({(kind, "times"): n for kind, n in network.blamed.items()})
    assert network is not None
    kinds = (*(each.kind for each in KINDS), HONEST)
    found: dict[str, Any] = {
        "runs": runs,
        "kinds": {kind: _of(kind, totals) for kind in kinds},
        "connections": spread_of(len(each.neighbours) for each in network.honest).rounded(),
    }
    if clock is not None:
        found["calculation"] = _calculation(network, clock)
    return found


def _calculation(network: RoutingNetwork, clock: Callable[[], float]) -> dict[str, Any]:
    """How long nodes take to rank the routes to a provider by all that they have heard, in ms."""
    taken, links, routes = [], [], []
    for node in network.honest[:RANKING]:
        provider = max(
            network.providers, key=lambda each: each.peer not in node.neighbours and each is not node
        )
        node.routes(provider.peer)
        own = node.qualities()
        began = clock()
        routes.append(len(node.table.routes(provider.peer, own, network.world.now_s)))
        taken.append(1000 * (clock() - began))
        links.append(len(node.table))
    return {
        "ms": spread_of(taken).rounded(),
        "links": round(median(links)),
        "routes": round(median(routes)),
    }


def lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """Two tables: runs, and kinds of attackers."""
    yield "| routes | uses | success (> 95 %) | first byte | p99 | paths lost on the way |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, run in figures["runs"].items():
        first = run["first_byte_ms"]
        yield (
            f"| {name} | {run['uses']} | {run['success']:.2%} | {first['median']:.0f} ms | {first['p99']:.0f} ms"
            f" | {run['paths_lost']} |"
        )
    yield ""
    yield "| kind | did | refused | alerts raised | blamed by who used them |"
    yield "|---|---|---|---|---:|"
    for kind, found in figures["kinds"].items():
        blamed = found["blamed"].get("times", 0)
        row = [_listed(found[name]) for name in ("tried", "refused", "alerts")]
        yield f"| {kind} | {' | '.join(row)} | {blamed} |"


def failover_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """Each target beside what was measured."""
    yield "| target | goal | median | worst |"
    yield "|---|---:|---:|---:|"
    for name, goal, of in (
        ("failover after a closed connection", "< 1 s", figures["failover"]["closed_ms"]),
        ("failover when a path falls silent", "< 5 s", figures["failover"]["silent_ms"]),
    ):
        yield f"| {name} | {goal} | {of['median'] / 1000:.2f} s | {of['max'] / 1000:.2f} s |"
    ranked = figures.get("route_calculation")
    if ranked is not None:
        what = f"ranking {ranked['routes']:,} routes among {ranked['links']:,} links"
        yield f"| {what}, processor time | < 100 ms (aim < 5 ms) | {ranked['median_ms']:.2f} ms | |"
    heard = figures["routing"].get("calculation")
    if heard is not None:
        what = (
            f"ranking {heard['routes']:,} routes among {heard['links']:,} links heard of in the last network"
        )
        taken = heard["ms"]
        yield f"| {what} | < 100 ms | {taken['median']:.2f} ms | {taken['max']:.2f} ms |"
    connected = figures["routing"]["connections"]
    yield f"| connections of a node | 25-50 | {connected['median']:.0f} | {connected['max']:.0f} |"


def _of(kind: str, totals: Mapping[str, Counter[tuple[str, str]]]) -> dict[str, dict[str, int]]:
    return {
        name: {what: count for (of, what), count in sorted(counted.items()) if of == kind}
        for name, counted in totals.items()
    }


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{what} {count:,}" for what, count in counts.items()) or "-"
