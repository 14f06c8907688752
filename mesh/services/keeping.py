"""Staying connected on a live node, by Beam's rules: `mesh.protocols.keeping` decides, here peers are pinged, dialled
again, compared and closed.

Nobody is dialled who was neither connected to before, by this node's own doing, nor named by a source that the
configuration turns on.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from mesh.config import KeepingSection
from mesh.errors import MeshError, TimedOut
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.blacklist import Blacklist
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.network.swarm import Swarm
from mesh.protocols.keeping.keeper import Keeper
from mesh.protocols.keeping.settings import Close, Dead, Event, Probe, Redial, Seek, Settings, Standing
from mesh.services.pex import network_of
from mesh.services.ping import Ping
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

QUALITY_TAG: Final = "quality"
ROUTE_PROTECTION: Final = "route"
MAX_REMEMBERED: Final = 1024
"""Peers whose address is remembered as it was dialled."""
FULL_VALUE: Final = 100
"""The connection manager's tag of the best there is."""


class Keeping:
    """The service. ``dial`` reaches a peer at these addresses and those that are known, ``seek`` asks the sources for
    more peers, ``try_one`` has one of the candidates dialled if there is one."""

    def __init__(
        self,
        settings: KeepingSection,
        swarm: Swarm,
        blacklist: Blacklist,
        dial: Callable[[PeerId, tuple[Multiaddr, ...]], Awaitable[object]],
        seek: Callable[[], None],
        try_one: Callable[[], None],
        counters: Counters,
    ) -> None:
        numbers = Settings(
            settings.low,
            settings.high,
            used_s=settings.used_s,
            idle_s=settings.idle_s,
            trial_s=settings.trial_s,
            settled_s=settings.settled_s,
        )
        self.keeper = Keeper(numbers, swarm.manager.is_protected, random.random)
        self._used_s = settings.used_s
        self._swarm = swarm
        self._blacklist = blacklist
        self._dial = dial
        self._seek = seek
        self._try_one = try_one
        self._counters = counters
        self._dialled: dict[PeerId, Multiaddr] = {}
        self._routes: frozenset[PeerId] = frozenset()
        self._awake = asyncio.Event()
        self._scope: Scope | None = None

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self, scope: Scope) -> None:
        """Begin."""
        self._scope = Scope("keeping", scope)
        observers = self._swarm.observers
        observers.connected.append(self._connected)
        observers.disconnected.append(self._disconnected)
        self._scope.spawn(self._run(), "keeping")

    async def stop(self) -> None:
        """Ping and dial no more."""
        if self._scope is not None:
            observers = self._swarm.observers
            observers.connected.remove(self._connected)
            observers.disconnected.remove(self._disconnected)
            await self._scope.close()
            self._scope = None

    def network_changed(self) -> None:
        """This machine's addresses are others now."""
        self.keeper.network_changed(time.monotonic())
        self._awake.set()

    def standings(self) -> list[Standing]:
        """Everybody who is connected, or was and is to be again."""
        return self.keeper.standings(time.monotonic())

    # -- which candidates are dialled (see `found_peers.Selection`) ----------------------------------------------------

    def has_room(self, _dialling: int) -> bool:
        return self.keeper.has_room(time.monotonic())

    def admits(self, peer: PeerId) -> bool:
        return self.keeper.admits(peer, time.monotonic())

    def choose(self, waiting: Mapping[PeerId, tuple[Multiaddr, ...]]) -> PeerId:
        return self.keeper.choose({peer: network_of(given[0]) for peer, given in waiting.items()})

    def began(self, peer: PeerId) -> None:
        self.keeper.dialling(peer, time.monotonic())

    def ended(self, peer: PeerId) -> None:
        self.keeper.failed(peer, time.monotonic())
        self._awake.set()

    # -- what happens ------------------------------------------------------------------------------------------------

    def _connected(self, connection: Connection) -> None:
        peer, network = connection.peer, network_of(connection.remote)
        self.keeper.connected(peer, network, time.monotonic(), dialled=not connection.inbound)
        if not connection.inbound:
            self._dialled.pop(peer, None)
            self._dialled[peer] = connection.remote
            if len(self._dialled) > MAX_REMEMBERED:
                del self._dialled[next(iter(self._dialled))]
        self._awake.set()

    def _disconnected(self, connection: Connection) -> None:
        if not self._swarm.is_connected(connection.peer):
            self.keeper.disconnected(connection.peer, time.monotonic())
            self._swarm.manager.untag(connection.peer, QUALITY_TAG)
        self._awake.set()

    async def _run(self) -> None:
        scope = self._scope
        assert scope is not None
        while True:
            now = time.monotonic()
            self._note_routes(now)
            self.keeper.wake(now)
            for event in self.keeper.events():
                self._do(event, scope)
            deadline = self.keeper.deadline()
            rest = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                async with asyncio.timeout(rest):
                    await self._awake.wait()
            except TimeoutError:
                pass
            self._awake.clear()

    def _note_routes(self, now: float) -> None:
        """Relays that hold a reservation for this node or carry a connection are spared, and probed often."""
        relays = {each.relay for each in self._swarm.connections if each.relay is not None}
        routes = frozenset(relays | set(self._swarm.circuits.relays))
        if routes != self._routes:
            for peer in routes - self._routes:
                self._swarm.manager.protect(peer, ROUTE_PROTECTION)
            for peer in self._routes - routes:
                self._swarm.manager.unprotect(peer, ROUTE_PROTECTION)
            self._routes = routes
            self.keeper.use(routes, now)

    def _do(self, event: Event, scope: Scope) -> None:
        match event:
            case Probe(peer):
                scope.spawn(self._probe(peer), "probe")
            case Dead(peer):
                self._counters.count("keeping.dead")
                for each in self._direct(peer) or self._connections(peer):
                    each.abort(TimedOut(f"{peer}: two pings were not answered"))
            case Redial(peer):
                scope.spawn(self._redial(peer), "redial")
            case Seek():
                self._counters.count("keeping.seek")
                self._seek()
            case Close(peer, replaced):
                self._counters.count(f"keeping.closed:{'replaced' if replaced else 'no better'}")
                for each in self._connections(peer):
                    scope.spawn(each.close(), "replaced")
            case _:
                self._try_one()

    async def _probe(self, peer: PeerId) -> None:
        connection = next(iter(reversed(self._direct(peer) or self._connections(peer))), None)
        if connection is None:
            return
        limit = self._used_s if peer in self._routes else max(self._used_s, 10.0)
        heard = connection.driver.received_bytes
        round_trip: float | None = None
        try:
            async for each in Ping(limit).ping(connection, 1):
                round_trip = each
        except MeshError as error:
            log.debug("probe of %s: %s", peer, error)
        now = time.monotonic()
        if round_trip is not None or connection.driver.received_bytes != heard:
            self.keeper.answered(peer, round_trip, now)
            self._swarm.manager.tag(peer, QUALITY_TAG, round(FULL_VALUE * self.keeper.value(peer)))
        else:
            self.keeper.missed(peer, now)
        self._awake.set()

    async def _redial(self, peer: PeerId) -> None:
        now = time.monotonic()
        if wait := self._blacklist.wait(peer, now):
            self.keeper.failed(peer, now, wait)
            return
        try:
            await self._dial(peer, (self._dialled[peer],) if peer in self._dialled else ())
        except MeshError as error:
            self._counters.count("keeping.redial:failed")
            log.debug("redial of %s: %s", peer, error)
            now = time.monotonic()
            self._blacklist.note_failure(peer, now)
            self.keeper.failed(peer, now, self._blacklist.wait(peer, now))
        else:
            self._counters.count("keeping.redial:reached")
            self._blacklist.note_success(peer)
        self._awake.set()

    def _connections(self, peer: PeerId) -> list[Connection]:
        return [each for each in self._swarm.connections if each.peer == peer]

    def _direct(self, peer: PeerId) -> list[Connection]:
        return [each for each in self._connections(peer) if each.relay is None]
