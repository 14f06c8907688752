"""One experiment from parameters to report."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from mesh.simulation.compact_dht import CompactDht
from mesh.simulation.compact_tables import require_numpy
from mesh.simulation.comparison import compare
from mesh.simulation.dht_network import DhtNetwork
from mesh.simulation.dht_parameters import DhtParameters
from mesh.simulation.dht_workload import Workload
from mesh.simulation.figures import spread_of
from mesh.simulation.report import Machine, Report

Engine = Literal["auto", "nodes", "compact"]
Tell = Callable[[str], None]

MOST_FULL_NODES = 2000
"""`auto` takes full nodes up to this many peers."""

COMPARED_PEERS = 1000


def simulate(
    parameters: DhtParameters, engine: Engine = "auto", *, comparison: bool = False, tell: Tell | None = None
) -> Report:
    """Run one experiment. Raises UsageError when it needs numpy and that is not installed.

    `comparison` runs both engines on the same seed as well, with 1,000 peers at most for the compact one; `tell` gets a
    line for each stage.
    """
    say = tell or _quiet
    began_s = time.monotonic()
    if engine == "auto":
        engine = "nodes" if parameters.peers <= MOST_FULL_NODES else "compact"
    if engine == "compact" or comparison:
        require_numpy()
    stages: dict[str, float] = {}
    rows: list[dict[str, object]] = []
    if engine == "nodes":
        workload, figures = _run_nodes(parameters, stages, say)
        if comparison:
            rows = _compare(parameters, workload, stages, say)
    else:
        figures = _run_compact(parameters, stages, say)
        if comparison:
            small = replace(
                parameters,
                peers=min(parameters.peers, COMPARED_PEERS),
                lookups=min(parameters.lookups, 2 * COMPARED_PEERS),
            )
            workload, _ = _run_nodes(small, stages, say)
            rows = _compare(small, workload, stages, say)
    machine = Machine(time.monotonic() - began_s, stages, _peak_mib(), sys.version.split()[0])
    return Report(engine, parameters.listed(), figures, rows, machine)


def _run_nodes(
    parameters: DhtParameters, stages: dict[str, float], say: Tell
) -> tuple[Workload, dict[str, object]]:
    say(f"{parameters.peers} nodes join")
    began_s = time.monotonic()
    network = DhtNetwork(parameters)
    network.build()
    stages["nodes: join"] = time.monotonic() - began_s
    say(f"{parameters.minutes:g} minutes of virtual time")
    began_s = time.monotonic()
    measured_from_ms = network.world.now_ms
    stale_before = network.stale_share()
    counts_before = network.exchanges.counts.copy()
    workload = Workload(network)
    workload.run()
    stages["nodes: measure"] = time.monotonic() - began_s
    stages["nodes: events per second"] = round(network.world.events / max(sum(stages.values()), 0.001))
    counts = network.exchanges.counts - counts_before
    minutes = (network.world.now_ms - measured_from_ms) / 60_000
    joins = [took / 1000 for at, took in network.joins_ms if at > measured_from_ms]
    kept = network.kept_connections()
    probes_a_minute = 2 * kept * 60 / parameters.keepalive_s if parameters.keep_warm else 0.0
    figures: dict[str, object] = {
        "lookups": workload.lookups.figures(),
        "registrations": workload.registrations.figures(),
        "discoveries": workload.discoveries.figures(),
        "joins_s": spread_of(joins).rounded(),
        "joins_of_the_build_s": spread_of(
            took / 1000 for at, took in network.joins_ms if at <= measured_from_ms
        ).rounded(),
        "network": {
            "virtual_minutes": round(minutes, 3),
            "nodes": len(network.nodes),
            "departures": network.departures,
            "table_members_mean": round(network.mean_table(), 2),
            "stale_share_of_entries": [round(stale_before, 5), round(network.stale_share(), 5)],
            "kept_connections_of_a_node": round(kept, 2) if parameters.keep_warm else 0,
            "messages_a_minute_and_node": {
                name: round(count / minutes / parameters.peers, 3) for name, count in sorted(counts.items())
            },
            "keepalive_messages_a_minute_and_node": round(probes_a_minute, 1),
        },
    }
    return workload, figures


def _run_compact(parameters: DhtParameters, stages: dict[str, float], say: Tell) -> dict[str, object]:
    say(f"tables of {parameters.peers} peers")
    began_s = time.monotonic()
    network = CompactDht(parameters)
    stages["compact: tables"] = time.monotonic() - began_s
    say(f"{parameters.lookups} lookups")
    began_s = time.monotonic()
    tally = network.run()
    took_s = time.monotonic() - began_s
    stages["compact: lookups"] = took_s
    stages["compact: lookups per second"] = round(parameters.lookups / max(took_s, 0.001))
    return {
        "lookups": tally.figures(),
        "network": {
            "peers_and_ghosts": network.tables.peers,
            "stored_levels": network.tables.levels,
            "table_mib": round(network.tables.bytes / 2**20, 1),
        },
    }


def _compare(
    parameters: DhtParameters, workload: Workload, stages: dict[str, float], say: Tell
) -> list[dict[str, object]]:
    say(f"both engines with {parameters.peers} peers")
    began_s = time.monotonic()
    stale = None if parameters.keep_warm else workload.network.stale_share()
    compact = CompactDht(parameters, stale).run()
    stages["comparison"] = time.monotonic() - began_s
    return [each.row() for each in compare(workload.lookups, compact)]


def _peak_mib() -> float:
    """The most memory this process has had; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def _quiet(line: str) -> None:
    """Nobody wants to know."""
