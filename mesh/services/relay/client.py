"""Being reached through relays: reservations are asked for, renewed, replaced when their relay is lost, and let go once
others reach this node without.

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
from mesh.protocols.keeping.pulse import Pulse
from mesh.protocols.relay import HOP_PROTOCOL, STOP_PROTOCOL, Grant, Holdings, Need
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
        always: bool,
        check_s: float,
        registry: Registry,
        counters: Counters,
        on_change: Callable[[], None],
    ) -> None:
        """``always``: whether or not others reach this node. Raises `ConfigError` for a relay whose address says no peer
        id."""
        self._swarm = swarm
        self._wanted = wanted
        self._auto = auto
        self._always = always
        self._check_s = check_s
        self._watched: set[PeerId] = set()
        self._registry = registry
        self._counters = counters
        self._on_change = on_change
        self._holdings = Holdings(wanted)
        self._need = Need()
        self._named: dict[PeerId, list[Multiaddr]] = {}
        self.failures: dict[PeerId, MeshError] = {}
        """Why a relay of the settings was asked in vain, the last time."""
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

    @property
    def named(self) -> dict[PeerId, list[Multiaddr]]:
        """The relays of the settings, with their addresses."""
        return {relay: list(addresses) for relay, addresses in self._named.items()}

    def identified(self, connection: Connection) -> None:
        """A peer said what it speaks."""
        if self._auto and connection.relay is None and HOP_PROTOCOL in (connection.remote_protocols or ()):
            self._holdings.add(connection.peer)
            self._awake.set()

    def set_reachability(self, public: bool | None) -> None:
        """The verdict on the node, None for unknown: once it is public for a while, reservations are let go."""
        if not self._always:
            self._need.note(public, time.monotonic())
            self._awake.set()

    def network_changed(self) -> None:
        """This machine's addresses are others now: nobody is left waiting."""
        self._holdings.hurry(time.monotonic())
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
            self._need.wake(now)
            for relay in self._holdings.want(self._wanted if self._need.wanted else 0):
                self._counters.count("relay.held:released")
                self._release(relay)
            for relay in self._holdings.expire(now):
                self._counters.count("relay.held:expired")
                self._release(relay)
            for relay in self._holdings.take_due(now):
                scope.spawn(self._ask(relay), "reservation")
            deadlines = (self._holdings.deadline(), self._need.deadline())
            deadline = min((each for each in deadlines if each is not None), default=None)
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
        present = self._swarm.connection_to(relay, direct=True)
        heard = 0 if present is None else present.driver.received_bytes
        try:
            connection = present or await self._swarm.dial(relay, self._named.get(relay, ()))
            grant = await hop.reserve(connection, self._swarm.own_id)
        except MeshError as error:
            refused = isinstance(error, RelayRefused)
            self._counters.count(f"relay.held:{'refused' if refused else 'failed'}")
            log.info("no reservation at the relay %s: %s", relay, error)
            if relay in self._named:
                self.failures[relay] = error.with_traceback(None)
            before = relay in self._holdings.held
            self._holdings.failed(relay, time.monotonic(), refused=refused)
            if before and relay not in self._holdings.held:
                self._release(relay)
            if present is not None and isinstance(error, TimedOut) and present.driver.received_bytes == heard:
                present.abort(TimedOut(f"the relay {relay} has fallen silent"))  # the next try dials
        else:
            self._granted(relay, connection, grant)
        self._awake.set()

    def _granted(self, relay: PeerId, connection: Connection, grant: Grant) -> None:
        if not connection.usable:
            self._holdings.failed(relay, time.monotonic())
            return
        now = time.monotonic()
        self.failures.pop(relay, None)
        if not self._holdings.granted(relay, now + max(0.0, grant.expires_at - time.time()), now):
            return
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
        pulse = Pulse(self._check_s, time.monotonic())
        try:
            while relay in self._holdings.held:
                await asyncio.sleep(max(0.0, (pulse.deadline() or 0.0) - time.monotonic()))
                connection = self._swarm.connection_to(relay, direct=True)
                if connection is None:
                    return
                pulse.take_due(time.monotonic())
                heard = connection.driver.received_bytes
                if not await self._is_silent(connection) or connection.driver.received_bytes != heard:
                    pulse.heard(time.monotonic())
                elif pulse.missed(time.monotonic()):
                    self._lose(relay, "silent")
                    return
        finally:
            self._watched.discard(relay)

    async def _is_silent(self, connection: Connection) -> bool:
        try:
            return None in [each async for each in Ping(self._check_s).ping(connection, 1)]
        except TimedOut:
            return True
        except MeshError:
            return False  # it refuses pings, or the connection is gone and that is noticed

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
