"""All connections of a node: dialling, listening, and who is connected."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from mesh.config import NetworkSection
from mesh.errors import (
    Closed,
    LimitError,
    MeshError,
    NetworkError,
    TimedOut,
    UsageError,
)
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.circuit.transport import CircuitTransport
from mesh.network.connection import Connection
from mesh.network.connection_manager import ConnectionManager
from mesh.network.dial_causes import failed_connect
from mesh.network.dialer import Dialer, DialSettings
from mesh.network.environment import Environment, Handlers
from mesh.network.gater import Denied, Gater
from mesh.network.memory_counter import MemoryCounter
from mesh.network.quic.transport import Port, QuicTransport
from mesh.network.receive_buffer import receive_buffer
from mesh.network.resolver import Resolver
from mesh.network.resources import Resources
from mesh.network.scope import Scope
from mesh.network.stream import Stream
from mesh.network.transport import Listener, Transport
from mesh.network.upgrade import UpgradeSettings
from mesh.protocols.machine import Role
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

CARRIER_TAG = "relay-hop-stream"
CARRIER_VALUE = 5
"""Of a relay that carries connections: it goes after peers without a tag when connections are trimmed."""

Listen = Callable[[Connection], None]


@dataclass(slots=True)
class ConnectionObservers:
    """Callbacks for services; each is called with the connection, on the loop, and must not block."""

    connected: list[Listen]
    disconnected: list[Listen]


class Swarm:
    """Keeps connections by peer. Peers at fault are counted and logged at debug level, never above info."""

    def __init__(
        self,
        own_id: PeerId,
        settings: NetworkSection,
        upgrade: UpgradeSettings,
        handlers: Handlers,
        transports: Sequence[Transport],
        scope: Scope,
        counters: Counters,
        resources: Resources,
        gater: Gater,
        manager: ConnectionManager[Connection],
        circuits: CircuitTransport,
    ) -> None:
        self.own_id = own_id
        self.memory: MemoryCounter = upgrade.memory
        self.counters = counters
        self.resources = resources
        self.gater = gater
        self.manager = manager
        self.observers = ConnectionObservers([], [])
        self.circuits = circuits
        circuits.reach = self._reach_relay
        self._settings = settings
        self._transports = (*transports, circuits)
        self._listeners: list[Listener] = []
        self._peers: dict[PeerId, list[Connection]] = {}
        self._upgrading: set[Connection] = set()
        self._inbound_upgrades = 0
        self._established = 0
        self.resolver = Resolver()
        self._dialer = Dialer(
            DialSettings(settings.connect_timeout_s, settings.address_timeout_s, settings.dial_timeout_s),
            self._transports,
            self.resolver,
            lambda peer, proposal: self._make(Role.INITIATOR, peer, proposal),
            counters,
            self._refusal,
        )
        self._trimming: asyncio.TimerHandle | None = None
        self._scope = scope
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._environment = Environment(
            upgrade=upgrade,
            handlers=handlers,
            observer=self,
            scope=scope,
            memory=upgrade.memory,
            counters=counters,
            receive_buffer=receive_buffer(),
            upgrade_timeout_s=settings.upgrade_timeout_s,
            negotiate_timeout_s=settings.negotiate_timeout_s,
            open_timeout_s=settings.open_timeout_s,
        )

    # -- who is connected --------------------------------------------------------------------------------------------

    @property
    def connections(self) -> list[Connection]:
        """Every established connection, oldest first for each peer."""
        return [each for several in self._peers.values() for each in several]

    def is_connected(self, peer: PeerId) -> bool:
        """Whether any connection to a peer stands."""
        return peer in self._peers

    @property
    def peers(self) -> list[PeerId]:
        """Every connected peer."""
        return list(self._peers)

    def connection_to(self, peer: PeerId, *, direct: bool = False) -> Connection | None:
        """The newest usable connection to a peer; one through a relay only where no other stands, and never with
        ``direct``."""
        relayed: Connection | None = None
        for each in reversed(self._peers.get(peer, ())):
            if each.usable:
                if each.relay is None:
                    return each
                relayed = relayed or each
        return None if direct else relayed

    # -- listening ---------------------------------------------------------------------------------------------------

    @property
    def listen_addresses(self) -> tuple[Multiaddr, ...]:
        """Where this node listens, without its peer id."""
        return tuple(address for listener in self._listeners for address in listener.addresses)

    @property
    def udp_ports(self) -> list[Port]:
        """The UDP sockets that listen."""
        quic = [each for each in self._transports if isinstance(each, QuicTransport)]
        return [port for transport in quic for port in transport.ports if port.accepting]

    async def listen(self, address: Multiaddr) -> None:
        """Start listening. Raises `AddressInUse`, `UsageError` for an address no transport knows, `NetworkError`."""
        transport = self._transport(address)
        if transport is None:
            raise UsageError(f"cannot listen on {address}: no transport for it")
        try:
            self._listeners.append(await transport.listen(address, self._accept))
        except OSError as error:
            raise NetworkError(f"cannot listen on {address}: {_cause(error)}") from error

    # -- dialling ----------------------------------------------------------------------------------------------------

    async def dial(
        self, peer: PeerId | None, named: Iterable[Multiaddr], known: Iterable[Multiaddr] = ()
    ) -> Connection:
        """Connect to ``peer`` (None: whoever answers) at addresses the caller ``named`` or that are ``known``.

        Nobody is reached through relays twice: where such a connection stands direct addresses are tried, and without
        any it is what comes back.
        Raises `DialError` with a stage and cause for each address, `UsageError` for this node itself.
        """
        if peer == self.own_id:
            raise UsageError(f"{peer} is this node itself")
        if peer is not None:
            self.gater.check_peer_dial(peer)
            present = self.connection_to(peer)
            if present is not None and present.relay is not None:
                named, known = _direct(named), _direct(known)
                if not named and not known:
                    return present
        return await self._dialer.dial(peer, named, known)

    async def dial_as(
        self, peer: PeerId, address: Multiaddr, role: Role, limit_s: float, *, from_any_port: bool = False
    ) -> Connection:
        """A direct connection at one numeric address, whatever else stands, as ``role`` of its upgrade: for hole punches,
        whose ends both dial. Raises `MeshError`."""
        transport, refusal = self._transport(address), self._refusal(peer, address)
        if transport is None or refusal is not None:
            raise NetworkError(f"{address}: {refusal or 'no transport for this kind of address'}")
        connection = self._make(role, peer)
        connection.from_any_port = from_any_port
        try:
            async with asyncio.timeout(limit_s):
                await transport.dial(address, connection)
                await connection.upgraded_within(limit_s)
        except MeshError:
            raise
        except TimeoutError:
            raise TimedOut(f"{address}: no answer within {limit_s:.3g} s") from None
        except OSError as error:
            raise NetworkError(f"{address}: {failed_connect(error)}") from None
        finally:
            if not connection.known:
                connection.abort(Closed("the dial was given up"))
        return connection

    async def connect_over(
        self, stream: Stream, role: Role, peer: PeerId | None, limit_s: float
    ) -> Connection:
        """A connection with ``peer`` (None: whoever it is) through a stream that leads there, secured from end to end.
        Raises `MeshError`."""
        connection = self._make(role, peer)
        self.circuits.carry(stream, connection)
        try:
            await connection.upgraded_within(limit_s)
        except BaseException:
            connection.abort(Closed("the connection was given up"))
            raise
        return connection

    def knock(self, address: Multiaddr, data: bytes) -> bool:
        """Send a datagram that means nothing from where this node listens; whether that kind of address has such."""
        transport = self._transport(address)
        return isinstance(transport, QuicTransport) and transport.knock(address, data)

    async def _reach_relay(self, relay: PeerId, address: Multiaddr) -> Connection:
        """A direct connection to a relay; without an address it has to stand already."""
        present = self.connection_to(relay, direct=True)
        if present is not None:
            return present
        return await self.dial(relay, [address] if address else [])

    def can_dial(self, address: Multiaddr) -> bool:
        """Whether there is a transport for an address."""
        return self._transport(address) is not None

    def _transport(self, address: Multiaddr) -> Transport | None:
        return next((each for each in self._transports if each.handles(address)), None)

    # -- ending ------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Stop listening, close every connection in order, and wait until all are gone."""
        self._closing = True
        if self._trimming is not None:
            self._trimming.cancel()
        await self._dialer.close()
        for listener in self._listeners:
            await listener.close()
        for connection in list(self._upgrading):
            connection.abort(Closed("the node is closing"))
        for relayed in (True, False):
            closing = [each for each in self.connections if (each.relay is not None) is relayed]
            await asyncio.gather(*(connection.close() for connection in closing))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.close_timeout_s):
                await self._idle.wait()
        for connection in [*self.connections, *self._upgrading]:
            connection.abort(Closed("the node is closing"))
        await self._idle.wait()
        self._listeners.clear()

    # -- the connections' side (see `connection.Observer`) -------------------------------------------------------------

    def connection_started(self, connection: Connection) -> None:
        settings = self._settings
        self._check_room(len(self._upgrading))
        if connection.inbound:
            if self._inbound_upgrades >= settings.max_pending_upgrades:
                limit = settings.max_pending_upgrades
                raise self.resources.refuse("node", "pending upgrades", limit, "network.max_pending_upgrades")
            self.gater.check_accept(connection.remote)
        remote = connection.remote
        direct = connection.relay is None
        host = (remote.value("ip4") or remote.value("ip6")) if direct else None
        connection.resources = self.resources.open_connection(
            connection.inbound, host, time.monotonic(), descriptors=int(direct and remote.has("tcp"))
        )
        self._inbound_upgrades += connection.inbound
        self._upgrading.add(connection)
        self._idle.clear()

    def connection_upgraded(self, connection: Connection) -> None:
        self._check_room(0)
        self.gater.check_secured(connection.peer, connection.remote)
        assert connection.resources is not None
        connection.resources.set_peer(connection.peer)
        self.gater.check_upgraded(connection.peer, connection.remote)
        self._end_upgrade(connection)
        self._peers.setdefault(connection.peer, []).append(connection)
        self._established += 1
        self.counters.count(f"connection.opened:{'inbound' if connection.inbound else 'outbound'}")
        self.manager.note_connected(connection, time.monotonic())
        if connection.relay is not None:
            self.manager.tag(connection.relay, CARRIER_TAG, CARRIER_VALUE)
        self._plan_trim()
        for listen in self.observers.connected:
            listen(connection)

    def connection_lost(self, connection: Connection, error: MeshError) -> None:
        if connection.resources is not None:
            connection.resources.close()
        several = self._peers.get(connection.peer) if connection.known else None
        if several is not None and connection in several:
            several.remove(connection)
            self.manager.note_disconnected(connection)
            if connection.relay is not None and not self._carries(connection.relay):
                self.manager.untag(connection.relay, CARRIER_TAG)
            if not several:
                del self._peers[connection.peer]
            self._established -= 1
            self.counters.count(f"connection.closed:{error.code}")
            for listen in self.observers.disconnected:
                listen(connection)
        else:
            self._end_upgrade(connection)
            if isinstance(error, LimitError):
                self.counters.count(f"connection.refused:{error.limit}")
                log.info("a connection %s was refused: %s", _whence(connection), error)
            elif isinstance(error, Denied):
                self.counters.count(f"connection.denied:{error.hook}")
            else:
                self.counters.count(f"upgrade.failed:{connection.failed_stage}")
        log.debug("%r ended: %s", connection, error)
        self._note_idle()

    def _carries(self, relay: PeerId) -> bool:
        return any(each.relay == relay for each in self.connections)

    def _refusal(self, peer: PeerId | None, address: Multiaddr) -> str | None:
        rule = self.gater.refusal(peer, address)
        return None if rule is None else f"denied by the rule {rule}"

    def _plan_trim(self) -> None:
        """Close what the connection manager gives up, when its time has come."""
        deadline = self.manager.deadline()
        if deadline is None or self._closing or self._trimming is not None:
            return
        delay = max(0.0, deadline - time.monotonic())
        self._trimming = asyncio.get_running_loop().call_later(delay, self._trim)

    def _trim(self) -> None:
        self._trimming = None
        for connection in self.manager.trim(time.monotonic()):
            self.counters.count("connection.trimmed")
            self._scope.spawn(connection.close(), "trim")
        self._plan_trim()

    def enforce(self) -> list[Connection]:
        """End the connections that the gater's rules no longer allow; returns them."""
        refused = [
            each for each in self.connections if self.gater.refusal(each.peer, each.remote) is not None
        ]
        for connection in refused:
            connection.abort(Closed("the peer was denied"))
        return refused

    def drop_stranded(self, own_hosts: Collection[str]) -> list[Connection]:
        """End the connections of TCP whose own end is at an address that this machine has no more: nothing can come
        there, and nothing would tell for minutes. QUIC moves to another address by itself. Returns them."""
        stranded = [each for each in self.connections if _is_stranded(each, own_hosts)]
        for connection in stranded:
            self.counters.count("connection.stranded")
            connection.abort(Closed(f"this machine is at {connection.local} no more"))
        return stranded

    def _accept(self) -> Connection:
        return self._make(Role.RESPONDER, None)

    def _make(self, role: Role, peer: PeerId | None, proposal: int = 0) -> Connection:
        return Connection(self._environment, role, peer, proposal)

    def _check_room(self, upgrading: int) -> None:
        if self._closing:
            raise Closed("the node is closing")
        limit = self._settings.max_connections
        if self._established + upgrading >= limit:
            raise self.resources.refuse("node", "connections", limit, "network.max_connections")

    def _end_upgrade(self, connection: Connection) -> None:
        if connection in self._upgrading:
            self._upgrading.discard(connection)
            if connection.inbound:
                self._inbound_upgrades -= 1

    def _note_idle(self) -> None:
        if not self._peers and not self._upgrading:
            self._idle.set()


def _direct(addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
    return [each for each in addresses if not each.has("p2p-circuit")]


def _is_stranded(connection: Connection, own_hosts: Collection[str]) -> bool:
    local = connection.local
    host = local.value("ip4") or local.value("ip6")
    return connection.relay is None and local.has("tcp") and bool(host) and host not in own_hosts


def _whence(connection: Connection) -> str:
    return f"{'from' if connection.inbound else 'to'} {connection.remote}"


def _cause(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
