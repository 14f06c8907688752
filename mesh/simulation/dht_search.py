"""Operations of a node: lookups, registrations, discoveries. Each drives one `Lookup` machine by requests and an alarm.

A cold operation is that of a node whose table is intact but whose connections are gone, as after sleep: it sets up every
connection that it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.protocols.kademlia import Lookup, LookupSettings
from mesh.protocols.kademlia.placement import Placement
from mesh.protocols.kademlia.quorum import Outcome
from mesh.simulation.dht_exchange import Exchanges, Fresh
from mesh.simulation.dht_nodes import FORGED, Answer, DhtNode, Request
from mesh.simulation.world import Alarm, World


class Search:
    """One lookup of `target` by `node`; `ended` is called when it is over, with itself."""

    __slots__ = ("_alarm", "_ended", "_exchanges", "_over", "fresh", "lookup", "node", "started_ms", "world")

    request = Request.FIND

    def __init__(
        self,
        world: World,
        exchanges: Exchanges,
        node: DhtNode,
        target: int,
        settings: LookupSettings,
        ended: Callable[[Any], None],
        *,
        cold: bool = False,
    ) -> None:
        self.world = world
        self.node = node
        self.started_ms = world.now_ms
        self.fresh: Fresh | None = {} if cold else None
        self._exchanges = exchanges
        self._ended = ended
        self._over = False
        seeds = [entry.candidate for entry in node.table.closest(target, settings.k)]
        self.lookup = Lookup(target, seeds, settings, node.trips, world.now_s, exclude=(node.key,))
        self._alarm = Alarm(world, self._wake)

    def start(self) -> None:
        """Send the first requests."""
        self._step()

    @property
    def elapsed_ms(self) -> int:
        """Since it was made."""
        return self.world.now_ms - self.started_ms

    def learnt(self, answer: Answer) -> None:
        """An answer came, before the lookup has dealt with it."""

    def stepped(self) -> None:
        """The lookup has gone a step on, or ended."""

    def _answered(self, peer: int, answer: Answer) -> None:
        if not self.lookup.finished:
            self.learnt(answer)
        self.lookup.answered(peer, answer.closer, self.world.now_s)
        self._step()

    def _failed(self, peer: int) -> None:
        self.lookup.failed(peer, self.world.now_s)
        self._step()

    def _wake(self) -> None:
        if self.node.alive:
            self.lookup.wake(self.world.now_s)
            self._step()

    def _step(self) -> None:
        if self._over:
            return
        lookup, ask = self.lookup, self._exchanges.ask
        for peer in lookup.requests():
            ask(self.node, peer, self.request, lookup.target_key, self._answered, self._failed, self.fresh)
        self._alarm.set(lookup.deadline())
        self.stepped()
        if lookup.finished:
            self._over = True
            self._ended(self)


class Discovery(Search):
    """Who registered a key: over with the first peer that knows."""

    __slots__ = ("owners",)

    request = Request.GET
    owners: tuple[int, ...]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.owners = ()

    def learnt(self, answer: Answer) -> None:
        owners = tuple(each for each in answer.owners if each != FORGED)
        if owners:
            self.owners = owners
            self.lookup.stop(self.world.now_s)


class Registration(Search):
    """Storing at the k closest. `settled` is called once, with itself, when the quorum is reached or missed."""

    __slots__ = ("_placement", "_settled", "completed_ms", "outcome")

    def __init__(
        self,
        world: World,
        exchanges: Exchanges,
        node: DhtNode,
        target: int,
        settings: LookupSettings,
        settled: Callable[[Any], None],
        *,
        cold: bool = False,
    ) -> None:
        super().__init__(world, exchanges, node, target, settings, _nothing, cold=cold)
        self._settled = settled
        self._placement = Placement(self.lookup, node.table.reach(settings.k), settings.k)
        self.outcome = Outcome.OPEN
        self.completed_ms = 0
        """From the call to the acknowledgement that made the quorum."""

    def stepped(self) -> None:
        for peer in self._placement.connections():
            self._exchanges.connect(self.node, peer, self.fresh)
        peers = self._placement.stores()
        for peer in peers:
            self._exchanges.ask(
                self.node,
                peer,
                Request.PUT,
                self.lookup.target_key,
                self._stored,
                self._refused,
                self.fresh,
            )
        if self.lookup.finished and not peers and not self._placement.acknowledgements.asked:
            self._settle(Outcome.MISSED)

    def _stored(self, peer: int, answer: Answer) -> None:
        self._settle(self._placement.stored())

    def _refused(self, peer: int) -> None:
        self._settle(self._placement.refused())

    def _settle(self, outcome: Outcome) -> None:
        if self.outcome is Outcome.OPEN and outcome is not Outcome.OPEN:
            self.outcome = outcome
            self.completed_ms = self.elapsed_ms
            self._settled(self)


def _nothing(search: Search) -> None:
    """A registration ends with its quorum, not with its lookup."""
