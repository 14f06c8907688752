"""The mirror's door on TCP: each connection that the peer under test makes is the next case's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self

from mesh.codecs.multistream import encode_token
from mesh.conformance.attempt import NOISE, TLS, Attempt, Options, handshake_message
from mesh.conformance.case import Case
from mesh.conformance.noise_client import NoiseChannel, framed
from mesh.conformance.noise_listener import NoiseListener
from mesh.conformance.target import Target
from mesh.conformance.tls_client import TlsChannel, TlsOptions
from mesh.conformance.verdict import Deviation, Unprepared
from mesh.conformance.waiting import ByteFlow
from mesh.conformance.wire import Wire
from mesh.conformance.wire_log import WireLog
from mesh.conformance.yamux_session import Session
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.addresses import TcpEndpoint, tcp_address
from mesh.protocols.multistream import HEADER, NOT_AVAILABLE
from mesh.protocols.yamux import PROTOCOL_ID as YAMUX

DIAL_WAIT_S = 60.0
MAX_WAITING = 8
MAX_PROPOSALS = 16
TRIES = 6
"""Connections taken until one proposes what a case is about: dialers propose anew on a new connection."""


class TcpDoor:
    """The listener, and the connections that wait for a case. ``identity`` is who the harness is for the whole run;
    ``deserted``: nobody dialed for so long that nobody will."""

    def __init__(self, identity: PrivateKey) -> None:
        self.identity = identity
        self.deserted = False
        self._waiting: asyncio.Queue[Wire] = asyncio.Queue(MAX_WAITING)
        self._server: asyncio.Server

    @classmethod
    async def open(cls, endpoint: TcpEndpoint, identity: PrivateKey) -> Self:
        """Listen."""
        door = cls(identity)
        loop = asyncio.get_running_loop()
        door._server = await loop.create_server(door._arrival, endpoint.host, endpoint.port)
        return door

    @property
    def address(self) -> Multiaddr:
        bound = tcp_address(self._server.sockets[0].getsockname())
        return bound / f"/p2p/{PeerId.from_public_key(self.identity.public)}"

    def attempt(self, case: Case, target: Target, options: Options) -> Attempt:
        """An attempt that takes its connections from here."""
        return TcpMirror(case, target, options, self)

    def _arrival(self) -> Wire:
        door = self

        class Arrived(Wire):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                if door._waiting.full():
                    self.close()
                else:
                    door._waiting.put_nowait(self)

        return Arrived(WireLog(), DIAL_WAIT_S)

    async def next(self) -> Wire:
        """The next connection that is still open. Raises `Unprepared` when none comes."""
        try:
            async with asyncio.timeout(DIAL_WAIT_S):
                while (wire := await self._waiting.get()).ending is not None:
                    continue
        except TimeoutError:
            self.deserted = True
            raise Unprepared(f"nobody dialed within {DIAL_WAIT_S:g} s") from None
        return wire

    def close(self) -> None:
        self._server.close()
        while not self._waiting.empty():
            self._waiting.get_nowait().close()


class TcpMirror(Attempt):
    """An attempt whose connections come in."""

    def __init__(self, case: Case, target: Target, options: Options, door: TcpDoor) -> None:
        super().__init__(case, target, options)
        self.door = door
        self.identity = door.identity

    async def wire(self) -> Wire:
        """The next connection that the peer makes."""
        wire = await self.door.next()
        wire.log.started_s, wire.limit_s = self.log.started_s, self.limit_s
        self.log.entries += wire.log.entries
        wire.log = self.log
        self._wires.append(wire)
        return wire

    async def proposed(self, protocol: str) -> Wire:
        """A connection on which the dialer has proposed this security protocol and nothing else was accepted."""
        for _ in range(TRIES):
            wire = await self.wire()
            try:
                if await respond(wire, protocol):
                    return wire
            except Deviation:
                pass
            wire.close()
        raise Unprepared(f"the dialer does not propose {protocol}")

    async def greeted(self, listener: NoiseListener, payload: bytes | None = None) -> Wire:
        """A connection whose dialer has been sent message 2."""
        wire = await self.proposed(NOISE)
        first = await self.prepared(handshake_message(wire, "noise message 1"), "noise message 1")
        wire.send(framed(listener.second(first, payload)))
        return wire

    async def over_tls(self, options: TlsOptions) -> TlsChannel:
        """A connection whose dialer has begun TLS with us as the server."""
        options.listens = True
        return TlsChannel(await self.proposed(TLS), options)

    async def upgraded(self, muxers: Sequence[str] = (YAMUX,)) -> Session:
        """A whole upgrade over Noise: a session that the dialer agrees to."""
        listener = NoiseListener(self.rng, self.identity, muxers)
        wire = await self.greeted(listener)
        return await self.finished(wire, listener)

    async def finished(self, wire: Wire, listener: NoiseListener) -> Session:
        """The rest of an upgrade, from message 3 on."""
        listener.take_third(await handshake_message(wire, "noise message 3"))
        return await self.session_on(NoiseChannel(wire, listener.session()), listener.early_muxer())

    async def session_on(self, channel: ByteFlow, muxer: str | None) -> Session:
        """A session over a channel, with the muxer that was agreed early or is negotiated now."""
        if muxer is None and not await respond(channel, YAMUX):
            raise Deviation("the dialer does not propose yamux")
        session = self.on_channel(channel)
        session.listens()
        return session


async def respond(flow: ByteFlow, wanted: str) -> bool:
    """Negotiate as a listener that has one protocol; whether it was proposed."""
    flow.send(encode_token(HEADER))
    if await flow.token("multistream header") != HEADER:
        raise Deviation("the dialer's first token is no header")
    for _ in range(MAX_PROPOSALS):
        name = await flow.token("proposal")
        if name == wanted:
            flow.send(encode_token(wanted))
            return True
        flow.send(encode_token(NOT_AVAILABLE))
    return False
