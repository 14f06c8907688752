"""GossipSub in virtual time from parameters to report: the real router at every node."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from mesh.simulation.figures import spread_of
from mesh.simulation.gossip_figures import Delivery, Standing, delivery_of, figures_of, standing_of
from mesh.simulation.gossip_network import GossipNetwork
from mesh.simulation.gossip_parameters import THRESHOLDS, TOPIC, GossipParameters
from mesh.simulation.gossip_report import GossipReport
from mesh.simulation.report import Machine

Tell = Callable[[str], None]

_STEP_MS = 10_000


def simulate(parameters: GossipParameters, tell: Tell | None = None) -> GossipReport:
    """Run one experiment, once with each seed. The figures are those of the first seed, and some of all of them.

    `tell` gets a line now and then.
    """
    say = tell or _quiet
    began_s = time.monotonic()
    figures: dict[str, dict[str, object]] = {}
    deliveries: list[Delivery] = []
    events = 0
    for seed in range(parameters.seed, parameters.seed + parameters.seeds):
        standings: list[Standing] = []
        network = run(parameters.with_seed(seed), standings, say if parameters.seeds == 1 else _quiet)
        events += network.world.events
        deliveries.append(delivery_of(network, network.honest, network.tally.courses))
        if not figures:
            figures = figures_of(network, standings)
        if parameters.seeds > 1:
            say(f"seed {seed}: {deliveries[-1].ratio:.4%} delivered")
        del network
    if parameters.seeds > 1:
        figures["all_seeds"] = _all(deliveries)
    took_s = time.monotonic() - began_s
    stages = {"events per second": events / max(took_s, 0.001)}
    machine = Machine(took_s, stages, _peak_mib(), sys.version.split()[0])
    return GossipReport(parameters.listed(), score_table(parameters), figures, machine)


def run(
    parameters: GossipParameters, standings: list[Standing] | None = None, tell: Tell | None = None
) -> GossipNetwork:
    """One network from its building to the end of its time; only the first seed counts.

    To `standings` is added how attackers stand, every ten seconds and at the end.
    """
    say = tell or _quiet
    with _without_collector():
        say(f"{parameters.peers} nodes, {parameters.attacker_count} attackers")
        network = GossipNetwork(parameters)
        network.build()
        world = network.world
        world.run(parameters.first_message_ms - 1)
        network.streams.count_anew()
        for until_ms in [*range(_STEP_MS, parameters.end_ms, _STEP_MS), parameters.end_ms]:
            world.run(max(until_ms, world.now_ms))
            if standings is not None and parameters.attacker_count:
                standings.append(standing_of(network))
            say(f"{world.now_ms / 1000:.0f} of {parameters.end_ms / 1000:.0f} s")
    return network


def score_table(parameters: GossipParameters) -> dict[str, object]:
    """Settings of scores and thresholds by name; nothing when none are kept."""
    if not parameters.scored:
        return {}
    settings = asdict(parameters.score_settings())
    topic = settings.pop("topics")[TOPIC]
    thresholds = {f"{name}_threshold": value for name, value in asdict(THRESHOLDS).items()}
    return {name: _rounded(value) for name, value in {**topic, **settings, **thresholds}.items()}


def _rounded(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else value


def _all(deliveries: list[Delivery]) -> dict[str, object]:
    ratios = [each.ratio for each in deliveries]
    return {
        "seeds": len(deliveries),
        "seeds_with_every_delivery": sum(1 for each in deliveries if each.delivered == each.pairs),
        "messages": sum(each.messages for each in deliveries),
        "messages_not_all_got": sum(each.messages - each.complete for each in deliveries),
        "least_delivery_ratio": round(min(ratios), 6),
        "delivery_ratio": dict(spread_of(ratios).rounded(6)),
    }


@contextmanager
def _without_collector() -> Iterator[None]:
    """Millions of objects live as long as the run, and next to no garbage has cycles: looking for it only takes time."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


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
