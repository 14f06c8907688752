"""`Agent`: the agent daemon on a running node; what its API, its console and programs use."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mesh.apps.agent.event_stream import EventStream
from mesh.apps.agent.finding import Finding
from mesh.apps.agent.housekeeping import keep_house
from mesh.apps.agent.mail import Mail, now_ms
from mesh.apps.agent.messenger import ask_ping
from mesh.apps.agent.presence import Presence, bsv_key_of
from mesh.apps.agent.records import (
    Accepted,
    AgentEvent,
    FoundPeer,
    NodeStatus,
    PeerChanged,
    ServiceInfo,
    TrackedPeer,
)
from mesh.apps.agent.requests import Reply
from mesh.apps.agent.store import AgentStore, address_book, own_settings
from mesh.apps.agent.store.agent_store import FILE_NAME
from mesh.apps.agent.waking.channels import channel_of, pace_of
from mesh.apps.agent.waking.waking import Channel, Waking
from mesh.apps.agent.way import Way
from mesh.apps.lifetime import Lifetime
from mesh.errors import TimedOut, UsageError
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.scope import Scope

if TYPE_CHECKING:
    from mesh.config import Config
    from mesh.node import Node

_IDLE = "the agent is not running: use `async with Agent(node, config)`"


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """This node's status, the last one of each other (none older than an hour), when ours was last sent (0: never)."""

    own: NodeStatus
    peers: tuple[NodeStatus, ...]
    last_broadcast: int


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a `resumed` call found. ``calls`` counts those for this message, this one included; only the first changes
    anything."""

    message_id: str
    peer_id: str
    calls: int


class Agent(Lifetime):
    """``async with Agent(node, config)``: the daemon part of a node that runs. The data folder is the node's; without one
    everything is in memory and gone at the end.

    Instants are milliseconds since 1970. Peers are named by the text of their id. Every method that sends returns once
    the message is committed to the outbox; what becomes of it is told by `events` and `why`.
    """

    def __init__(self, node: Node, config: Config) -> None:
        """Raises `ConfigError` for a gateway's token or a key file that cannot be used."""
        channel, bsv_key = channel_of(config.agent), bsv_key_of(config.agent)
        self.node = node
        self.settings = config
        folder = config.node.path
        self._store = AgentStore(None if folder is None else folder / FILE_NAME)
        self._open = False
        self._scope = Scope("agent")
        self._events = EventStream()
        self._name = ""
        self._services: Sequence[ServiceInfo] = ()
        self._presence = Presence(
            node, self._store, lambda: self._services, lambda: self.name, bsv_key, self._events.tell
        )
        self._mail = Mail(node, self._store, self._presence.directory.addresses_of, self._events.tell)
        self.waking = None if channel is None else self._make_waking(channel)
        """What wakes the agent; None where the settings name nothing that does."""

    async def start(self) -> None:
        """Open ``agent.db``, serve the protocols, join the topics. Raises `StorageError`, `UsageError`."""
        if self._open:
            raise UsageError("the agent has been started already")
        await self._store.open()
        self._open = True
        self._name, self._services = await self._store.write(_begin)
        if self.waking is not None:
            await self.waking.prepare()
        observers = self.node.swarm.observers
        observers.connected.append(self._connected)
        observers.disconnected.append(self._disconnected)
        for peer in self.node.swarm.peers:
            self._note_peer(peer, online=True)
        await self._mail.start()
        if self.waking is not None:
            await self.waking.start()
        self._presence.start()
        self._scope.spawn(keep_house(self._store, self.settings.agent), "housekeeping")
        section = self.settings.agent
        if section.rendezvous:
            finding = Finding(self.node, section.rendezvous, section.rendezvous_interval_s)
            self._scope.spawn(finding.run(), "finding")

    async def stop(self) -> None:
        """End everything in order; safe to call twice."""
        if not self._open:
            return
        observers = self.node.swarm.observers
        for listeners, listener in (
            (observers.connected, self._connected),
            (observers.disconnected, self._disconnected),
        ):
            if listener in listeners:
                listeners.remove(listener)
        await self._presence.stop()
        await self._mail.stop()
        if self.waking is not None:
            await self.waking.stop()
        await self._scope.close()
        self._events.close()
        self._open = False
        await self._store.close()

    # -- what belongs to it ------------------------------------------------------------------------------------------

    @property
    def store(self) -> AgentStore:
        """The open ``agent.db``: log, address book, read marks. Raises `UsageError` before `start` and after `stop`."""
        if not self._open:
            raise UsageError(_IDLE)
        return self._store

    @property
    def name(self) -> str:
        """What this agent is called: as set while it ran, else by the settings, else the first of its peer id."""
        return self._name or self.settings.agent.name or str(self.node.peer_id)[:8]

    async def set_name(self, name: str) -> None:
        """Be called so from now on, in the next status too; an empty name gives the settings' back. Raises
        `StorageError`."""
        await self.store.write(lambda database: own_settings.set_name(database, name))
        self._name = name

    # -- messages ----------------------------------------------------------------------------------------------------

    async def send(
        self, peer: str, content: str, *, multiaddr: str | None = None, reply_to: str | None = None
    ) -> Accepted:
        """Queue a text. ``multiaddr`` is dialled first, ``reply_to`` names the message that this answers.

        Raises `DecodeError` and `UsageError` for what is no peer id or address, `UsageError` for a message that is too
        long, `StorageError`.
        """
        return await self.post(peer, "text", {"content": content, "replyTo": reply_to}, multiaddr=multiaddr)

    async def post(
        self, peer: str, message_type: str, fields: Mapping[str, Any], *, multiaddr: str | None = None
    ) -> Accepted:
        """Queue a message of any type; ``fields`` are those besides id, type, timestamp, from, to. Raises as `send`."""
        self._check_running()
        return await self._mail.post(peer, message_type, fields, multiaddr)

    async def request(
        self,
        peer: str,
        service: str,
        params: Mapping[str, Any],
        *,
        timeout_s: float = 30.0,
        multiaddr: str | None = None,
    ) -> Reply:
        """Ask for a service and wait for the answer of that very peer. Raises `TimedOut`, and as `send`."""
        self._check_running()
        fields = {"service": service, "params": dict(params), "maxWaitMs": int(timeout_s * 1000)}
        return await self._mail.request(peer, fields, timeout_s, multiaddr)

    async def respond(
        self, peer: str, request_id: str, *, result: Any = None, error: str | None = None
    ) -> Accepted:
        """Answer a request: with an error if one is given, else with a result. Raises as `send`."""
        fields = {"requestId": request_id, "success": error is None, "result": result, "error": error}
        return await self.post(peer, "response", fields)

    async def pay(
        self,
        peer: str,
        txid: str,
        amount: int,
        to_address: str,
        *,
        vout: int = 0,
        beef: str | None = None,
        memo: str | None = None,
        multiaddr: str | None = None,
    ) -> Accepted:
        """Queue a payment message; it carries the transaction, it moves no money. Raises as `send`."""
        fields = {
            "txid": txid,
            "vout": vout,
            "amount": amount,
            "toAddress": to_address,
            "memo": memo,
            "beef": beef,
        }
        return await self.post(peer, "payment", fields, multiaddr=multiaddr)

    async def why(self, message_id: str) -> tuple[Way, ...]:
        """What became of a message: usually one way; several where peers chose the same id. Raises `StorageError`."""
        self._check_running()
        return await self._mail.why(message_id)

    async def resumed(self, message_id: str, token: str) -> Resumption:
        """The agent says that it has the message that it was woken for. Duplicate calls are counted and allowed.

        Raises `UsageError` for a wrong token, and for a message that never was.
        """
        self._check_running()
        redeemed = None if self.waking is None else await self.waking.resumed(message_id, token)
        if redeemed is None:
            raise UsageError(f"no message {message_id[:128]} was waked for with that token")
        peer_id, row = redeemed
        evidence = f"token sha256 {hashlib.sha256(token.encode()).hexdigest()}"
        found = await self._mail.resumed(PeerId.parse(peer_id), row, evidence)
        if found is None:
            raise UsageError(f"the message {message_id[:128]} has been forgotten since it was waked for")
        return Resumption(found[0], peer_id, found[1])

    async def retry(self, message_id: str) -> int:
        """Try dead letters of that id again; gives how many there were. Raises `StorageError`."""
        self._check_running()
        return await self._mail.retry(message_id)

    async def ping(self, peer: str, *, timeout_s: float = 10.0) -> float:
        """Round trip of the daemon's own ping in seconds. Raises `DialError`, `TimedOut`, `PeerError`."""
        self._check_running()
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._mail.connection_to(self._mail.recipient(peer, None))
                return await ask_ping(self.node, connection, now_ms())
        except TimeoutError:
            raise TimedOut(f"{peer} did not answer the ping within {timeout_s:g} s") from None

    # -- directory, services, status ---------------------------------------------------------------------------------

    def discover(self, service: str = "", peer: str = "", text: str = "") -> list[FoundPeer]:
        """Agents heard of: all, or those with that service id, that peer id, those with the text in a service's id, name
        or description (any case)."""
        return self._presence.directory.find(service, peer, text)

    @property
    def services(self) -> Sequence[ServiceInfo]:
        """What this agent offers."""
        return self._services

    async def register(self, service: ServiceInfo) -> None:
        """Offer a service, in place of one with the same id, and announce it. Raises `UsageError` when there are 64,
        `StorageError`."""

        def put(database: sqlite3.Connection) -> tuple[ServiceInfo, ...]:
            own_settings.put_service(database, service)
            return tuple(own_settings.services(database))

        self._services = await self.store.write(put)
        self._presence.changed()

    async def unregister(self, service_id: str) -> bool:
        """Offer it no more, and announce that; tells whether it was offered. Raises `StorageError`."""

        def remove(database: sqlite3.Connection) -> tuple[bool, tuple[ServiceInfo, ...]]:
            gone = own_settings.remove_service(database, service_id)
            return gone, tuple(own_settings.services(database))

        gone, self._services = await self.store.write(remove)
        if gone:
            self._presence.changed()
        return gone

    @property
    def discovering(self) -> bool:
        """Whether the topics are joined: pubsub is on."""
        return self._presence.running

    def network_status(self) -> NetworkStatus:
        """What this node and others last said of themselves."""
        presence = self._presence
        return NetworkStatus(presence.own_status(), presence.statuses, presence.last_broadcast)

    async def broadcast_status(self) -> None:
        """Tell others this node's status now, and announce it. Raises `UsageError` when pubsub is off."""
        self._check_running()
        await self._presence.broadcast()

    @property
    def relay_address(self) -> str | None:
        """Where others reach this node through a relay, if they do."""
        return next((each for each in self._presence.own_addresses() if "/p2p-circuit" in each), None)

    @property
    def connected_peers(self) -> list[str]:
        """Peers with a connection, each once."""
        return [str(peer) for peer in self.node.swarm.peers]

    @property
    def started_at(self) -> int:
        """When the daemon part started."""
        return self._presence.started_at

    # -- events ------------------------------------------------------------------------------------------------------

    def events(self) -> AsyncGenerator[AgentEvent, None]:
        """What happens from now on. A reader that is 1024 events behind loses the oldest."""
        return self._events.read()

    # -- within ------------------------------------------------------------------------------------------------------

    def _make_waking(self, channel: Channel) -> Waking:
        section = self.settings.agent
        address = section.api if section.api != "off" else "127.0.0.1:4003"
        waking = self._mail.waking = Waking(
            self._store,
            channel,
            clock=time.time,
            api_url=f"http://{address}",
            pace=pace_of(section),
            invoked=self._mail.invoked,
            told=self._mail.told,
        )
        return waking

    def _check_running(self) -> None:
        if not self._open:
            raise UsageError(_IDLE)

    def _connected(self, connection: Connection) -> None:
        self._note_peer(connection.peer, online=True)

    def _disconnected(self, connection: Connection) -> None:
        if not self.node.swarm.is_connected(connection.peer):
            self._note_peer(connection.peer, online=False)

    def _note_peer(self, peer: PeerId, *, online: bool) -> None:
        """Write down that a peer came or went."""
        if not self._scope.closing:
            self._scope.spawn(self._write_peer(str(peer), online), "address book")

    async def _write_peer(self, peer_id: str, online: bool) -> None:
        note = address_book.connected if online else address_book.disconnected

        def write(database: sqlite3.Connection) -> TrackedPeer:
            return note(database, peer_id, now_ms())

        self._events.tell([PeerChanged(await self.store.write(write))])


def _begin(database: sqlite3.Connection) -> tuple[str, tuple[ServiceInfo, ...]]:
    """What is so when a daemon starts: nobody is connected. The name that was set, and the services."""
    address_book.all_offline(database)
    return own_settings.name(database), tuple(own_settings.services(database))


__all__ = ["Agent", "NetworkStatus", "Reply", "Resumption"]
