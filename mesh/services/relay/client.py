"""Being reached through relays: reservations are asked for, renewed, and replaced when their relay is lost.

Which relay is asked when is decided by `mesh.protocols.relay.Holdings`. The relays come from the settings and, if wanted,
from connected peers that say they are some. Nobody else is dialled.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from mesh.errors import ConfigError, MeshError, RelayRefused, TimedOut
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.circuit import hop
from mesh.network.circuit.addresses import CIRCUIT, is_relayed
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.network.swarm import Swarm
from mesh.protocols.relay import HOP_PROTOCOL, STOP_PROTOCOL, Grant, Holdings
from mesh.services.identify import PeerInfo
from mesh.services.ping import Ping
from mesh.services.registry import Registry
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

PROTECTION: Final = "relay"
MAX_ADDRESSES: Final = 16


class RelayClient:
    """The service. ``on_change`` is called whenever this node's addresses have changed."""

    def __init__(
        self,
        swarm: Swarm,
        relays: Iterable[str],
        wanted: int,
        auto: bool,
        check_s: float,
        registry: Registry,
        counters: Counters,
        on_change: Callable[[], None],
    ) -> None:
        """Raises `ConfigError` for a relay whose address says no peer id."""
        self._swarm = swarm
        self._auto = auto
        self._check_s = check_s
        self._watched: set[PeerId] = set()
        self._registry = registry
        self._counters = counters
        self._on_change = on_change
        self._holdings = Holdings(wanted)
        self._named: dict[PeerId, list[Multiaddr]] = {}
        self._awake = asyncio.Event()
        self._scope: Scope | None = None
        for text in relays:
            self._name(Multiaddr.parse(text))

    def _name(self, address: Multiaddr) -> None:
        data = address.peer_id_bytes()
        if data is None or is_relayed(address):
            raise ConfigError(f"relay.relays: {address} does not end in the peer id of a relay")
        relay = PeerId.from_bytes(data)
        self._named.setdefault(relay, []).append(address.without_peer())
        if relay != self._swarm.own_id:
            self._holdings.add(relay, named=True)

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self, scope: Scope) -> None:
        """Listen at relays, and begin to ask for reservations."""
        swarm = self._swarm
        if swarm.circuits.accept is None:
            await swarm.listen(CIRCUIT)
        self._registry.add(STOP_PROTOCOL, swarm.circuits.serve_stop)
        swarm.observers.disconnected.append(self._disconnected)
        self._scope = Scope("relay client", scope)
        self._scope.spawn(self._run(), "relay client")

    async def stop(self) -> None:
        """Ask no more; reservations end with their connections."""
        if self._scope is not None:
            self._registry.remove(STOP_PROTOCOL)
            self._swarm.observers.disconnected.remove(self._disconnected)
            await self._scope.close()
            self._scope = None

    @property
    def held(self) -> list[PeerId]:
        """Relays that hold a reservation for this node now."""
        return self._holdings.held

    def identified(self, connection: Connection) -> None:
        """A peer said what it speaks."""
        if self._auto and connection.relay is None and HOP_PROTOCOL in (connection.remote_protocols or ()):
            self._holdings.add(connection.peer)
            self._awake.set()

    def _disconnected(self, connection: Connection) -> None:
        peer = connection.peer
        if connection.relay is not None or self._swarm.connection_to(peer, direct=True) is not None:
            return
        self._lose(peer, "lost")
        self._holdings.forget(peer)

    # -- asking ------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        scope = self._scope
        assert scope is not None
        while True:
            now = time.monotonic()
            for relay in self._holdings.expire(now):
                self._counters.count("relay.held:expired")
                self._release(relay)
            for relay in self._holdings.take_due(now):
                scope.spawn(self._ask(relay), "reservation")
            deadline = self._holdings.deadline()
            try:
                async with asyncio.timeout_at(None if deadline is None else self._at(deadline)):
                    await self._awake.wait()
            except TimeoutError:
                pass
            self._awake.clear()

    @staticmethod
    def _at(deadline: float) -> float:
        """The loop's time of a monotonic instant."""
        return asyncio.get_running_loop().time() + max(0.0, deadline - time.monotonic())

    async def _ask(self, relay: PeerId) -> None:
        try:
            connection = await self._reach(relay)
            grant = await hop.reserve(connection, self._swarm.own_id)
        except MeshError as error:
            refused = isinstance(error, RelayRefused)
            self._counters.count(f"relay.held:{'refused' if refused else 'failed'}")
            log.info("no reservation at the relay %s: %s", relay, error)
            before = relay in self._holdings.held
            self._holdings.failed(relay, time.monotonic(), refused=refused)
            if before and relay not in self._holdings.held:
                self._release(relay)
        else:
            self._granted(relay, connection, grant)
        self._awake.set()

    async def _reach(self, relay: PeerId) -> Connection:
        present = self._swarm.connection_to(relay, direct=True)
        if present is not None:
            return present
        return await self._swarm.dial(relay, self._named.get(relay, ()))

    def _granted(self, relay: PeerId, connection: Connection, grant: Grant) -> None:
        if not connection.usable:
            self._holdings.failed(relay, time.monotonic())
            return
        now = time.monotonic()
        self._holdings.granted(relay, now + max(0.0, grant.expires_at - time.time()), now)
        self._counters.count("relay.held:granted")
        before = self._swarm.circuits.addresses
        self._swarm.circuits.hold(relay, self._where(relay, connection, grant))
        self._swarm.manager.protect(relay, PROTECTION)
        if self._scope is not None and relay not in self._watched:
            self._watched.add(relay)
            self._scope.spawn(self._watch(relay), "relay watch")
        if self._swarm.circuits.addresses != before:
            log.info("reached through the relay %s", relay)
            self._on_change()

    async def _watch(self, relay: PeerId) -> None:
        """Notice that a relay which holds a reservation has fallen silent, long before its connection is given up. What
        still passes through it goes on."""
        heard: tuple[Connection, int] | None = None
        try:
            while relay in self._holdings.held:
                connection = self._swarm.connection_to(relay, direct=True)
                if connection is None:
                    return
                if heard == (connection, connection.driver.received_bytes) and await self._is_silent(
                    connection
                ):
                    self._lose(relay, "silent")
                    return
                heard = connection, connection.driver.received_bytes
                await asyncio.sleep(self._check_s)
        finally:
            self._watched.discard(relay)

    async def _is_silent(self, connection: Connection) -> bool:
        try:
            return None in [each async for each in Ping(self._check_s).ping(connection, 1)]
        except TimedOut:
            return True

    def _lose(self, relay: PeerId, how: str) -> None:
        if self._holdings.lost(relay, time.monotonic()):
            self._counters.count(f"relay.held:{how}")
            self._release(relay)
        self._awake.set()

    def _where(self, relay: PeerId, connection: Connection, grant: Grant) -> Iterable[Multiaddr]:
        """Where others find the relay: where it was dialled and what it says in its grant. go names only public addresses
        there, none at all in a private network: then what it told otherwise has to do."""
        dialled = () if connection.inbound else (connection.remote,)
        found: tuple[Multiaddr, ...] = (*dialled, *grant.addresses)
        if not found:
            info = connection.remote_info
            told = info.listen_addrs if isinstance(info, PeerInfo) else ()
            found = (*self._named.get(relay, ()), *told)
        return [each for each in found if not is_relayed(each)][:MAX_ADDRESSES]

    def _release(self, relay: PeerId) -> None:
        self._swarm.manager.unprotect(relay, PROTECTION)
        if self._swarm.circuits.release(relay):
            self._on_change()
