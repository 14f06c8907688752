"""What connections are given by the node they belong to: whom to tell, what is served, what they share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mesh.errors import MeshError
from mesh.network.memory_counter import MemoryCounter
from mesh.network.scope import Scope
from mesh.network.upgrade import UpgradeSettings
from mesh.telemetry.counters import Counters

if TYPE_CHECKING:
    from mesh.network.connection import Connection
    from mesh.network.stream import Stream

Handler = Callable[["Stream"], Awaitable[None]]


class Ends(NamedTuple):
    """What a connection is called, without holding it: who is at its other end, and where."""

    inbound: bool
    peer: object
    remote: object

    def __str__(self) -> str:
        return f"<Connection {'from' if self.inbound else 'to'} {self.peer} at {self.remote}>"


class Handlers(Protocol):
    """The protocols this node serves."""

    def supports(self, protocol: str) -> bool: ...

    def supports_limited(self, protocol: str) -> bool:
        """Whether it is served over connections that a relay limits, too."""

    def handler(self, protocol: str) -> Handler: ...


class Observer(Protocol):
    """Who keeps the connections."""

    def connection_started(self, connection: Connection) -> None:
        """Its transport is connected. May raise a `MeshError` to refuse it."""

    def connection_upgraded(self, connection: Connection) -> None:
        """The peer is known. May raise a `MeshError` to refuse it."""

    def connection_lost(self, connection: Connection, error: MeshError) -> None:
        """The connection has ended, or its upgrade failed."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What all connections of a node share. Times in seconds."""

    upgrade: UpgradeSettings
    handlers: Handlers
    observer: Observer
    scope: Scope
    memory: MemoryCounter
    counters: Counters
    receive_buffer: memoryview
    upgrade_timeout_s: float
    negotiate_timeout_s: float
    open_timeout_s: float
