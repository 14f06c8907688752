"""A population of Kademlia nodes: how they join, are kept up, and leave.

Everyone knows the bootstrap peers, which were there first and never leave. A newcomer connects to them, looks its own
key up, and has joined when that was answered; then it looks up a key of each bucket, and again whenever its `Refresh`
says so.
Churn takes random nodes away at random instants, and a newcomer starts at the same instant.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable

from mesh.protocols.kademlia import key_of
from mesh.protocols.kademlia.refresh import BucketRefresh, Due, OwnNeighbourhood, key_in_bucket
from mesh.simulation.dht_exchange import Exchanges
from mesh.simulation.dht_nodes import DhtNode, Request
from mesh.simulation.dht_parameters import DhtParameters
from mesh.simulation.dht_search import Search
from mesh.simulation.links import Latency, Links
from mesh.simulation.world import World

_UPKEEP_MS = 60_000
_GATHER_MS = 250
"""After the first bootstrap peer has answered the others have this long: a lookup with one seed hangs by one thread."""
_RETRY_MS = 1_000
"""How soon a newcomer that reached nobody tries again."""


class DhtNetwork:
    """Nodes in a world. `nodes` has those that are there, by number."""

    def __init__(self, parameters: DhtParameters) -> None:
        self.parameters = parameters
        self.world = World(parameters.seed)
        self.links = Links(
            self.world,
            Latency(parameters.latency_ms, parameters.spread, parameters.seed),
            parameters.loss,
        )
        self.nodes: dict[int, DhtNode] = {}
        self.exchanges = Exchanges(self.world, self.links, self.nodes, parameters)
        self.joins_ms: list[tuple[int, int]] = []
        """When each join was complete, and how long it took."""
        self.departures = 0
        self._settings = parameters.lookup_settings()
        self._entropy = self.world.random("refresh")
        self._churn = self.world.random("churn")
        self._members: list[int] = []
        self._keys: list[tuple[int, int]] = []
        self._made = 0

    # --- population --------------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Let everyone join, one after the other; virtual time passes, and a settling time after the last."""
        parameters = self.parameters
        for number in range(parameters.peers):
            self.world.at(number * parameters.join_interval_ms, self.join)
        last_ms = parameters.peers * parameters.join_interval_ms
        self.world.run(last_ms + int(parameters.settle_s * 1000))

    def churn(self, until_ms: int) -> None:
        """Schedule departures from now until then, each replaced by a newcomer."""
        span_ms = until_ms - self.world.now_ms
        expected = self.parameters.peers * self.parameters.churn * span_ms / 3_600_000
        for _ in range(round(expected)):
            self.world.after(self._churn.randrange(span_ms), self._replace)

    def join(self) -> None:
        """One more node starts."""
        node = self.make(self._made)
        self._made += 1
        self.nodes[node.number] = node
        self._members.append(node.number)
        self._bootstrap(node, self.world.now_ms)

    def make(self, number: int) -> DhtNode:
        """The node that joins next."""
        return DhtNode(self.parameters, number, self.world.now_s)

    def leave(self, number: int) -> None:
        """A node is gone, without a word; those that keep a connection to it notice when it does not answer a probe."""
        node = self.nodes.pop(number)
        node.alive = False
        self.departures += 1
        at = self._members.index(number)
        self._members[at] = self._members[-1]
        self._members.pop()
        if node.joined:
            del self._keys[bisect_left(self._keys, (node.key, number))]
        parameters = self.parameters
        period, limit = int(parameters.keepalive_s * 1000), int(parameters.keepalive_limit_s * 1000)
        for other in list(self.nodes.values()):
            if parameters.keep_warm and number in other.table:
                self.world.after(self._churn.randrange(period) + limit, self._notice, other, number)
        self.exchanges.forget(number, list(self.nodes))

    def member(self, pick: Callable[[int], int]) -> DhtNode:
        """A node that has joined; `pick` gives a number below its argument."""
        return self.nodes[self._keys[pick(len(self._keys))][1]]

    def nearest(self, target: int, count: int, without: int) -> list[int]:
        """The true answer: the nodes closest to a key that have joined, the asker left out."""
        keys = self._keys
        bits = 256
        low, high = 0, len(keys)
        # The smallest subtree around the target that holds enough of them.
        while bits:
            base = target >> (bits - 1) << (bits - 1)
            inner_low = bisect_left(keys, (base, -1), low, high)
            inner_high = bisect_left(keys, (base + (1 << (bits - 1)), -1), low, high)
            if inner_high - inner_low <= count:
                break
            low, high, bits = inner_low, inner_high, bits - 1
        found = sorted((key ^ target, number) for key, number in keys[low:high] if number != without)
        return [number for _, number in found[:count]]

    def stale_share(self) -> float:
        """The share of table entries whose node is gone."""
        gone = entries = 0
        for node in self.nodes.values():
            entries += len(node.table)
            gone += sum(entry.peer not in self.nodes for entry in node.table)
        return gone / entries if entries else 0.0

    def mean_table(self) -> float:
        """Members of a table on average."""
        return sum(len(node.table) for node in self.nodes.values()) / max(len(self.nodes), 1)

    def kept_connections(self) -> float:
        """Peers on average that have a node in their table or are in its: those it keeps connections to."""
        pairs = {frozenset((node.number, entry.peer)) for node in self.nodes.values() for entry in node.table}
        return 2 * len(pairs) / max(len(self.nodes), 1)

    def _replace(self) -> None:
        if len(self._members) > self.parameters.bootstrap_peers:
            while True:
                number = self._members[self._churn.randrange(len(self._members))]
                if number >= self.parameters.bootstrap_peers:
                    break
            self.leave(number)
        self.join()

    def _notice(self, node: DhtNode, gone: int) -> None:
        """A kept connection broke. The node dials once more, and fails."""
        if not node.alive or gone not in node.table:
            return
        self.exchanges.lost(node, gone)
        if gone in node.table:
            self.exchanges.ask(node, gone, Request.PING, 0)

    # --- joining and upkeep ------------------------------------------------------------------------------------------

    def _bootstrap(self, node: DhtNode, started_ms: int) -> None:
        """Reach the bootstrap peers; the first answer starts the lookup of the own key."""
        if not node.alive:
            return
        begun = False

        def answered(peer: int, answer: object) -> None:
            nonlocal begun
            if not begun:
                begun = True
                self.world.after(_GATHER_MS, self._look_up_self, node, started_ms)

        others = [n for n in range(self.parameters.bootstrap_peers) if n != node.number and n in self.nodes]
        if not others:
            node.refresh.done(OwnNeighbourhood(), self.world.now_s)
            self._joined(node, started_ms)
            return
        for other in others:
            self.exchanges.ask(node, other, Request.PING, 0, answered)

        def again() -> None:
            if node.alive and not begun:
                self._bootstrap(node, started_ms)

        self.world.after(int(self.parameters.request_limit_s * 1000) + _RETRY_MS, again)

    def _look_up_self(self, node: DhtNode, started_ms: int) -> None:
        def ended(search: Search) -> None:
            if search.lookup.result().answers:
                node.refresh.done(OwnNeighbourhood(), self.world.now_s)
                self._joined(node, started_ms)
            else:
                self.world.after(_RETRY_MS, self._bootstrap, node, started_ms)

        if node.alive:
            Search(self.world, self.exchanges, node, node.key, self._settings, ended).start()

    def _joined(self, node: DhtNode, started_ms: int) -> None:
        node.joined = True
        insort(self._keys, (node.key, node.number))
        self.joins_ms.append((self.world.now_ms, self.world.now_ms - started_ms))
        self._upkeep(node)

    def _upkeep(self, node: DhtNode) -> None:
        """Check members that are due, then look up what is due, one after the other."""
        if not node.alive:
            return
        node.table.events()
        now = self.world.now_s
        for entry in node.table.due_for_check(now):
            self.exchanges.ask(node, entry.peer, Request.PING, 0)
        self._refresh(node, node.refresh.due(now, len(node.table), node.table.deepest))

    def _refresh(self, node: DhtNode, due: list[Due]) -> None:
        if not node.alive:
            return
        if not due:
            self.world.after(_UPKEEP_MS, self._upkeep, node)
            return
        what, rest = due[0], due[1:]

        def ended(search: Search) -> None:
            node.refresh.done(what, self.world.now_s)
            self._refresh(node, rest)

        target = node.key
        if isinstance(what, BucketRefresh):
            target = key_in_bucket(node.key, what.prefix_length, self._entropy.randbytes(32))
        Search(self.world, self.exchanges, node, target, self._settings, ended).start()


def service_key(number: int) -> int:
    """Where a service is registered."""
    return key_of(b"/beam/svc/%d" % number)
