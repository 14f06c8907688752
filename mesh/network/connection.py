"""A connection as programs hold it: who is at the other end, and streams to open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mesh.errors import (
    Closed,
    LimitedConnection,
    LimitError,
    MeshError,
    NetworkError,
    ProtocolNotSupported,
    TimedOut,
    TurnedAway,
    UsageError,
)
from mesh.identity.keys import PublicKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.ip_ranges import is_loopback
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.carrier import Authenticated, Carrier, MuxedStream
from mesh.network.driver import Driver
from mesh.network.environment import Ends, Environment, Handler
from mesh.network.resources import ConnectionScope, StreamScope
from mesh.network.scope import Scope
from mesh.network.stream import Stream
from mesh.network.upgrade import NEGOTIATION, Upgrade
from mesh.protocols import multistream
from mesh.protocols.machine import Role
from mesh.protocols.yamux import MAX_RESET_CODE, ResetCode

if TYPE_CHECKING:
    from mesh.network.circuit.allowance import Allowance

_REFUSALS = (ProtocolNotSupported, Closed, NetworkError)
LINGER_S = 10.0
"""How long a closed stream waits for the peer's own end before it is reset."""


class Connection:
    """One authenticated, multiplexed connection.

    ``local`` and ``remote`` are the addresses of its ends without peer ids; ``remote_key`` and ``peer`` are known once it
    is upgraded, and must be ``expected_peer`` if that is given. ``inbound`` tells who dialled. ``security`` (`noise`,
    `tls`) and ``muxer`` are what the ends agreed on; ``proposal`` is the place of the security protocol to propose.

    ``relay`` is the peer through which it is made, None for a direct one. ``limited`` is what that relay lets pass, None
    when it sets no limit: a limited connection carries the streams that were made for one, and no others.
    ``from_any_port``: it need not leave from the port this node listens on, even if others do. ``punched``: both ends
    dialled at an agreed moment.
    """

    __slots__ = (
        "_driver",
        "_ended",
        "_environment",
        "_lingering",
        "_negotiating",
        "_openers",
        "_quiet",
        "_scope",
        "_upgraded",
        "close_reason",
        "closing",
        "early_muxer",
        "expected_peer",
        "failed_stage",
        "find_ends",
        "from_any_port",
        "identified",
        "inbound",
        "limited",
        "local",
        "muxer",
        "opened_at",
        "peer",
        "proposal",
        "punched",
        "relay",
        "remote",
        "remote_info",
        "remote_key",
        "remote_protocols",
        "resources",
        "security",
    )

    peer: PeerId
    remote_key: PublicKey
    local: Multiaddr
    remote: Multiaddr

    def __init__(
        self,
        environment: Environment,
        role: Role,
        expected_peer: PeerId | None = None,
        proposal: int = 0,
    ) -> None:
        self._environment = environment
        self.proposal = proposal
        self.inbound = role is Role.RESPONDER
        self.expected_peer = expected_peer
        self._driver: Carrier
        self._scope: Scope | None = None
        self._upgraded: asyncio.Future[None] | None = None
        self._openers: list[asyncio.Future[None]] | None = None
        self._negotiating: dict[Stream, float] | None = None
        self._lingering: dict[Stream, float] | None = None
        self.find_ends: Callable[[asyncio.BaseTransport], tuple[Multiaddr, Multiaddr]]
        self.close_reason: MeshError | None = None
        self.closing = False
        self._ended: asyncio.Event | None = None
        self._quiet: asyncio.Event | None = None
        self.failed_stage = "connect"
        self.early_muxer = False
        self.security = self.muxer = ""
        self.opened_at = 0.0
        self.identified: asyncio.Future[None] | None = None
        self.remote_info: object = None
        self.resources: ConnectionScope | None = None
        self.relay: PeerId | None = None
        self.limited: Allowance | None = None
        self.from_any_port = self.punched = False
        self.remote_protocols: frozenset[str] | None = None

    def __repr__(self) -> str:
        return str(self.ends)

    @property
    def ends(self) -> Ends:
        """What it is called, as far as that is known."""
        return Ends(self.inbound, getattr(self, "peer", "unknown peer"), getattr(self, "remote", "?"))

    @property
    def driver(self) -> Carrier:
        """What carries it. Not there before its transport begins."""
        return self._driver

    def take_bytes(self) -> Driver:
        """Be carried by a transport of bytes, which drives the asyncio protocol this returns."""
        environment = self._environment
        role = Role.RESPONDER if self.inbound else Role.INITIATOR
        driver = Driver(
            Upgrade(role, environment.upgrade, self.expected_peer, self.proposal),
            self,
            environment.receive_buffer,
            environment.memory,
            environment.upgrade_timeout_s,
        )
        self._driver = driver
        return driver

    def take_streams(self, driver: Carrier) -> None:
        """Be carried by a transport that secures and multiplexes by itself."""
        self._driver = driver

    @property
    def closed(self) -> bool:
        return self.close_reason is not None

    @property
    def usable(self) -> bool:
        """Whether streams can still be opened, as far as either side has said."""
        return not (self.closing or self.closed or self._driver.session.remote_gone)

    @property
    def other_proposal(self) -> int | None:
        """The place of the security protocol to propose next, when the peer has refused this one, or hung up on what
        came behind the proposal: the reset may have overtaken its refusal."""
        refused = self.failed_stage == NEGOTIATION and type(self.close_reason) in _REFUSALS
        further = self.proposal + 1
        return further if refused and further < len(self._environment.upgrade.security) else None

    @property
    def known(self) -> bool:
        """Whether the peer has been authenticated."""
        return hasattr(self, "peer")

    @property
    def stage(self) -> str:
        """What it is doing: a stage of the upgrade, or `established`."""
        return self._driver.stage if hasattr(self, "remote") else "connect"

    @property
    def rtt_s(self) -> float | None:
        """Smoothed round trip of the muxer's pings in seconds; None before the first answer."""
        return self._driver.session.rtt_s

    @property
    def stream_count(self) -> int:
        """Streams alive now, both ways."""
        return len(self._driver.session.streams)

    @property
    def negotiate_timeout_s(self) -> float:
        return self._environment.negotiate_timeout_s

    @property
    def scope(self) -> Scope:
        """Owner of the tasks that serve this connection."""
        if self._scope is None:
            self._scope = Scope(self.ends, self._environment.scope)
        return self._scope

    async def upgraded_within(self, limit_s: float) -> None:
        """Wait for the end of the upgrade, at most ``limit_s``; raises what it failed with."""
        if self.known or self.closed:
            if self.close_reason is not None:
                raise self.close_reason
            return
        self._upgraded = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(limit_s):
                await self._upgraded
        except TimeoutError:
            self.failed_stage = self.stage
            error = TimedOut(f"{self.stage}: the peer did not finish it within {round(limit_s, 2):g} s")
            self._driver.abort(error)
            raise error from None
        finally:
            self._upgraded = None
        if self.close_reason is not None:
            raise self.close_reason

    async def open(
        self, protocols: Sequence[str], *, optimistic: bool = False, allow_limited: bool = False
    ) -> Stream:
        """Open a stream for the first of ``protocols`` the peer accepts.

        ``optimistic``: do not wait for the answer; the first bytes written leave with the proposal, and a refusal shows
        when reading. Only sensible for a single protocol the peer is known to speak. ``allow_limited``: also where a
        relay limits the connection.
        Raises `ProtocolNotSupported`, `TimedOut`, `Closed`, `StreamReset`, `LimitedConnection`.
        """
        if isinstance(protocols, str):
            raise UsageError("open takes a sequence of protocol ids, not one string")
        if self.limited is not None and not allow_limited:
            raise LimitedConnection(
                f"{self.peer} is connected through the relay {self.relay} only, which limits it"
            )
        driver = self._driver
        if not driver.session.can_open:
            await self._wait_openable()
        if self.close_reason is not None or self.closing:
            raise Closed(str(self.close_reason or "the connection is being closed")) from self.close_reason
        negotiation = multistream.Initiator(protocols)
        resources = self._stream_resources(inbound=False)
        try:
            if optimistic:
                resources.set_protocol(protocols[0])
            state = driver.session.open()
        except MeshError:
            resources.close()
            raise
        stream = Stream(self, driver, state, negotiation, protocols[0] if optimistic else "")
        stream.resources = resources
        for token in negotiation.output():
            driver.session.send(state, token)
        self._watch_negotiation(stream)
        if optimistic:
            driver.schedule_flush()
            return stream
        driver.request_flush()
        try:
            await stream.negotiated()
            resources.set_protocol(stream.protocol)
        except BaseException:
            stream.reset()
            raise
        return stream

    async def close(self) -> None:
        """Say go away, let queued bytes leave, close, and wait until that is done."""
        if self._scope is not None:
            await self._scope.close()
        if self.close_reason is None:
            self.closing = True
            self._driver.session.go_away()
            self._driver.end(Closed("the connection was closed on this side"))
            await self.ended()

    async def ended(self) -> None:
        """Wait until the connection is gone; `close_reason` tells why."""
        if self.close_reason is None:
            if self._ended is None:
                self._ended = asyncio.Event()
            await self._ended.wait()

    async def quiet(self) -> None:
        """Wait until it has no stream, or is gone."""
        while self.close_reason is None and self.stream_count:
            self._quiet = self._quiet or asyncio.Event()
            self._quiet.clear()
            await self._quiet.wait()

    def abort(self, error: MeshError) -> None:
        """Reset the connection at once; everything waiting on it raises ``error``."""
        if hasattr(self, "_driver"):
            self._driver.abort(error)

    # -- the driver's side (see `carrier.Owner`) ---------------------------------------------------------------------

    def connected(self, transport: asyncio.BaseTransport) -> None:
        """The byte transport is there. May raise a `MeshError` to refuse it."""
        try:
            local, remote = self.find_ends(transport)
        except OSError as error:
            raise TurnedAway(str(error)) from error
        self.began(local, remote)

    def began(self, local: Multiaddr, remote: Multiaddr) -> None:
        """The upgrade begins between these addresses. May raise a `MeshError` to refuse it."""
        self.local, self.remote = local, remote
        if self.relay is None and is_loopback(self.remote):
            self._driver.near = True
            self._driver.wakefulness.began(self.local)
        self._environment.observer.connection_started(self)

    def upgraded(self, result: Authenticated) -> None:
        self.peer = result.remote_peer
        self.remote_key = result.remote_key
        self.early_muxer = result.early_muxer
        self.security, self.muxer = result.security, result.muxer
        self._driver.near = self._driver.near and not self._driver.wakefulness.serves(self.remote)
        self.opened_at = time.monotonic()
        result.session.gone = self._stream_gone
        self._environment.observer.connection_upgraded(self)
        if self._upgraded is not None and not self._upgraded.done():
            self._upgraded.set_result(None)

    def stream_opened(self, state: MuxedStream) -> None:
        session = self._driver.session
        try:
            resources = self._stream_resources(inbound=True)
        except LimitError as refusal:
            self._environment.counters.count(f"stream.refused:{refusal.scope.partition(' ')[0]}")
            session.reset(state, ResetCode.RESOURCE_LIMIT)
            return
        handlers = self._environment.handlers
        supports = handlers.supports if self.limited is None else handlers.supports_limited
        negotiation = multistream.Responder(supports)
        stream = Stream(self, self._driver, state, negotiation)
        stream.resources = resources
        session.accept(state)
        if state.dead:
            resources.close()
            return
        if not state.queued_bytes:  # else the header leaves with the answer to what has come
            for token in negotiation.output():
                session.send(state, token)
        self._watch_negotiation(stream)
        self._environment.counters.count("stream.inbound")

    def stream_ready(self, state: MuxedStream) -> None:
        stream = state.owner
        if isinstance(stream, Stream):
            if state.dead:
                state.owner = None  # nothing more comes, and without the cycle both are freed at once
            stream.ready()

    def openable(self) -> None:
        waiters, self._openers = self._openers, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def deadline(self) -> float | None:
        first = None
        for watched in (self._negotiating, self._lingering):
            if watched:
                when = next(iter(watched.values()))
                first = when if first is None else min(first, when)
        return first

    def wake(self, now: float) -> None:
        for watched in (self._negotiating, self._lingering):
            if watched:
                for stream in [each for each, when in watched.items() if when <= now]:
                    stream.expire()

    def lost(self, error: MeshError, stage: str) -> None:
        self.close_reason = error
        self.failed_stage = stage
        if self.relay is None and hasattr(self, "remote") and is_loopback(self.remote):
            self._driver.wakefulness.ended(self.local)
        self.openable()
        if self._upgraded is not None and not self._upgraded.done():
            self._upgraded.set_result(None)
        for waiting in (self._ended, self._quiet):
            if waiting is not None:
                waiting.set()
        self._environment.observer.connection_lost(self, error)
        if self._scope is not None:
            self._scope.cancel()

    # -- the streams' side -------------------------------------------------------------------------------------------

    def stream_negotiated(self, stream: Stream) -> None:
        """A protocol was agreed on: the handler of an inbound stream starts."""
        self.stream_finished(stream)
        if not stream.inbound:
            return
        try:
            if stream.resources is not None:
                stream.resources.set_protocol(stream.protocol)
        except LimitError as refusal:
            self._environment.counters.count(f"stream.refused:{refusal.scope.partition(' ')[0]}")
            stream.reset(ResetCode.RESOURCE_LIMIT)
            return
        if self.scope.closing:
            stream.reset(ResetCode.SHUTDOWN)
        else:
            handler = self._environment.handlers.handler(stream.protocol)
            self.scope.spawn(
                self._serve(handler, stream),
                stream.protocol,
                on_error=lambda error: self._handler_failed(stream, error),
                on_crash=lambda error: self._handler_crashed(stream),
            )
            self._driver.defer_flush()

    def stream_refused(self, stream: Stream, error: MeshError) -> None:
        self.stream_finished(stream)
        self._environment.counters.count(f"stream.refused:{error.code}")

    def stream_lingers(self, stream: Stream) -> None:
        """A closed stream waits for the peer's end."""
        if self._lingering is None:
            self._lingering = {}
        self._driver.arm_by(self._lingering.setdefault(stream, time.monotonic() + LINGER_S))

    def stream_finished(self, stream: Stream) -> None:
        """Nothing about this stream is timed any more."""
        if self._negotiating:
            self._negotiating.pop(stream, None)
        if self._lingering:
            self._lingering.pop(stream, None)

    # -- within ------------------------------------------------------------------------------------------------------

    def _stream_resources(self, inbound: bool) -> StreamScope:
        assert self.resources is not None
        return self.resources.open_stream(inbound)

    def _stream_gone(self, state: MuxedStream) -> None:
        stream = state.owner
        if isinstance(stream, Stream) and stream.resources is not None:
            stream.resources.close()
        if not state.touched:
            state.owner = None
        session = self._driver.session
        if self._quiet is not None and not session.streams:
            self._quiet.set()
        if session.remote_gone and not session.streams and not self.closed:
            asyncio.get_running_loop().call_soon(self._driver.settle)

    def _watch_negotiation(self, stream: Stream) -> None:
        if self._negotiating is None:
            self._negotiating = {}
        deadline = self._negotiating[stream] = time.monotonic() + self._environment.negotiate_timeout_s
        self._driver.arm_by(deadline)

    async def _serve(self, handler: Handler, stream: Stream) -> None:
        try:
            await handler(stream)
        except asyncio.CancelledError:
            stream.reset(ResetCode.SHUTDOWN)
            raise
        await stream.close()

    def _handler_failed(self, stream: Stream, error: MeshError) -> None:
        code = getattr(error, "wire_code", None)  # perhaps another stream's: QUIC's have 62 bits
        if not isinstance(code, int) or not 0 <= code <= MAX_RESET_CODE:
            code = ResetCode.PROTOCOL_VIOLATION
        stream.reset(code)
        self._environment.counters.count(f"handler.failed:{error.code}")

    def _handler_crashed(self, stream: Stream) -> None:
        stream.reset(ResetCode.NONE)
        self._environment.counters.count("handler.crashed")

    async def _wait_openable(self) -> None:
        """Wait for room in the backlog: one acknowledgement wakes all who wait, and the first of them takes it."""
        limit = self._environment.open_timeout_s
        try:
            async with asyncio.timeout(limit):
                while not self._driver.session.can_open and self.close_reason is None:
                    waiter = asyncio.get_running_loop().create_future()
                    if self._openers is None:
                        self._openers = []
                    self._openers.append(waiter)
                    await waiter
        except TimeoutError:
            raise TimedOut(f"{self.peer} did not acknowledge earlier streams within {limit:g} s") from None
