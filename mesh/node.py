"""A node: one identity, one swarm, the services on it. What programs import.

    async with Node() as node:

        @node.protocol("/chat/1.0.0")
        async def chat(stream):
            await stream.write(await stream.read())

        stream = await node.open(peer, "/chat/1.0.0")

`async with` starts and ends it; afterwards no task, socket, thread or descriptor of it is left.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mesh import __version__
from mesh.codecs.keys import KeyType
from mesh.config import Config
from mesh.errors import MeshError, UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.allocator import keep_freed_memory
from mesh.network.assembly import make_swarm
from mesh.network.collector import collect_less_often
from mesh.network.connection import Connection
from mesh.network.environment import Handler
from mesh.network.interfaces import expand_unspecified
from mesh.network.memory import MemoryTransport
from mesh.network.scope import Scope
from mesh.network.stream import Stream
from mesh.network.swarm import Swarm
from mesh.services import echo, identify, perf, ping
from mesh.services.bootstrap import Bootstrap
from mesh.services.discovery import Discovery, Surroundings
from mesh.services.identify import Identify, PeerInfo
from mesh.services.node_host import NodeHost
from mesh.services.node_services import IDLE, NodeServices
from mesh.services.ping import Ping
from mesh.services.reachability import ReachabilityService
from mesh.services.registry import Registry
from mesh.services.rendezvous import Rendezvous
from mesh.storage import keystore
from mesh.storage.blockstore import Blockstore, Collected
from mesh.storage.peerstore import Lifetime, Peerstore
from mesh.telemetry.counters import Counters

if TYPE_CHECKING:
    from mesh.services.bitswap import Bitswap
    from mesh.services.crdt import Crdt
    from mesh.services.dcutr import HolePunching
    from mesh.services.files import Files
    from mesh.services.gossip import Pubsub
    from mesh.services.kademlia import Kademlia
    from mesh.services.relay import Relaying

log = logging.getLogger(__name__)

Target = PeerId | Multiaddr | Connection | str
"""What names a peer: its id, an address that ends in it, a connection to it, or the text of the first two."""

OPTIONAL_SERVICES = {"echo": (echo.PROTOCOL_ID, echo.serve), "perf": (perf.PROTOCOL_ID, perf.serve)}


class Node:
    """A libp2p node.

    ``config`` defaults to quiet settings. ``key`` is its identity; without one it comes from the key file of
    ``config.node.path`` (created on first use), or is thrown away with the node when there is no path. ``memory`` joins
    nodes of one program over `/memory/` addresses.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        key: PrivateKey | None = None,
        memory: MemoryTransport | None = None,
    ) -> None:
        self.config = config or Config()
        self.key = key if key is not None else _load_key(self.config)
        self.peer_id = PeerId.from_public_key(self.key.public)
        self.counters = Counters()
        folder = self.config.node.path
        self.addresses = Peerstore(folder / "peers.sqlite" if folder is not None else None, time.time)
        self._registry = Registry()
        self._memory_transport = memory
        self._ping = Ping(self.config.ping.timeout_s)
        self._identify = Identify(
            self.key,
            self.config.identify,
            f"mesh/{__version__}",
            lambda: self.own_addresses,
            lambda: self._registry.protocols,
            time.time_ns,
        )
        self._identify.observers.append(self._remember)
        self._scope: Scope | None = None
        self._swarm: Swarm | None = None
        self._discovery: Discovery | None = None
        self._push_pending = False
        self.services = NodeServices(NodeHost(self), self.key, self.config, self._registry, self.counters)
        self.reachability = ReachabilityService(
            NodeHost(self), self.config, self.key.to_protobuf(), self._registry, self.counters
        )
        self.bootstrap = Bootstrap(
            self.config.network.bootstrap,
            self.connect,
            lambda peer: self._swarm is not None and self._swarm.is_connected(peer),
            lambda: not self.connections,
        )
        self._serve_own_protocols()

    def _serve_own_protocols(self) -> None:
        self._registry.add(identify.PROTOCOL_ID, self._identify.serve, limited=True)
        self._registry.add(identify.PUSH_PROTOCOL_ID, self._identify.serve_push, limited=True)
        self._registry.add(ping.PROTOCOL_ID, self._ping.serve, limited=True)
        for name in self.config.services.serve:
            self._registry.add(*OPTIONAL_SERVICES[name])
        self._registry.on_change = self._schedule_push

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen and connect to the bootstrap list (failures there are logged, never fatal).

        Raises `AddressInUse`, `NetworkError` or `UsageError` for a listen address; nothing is left open then.
        """
        if self._swarm is not None:
            raise UsageError("the node has been started already")
        keep_freed_memory()
        collect_less_often()
        self._scope = Scope(f"node {self.peer_id.short()}")
        self._swarm = self._make_swarm(self._scope)
        try:
            await asyncio.wrap_future(self.addresses.start())
            self._discovery = self._make_discovery(self._swarm)
            self._discovery.watch.observers.append(self.reachability.network_changed)
            await self.services.start(self._scope)
            for text in self.config.network.listen:
                await self._swarm.listen(Multiaddr.parse(text))
            await self._discovery.start(self._scope, self.services.datastore)
            await self.services.start_reaching(self._scope)
            await self.reachability.start(self._scope)
        except BaseException:
            await self.stop()
            raise
        self._scope.spawn(self.bootstrap.run(), "bootstrap")

    async def stop(self) -> None:
        """End every connection in order, then everything else; safe to call twice."""
        swarm, scope = self._swarm, self._scope
        if swarm is None or scope is None:
            return
        await self.reachability.stop()
        if self._discovery is not None:
            await self._discovery.stop()
        await self.services.stop()
        await swarm.close()
        await scope.close()
        self._swarm = self._scope = self._discovery = None
        await self.services.close()
        await asyncio.wrap_future(self.addresses.stop())
        self.addresses.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    # -- addresses and connections -----------------------------------------------------------------------------------

    @property
    def swarm(self) -> Swarm:
        """All connections. Raises `UsageError` before `start` and after `stop`."""
        if self._swarm is None:
            raise UsageError(IDLE)
        return self._swarm

    @property
    def listen_addrs(self) -> list[Multiaddr]:
        """Where this node listens, each ending in its peer id; unspecified hosts are filled in per interface."""
        suffix = Multiaddr.parse(f"/p2p/{self.peer_id}")
        return [address / suffix for address in self.listening]

    @property
    def connections(self) -> list[Connection]:
        return self.swarm.connections

    async def connect(self, target: Target, addresses: Iterable[Multiaddr | str] = ()) -> Connection:
        """The connection to a peer, dialled when there is none. ``addresses`` are tried besides those known. Where the
        one that stands leads through a relay, direct addresses that the caller names are dialled all the same.

        Raises `DialError`, `UsageError`.
        """
        if isinstance(target, Connection):
            return target
        peer, own = _resolve(target)
        given = [
            *own,
            *(each if isinstance(each, Multiaddr) else Multiaddr.parse(each) for each in addresses),
        ]
        present = self.swarm.connection_to(peer) if peer is not None else None
        if present is not None:
            direct = [each for each in given if not each.has("p2p-circuit")]
            return present if present.relay is None or not direct else await self.swarm.dial(peer, direct)
        known = self.addresses.of(peer) if peer is not None else ()
        return await self.swarm.dial(peer, given, known)

    # -- protocols ---------------------------------------------------------------------------------------------------

    def handle(self, protocol: str, handler: Handler, *, limited: bool = False) -> None:
        """Serve a protocol: ``handler(stream)`` runs as a task for each stream; when it returns the stream is closed,
        when it raises the stream is reset. ``limited``: also over connections through relays that limit them."""
        self._registry.add(protocol, handler, limited=limited)

    def unhandle(self, protocol: str) -> None:
        """Stop serving a protocol."""
        self._registry.remove(protocol)

    def protocol(self, protocol: str, *, limited: bool = False) -> Callable[[Handler], Handler]:
        """`handle` as a decorator."""

        def register(handler: Handler) -> Handler:
            self.handle(protocol, handler, limited=limited)
            return handler

        return register

    @property
    def protocols(self) -> list[str]:
        """What this node serves."""
        return self._registry.protocols

    async def open(
        self, target: Target, protocol: str | Sequence[str], *, allow_limited: bool = False
    ) -> Stream:
        """Open a stream to a peer, for the first of the given protocols that it speaks.

        A protocol the peer announced is opened without waiting for its answer. ``allow_limited``: also where the peer is
        reached only through a relay that limits the connection. Raises `DialError`, `ProtocolNotSupported`, `TimedOut`,
        `Closed`, `LimitedConnection`.
        """
        present = self.swarm.connection_to(target) if type(target) is PeerId else None
        connection = present or await self.connect(target)
        wanted = [protocol] if isinstance(protocol, str) else list(protocol)
        if connection.remote_protocols is None and connection.identified is not None:
            await asyncio.wait([connection.identified])
        known = connection.remote_protocols or frozenset()
        announced = next((each for each in wanted if each in known), None)
        if announced is not None:
            return await connection.open([announced], optimistic=True, allow_limited=allow_limited)
        return await connection.open(wanted, allow_limited=allow_limited)

    # -- services ----------------------------------------------------------------------------------------------------

    @property
    def discovery(self) -> Discovery:
        """How peers are found and kept. Raises `UsageError` while the node is not running."""
        if self._discovery is None:
            raise UsageError(IDLE)
        return self._discovery

    @property
    def rendezvous(self) -> Rendezvous[Target]:
        """Asks rendezvous points: `register`, `unregister`, `discover`. Raises `UsageError` while the node is not
        running."""
        return self.discovery.rendezvous

    @property
    def dht(self) -> Kademlia:
        """The DHT. Raises `UsageError` while it is off (`kademlia.mode`) or the node is not running."""
        return self.services.running_dht()

    @property
    def relaying(self) -> Relaying | None:
        """The relay and the reservations at relays; None while the node is not running or wants neither."""
        return self.services.relaying

    @property
    def hole_punching(self) -> HolePunching | None:
        """What turns relayed connections into direct ones, with what became of each attempt; None while it is off
        (`dcutr.enabled`) or the node is not running."""
        return self.services.punching

    @property
    def pubsub(self) -> Pubsub:
        """Pubsub; it runs while the node does. Raises `UsageError` while it is off (`gossip.enabled`)."""
        if self.services.pubsub is None:
            raise UsageError("pubsub is off: set gossip.enabled to true")
        return self.services.pubsub

    @property
    def blocks(self) -> Blockstore:
        """This node's blocks. Raises `UsageError` while they are off (`blocks.enabled`) or the node is not running."""
        return self.services.running_blocks()

    @property
    def files(self) -> Files:
        """Files and directories among this node's blocks. Raises `UsageError` as `blocks` does."""
        return self.services.running_files()

    @property
    def bitswap(self) -> Bitswap:
        """Gets blocks from peers. Raises `UsageError` while it is off (`blocks.exchange`) or the node is not running."""
        return self.services.running_bitswap()

    async def collect_blocks(self) -> Collected:
        """Remove blocks that neither a pin nor the history of a replicated mapping holds. Raises `UsageError`."""
        return await self.services.collect_blocks()

    async def crdt(self, topic: str, *, rebroadcast_s: float = 60.0) -> Crdt:
        """A mapping that every node in this topic has and keeps. One replica a topic, which ends with the node.

        Heads that nobody mentioned are told every ``rebroadcast_s``. Raises `UsageError` while blocks, their exchange
        or pubsub are off, `StorageError` for a damaged store.
        """
        return await self.services.replica(topic, rebroadcast_s)

    async def identify(self, target: Target) -> PeerInfo:
        """Ask a peer who it is. Raises `TimedOut`, `Malformed`, `DialError`."""
        return await self._identify.ask(await self.connect(target))

    async def ping(
        self, target: Target, count: int | None = None, interval_s: float = 1.0
    ) -> AsyncGenerator[float | None, None]:
        """Round trip of each ping in seconds, None for a lost one; interval 0 is back to back."""
        connection = await self.connect(target)
        async for round_trip in self._ping.ping(connection, count, interval_s):
            yield round_trip

    # -- within ------------------------------------------------------------------------------------------------------

    def _make_swarm(self, scope: Scope) -> Swarm:
        memory = self._memory_transport or MemoryTransport()
        swarm = make_swarm(self.config, self.key, self._registry, scope, self.counters, memory)
        swarm.observers.connected.append(self._connected)
        swarm.observers.disconnected.append(self._disconnected)
        return swarm

    def _make_discovery(self, swarm: Swarm) -> Discovery:
        around = Surroundings(
            self.config,
            swarm,
            self.addresses,
            self.bootstrap,
            self._registry,
            self._identify,
            self.counters,
            lambda: self.listening,
            self.connect,
            lambda: self.services.dht,
        )
        return Discovery(around)

    def _connected(self, connection: Connection) -> None:
        self.addresses.set_connected(connection.peer, True)
        self.addresses.set_key(connection.peer, connection.remote_key)
        connection.identified = connection.scope.spawn(
            self._identify.ask(connection), "identify", on_error=self._identify_failed
        )

    def _disconnected(self, connection: Connection) -> None:
        self.reachability.disconnected(connection)
        if self._swarm is None:
            return
        if not self._swarm.is_connected(connection.peer):
            self.addresses.set_connected(connection.peer, False)
        present = self._swarm.connection_to(connection.peer)
        if connection.limited is None and (present is None or present.limited is not None):
            self.services.disconnected(connection.peer)

    def _identify_failed(self, error: MeshError) -> None:
        self.counters.count(f"identify.failed:{error.code}")

    def _remember(self, connection: Connection, info: PeerInfo) -> None:
        addresses, peer = self.addresses, info.peer
        addresses.set_protocols(peer, info.protocols)
        addresses.set_agent(peer, info.agent_version)
        if info.record is not None:
            addresses.set_record(peer, info.record, info.record_seq, info.listen_addrs, Lifetime.CONNECTED)
        else:
            addresses.add(peer, info.listen_addrs, Lifetime.CONNECTED)
        self.reachability.identified(connection, info.observed_addr)
        self.services.identified(connection)

    @property
    def listening(self) -> list[Multiaddr]:
        """Where this node listens, without its peer id."""
        return expand_unspecified(self._swarm.listen_addresses) if self._swarm is not None else []

    @property
    def own_addresses(self) -> list[Multiaddr]:
        """Where others are told that this node is reached, without its peer id."""
        return self.reachability.announced() if self._swarm is not None else []

    def _schedule_push(self) -> None:
        if self._scope is not None and not self._scope.closing and not self._push_pending:
            self._push_pending = True
            self._scope.spawn(self._push(), "identify push")

    async def _push(self) -> None:
        self._push_pending = False
        await self._identify.push(self.connections)


def _load_key(config: Config) -> PrivateKey:
    path = config.key_path
    key_type = KeyType[config.node.key_type.upper()]
    return PrivateKey.generate(key_type) if path is None else keystore.load_or_create(path, key_type)


def _resolve(target: PeerId | Multiaddr | str) -> tuple[PeerId | None, list[Multiaddr]]:
    """Peer and addresses that a target names."""
    if isinstance(target, str):
        target = Multiaddr.parse(target) if target.startswith("/") else PeerId.parse(target)
    if isinstance(target, PeerId):
        return target, []
    data = target.peer_id_bytes()
    address = target.without_peer()
    return (PeerId.from_bytes(data) if data is not None else None), [address] if address else []
