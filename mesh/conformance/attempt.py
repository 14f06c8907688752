"""One attempt at one case: a fresh identity, fresh connections up to any floor, and all that is to be cleaned up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from mesh.codecs.identify import Identify
from mesh.codecs.multistream import encode_token
from mesh.conformance import services
from mesh.conformance.case import Case
from mesh.conformance.noise_client import MAX_MESSAGE_BYTES, NoiseChannel, NoiseClient, framed
from mesh.conformance.quic_client import ALPN, Connection, QuicSession, dialer
from mesh.conformance.streams import StreamFlow
from mesh.conformance.target import Target
from mesh.conformance.tls_client import TlsChannel, TlsOptions
from mesh.conformance.udp import Datagrams, open_socket
from mesh.conformance.verdict import Deviation, Skipped, Unprepared
from mesh.conformance.waiting import ByteFlow
from mesh.conformance.wire import Wire, connect
from mesh.conformance.wire_log import WireLog
from mesh.conformance.yamux_session import Session, Stream
from mesh.errors import DecodeError
from mesh.framing.delimited import DelimitedReader
from mesh.identity.keys import PrivateKey
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.addresses import tcp_address
from mesh.protocols.multistream import HEADER
from mesh.protocols.yamux import PROTOCOL_ID as YAMUX

NOISE = "/noise"
TLS = "/tls/1.0.0"
MAX_IDENTIFY_PARTS = 9

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says about all cases. ``scale`` multiplies every limit."""

    seed: str
    scale: float = 1.0
    topic: str = ""
    connect_s: float = 5.0
    prepare_s: float = 10.0
    public: bool = False
    witness: str = ""
    relay_through: str = ""
    target_key: PrivateKey | None = None
    chunk_bytes: int = 0


class Attempt:
    """``rng`` is the only randomness; ``identity`` is who the harness is. ``serves``: what it answers on streams that the
    target opens, by protocol; identify lists them. ``accepts`` False: those streams get no answer at all."""

    def __init__(self, case: Case, target: Target, options: Options) -> None:
        self.case = case
        self.target = target
        self.options = options
        self.limit_s = case.limit_s * options.scale
        self.rng = random.Random(f"{options.seed}/{case.id}")
        self.identity = PrivateKey.from_seed(self.rng.randbytes(32))
        self.log = WireLog()
        self.accepts = True
        self.about_us: Identify | None = None
        self.serves: dict[str, services.Serve] = {
            services.PUSH: services.take_everything,
            services.PING: services.echo_pings,
        }
        self._wires: list[Wire] = []
        self._sessions: list[Session] = []
        self._quic_sessions: list[QuicSession] = []
        self._sockets: list[Datagrams] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.close_wires()

    def close_wires(self) -> None:
        """End every connection of the case."""
        for each in self._wires:
            each.close()
        for session in self._quic_sessions:
            session.close()
        for datagrams in self._sockets:
            datagrams.close()

    @property
    def ending(self) -> str:
        """How the last connection of the case stands, a go away frame included."""
        if self._sessions and self._sessions[-1].go_away is not None:
            return f"go away {self._sessions[-1].go_away}, {self._sessions[-1].below.state}"
        if self._quic_sessions:
            return self._quic_sessions[-1].state
        return self._wires[-1].state if self._wires else "none"

    @property
    def local_host(self) -> str:
        """This machine's address as the target sees it, unless something translates it on the way."""
        return str(self._wires[-1].transport.get_extra_info("sockname")[0])

    # -- floors ------------------------------------------------------------------------------------------------------

    def fresh_identity(self) -> PrivateKey:
        """Another identity of this case."""
        return PrivateKey.from_seed(self.rng.randbytes(32))

    def need(self, *protocols: str) -> None:
        """Skip unless the target's identify listed all of them."""
        for each in protocols:
            if not self.target.serves(each):
                raise Skipped(f"the target does not offer {each}")

    @property
    def security_id(self) -> str:
        """The protocol id of the security that the target is known to speak."""
        return TLS if self.target.security == "tls" else NOISE

    def need_security(self, name: str) -> None:
        """Skip unless the target speaks `noise` or `tls`, as ``name`` says."""
        if name not in self.target.securities:
            raise Skipped(f"the target does not speak {name}")

    def own_address(self) -> Multiaddr:
        """This end of the case's last TCP connection."""
        return tcp_address(self._wires[-1].transport.get_extra_info("sockname"))

    async def wire(self) -> Wire:
        """A bare TCP connection."""
        if self.target.tcp is None:
            raise Skipped("no TCP address of the target is known")
        wire = await connect(
            self.target.tcp, self.log, self.limit_s, self.options.connect_s, self.options.chunk_bytes
        )
        self._wires.append(wire)
        return wire

    async def secured(
        self, *, security: str = "", identity: PrivateKey | None = None, muxers: Sequence[str] = (YAMUX,)
    ) -> tuple[ByteFlow, str | None]:
        """An encrypted channel and the muxer agreed inside its handshake, if one was."""
        return await self.prepared(
            self._secure(security, identity or self.identity, muxers), "secure channel"
        )

    async def session(
        self, *, security: str = "", identity: PrivateKey | None = None, early: bool = True
    ) -> Session:
        """A yamux session whose pings, identify, push and ping streams are answered."""
        channel, muxer = await self.secured(
            security=security, identity=identity, muxers=(YAMUX,) if early else ()
        )
        return await self.muxed(channel, muxer, identity)

    async def muxed(
        self, channel: ByteFlow, muxer: str | None, identity: PrivateKey | None = None
    ) -> Session:
        """The same over a channel that is there already."""
        if muxer is None:
            await self.prepared(negotiate(channel, YAMUX), "muxer")
        return self.on_channel(channel, identity)

    def on_channel(self, channel: ByteFlow, identity: PrivateKey | None = None) -> Session:
        """A session over a channel on which the muxer is agreed."""
        serves = self._all_served(identity or self.identity)
        session = Session(channel, lambda stream: self.spawn(services.respond(stream, serves)), self.accepts)
        self._sessions.append(session)
        return session

    async def stream(self, protocol: str) -> Stream:
        """A negotiated stream on a fresh session; the case is skipped when the target does not offer the protocol."""
        self.need(protocol)
        session = await self.session()
        return await self.prepared(session.open(protocol), f"stream for {protocol}")

    async def udp(self) -> Datagrams:
        """A UDP socket for the target's QUIC address."""
        if self.target.quic is None:
            raise Skipped("no QUIC address of the target is known")
        datagrams = await open_socket(self.target.quic, self.log, self.limit_s)
        self._sockets.append(datagrams)
        return datagrams

    async def quic_dialer(
        self, options: TlsOptions | None = None, alpn: tuple[str, ...] = (ALPN,)
    ) -> QuicSession:
        """A QUIC connection that has sent nothing yet."""
        return self.quic_on(await self.udp(), dialer(options or TlsOptions.of(self.identity), alpn))

    def quic_on(self, datagrams: Datagrams, quic: Connection) -> QuicSession:
        """A connection whose streams from the target are answered as a session's are."""
        serves = self._all_served(self.identity)
        session = QuicSession(datagrams, quic, lambda stream: self.spawn(services.respond(stream, serves)))
        self._quic_sessions.append(session)
        return session

    async def quic_session(
        self, options: TlsOptions | None = None, alpn: tuple[str, ...] = (ALPN,)
    ) -> QuicSession:
        """The same behind its handshake, and the target is who was dialed."""
        session = await self.quic_dialer(options, alpn)
        await session.handshake()
        shown = session.remote_peer()
        if shown != self.target.peer:
            raise Deviation(f"{self.target.peer} was dialed, the certificate proves {shown}")
        return session

    async def identify(self, session: Session | QuicSession) -> Identify:
        """What the target says of itself, its parts merged."""
        stream: StreamFlow = await session.open(services.IDENTIFY)
        return merged_identify(await stream.rest("identify message"))

    def spawn(self, work: Awaitable[None]) -> None:
        """Run beside the case; cancelled when it ends."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _all_served(self, identity: PrivateKey) -> dict[str, services.Serve]:
        serves = dict(self.serves)
        if services.IDENTIFY not in serves:
            names = (services.IDENTIFY, *serves)
            message = self.about_us or services.identify_message(identity, names)
            serves[services.IDENTIFY] = services.answering_identify(message)
        return serves

    # -- pieces ------------------------------------------------------------------------------------------------------

    async def prepared(self, work: Awaitable[T], what: str) -> T:
        """The outcome of work that the case only builds on: what fails in it is `Unprepared`."""
        try:
            async with asyncio.timeout(self.options.prepare_s * self.options.scale):
                return await work
        except Deviation as deviation:
            raise Unprepared(f"no {what}: {deviation.actual}") from None
        except TimeoutError:
            raise Unprepared(f"no {what} in time") from None

    async def _secure(
        self, security: str, identity: PrivateKey, muxers: Sequence[str]
    ) -> tuple[ByteFlow, str | None]:
        wire = await self.wire()
        if (security or self.target.security) == "tls":
            await negotiate(wire, TLS)
            options = TlsOptions.of(identity)
            options.alpn = (*muxers, "libp2p")
            tls = TlsChannel(wire, options)
            await tls.handshake()
            return tls, tls.chosen if tls.chosen in muxers else None
        client = NoiseClient(self.rng, identity, muxers)
        return await noise_channel(wire, client), client.early_muxer()


async def negotiate(flow: ByteFlow, protocol: str) -> None:
    """Agree on a protocol as the initiator. Raises `Deviation` for anything but header and echo."""
    flow.send(encode_token(HEADER) + encode_token(protocol))
    await agreed(flow, protocol)


async def agreed(flow: ByteFlow, protocol: str) -> None:
    """Read the header and the echo of a proposal that was sent."""
    header = await flow.token("multistream header")
    if header != HEADER:
        raise Deviation(f"the first token is {header[:64]!r}")
    answer = await flow.token(f"answer to {protocol}")
    if answer != protocol:
        raise Deviation(f"the answer to {protocol} is {answer[:64]!r}")


async def handshake_message(flow: ByteFlow, what: str) -> bytes:
    """The next message of a Noise handshake, without its length."""
    size = int.from_bytes(await flow.exactly(2, f"length of {what}"), "big")
    return await flow.exactly(min(size, MAX_MESSAGE_BYTES), what)


async def second_message(flow: ByteFlow, client: NoiseClient) -> None:
    """Agree on Noise, send message 1 and read message 2."""
    await negotiate(flow, NOISE)
    flow.send(framed(client.first()))
    client.take_second(await handshake_message(flow, "noise message 2"))


async def noise_channel(flow: ByteFlow, client: NoiseClient) -> NoiseChannel:
    """The whole handshake."""
    await second_message(flow, client)
    client.remote_peer()
    flow.send(framed(client.third()))
    return NoiseChannel(flow, client.session())


def merged_identify(data: bytes) -> Identify:
    """All parts of an identify answer as one. Raises `Deviation` when they cannot be read."""
    try:
        parts = [Identify.decode(each) for each in DelimitedReader(Identify.MAX_BYTES).receive(data)]
    except DecodeError as error:
        raise Deviation(f"identify cannot be read: {error}") from None
    if not parts:
        raise Deviation(f"identify sent no whole message, {len(data)} bytes")
    whole = parts[0]
    for part in parts[1:MAX_IDENTIFY_PARTS]:
        whole.listen_addrs += part.listen_addrs
        whole.protocols += part.protocols
        for name in (
            "public_key",
            "observed_addr",
            "protocol_version",
            "agent_version",
            "signed_peer_record",
        ):
            if getattr(part, name) is not None:
                setattr(whole, name, getattr(part, name))
    return whole
