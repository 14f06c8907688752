"""Connections inside one process (`/memory/<number>`): for tests and for nodes that share a program.

A pair of asyncio transports, each delivering into the other's protocol in the loop's next turn, with the same flow
control as a socket: writing pauses at the high-water mark, reading can be paused.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

from mesh.errors import AddressInUse
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.protocols.machine import Buffer

DEFAULT_HIGH_WATER = 64 * 1024
FIRST_FREE_NUMBER = 1 << 32


class MemoryPipe(asyncio.Transport):
    """One end. ``other`` is the transport at the far end, set by `connect_pipes`."""

    other: MemoryPipe

    def __init__(self, protocol: asyncio.BufferedProtocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._high_water = DEFAULT_HIGH_WATER
        self._paused_writing = False
        self._reading = True
        self._scheduled = False
        self._closing = False
        self._end_seen = False
        self._lost = False

    def is_closing(self) -> bool:
        return self._closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high_water = DEFAULT_HIGH_WATER if high is None else high

    def get_write_buffer_size(self) -> int:
        return self._queued_bytes

    def write(self, data: Buffer) -> None:
        if self._closing or not data:
            return
        self._queue.append(bytes(data))
        self._queued_bytes += len(data)
        if self._queued_bytes > self._high_water and not self._paused_writing:
            self._paused_writing = True
            self._protocol.pause_writing()
        self._schedule()

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        self.write(b"".join(list_of_data))

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self.other._schedule()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._schedule()

    def abort(self) -> None:
        self._queue.clear()
        self._queued_bytes = 0
        self._closing = True
        self._loop.call_soon(self._lose, None)
        self._loop.call_soon(
            self.other._lose, ConnectionResetError(errno.ECONNRESET, "connection reset by peer")
        )

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        other = self.other
        if other._lost:
            self._queue.clear()
            self._queued_bytes = 0
        while self._queue and other._reading and not other._lost:
            buffer = cast("memoryview", other._protocol.get_buffer(-1))
            piece = self._queue.popleft()
            size = min(len(piece), len(buffer))
            buffer[:size] = piece[:size]
            if size < len(piece):
                self._queue.appendleft(piece[size:])
            self._queued_bytes -= size
            other._protocol.buffer_updated(size)
        if self._paused_writing and self._queued_bytes <= self._high_water // 4:
            self._paused_writing = False
            self._protocol.resume_writing()
        if self._closing and not self._queue and not self._end_seen:
            self._end_seen = True
            if not other._lost and not other._protocol.eof_received():
                other.close()
            self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._closing = True
            self._protocol.connection_lost(error)


def connect_pipes(first: asyncio.BufferedProtocol, second: asyncio.BufferedProtocol) -> None:
    """Join two protocols by a pair of pipes."""
    one, two = MemoryPipe(first), MemoryPipe(second)
    one.other, two.other = two, one
    first.connection_made(one)
    second.connection_made(two)


class MemoryListener:
    """An entry of the transport's table."""

    __slots__ = ("_number", "_table", "addresses")

    def __init__(self, number: int, table: dict[int, Callable[[], Connection]]) -> None:
        self._number = number
        self._table = table
        self.addresses: tuple[Multiaddr, ...] = (Multiaddr.parse(f"/memory/{number}"),)

    async def close(self) -> None:
        self._table.pop(self._number, None)


class MemoryTransport:
    """Connects nodes that were given the same `MemoryTransport`; `/memory/0` listens at a free number."""

    name = "memory"

    def __init__(self) -> None:
        self._listeners: dict[int, Callable[[], Connection]] = {}
        self._next_number = FIRST_FREE_NUMBER

    def handles(self, address: Multiaddr) -> bool:
        components = address.without_peer().components
        return len(components) == 1 and components[0].name == "memory"

    async def dial(self, address: Multiaddr, connection: Connection) -> None:
        accept = self._listeners.get(_number(address))
        if accept is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens at {address.without_peer()}")
        far = accept()
        own_end, far_end = Multiaddr.parse(f"/memory/{self._take_number()}"), address.without_peer()
        connection.find_ends = lambda _transport: (own_end, far_end)
        far.find_ends = lambda _transport: (far_end, own_end)
        connect_pipes(connection.take_bytes(), far.take_bytes())

    async def listen(self, address: Multiaddr, accept: Callable[[], Connection]) -> MemoryListener:
        number = _number(address) or self._take_number()
        if number in self._listeners:
            raise AddressInUse(f"{address}: another node of this program listens there")
        self._listeners[number] = accept
        return MemoryListener(number, self._listeners)

    def _take_number(self) -> int:
        self._next_number += 1
        return self._next_number


def _number(address: Multiaddr) -> int:
    return int(address.value("memory") or 0)
