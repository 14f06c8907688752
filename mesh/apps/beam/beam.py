"""`Beam`: the service network on a running node; what its API, its console and programs use."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mesh.apps.beam.directory import NOBODY, Directory
from mesh.apps.beam.exposures import Exposure, Exposures
from mesh.apps.beam.finding import Finder, Found
from mesh.apps.beam.gossip import Gossip
from mesh.apps.beam.links import Links
from mesh.apps.beam.name_book import NameBook
from mesh.apps.beam.outbox_keeper import OutboxKeeper
from mesh.apps.beam.ownership import Claimed, Ownership
from mesh.apps.beam.paths import Paths
from mesh.apps.beam.quality_paths import QualityPaths
from mesh.apps.beam.registry import Registered, Registry, Wanted
from mesh.apps.beam.standing import Meter, sample_of
from mesh.apps.beam.store import HEARD, BeamStore
from mesh.apps.beam.syncing import Sync
from mesh.apps.beam.tunnel import Tunnel
from mesh.apps.beam.tunnel_server import TUNNEL_PROTOCOL, TunnelServer
from mesh.apps.beam.watchman import Watchman
from mesh.apps.beam.wellbeing import Wellbeing
from mesh.apps.lifetime import Lifetime
from mesh.config import BeamSection
from mesh.errors import ConfigError, DecodeError, MeshError, StorageError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.protocols.beam.abuse import AbuseWatch, Alert
from mesh.protocols.beam.gossip_message import ANNOUNCE, DEPARTURE, HEARTBEAT, QUERY, GossipMessage
from mesh.protocols.beam.history import SAMPLE_S, History
from mesh.protocols.beam.record_keys import Target, read_target
from mesh.protocols.beam.service_record import ServiceRecord, open_service
from mesh.protocols.beam.service_table import ServiceTable
from mesh.protocols.beam.sync import Held, Record, held_of

if TYPE_CHECKING:
    from mesh.node import Node

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
"""How often what is due is looked for: announcements, changed addresses, what has expired."""
LEAVE_S: Final = 2.0
MAX_TUNNELS: Final = 256
LOADED_AT_ONCE: Final = 64
_IDLE: Final = "Beam is not running: use `async with Beam(node, settings)`"
_PUBLIC: Final = ("/ipfs", "/ipfs/lan")


class Beam(Lifetime):
    """``async with Beam(node, settings)``. The data folder is the node's; without one everything is in memory.

    The node runs already. ``paths`` decides by which connection streams to peers go, and may be replaced at any time;
    ``gossip.observers`` get what others say. Services are named as `read_target` reads them.
    """

    def __init__(self, node: Node, settings: BeamSection) -> None:
        """Raises `ConfigError` for a DHT that is not to be used for this."""
        if node.config.kademlia.mode != "off" and node.config.kademlia.prefix in _PUBLIC:
            raise ConfigError(
                f"kademlia.prefix is {node.config.kademlia.prefix}, which takes no records of Beam: set it to /beam"
            )
        self.node = node
        self.settings = settings
        self._scope = Scope("beam")
        self.abuse = AbuseWatch(self._alerted)
        self.routing = QualityPaths(node, self._scope, (TUNNEL_PROTOCOL,), settings, self._chain_refused)
        self.paths: Paths = self.routing
        self._observers = node.swarm.observers
        self._running = False
        self._dirty: dict[tuple[str, PeerId], ServiceRecord | None] = {}
        self._tunnels: dict[int, Tunnel] = {}
        self._numbers = 0
        self.started_s = 0.0
        self.meter = Meter()
        self.store = BeamStore(node.config.node.path)
        self.table = ServiceTable()
        self.book = NameBook(node.peer_id, self.store)
        self.exposures = Exposures(settings.max_tunnels, settings.max_tunnels_per_peer)
        self.outbox = OutboxKeeper(self.store)
        self.watchman = Watchman(lambda: self.paths, self._unreachable)
        self.server = TunnelServer(node, self.exposures)
        self.directory = Directory(node, self.book.hear, self._stored, self._answered)
        self.gossip = Gossip(node, self.abuse)
        self.wellbeing = Wellbeing(node, settings, self.abuse, self.gossip, self.routing.table)
        self.routing.chains.admits = self.wellbeing.admits
        self.history = History()
        self.links = Links(
            node.swarm,
            self.routing.table,
            self.gossip.publish,
            settings.forward,
            lambda: bool(self.registry.own),
        )
        self.routing.own_links = self.links.qualities
        self.finder = Finder(settings, self.table, self.book, self.directory, self.gossip)
        self.registry = Registry(
            node,
            self.store,
            self.table,
            self.exposures,
            self.directory,
            self.gossip,
            self.outbox,
            self._taken,
        )
        self.sync = Sync(node, settings.sync_s, self.abuse, self._held, self._learn)
        self.names = Ownership(node, settings, self.book, self.directory, self.gossip, self.outbox)

    async def start(self) -> None:
        """Open ``beam.sqlite``, serve the protocols, announce what is kept. Raises `StorageError`, `UsageError`."""
        if self._running:
            raise UsageError("Beam has been started already")
        self._running = True
        self.started_s = time.time()
        await self.store.open()
        await self.book.open()
        await self._load()
        self.directory.start()
        await self.registry.open()
        await self.outbox.open()
        self.gossip.observers.append(self._heard)
        self._watch(True)
        self.gossip.start()
        self.server.start()
        self.routing.sessions.serve(TUNNEL_PROTOCOL, self.server.serve_from)
        self.routing.sessions.start()
        self.routing.chains.start()
        self.sync.start()
        self.gossip.observers.append(self.links.heard)
        self.gossip.observers.append(self.wellbeing.heard)
        for work, name in (
            (self._announce_kept(), "beam announcing"),
            (self._look_after(), "beam upkeep"),
            (self._beat(), "beam heartbeat"),
            (self._probe(), "beam probes"),
            (self.links.run(), "beam links"),
            (self.sync.run(), "beam sync"),
            (self.wellbeing.run(), "beam wellbeing"),
            (self._remember(), "beam history"),
            (self.outbox.run(), "beam outbox"),
        ):
            self._scope.spawn(work, name)

    async def stop(self) -> None:
        """Say that the services are gone, and end everything; safe to call twice."""
        if not self._running:
            return
        self._running = False
        self._watch(False)
        self.wellbeing.stop()
        for tunnel in list(self._tunnels.values()):
            await tunnel.stop()
        self._tunnels.clear()
        self.routing.sessions.stop()
        self.routing.chains.stop()
        self.sync.stop()
        self.server.stop()
        with contextlib.suppress(MeshError, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self.registry.leave()
                await self.gossip.neighbours.written()
        await self.gossip.stop()
        self.directory.stop()
        await self._scope.close()
        with contextlib.suppress(StorageError):
            await self._write_dirty()
        await self.store.close()

    # -- services ----------------------------------------------------------------------------------------------------

    def target(self, text: str) -> Target:
        """What a text names. Raises `UsageError`."""
        return read_target(text, self.settings.suffix)

    async def find(self, text: str, *, fresh: bool = False) -> Found:
        """Who provides a service. Raises `UsageError`, `NameDisputed`, `MeshError`."""
        self._check_running()
        return await self.finder.find(self.target(text), fresh=fresh)

    async def register(
        self, text: str, wanted: Callable[[str], Wanted], *, description: str = "", tags: Sequence[str] = ()
    ) -> tuple[Claimed | None, Registered]:
        """Offer a service under a name, which is claimed where it has one. ``wanted`` describes it, given its service id.

        Raises `NameTaken`, `NameDisputed`, `UsageError`, `StorageError`.
        """
        self._check_running()
        target = self.target(text)
        if target.provider not in (None, self.node.peer_id):
            raise UsageError(f"{text} is a service of {target.provider}, not of this node")
        described = wanted(target.service_id)
        if not target.name or target.provider is not None:
            return None, await self.registry.register(described)
        record = await self.names.look(
            target.name, target.service_id, description=description, tags=tuple(tags)
        )
        if record.owner != self.node.peer_id:
            return Claimed(record, False, NOBODY, False), await self.registry.register(described)
        claimed, done = await asyncio.gather(self.names.publish(record), self.registry.register(described))
        return claimed, done

    async def expose(
        self,
        text: str,
        port: int,
        *,
        host: str = "127.0.0.1",
        public: bool = False,
        allow: Sequence[PeerId] = (),
    ) -> tuple[Claimed | None, Registered]:
        """Let others reach a local TCP port: anybody (``public``) or those of ``allow``. Raises as `register`."""
        target = self.target(text)
        exposure = Exposure(target.service_id, host, port, public, frozenset(allow))
        return await self.register(
            text,
            lambda service_id: Wanted(
                service_id,
                "tcp",
                {"protocol": "tcp", "tunnel": "/beam/tunnel/tcp/1.0.0"},
                ttl_s=self.settings.service_ttl_s,
                exposure=exposure,
            ),
        )

    # -- tunnels -----------------------------------------------------------------------------------------------------

    @property
    def tunnels(self) -> list[Tunnel]:
        """Local ports that lead to services."""
        return list(self._tunnels.values())

    async def open(self, text: str, port: int = 0) -> Tunnel:
        """A local port that leads to a service. Raises `UsageError` for a service that nobody provides, `AddressInUse`,
        `NameDisputed`, `MeshError`."""
        found = await self._others(text)
        if not found.providers:
            refused = (
                f"; {len(found.left_out)} offer it without a right to the name" if found.left_out else ""
            )
            raise UsageError(f"nobody provides {text}{refused}")
        if len(self._tunnels) >= MAX_TUNNELS:
            raise UsageError(f"{MAX_TUNNELS} tunnels are open already")
        self._numbers += 1
        tunnel = Tunnel(
            self._numbers,
            text,
            lambda fresh: self._others(text, fresh=fresh),
            lambda: self.paths,
            self.watchman,
            self._scope,
        )
        await tunnel.start(port)
        self._tunnels[tunnel.number] = tunnel
        return tunnel

    async def close_tunnel(self, number: int) -> None:
        """Raises `UsageError` for one that is not open."""
        tunnel = self._tunnels.pop(number, None)
        if tunnel is None:
            raise UsageError(f"no tunnel {number} is open")
        await tunnel.stop()

    async def _others(self, text: str, *, fresh: bool = False) -> Found:
        """Who provides a service, but for this node itself."""
        found = await self.find(text, fresh=fresh)
        return replace(
            found,
            providers=tuple(each for each in found.providers if each.record.peer_id != self.node.peer_id),
        )

    # -- what happens ------------------------------------------------------------------------------------------------

    def _heard(self, message: GossipMessage) -> None:
        """Somebody said something, signed and fresh."""
        record, now_s = message.record, time.time()
        match message.kind:
            case _ if isinstance(record, ServiceRecord):
                if self.table.merge(record, now_s).changed:
                    self._taken(record)
            case kind if kind in (ANNOUNCE, DEPARTURE) and record is not None:
                if record.counts(now_s):
                    self.book.hear(record)
            case kind if kind == HEARTBEAT:
                self.table.heard(message.origin, message.services, now_s)
            case kind if kind == QUERY and any(map(self.registry.offers, message.services)):
                self._scope.spawn(self.registry.answer(message.services), "beam answer")

    def _held(self) -> Iterator[Held]:
        """Every record that counts now."""
        now_s = time.time()
        yield from map(held_of, self.table.counting(now_s))
        yield from map(held_of, self.book.counting(now_s))

    def _learn(self, record: Record) -> bool:
        """Somebody gave a verified record that counts; whether it is news. Of its own services this node knows best."""
        if isinstance(record, ServiceRecord):
            news = record.peer_id != self.node.peer_id and self.table.merge(record, time.time()).changed
            if news:
                self._taken(record)
            return news
        held = [each for each in self.book.known(record.name) if each.owner == record.owner]
        self.book.hear(record)
        return not held or held[0].version < record.version

    def _taken(self, record: ServiceRecord) -> None:
        """A record is in the table."""
        self._dirty[record.service_id, record.peer_id] = record
        self.finder.heard(record)

    def _alerted(self, alert: Alert) -> None:
        self.node.counters.count(f"beam.alert:{alert.detector}")
        log.info("%s (%s): %s: %s", alert.detector, alert.severity, alert.peer, alert.description)
        self.wellbeing.raised(alert)

    def _unreachable(self, peer: PeerId, cause: str) -> None:
        self.wellbeing.unreachable(peer, cause)

    def _stored(self, peer: PeerId) -> None:
        self.abuse.put(peer, time.monotonic())

    def _answered(self, peer: PeerId, consistent: bool) -> None:
        self.abuse.looked_up(peer, consistent, time.monotonic())

    def _chain_refused(self, peer: PeerId) -> None:
        self.abuse.hoarded(peer, time.monotonic())

    def _circuit_refused(self, peer: PeerId) -> None:
        self.abuse.refused_circuit(peer, time.monotonic())

    def _watch(self, on: bool) -> None:
        observers = self._observers
        pairs: list[tuple[list[Callable[[Connection], None]], Callable[[Connection], None]]] = [
            (observers.connected, self._connected),
            (observers.disconnected, self._disconnected),
        ]
        for listeners, listener in pairs:
            if on:
                listeners.append(listener)
            elif listener in listeners:
                listeners.remove(listener)
        relaying = self.node.relaying
        if relaying is None or relaying.server is None:
            return
        if on:
            relaying.server.refused.append(self._circuit_refused)
        elif self._circuit_refused in relaying.server.refused:
            relaying.server.refused.remove(self._circuit_refused)

    def _connected(self, connection: Connection) -> None:
        self.links.changed()
        self.outbox.newcomer()
        self.sync.connected(connection)
        if connection.inbound:
            self.abuse.connected(connection.peer, time.monotonic())

    def _disconnected(self, connection: Connection) -> None:
        """A provider in use may be gone: it is probed at once."""
        self.links.changed()
        peer = connection.peer
        if not self.node.swarm.is_connected(peer):
            self.wellbeing.forget_peer(peer)
        places = [each for each in self._places() if each[1] == peer]
        if places and not self.node.swarm.is_connected(peer) and not self._scope.closing:
            self._scope.spawn(self.watchman.probe_all(places), "beam probe")

    # -- what goes on ------------------------------------------------------------------------------------------------

    async def _announce_kept(self) -> None:
        for wanted, _ in self.registry.own:
            try:
                await self.registry.register(wanted)
            except MeshError as error:
                log.warning("%s cannot be announced: %s", wanted.service_id, error)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for record in self.table.expire(time.time()):
                self._dirty[record.service_id, record.peer_id] = None
            try:
                await self._write_dirty()
                await self.registry.refresh()
                await self.names.refresh()
            except StorageError as error:
                log.error("%s", error)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.settings.heartbeat_s)
            services = [record.service_id for _, record in self.registry.own]
            if services:
                await self.gossip.publish(HEARTBEAT, {"services": services})

    async def _remember(self) -> None:
        while True:
            self.history.note(*sample_of(self), time.monotonic())
            await asyncio.sleep(SAMPLE_S)

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(self.settings.probe_s)
            await self.watchman.probe_all(list(self._places()))

    def _places(self) -> Iterator[tuple[str, PeerId, tuple[()]]]:
        """The providers of the tunnels that are open."""
        now_s = time.time()
        for tunnel in self._tunnels.values():
            target = self.target(tunnel.target)
            for entry in self.table.providers(target.service_id, now_s):
                peer = entry.record.peer_id
                if peer != self.node.peer_id and target.provider in (None, peer):
                    yield target.service_id, peer, ()

    async def _load(self) -> None:
        """What was heard before. Raises `StorageError`."""
        now_s, number = time.time(), 0
        async for _, envelope in self.store.all(HEARD):
            number += 1
            if number % LOADED_AT_ONCE == 0:
                await asyncio.sleep(0)
            with contextlib.suppress(DecodeError):
                self.table.merge(open_service(envelope), now_s)

    async def _write_dirty(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for (service_id, peer), record in dirty.items():
            key = f"{service_id}/{peer}"
            if record is None:
                await self.store.remove(HEARD, key)
            else:
                await self.store.put(HEARD, key, record.envelope)

    def _check_running(self) -> None:
        if not self._running:
            raise UsageError(_IDLE)
