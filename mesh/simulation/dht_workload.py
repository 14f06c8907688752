"""What nodes do while they are measured, and what came of it: lookups, registrations, discoveries, joins.

Half of the lookups are for random keys, half for peers. A lookup succeeds when it finds the true nearest of the nodes
that were there when it started and when it ended; a discovery when it finds the owner of a registered key. One operation
in four is cold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mesh.protocols.kademlia.quorum import Outcome
from mesh.protocols.kademlia.trace import Result
from mesh.simulation.dht_network import DhtNetwork, service_key
from mesh.simulation.dht_nodes import DhtNode
from mesh.simulation.dht_parameters import DhtParameters
from mesh.simulation.dht_search import Discovery, Registration, Search
from mesh.simulation.figures import share, spread_of

COLD_ONE_IN = 4


@dataclass
class LookupTally:
    """Of lookups, warm and cold; the same for both engines."""

    hops: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    warm_ms: list[float] = field(default_factory=list)
    cold_ms: list[float] = field(default_factory=list)
    succeeded: int = 0
    unanswered: int = 0

    def add(self, result: Result[int], latency_ms: float, cold: bool, found: bool, recall: float) -> None:
        """One lookup that is over; messages are requests and answers."""
        self.hops.append(result.hops)
        self.requests.append(result.requests)
        self.messages.append(result.requests + result.answers)
        self.recall.append(recall)
        self.unanswered += result.requests - result.answers
        (self.cold_ms if cold else self.warm_ms).append(latency_ms)
        self.succeeded += found

    @property
    def success(self) -> float:
        return share(self.succeeded, len(self.hops))

    def figures(self) -> dict[str, object]:
        """For a report; latencies in milliseconds."""
        return {
            "hops": spread_of(self.hops).rounded(),
            "requests": spread_of(self.requests).rounded(),
            "messages": spread_of(self.messages).rounded(),
            "unanswered_share": round(share(self.unanswered, sum(self.requests)), 4) if self.requests else 0,
            "success": round(self.success, 5),
            "recall_of_k_closest": round(sum(self.recall) / max(len(self.recall), 1), 5),
            "warm_ms": spread_of(self.warm_ms).rounded(),
            "cold_ms": spread_of(self.cold_ms).rounded(),
        }


@dataclass
class TimedTally:
    """Of registrations or discoveries."""

    warm_ms: list[float] = field(default_factory=list)
    cold_ms: list[float] = field(default_factory=list)
    started: int = 0
    succeeded: int = 0
    abandoned: int = 0
    """Whose node left meanwhile; they count neither way."""

    def add(self, latency_ms: float, cold: bool, success: bool) -> None:
        """One that is over; only a success has a latency."""
        self.succeeded += success
        if success:
            (self.cold_ms if cold else self.warm_ms).append(latency_ms)

    @property
    def success(self) -> float:
        return share(self.succeeded, self.started - self.abandoned)

    def figures(self) -> dict[str, object]:
        """For a report; latencies in milliseconds."""
        return {
            "success": round(self.success, 5),
            "warm_ms": spread_of(self.warm_ms).rounded(),
            "cold_ms": spread_of(self.cold_ms).rounded(),
        }


class Workload:
    """Operations at random instants of the measured time, by random nodes."""

    def __init__(self, network: DhtNetwork) -> None:
        self.network = network
        self.lookups = LookupTally()
        self.registrations = TimedTally()
        self.discoveries = TimedTally()
        parameters: DhtParameters = network.parameters
        self._settings = parameters.lookup_settings()
        self._store_settings = parameters.lookup_settings(follow_up=False)
        self._random = network.world.random("workload")
        self._services = 0
        self._registered: list[tuple[int, int]] = []
        self._pending: dict[int, tuple[Search, TimedTally]] = {}
        self._half_ttl_ms = int(parameters.ttl_s * 500)

    def run(self) -> None:
        """Let everything happen; virtual time passes, and a while for what was begun last."""
        network, parameters = self.network, self.network.parameters
        world, draw = network.world, self._random
        start_ms, span_ms = world.now_ms, int(parameters.minutes * 60_000)
        network.churn(start_ms + span_ms)
        for number in range(parameters.lookups):
            world.after(draw.randrange(span_ms), self._look_up, number % 2 == 1, number % COLD_ONE_IN == 0)
        for number in range(parameters.registrations):
            world.after(draw.randrange(span_ms), self._register, number % COLD_ONE_IN == 0)
        for number in range(parameters.discoveries):
            world.after(draw.randrange(span_ms), self._discover, number % COLD_ONE_IN == 0)
        world.run(start_ms + span_ms + 60_000)
        for search, tally in self._pending.values():
            tally.abandoned += not search.node.alive

    def _look_up(self, for_peer: bool, cold: bool) -> None:
        network, pick = self.network, self._random.randrange
        node = network.member(pick)
        target = network.member(pick).key if for_peer else self._random.getrandbits(256)
        k = self._settings.k
        before = set(network.nearest(target, k, node.number))

        def ended(search: Search) -> None:
            result = search.lookup.result()
            after = network.nearest(target, k, node.number)
            expected = [each for each in after if each in before]
            found = [each.peer for each in result.closest]
            hit = not expected or expected[0] in found
            recall = share(len(set(expected) & set(found)), len(expected))
            self.lookups.add(result, result.duration_s * 1000, cold, hit, recall)

        search = Search(network.world, network.exchanges, node, target, self._settings, ended, cold=cold)
        search.start()

    def _register(self, cold: bool) -> None:
        """A node registers a service of its own, and again after half its life."""
        node = self.network.member(self._random.randrange)
        self._services += 1
        key = service_key(self._services)

        def settled(registration: Registration) -> None:
            reached = registration.outcome is Outcome.REACHED
            self._close(registration, self.registrations, registration.completed_ms, cold, reached)
            if reached:
                self._registered.append((key, node.number))
                self.network.world.after(self._half_ttl_ms, self._repeat, key, node)

        self._open(self._registration(node, key, settled, cold), self.registrations)

    def _repeat(self, key: int, node: DhtNode) -> None:
        if not node.alive:
            return

        def settled(registration: Registration) -> None:
            self.network.world.after(self._half_ttl_ms, self._repeat, key, node)

        self._registration(node, key, settled, False).start()

    def _registration(
        self, node: DhtNode, key: int, settled: Callable[[Registration], None], cold: bool
    ) -> Registration:
        network = self.network
        return Registration(
            network.world, network.exchanges, node, key, self._store_settings, settled, cold=cold
        )

    def _discover(self, cold: bool) -> None:
        """A node that does not hold the answer itself looks for the owner of a service."""
        network, pick = self.network, self._random.randrange
        if not self._registered:
            network.world.after(1000, self._discover, cold)
            return
        key, owner = self._registered[pick(len(self._registered))]
        node = network.member(pick)
        while node.number == owner or key in node.held:
            node = network.member(pick)

        def ended(discovery: Discovery) -> None:
            found = owner in discovery.owners
            self._close(discovery, self.discoveries, discovery.elapsed_ms, cold, found)

        discovery = Discovery(network.world, network.exchanges, node, key, self._settings, ended, cold=cold)
        self._open(discovery, self.discoveries)

    # --- accounts ----------------------------------------------------------------------------------------------------

    def _open(self, search: Search, tally: TimedTally) -> None:
        tally.started += 1
        self._pending[id(search)] = search, tally
        search.start()

    def _close(self, search: Search, tally: TimedTally, latency_ms: float, cold: bool, success: bool) -> None:
        del self._pending[id(search)]
        tally.add(latency_ms, cold, success)
