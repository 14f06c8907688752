"""An agent without a network: the real store, and messages that wait in it. For tests of what is in front of it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mesh.apps.agent.agent import Agent, NetworkStatus, Reply, Resumption
from mesh.apps.agent.records import (
    MAX_MESSAGE_BYTES,
    Accepted,
    AgentEvent,
    DeliveryChanged,
    DeliveryState,
    Direction,
    FoundPeer,
    MessageLogged,
    MessageRecord,
    NodeStatus,
    ServiceInfo,
)
from mesh.apps.agent.store import AgentStore, address_book, message_log, own_settings
from mesh.apps.agent.way import Step, Way
from mesh.config import Config
from mesh.errors import DecodeError, LimitError, TimedOut, UsageError
from mesh.identity.peer_id import PeerId
from mesh.node import Node

TOKEN = "token-of-the-wake"


class PlainAgent(Agent):
    """``reached`` are peers whose messages leave at once; ``found`` is the directory; ``heard`` what others said."""

    def __init__(self, node: Node, config: Config) -> None:
        super().__init__(node, config)
        self._store = AgentStore(None if config.node.path is None else config.node.path / "agent.db")
        self._listeners: list[asyncio.Queue[AgentEvent]] = []
        self._numbers = itertools.count(1)
        self._services: tuple[ServiceInfo, ...] = ()
        self._name = ""
        self.reached: set[str] = set()
        self.found: list[FoundPeer] = []
        self.heard: tuple[NodeStatus, ...] = ()
        self.relay: str | None = None
        self.broadcasts = 0
        self.resumptions = 0

    async def start(self) -> None:
        await self._store.open()
        self._services = tuple(await self._store.read(own_settings.services))
        self._name = await self._store.read(own_settings.name)
        self._started_at = now()

    async def stop(self) -> None:
        await self._store.close()

    @property
    def store(self) -> AgentStore:
        return self._store

    @property
    def name(self) -> str:
        return self._name or self.settings.agent.name or str(self.node.peer_id)[:8]

    async def set_name(self, name: str) -> None:
        await self._store.write(lambda database: own_settings.set_name(database, name))
        self._name = name

    async def send(
        self, peer: str, content: str, *, multiaddr: str | None = None, reply_to: str | None = None
    ) -> Accepted:
        return await self._queue(peer, "chat", content)

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
        return await self._queue(peer, "payment", f'{{"txid":"{txid}","amount":{amount}}}')

    async def respond(
        self, peer: str, request_id: str, *, result: Any = None, error: str | None = None
    ) -> Accepted:
        return await self._queue(peer, "response", request_id)

    async def request(
        self,
        peer: str,
        service: str,
        params: Mapping[str, Any],
        *,
        timeout_s: float = 30.0,
        multiaddr: str | None = None,
    ) -> Reply:
        await self._queue(peer, "request", service)
        if peer not in self.reached:
            raise TimedOut(f"Request timeout after {timeout_s * 1000:.0f}ms")
        return Reply(True, dict(params), None, {})

    async def receive(self, peer: str, content: str, message_type: str = "text") -> MessageRecord:
        """A message comes in."""
        number = next(self._numbers)
        record = MessageRecord(
            0, peer, Direction.INBOUND, content, message_type, now(), message_id=f"{number}-in"
        )
        stored = await self._store.write(lambda database: message_log.add(database, record))
        await self._store.write(
            lambda database: address_book.exchanged(database, peer, Direction.INBOUND, now())
        )
        self.tell(MessageLogged(stored))
        return stored

    async def _queue(self, peer: str, message_type: str, content: str) -> Accepted:
        try:
            PeerId.parse(peer)
        except DecodeError as error:
            raise UsageError(f"{peer[:64]!r} is no peer id: {error.reason}") from None
        if len(content.encode()) > MAX_MESSAGE_BYTES:
            raise LimitError("agent", "a message", MAX_MESSAGE_BYTES, "nothing: send less")
        message_id = f"{next(self._numbers)}-out"
        record = MessageRecord(
            0,
            peer,
            Direction.OUTBOUND,
            content,
            message_type,
            now(),
            message_id=message_id,
            state=DeliveryState.QUEUED,
        )
        stored = await self._store.write(lambda database: message_log.add(database, record))
        self.tell(MessageLogged(stored))
        if peer in self.reached:
            changed = DeliveryChanged(message_id, peer, DeliveryState.STORED, now())
            await self._store.write(
                lambda database: message_log.set_state(database, stored.id, changed.state)
            )
            self.tell(changed)
        return Accepted(message_id, peer, DeliveryState.QUEUED)

    async def why(self, message_id: str) -> tuple[Way, ...]:
        found = await self._store.read(lambda database: message_log.named(database, message_id))
        return tuple(
            Way(
                message_id,
                each.peer_id,
                each.direction,
                each.state,
                len(each.content),
                1,
                0,
                "",
                (Step(each.timestamp, "queued"),),
            )
            for each in found
        )

    async def resumed(self, message_id: str, token: str) -> Resumption:
        found = await self._store.read(lambda database: message_log.named(database, message_id))
        if not found or token != TOKEN:
            raise UsageError("no message was woken for with this token")
        self.resumptions += 1
        return Resumption(message_id, found[0].peer_id, self.resumptions)

    async def retry(self, message_id: str) -> int:
        return 0

    def discover(self, service: str = "", peer: str = "", text: str = "") -> list[FoundPeer]:
        return [
            each
            for each in self.found
            if (not service or any(service == one.id for one in each.services))
            and (not peer or peer == each.peer_id)
            and (not text or any(text.lower() in one.name.lower() for one in each.services))
        ]

    @property
    def services(self) -> Sequence[ServiceInfo]:
        return self._services

    async def register(self, service: ServiceInfo) -> None:
        await self._store.write(lambda database: own_settings.put_service(database, service))
        self._services = tuple(await self._store.read(own_settings.services))

    async def unregister(self, service_id: str) -> bool:
        gone = await self._store.write(lambda database: own_settings.remove_service(database, service_id))
        self._services = tuple(await self._store.read(own_settings.services))
        return gone

    @property
    def discovering(self) -> bool:
        return True

    def network_status(self) -> NetworkStatus:
        own = NodeStatus(
            str(self.node.peer_id),
            self.name,
            (),
            tuple(each.id for each in self._services),
            "0.1.0",
            1,
            0,
            now(),
        )
        return NetworkStatus(own, self.heard, self.broadcasts)

    async def broadcast_status(self) -> None:
        self.broadcasts = now()

    @property
    def relay_address(self) -> str | None:
        return self.relay

    @property
    def connected_peers(self) -> list[str]:
        return sorted({str(each.peer) for each in self.node.connections})

    @property
    def started_at(self) -> int:
        return self._started_at

    def tell(self, event: AgentEvent) -> None:
        """An event happens."""
        for each in self._listeners:
            each.put_nowait(event)

    async def events(self) -> AsyncGenerator[AgentEvent, None]:
        queue: asyncio.Queue[AgentEvent] = asyncio.Queue()
        self._listeners.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)


def configured(node: Node, **section: Any) -> Config:
    """The node's settings with some of the agent's changed."""
    return replace(node.config, agent=replace(node.config.agent, **section))


def now() -> int:
    return time.time_ns() // 1_000_000
