"""Beam in virtual time: its registry calm, under churn and with attackers among the nodes, its routes among attackers.

Registry. Nodes are those of the DHT's simulation, with the real table, lookups, placement and quorum; a registration is a
signed record at the 20 closest, a discovery ends with the first record whose signature holds. An attacker acknowledges
what it is given and keeps nothing, gives forged records, and names attackers alone as closer peers, the nearest of all
there are. Success counts honest nodes alone: attackers neither register nor ask.

Routes. Nodes are connected at random, hear gossip and tell of links with the real machines: signed messages, their
judgement, spread, detectors, route table, places for chains, reservations. Honest ones open connections to providers that
they cannot dial, half of those with reservations at two relays, half with none, and send bytes that have to come back:
the first within 3 s, which a tunnel gives a provider. Of the attackers a fifth each are black holes, tell of false links
and forge those of others, lead routes in loops, hoard chains and reservations, and flood gossip.

Failover. A download by the first of two paths, until that one is closed or falls silent; the longest time without a byte.
"""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from mesh.errors import UsageError
from mesh.protocols.kademlia import Candidate
from mesh.simulation.beam_attacks import failover_lines, routing
from mesh.simulation.beam_attacks import lines as routing_lines
from mesh.simulation.beam_failover import failovers, route_calculation
from mesh.simulation.beam_routing import RoutingParameters
from mesh.simulation.dht_network import DhtNetwork
from mesh.simulation.dht_nodes import FORGED, Answer, DhtNode, Request
from mesh.simulation.dht_parameters import DhtParameters
from mesh.simulation.dht_workload import Workload
from mesh.simulation.figures import spread_of

HARSH_MS: Final = 60_000
FAILOVERS: Final = 40
LATENCY_MS: Final = 50.0
_NOTHING: Final = Answer([])


@dataclass(frozen=True, slots=True)
class BeamParameters:
    """Three runs of the registry with the same seed, and runs about routes. Raises UsageError for values that make no
    sense."""

    peers: int = 1000
    seed: int = 1
    operations: int = 400
    """Lookups of a run; a quarter as many registrations, half as many discoveries."""
    minutes: float = 5.0
    """Virtual time that is measured."""
    attackers: float = 0.1
    """Share of attackers in the runs that have some."""
    routers: int = 150
    """Nodes of the runs about routes, in which all hear everything; 0 for no such runs."""
    uses: int = 200
    """Connections that honest nodes open in each of them."""
    seeds: int = 1
    """Of the runs about routes, each with the next seed."""

    def __post_init__(self) -> None:
        if not 0 <= self.attackers <= 0.5:
            raise UsageError(f"attackers is {self.attackers}, a share of 0 to 0.5")
        if self.routers:
            self.of_routes()

    def of_routes(self) -> RoutingParameters:
        """What the runs about routes take."""
        return RoutingParameters(
            peers=self.routers,
            seed=self.seed,
            attackers=self.attackers,
            uses=self.uses,
            minutes=min(self.minutes, 2.0),
            latency_ms=LATENCY_MS,
        )

    def of_run(self, churn: float) -> DhtParameters:
        """What the DHT's simulation takes."""
        return DhtParameters(
            peers=self.peers, seed=self.seed, lookups=self.operations, minutes=self.minutes, churn=churn
        )


class Attacker(DhtNode):
    """``others`` are the attackers by their keys, in order."""

    __slots__ = ("_others",)

    def __init__(
        self, parameters: DhtParameters, number: int, now_s: float, others: list[tuple[int, Candidate[int]]]
    ) -> None:
        super().__init__(parameters, number, now_s)
        self._others = others
        insort(others, (self.key, self.candidate))

    def serve(self, request: Request, key: int, asker: Candidate[int], now_ms: int) -> Answer:
        if request in (Request.PING, Request.PUT):
            return _NOTHING
        near = sorted(self._others, key=lambda each: each[0] ^ key)[: self.k]
        closer = [candidate for _, candidate in near if candidate.peer != asker.peer]
        return Answer(closer, (FORGED,) if request is Request.GET else ())


class BeamNetwork(DhtNetwork):
    """``attackers`` is their share of all nodes, ``harsh`` replaces a fifth of the nodes within the first minute."""

    def __init__(self, parameters: DhtParameters, attackers: float, harsh: bool) -> None:
        self._share = attackers
        self._harsh = harsh
        self._hostile: list[tuple[int, Candidate[int]]] = []
        super().__init__(parameters)
        self._nature = self.world.random("nature")

    def make(self, number: int) -> DhtNode:
        hostile = number >= self.parameters.bootstrap_peers and self._nature.random() < self._share
        if not hostile:
            return super().make(number)
        return Attacker(self.parameters, number, self.world.now_s, self._hostile)

    def leave(self, number: int) -> None:
        node = self.nodes[number]
        super().leave(number)
        if isinstance(node, Attacker):
            self._hostile.remove((node.key, node.candidate))

    def member(self, pick: Callable[[int], int]) -> DhtNode:
        while isinstance(found := super().member(pick), Attacker):
            continue
        return found

    def churn(self, until_ms: int) -> None:
        if not self._harsh:
            super().churn(until_ms)
            return
        for _ in range(round(self.parameters.peers / 5)):
            self.world.after(self._churn.randrange(HARSH_MS), self._replace)


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one; times in ms, joins in s."""

    name: str
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BeamReport:
    """All runs."""

    parameters: BeamParameters
    runs: tuple[Run, ...]
    routes: dict[str, Any]
    """Of `routing`, `failovers` and, where there was a clock, `route_calculation`."""

    def to_dict(self) -> dict[str, object]:
        return {
            "parameters": asdict(self.parameters),
            "runs": {each.name: each.figures for each in self.runs},
            "routes": self.routes,
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1) + "\n"

    def lines(self) -> Iterator[str]:
        """A table: targets as columns, runs as rows."""
        yield "| run | discovery | p99 | success (> 98 %) | registration (< 500 ms) | success | join p99 (< 10 s) |"
        yield "|---|---:|---:|---:|---:|---:|---:|"
        for run in self.runs:
            found, kept, joins = (run.figures[key] for key in ("discoveries", "registrations", "joins_s"))
            yield (
                f"| {run.name} | {found['warm_ms']['median']:.0f} ms | {found['warm_ms']['p99']:.0f} ms"
                f" | {found['success']:.2%} | {kept['warm_ms']['median']:.0f} ms | {kept['success']:.2%}"
                f" | {joins['p99']:.2f} s |"
            )
        if self.routes:
            yield ""
            yield from routing_lines(self.routes["routing"])
            yield ""
            yield from failover_lines(self.routes)

    def to_markdown(self) -> str:
        parameters = self.parameters
        command = (
            f"mesh simulate beam --peers {parameters.peers} --seed {parameters.seed} --operations {parameters.operations}"
            f" --minutes {parameters.minutes:g} --attackers {parameters.attackers:g} --routers {parameters.routers}"
            f" --uses {parameters.uses} --seeds {parameters.seeds}"
        )
        text = (__doc__ or "").partition("\n\n")
        head = f"# {text[0].rstrip('.')}\n\n```console\n$ {command}\n```\n\n{text[2].strip()}\n\n"
        return head + "\n".join(self.lines()) + "\n"


def run(
    parameters: BeamParameters,
    tell: Callable[[str], None] | None = None,
    clock: Callable[[], float] | None = None,
) -> BeamReport:
    """A fifth replaced in an hour, a fifth within a minute, and attackers while a fifth is replaced in an hour; routes
    with and without attackers. ``clock`` gives seconds of processor time, by which ranking routes is measured."""
    told = tell or _quiet
    runs = []
    for name, attackers, harsh in (
        ("20 % replaced an hour", 0.0, False),
        ("20 % replaced within 60 s", 0.0, True),
        (f"{parameters.attackers:.0%} attackers, 20 % replaced an hour", parameters.attackers, False),
    ):
        told(name)
        runs.append(Run(name, _figures(BeamNetwork(parameters.of_run(0.2), attackers, harsh))))
    routes: dict[str, Any] = {}
    if parameters.routers:
        routes["routing"] = routing(parameters.of_routes(), parameters.seeds, told, clock)
        told("failover")
        routes["failover"] = failovers(parameters.seed, FAILOVERS, LATENCY_MS)
        if clock is not None:
            routes["route_calculation"] = route_calculation(parameters.seed, clock)
    return BeamReport(parameters, tuple(runs), routes)


def _quiet(_line: str) -> None:
    """Nobody listens."""


def _figures(network: BeamNetwork) -> dict[str, Any]:
    network.build()
    workload = Workload(network)
    workload.run()
    return {
        "discoveries": workload.discoveries.figures(),
        "registrations": workload.registrations.figures(),
        "lookups": workload.lookups.figures(),
        "joins_s": spread_of(took / 1000 for _, took in network.joins_ms).rounded(),
        "departures": network.departures,
        "attackers": sum(isinstance(each, Attacker) for each in network.nodes.values()),
    }
