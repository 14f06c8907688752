"""How far a rumour gets: the real engine (`mesh.protocols.gossip.spread`) at every node, one rumour a seed.

Every node knows all others. Time goes in rounds, and each message takes one: a rumour, a digest, the answer to it, a
request. Each seed is run twice, with push alone and with pull repair beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

from mesh.errors import UsageError
from mesh.protocols.gossip.rumours import REACH, Kind, Rumour
from mesh.protocols.gossip.spread import Spread, SpreadSettings
from mesh.simulation.figures import spread_of
from mesh.simulation.seeds_report import SeedsReport
from mesh.simulation.world import World

ROUND_MS = 1000

SHOWN_ROUNDS = 8

MAX_ROUNDS = 16
"""A run that is to reach everyone is given up after so many."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PushParameters:
    """What is simulated. Raises UsageError for what cannot be."""

    peers: int = 1000
    seed: int = 1
    """The first of them."""
    seeds: int = 20
    fanout: int = 6
    hops: int = 8
    repair_fanout: int = 1
    """Neighbours that each node tells its digest each round."""

    def __post_init__(self) -> None:
        if self.peers < 2 or self.seeds < 1:
            raise UsageError("two peers and one seed at least")

    def settings(self) -> SpreadSettings:
        """Of every node: the defaults, but for fanout and hops."""
        reach = dict(REACH)
        reach[Kind.ANNOUNCE] = replace(reach[Kind.ANNOUNCE], fanout=self.fanout, hops=self.hops)
        return SpreadSettings(reach=MappingProxyType(reach), repair_fanout=self.repair_fanout)


class PushNetwork:
    """Nodes that have heard nothing yet, and what is on its way between them. `repair` lets them tell digests."""

    def __init__(
        self, settings: SpreadSettings, neighbours: Sequence[Sequence[int]], seed: int, repair: bool
    ) -> None:
        self.world = World(seed)
        self.repair = repair
        self.heard = 0
        """Nodes that have the rumour."""
        self.messages = 0
        """Of all sorts."""
        self._neighbours = neighbours
        rng = self.world.random("push")
        self.nodes: list[Spread[int]] = [Spread(settings, rng, 0.0) for _ in neighbours]

    def start(self, origin: int) -> None:
        """Let one node begin a rumour; it leaves in the next round."""
        rumour = Rumour(b"rumour", origin, Kind.ANNOUNCE, b"")
        self._send_on(
            origin, rumour.id, self.nodes[origin].start(rumour, self._neighbours[origin], self.world.now_s)
        )
        self.heard += 1

    def round(self) -> None:
        """Nodes tell their digests; then all that was sent by now arrives."""
        if self.repair:
            for number, node in enumerate(self.nodes):
                digest = node.digest(self.world.now_s)
                for partner in node.repair_partners(self._neighbours[number]):
                    self._send(self._digest, number, partner, digest)
        self.world.run(self.world.now_ms + ROUND_MS)

    def count(self, name: str) -> int:
        """One of the engine's counters, summed over all nodes."""
        return sum(node.counts[name] for node in self.nodes)

    def _send(
        self, arrive: Callable[[int, int, list[bytes]], None], source: int, to: int, ids: list[bytes]
    ) -> None:
        self.messages += 1
        self.world.after(ROUND_MS, arrive, source, to, ids)

    def _send_on(self, source: int, rumour_id: bytes, peers: Iterable[int]) -> None:
        rumour = self.nodes[source].rumour(rumour_id)
        if rumour is not None:
            for peer in peers:
                self._send_rumour(source, peer, rumour)

    def _send_rumour(self, source: int, to: int, rumour: Rumour[int]) -> None:
        self.messages += 1
        self.world.after(ROUND_MS, self._rumour, source, to, rumour)

    def _rumour(self, source: int, to: int, rumour: Rumour[int]) -> None:
        chosen = self.nodes[to].receive(source, rumour, self._neighbours[to], self.world.now_s)
        if chosen is not None:
            self.heard += 1
            self._send_on(to, rumour.id, chosen)

    def _digest(self, source: int, to: int, ids: list[bytes]) -> None:
        node = self.nodes[to]
        missing, unmentioned = node.missing(ids), node.unmentioned(ids, self.world.now_s)
        if missing:
            self._send(self._request, to, source, missing)
        if unmentioned:
            self._send(self._offer, to, source, unmentioned)

    def _offer(self, source: int, to: int, ids: list[bytes]) -> None:
        missing = self.nodes[to].missing(ids)
        if missing:
            self._send(self._request, to, source, missing)

    def _request(self, source: int, to: int, ids: list[bytes]) -> None:
        for rumour in self.nodes[to].held(ids):
            self._send_rumour(to, source, rumour)


@dataclass(frozen=True, slots=True)
class SeedResult:
    """One rumour. `reach` is the share of nodes that have it after each round; `complete_after` the round in which the
    last one got it, None when some never did."""

    reach: tuple[float, ...]
    complete_after: int | None
    copies: int
    messages: int
    given: int


def run(parameters: PushParameters, tell: Tell | None = None) -> SeedsReport:
    """One rumour a seed, from a random node, pushed and then pushed with repair; `tell` gets a line now and then."""
    began_s = time.monotonic()
    everyone = range(parameters.peers)
    neighbours = [[peer for peer in everyone if peer != own] for own in everyone]
    settings = parameters.settings()
    results: dict[bool, list[SeedResult]] = {False: [], True: []}
    for done in range(parameters.seeds):
        for repair, found in results.items():
            found.append(run_seed(settings, neighbours, parameters.seed + done, repair))
        if tell is not None and (done + 1) % 100 == 0:
            tell(f"{done + 1} of {parameters.seeds} seeds")
    figures = {
        "push_alone": _figures(parameters, results[False]),
        "push_with_repair": _figures(parameters, results[True]),
    }
    title = f"Push gossip among {parameters.peers:,} nodes"
    return SeedsReport("push", title, asdict(parameters), figures, time.monotonic() - began_s)


def run_seed(
    settings: SpreadSettings, neighbours: Sequence[Sequence[int]], seed: int, repair: bool
) -> SeedResult:
    """One rumour until `SHOWN_ROUNDS` are over; with repair until everyone has it, but `MAX_ROUNDS` at most."""
    network = PushNetwork(settings, neighbours, seed, repair)
    peers = len(neighbours)
    network.start(network.world.random("origin").randrange(peers))
    reach: list[float] = []
    complete_after: int | None = None
    while len(reach) < SHOWN_ROUNDS or (repair and complete_after is None and len(reach) < MAX_ROUNDS):
        network.round()
        reach.append(network.heard / peers)
        if network.heard == peers and complete_after is None:
            complete_after = len(reach)
    return SeedResult(
        tuple(reach), complete_after, network.count("passed_on"), network.messages, network.count("given")
    )


def _figures(parameters: PushParameters, results: Sequence[SeedResult]) -> dict[str, object]:
    rounds = range(SHOWN_ROUNDS)
    complete = [each.complete_after for each in results if each.complete_after is not None]
    return {
        "mean_reach_after_each_round": [
            round(sum(each.reach[number] for each in results) / len(results), 6) for number in rounds
        ],
        "least_reach_after_each_round": [min(each.reach[number] for each in results) for number in rounds],
        "seeds_complete_after_each_round": [
            sum(1 for each in complete if each <= number + 1) for number in rounds
        ],
        "seeds_complete": len(complete),
        "rounds_to_all_of_complete_seeds": spread_of(complete).rounded(),
        f"copies_a_node_in_{SHOWN_ROUNDS}_rounds": spread_of(
            each.copies / parameters.peers for each in results
        ).rounded(),
        "messages_a_node": spread_of(each.messages / parameters.peers for each in results).rounded(),
        "rumours_given_on_request_a_node": spread_of(
            each.given / parameters.peers for each in results
        ).rounded(),
    }
