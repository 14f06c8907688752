"""Requests between nodes: connections are set up, kept and closed, messages travel, and silence is noticed.

A connection takes `setup_round_trips` to set up, none once it stands. It stands while one side has the other in its table
(with `keep_warm`), else until it has been idle. Peers that are gone answer nothing, neither dials nor requests. Both
sides learn of each other when a connection is set up, as identify would tell them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from mesh.protocols.kademlia import Candidate
from mesh.protocols.kademlia.table import PeerAdded
from mesh.simulation.dht_nodes import Answer, DhtNode, Request
from mesh.simulation.dht_parameters import DhtParameters
from mesh.simulation.links import Links
from mesh.simulation.world import World

Answered = Callable[[int, Answer], None]
Failed = Callable[[int], None]
Fresh = dict[int, int]
"""Of an operation that starts without connections: those it has set up, and when each stood."""


class _Exchange:
    """One request under way."""

    __slots__ = ("answered", "asker", "failed", "key", "peer", "request", "sent_ms")

    def __init__(
        self,
        asker: DhtNode,
        peer: int,
        request: Request,
        key: int,
        answered: Answered | None,
        failed: Failed | None,
        sent_ms: int,
    ) -> None:
        self.asker = asker
        self.peer = peer
        self.request = request
        self.key = key
        self.answered = answered
        self.failed = failed
        self.sent_ms = sent_ms


class Exchanges:
    """All requests of a network; `nodes` is its table of nodes, by number, gone ones left out."""

    __slots__ = (
        "_idle_ms",
        "_limit_ms",
        "_links",
        "_nodes",
        "_parameters",
        "_ready",
        "_used",
        "_warm",
        "_world",
        "counts",
    )

    def __init__(
        self, world: World, links: Links, nodes: dict[int, DhtNode], parameters: DhtParameters
    ) -> None:
        self._world = world
        self._links = links
        self._nodes = nodes
        self._parameters = parameters
        self._limit_ms = int(parameters.request_limit_s * 1000)
        self._idle_ms = int(parameters.idle_s * 1000)
        self._warm = parameters.keep_warm
        # By pair: when the connection stands, and when it was last used.
        self._ready: dict[int, int] = {}
        self._used: dict[int, int] = {}
        self.counts: Counter[str] = Counter()
        """Requests by kind, answers, dials."""

    def ask(
        self,
        asker: DhtNode,
        peer: int,
        request: Request,
        key: int,
        answered: Answered | None = None,
        failed: Failed | None = None,
        fresh: Fresh | None = None,
    ) -> None:
        """Send a request; exactly one of `answered` and `failed` is called, unless the asker leaves before."""
        exchange = _Exchange(asker, peer, request, key, answered, failed, self._world.now_ms)
        self.counts[request.value] += 1
        wait_ms = self._wait_ms(asker, peer, fresh)
        if wait_ms is None or not self._links.send(asker.number, peer, wait_ms, self._arrive, exchange):
            self._give_up(exchange)

    def connect(self, asker: DhtNode, peer: int, fresh: Fresh | None = None) -> None:
        """Set a connection up ahead of its use; nothing happens if that fails."""
        self._wait_ms(asker, peer, fresh)

    def forget(self, number: int, others: list[int]) -> None:
        """Drop what is kept of connections of a node that is gone."""
        for other in others:
            pair = _pair(number, other)
            self._ready.pop(pair, None)
            self._used.pop(pair, None)

    def lost(self, node: DhtNode, peer: int) -> None:
        """A peer did not answer a node. A replacement that comes up for it is connected to, if connections are kept."""
        table = node.table
        if not table.failed(peer, self._world.now_s):
            return
        for event in table.events():
            if (
                self._warm
                and isinstance(event, PeerAdded)
                and event.peer in table
                and not self._stands(node, event.peer, _pair(node.number, event.peer))
            ):
                self.ask(node, event.peer, Request.PING, 0)

    # --- connections -------------------------------------------------------------------------------------------------

    def _wait_ms(self, asker: DhtNode, peer: int, fresh: Fresh | None) -> int | None:
        """How long until a request may leave; None if no connection comes about."""
        now = self._world.now_ms
        pair = _pair(asker.number, peer)
        ready = None
        if fresh is not None:
            ready = fresh.get(peer)
        elif self._stands(asker, peer, pair):
            ready = self._ready[pair]
        if ready is None:
            self.counts["dial"] += 1
            target = self._nodes.get(peer)
            if target is None or not target.alive or not self._links.connected(asker.number, peer):
                return None
            round_trips = self._parameters.setup_round_trips
            ready = now + int(self._links.latency.round_trip_ms(asker.number, peer) * round_trips + 0.5)
            if fresh is not None:
                fresh[peer] = ready
            self._ready[pair] = ready
            self._used[pair] = ready
            self._world.at(ready, self._connected, target, asker.candidate)
        else:
            self._used[pair] = max(now, ready)
        return max(ready - now, 0)

    def _stands(self, asker: DhtNode, peer: int, pair: int) -> bool:
        """Whether a connection is there or on its way."""
        used = self._used.get(pair)
        if used is None:
            return False
        if self._world.now_ms - used <= self._idle_ms:
            return True
        if not self._warm:
            return False
        if peer in asker.table:
            return True
        other = self._nodes.get(peer)
        return other is not None and asker.number in other.table

    def _connected(self, target: DhtNode, asker: Candidate[int]) -> None:
        """The listener's side of a new connection."""
        if target.alive and asker.peer in self._nodes:
            target.table.admit(asker, self._world.now_s)

    # --- messages ----------------------------------------------------------------------------------------------------

    def _arrive(self, exchange: _Exchange) -> None:
        target = self._nodes.get(exchange.peer)
        asker = exchange.asker
        if target is None or not target.alive:
            self._give_up(exchange)
            return
        answer = target.serve(exchange.request, exchange.key, asker.candidate, self._world.now_ms)
        if self._links.send(target.number, asker.number, 0, self._deliver, exchange, answer):
            self.counts["answer"] += 1
        else:
            self._give_up(exchange)

    def _deliver(self, exchange: _Exchange, answer: Answer) -> None:
        asker, peer = exchange.asker, exchange.peer
        if not asker.alive:
            return
        target = self._nodes.get(peer)
        if target is not None:
            asker.table.admit(target.candidate, self._world.now_s, useful=True)
        if exchange.answered is not None:
            exchange.answered(peer, answer)

    def _give_up(self, exchange: _Exchange) -> None:
        """Nothing will come of it; the asker knows when its limit has passed."""
        self._world.at(exchange.sent_ms + self._limit_ms, self._silence, exchange)

    def _silence(self, exchange: _Exchange) -> None:
        if not exchange.asker.alive:
            return
        self.lost(exchange.asker, exchange.peer)
        if exchange.failed is not None:
            exchange.failed(exchange.peer)


def _pair(a: int, b: int) -> int:
    return a << 32 | b if a < b else b << 32 | a
