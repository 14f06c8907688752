"""Where a target can be made to dial: doors that only count who knocks, and a whole node behind one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import cast

import ifaddr

from mesh.config import Config
from mesh.conformance.attempt import Attempt
from mesh.conformance.verdict import Skipped
from mesh.conformance.waiting import Awaited
from mesh.identity.keys import PrivateKey
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.stream import Stream
from mesh.node import Node

Handler = Callable[[Stream], Awaitable[None]]
SECOND_LOOPBACK = "127.0.0.2"
MAX_KNOCKS = 1000


class Door(Awaited):
    """A TCP port that accepts and says nothing. ``knocks``: from where each connection came."""

    def __init__(self, attempt: Attempt, host: str) -> None:
        super().__init__(f"door at {host}", attempt.log, attempt.limit_s)
        self.host = host
        self.port = 0
        self.knocks: list[str] = []

    @property
    def address(self) -> Multiaddr:
        return tcp_address(self.host, self.port)

    def knocked(self, transport: asyncio.Transport) -> None:
        self.log.note("door", f"a connection to {self.address}")
        if len(self.knocks) < MAX_KNOCKS:
            self.knocks.append(str((transport.get_extra_info("peername") or ("gone again",))[0]))
        self.changed()


class _Visitor(asyncio.Protocol):
    """Somebody at a door."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._door.knocked(cast(asyncio.Transport, transport))


@asynccontextmanager
async def door(attempt: Attempt, host: str) -> AsyncIterator[Door]:
    """A door at an address of this machine. Raises `Skipped` where none can be opened."""
    made = Door(attempt, host)
    try:
        server = await asyncio.get_running_loop().create_server(lambda: _Visitor(made), host, 0)
    except OSError as error:
        raise Skipped(f"nothing can listen at {host}: {error}") from None
    async with server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


@asynccontextmanager
async def doors(attempt: Attempt, host: str, count: int) -> AsyncIterator[list[Door]]:
    """So many of them."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(door(attempt, host)) for _ in range(count)]


@asynccontextmanager
async def node_at(
    host: str, identity: PrivateKey, serves: dict[str, Handler] | None = None
) -> AsyncIterator[Multiaddr]:
    """A node of this project as the one dialled, with an identity of the case. Yields its address, without its id."""
    config = Config()
    config = replace(
        config,
        network=replace(config.network, listen=(f"{tcp_address(host, 0)}",)),
        autonat=replace(config.autonat, ask=False),
    )
    node = Node(config, key=identity)
    for protocol, handler in (serves or {}).items():
        node.handle(protocol, handler)
    async with node:
        yield node.listening[0].without_peer()


def tcp_address(host: str, port: int) -> Multiaddr:
    return Multiaddr.parse(f"/ip{ip_address(host).version}/{host}/tcp/{port}")


def other_host(host: str) -> str:
    """Another IPv4 address of this machine, of the same kind. Raises `Skipped` when it has none."""
    ours = ip_address(host)
    if ours.is_loopback:
        return SECOND_LOOPBACK
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            found = ip_address(each.ip) if isinstance(each.ip, str) else None
            if found is not None and found != ours and found.is_private == ours.is_private:
                return str(found)
    raise Skipped("this machine has one address alone")
