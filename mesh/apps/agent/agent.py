"""`Agent`: the agent daemon on a running node; what its API, its console and programs use."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mesh.apps.agent.records import Accepted, AgentEvent, FoundPeer, NodeStatus, ServiceInfo
from mesh.apps.agent.way import Way

if TYPE_CHECKING:
    from mesh.apps.agent.store import AgentStore
    from mesh.config import Config
    from mesh.node import Node


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for a request. ``document`` is the whole message."""

    success: bool
    result: Any
    error: str | None
    document: Mapping[str, Any]


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


class Agent:
    """``async with Agent(node, config)``: the daemon part of a node that runs. The data folder is the node's; without one
    everything is in memory and gone at the end.

    Instants are milliseconds since 1970. Peers are named by the text of their id. Every method that sends returns once
    the message is committed to the outbox; what becomes of it is told by `events` and `why`.
    """

    def __init__(self, node: Node, config: Config) -> None:
        self.node = node
        self.settings = config

    async def start(self) -> None:
        """Open ``agent.db``, serve the protocols, join the topics. Raises `StorageError`, `UsageError`."""
        raise NotImplementedError

    async def stop(self) -> None:
        """End everything in order; safe to call twice."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    # -- what belongs to it ------------------------------------------------------------------------------------------

    @property
    def store(self) -> AgentStore:
        """The open ``agent.db``: log, address book, read marks. Raises `UsageError` before `start` and after `stop`."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """What this agent is called: as set while it ran, else by the settings, else the first of its peer id."""
        raise NotImplementedError

    async def set_name(self, name: str) -> None:
        """Be called so from now on, in the next status too; an empty name gives the settings' back. Raises
        `StorageError`."""
        raise NotImplementedError

    # -- messages ----------------------------------------------------------------------------------------------------

    async def send(
        self, peer: str, content: str, *, multiaddr: str | None = None, reply_to: str | None = None
    ) -> Accepted:
        """Queue a text. ``multiaddr`` is dialled first, ``reply_to`` names the message that this answers.

        Raises `UsageError` for what is no peer id or address, `LimitError` for a message that is too long,
        `StorageError`.
        """
        raise NotImplementedError

    async def post(
        self, peer: str, message_type: str, fields: Mapping[str, Any], *, multiaddr: str | None = None
    ) -> Accepted:
        """Queue a message of any type; ``fields`` are those besides id, type, timestamp, from, to. Raises as `send`."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def respond(
        self, peer: str, request_id: str, *, result: Any = None, error: str | None = None
    ) -> Accepted:
        """Answer a request: with an error if one is given, else with a result. Raises as `send`."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def why(self, message_id: str) -> tuple[Way, ...]:
        """What became of a message: usually one way; several where peers chose the same id. Raises `StorageError`."""
        raise NotImplementedError

    async def resumed(self, message_id: str, token: str) -> Resumption:
        """The agent says that it has the message that it was woken for. Duplicate calls are counted and allowed.

        Raises `UsageError` for a wrong token, and for a message that never was.
        """
        raise NotImplementedError

    async def retry(self, message_id: str) -> int:
        """Try dead letters of that id again; gives how many there were. Raises `StorageError`."""
        raise NotImplementedError

    async def ping(self, peer: str, *, timeout_s: float = 10.0) -> float:
        """Round trip of the daemon's own ping in seconds. Raises `DialError`, `TimedOut`, `PeerError`."""
        raise NotImplementedError

    # -- directory, services, status ---------------------------------------------------------------------------------

    def discover(self, service: str = "", peer: str = "", text: str = "") -> list[FoundPeer]:
        """Agents heard of: all, or those with that service id, that peer id, those with the text in a service's id, name
        or description (any case)."""
        raise NotImplementedError

    @property
    def services(self) -> Sequence[ServiceInfo]:
        """What this agent offers."""
        raise NotImplementedError

    async def register(self, service: ServiceInfo) -> None:
        """Offer a service, in place of one with the same id, and announce it. Raises `LimitError`, `StorageError`."""
        raise NotImplementedError

    async def unregister(self, service_id: str) -> bool:
        """Offer it no more, and announce that; tells whether it was offered. Raises `StorageError`."""
        raise NotImplementedError

    @property
    def discovering(self) -> bool:
        """Whether the topics are joined: pubsub is on."""
        raise NotImplementedError

    def network_status(self) -> NetworkStatus:
        """What this node and others last said of themselves."""
        raise NotImplementedError

    async def broadcast_status(self) -> None:
        """Tell others this node's status now, and announce it. Raises `UsageError` when pubsub is off."""
        raise NotImplementedError

    @property
    def relay_address(self) -> str | None:
        """Where others reach this node through a relay, if they do."""
        raise NotImplementedError

    @property
    def connected_peers(self) -> list[str]:
        """Peers with a connection, each once."""
        raise NotImplementedError

    @property
    def started_at(self) -> int:
        """When the daemon part started."""
        raise NotImplementedError

    # -- events ------------------------------------------------------------------------------------------------------

    def events(self) -> AsyncGenerator[AgentEvent, None]:
        """What happens from now on. A reader that is 1024 events behind loses the oldest."""
        raise NotImplementedError
