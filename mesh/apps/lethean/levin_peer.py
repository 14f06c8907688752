"""Levin over TCP: one connection of a daemon's protocol, driven by its machine (specification, section 15).

Beside the mesh and not part of it. What the machine does not deal with itself (other commands than handshake, ping and
timed sync) comes out of `next_event`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Final, Self, cast

from mesh.codecs.levin import MAX_PAYLOAD_BYTES, ReturnCode
from mesh.errors import AddressInUse, Closed, DialError, DialFailure, NetworkError, TimedOut
from mesh.protocols.lethean.levin import (
    WRITE_TIMEOUT_S,
    Connected,
    Ended,
    Event,
    LevinConnection,
    LevinNode,
)

DIAL_S: Final = 10.0
HANDSHAKE_S: Final = 10.0
QUEUED_EVENTS: Final = 64
MAX_CONNECTIONS: Final = 100


class LevinPeer(asyncio.Protocol):
    """One connection, for the length of an `async with`. ``peer`` is what the other end says of itself."""

    def __init__(
        self,
        own: LevinNode,
        *,
        dials: bool,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
        on_made: Callable[[LevinPeer], bool] | None = None,
        on_gone: Callable[[LevinPeer], object] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.machine = LevinConnection(own, dials, self._loop.time(), max_payload_bytes)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._write_by: asyncio.TimerHandle | None = None
        self._events: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._on_made = on_made
        self._on_gone = on_gone
        self._paused = False
        self.connected: asyncio.Future[LevinNode] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._cause = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # -- doors -------------------------------------------------------------------------------------------------------

    async def next_event(self) -> Event:
        """What came next: `Asked`, `Notified`, `Answered`, `Ponged`, `Synced`. Raises `Closed` at the end."""
        while not self._events:
            if self._gone.done():
                raise Closed(f"levin: the connection ended: {self._cause}")
            self._waiter = self._loop.create_future()
            await self._waiter
        event = self._events.popleft()
        if self._paused and len(self._events) < QUEUED_EVENTS // 2 and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return event

    def ping(self) -> None:
        """Ask for a pong."""
        self.machine.ping(self._loop.time())
        self._turn()

    def request(self, command: int, payload: bytes) -> None:
        """Ask something that is answered by an `Answered`."""
        self.machine.request(command, payload, self._loop.time())
        self._turn()

    def notify(self, command: int, payload: bytes) -> None:
        """Tell something."""
        self.machine.notify(command, payload)
        self._turn()

    def respond(self, command: int, payload: bytes, return_code: int = ReturnCode.OK) -> None:
        """Answer an `Asked`."""
        self.machine.respond(command, payload, return_code)
        self._turn()

    async def close(self) -> None:
        """End TCP and wait for it."""
        if self._transport is None:
            return
        self._cause = self._cause or "closed here"
        self._transport.close()
        done, _ = await asyncio.wait([self._gone], timeout=1.0)
        if not done:
            self._transport.abort()
            await asyncio.wait([self._gone])

    # -- asyncio -----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._on_made is not None and not self._on_made(self):
            self._cause = "too many connections"
            self._transport.abort()
            return
        self._turn()

    def data_received(self, data: bytes) -> None:
        self.machine.receive(data, self._loop.time())
        self._turn()

    def connection_lost(self, error: Exception | None) -> None:
        for timer in (self._timer, self._write_by):
            if timer is not None:
                timer.cancel()
        self._cause = self._cause or (str(error) if error is not None else "the peer ended it")
        if not self._gone.done():
            self._gone.set_result(None)
        if not self.connected.done():
            self.connected.set_exception(Closed(f"levin: no handshake: {self._cause}"))
            self.connected.exception()
        self._wake_reader()
        if self._on_gone is not None:
            self._on_gone(self)

    def pause_writing(self) -> None:
        assert self._transport is not None
        self._write_by = self._loop.call_later(WRITE_TIMEOUT_S, self._transport.abort)

    def resume_writing(self) -> None:
        if self._write_by is not None:
            self._write_by.cancel()
            self._write_by = None

    # -- within ------------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Send what the machine has, hand on what it says, and set its clock."""
        transport = self._transport
        if transport is None:
            return
        for part in self.machine.output():
            transport.write(part)
        for event in self.machine.events():
            if isinstance(event, Connected):
                if not self.connected.done():
                    self.connected.set_result(event.peer)
            elif isinstance(event, Ended):
                self._cause = self._cause or event.reason
                transport.close()
            else:
                self._events.append(event)
        self._wake_reader()
        if len(self._events) >= QUEUED_EVENTS and not self._paused:
            self._paused = True
            transport.pause_reading()
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.machine.deadline()
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self.machine.wake(self._loop.time())
        self._turn()

    def _wake_reader(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def dial_levin(
    host: str, port: int, own: LevinNode, *, max_payload_bytes: int = MAX_PAYLOAD_BYTES
) -> LevinPeer:
    """A connection whose handshake is done. Raises `DialError`, `TimedOut`."""
    loop = asyncio.get_running_loop()
    peer = LevinPeer(own, dials=True, max_payload_bytes=max_payload_bytes)
    try:
        async with asyncio.timeout(DIAL_S):
            await loop.create_connection(lambda: peer, host, port)
            await asyncio.shield(peer.connected)
    except (OSError, Closed) as error:
        await peer.close()
        if isinstance(error, TimeoutError):
            raise TimedOut(f"{host}:{port}: no Levin handshake within {DIAL_S:g} s") from None
        cause = getattr(error, "strerror", None) or str(error)
        raise DialError("levin", [DialFailure(f"{host}:{port}", "connect", cause)]) from None
    return peer


class LevinListener:
    """Takes connections; each that had its handshake goes to ``on_peer``. It sets port and clock of ``own``."""

    def __init__(
        self,
        own: LevinNode,
        on_peer: Callable[[LevinPeer], object],
        *,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._own = own
        self._on_peer = on_peer
        self._max_payload_bytes = max_payload_bytes
        self._max_connections = max_connections
        self._peers: set[LevinPeer] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises `AddressInUse`, `NetworkError`."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._accept, host, port)
        except OSError as error:
            kind = AddressInUse if "in use" in str(error) else NetworkError
            raise kind(f"levin {host}:{port}: {error.strerror or error}") from None
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End listening and all connections."""
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*(peer.close() for peer in list(self._peers)))
        if self._server is not None:
            await self._server.wait_closed()

    def _accept(self) -> LevinPeer:
        peer = LevinPeer(
            replace(self._own, port=self.port, unix_s=int(time.time())),
            dials=False,
            max_payload_bytes=self._max_payload_bytes,
            on_made=self._take,
            on_gone=self._peers.discard,
        )
        late = asyncio.get_running_loop().call_later(HANDSHAKE_S, self._give_up, peer)
        peer.connected.add_done_callback(lambda done: self._greeted(peer, done, late))
        return peer

    def _take(self, peer: LevinPeer) -> bool:
        if len(self._peers) >= self._max_connections:
            return False
        self._peers.add(peer)
        return True

    def _give_up(self, peer: LevinPeer) -> None:
        if not peer.connected.done() and peer._transport is not None:
            peer._transport.abort()

    def _greeted(self, peer: LevinPeer, done: asyncio.Future[LevinNode], late: asyncio.TimerHandle) -> None:
        late.cancel()
        if done.exception() is None:
            self._on_peer(peer)
