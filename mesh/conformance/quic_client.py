"""QUIC on aioquic, its configuration and its datagrams in the case's hands; either end of it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Any, cast

from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography.hazmat.primitives.serialization import Encoding

from mesh.conformance.streams import StreamFlow
from mesh.conformance.tls_client import TlsOptions
from mesh.conformance.udp import Datagrams
from mesh.conformance.verdict import Deviation
from mesh.conformance.waiting import Awaited
from mesh.errors import MeshError
from mesh.identity.certificate import verify
from mesh.identity.peer_id import PeerId

Connection = QuicConnection
"""The library's state of one end."""
ALPN = "libp2p"
WINDOW_BYTES = 1 << 20


class QuicStream(StreamFlow):
    """One stream of a QUIC connection. ``stopped``: the code of the target's STOP_SENDING, None before one.

    QUIC has no way to send on a stream after its end or its reset: what a case or a service says then stays here, on
    record, as with a connection that is closed.
    """

    def __init__(self, session: QuicSession, stream_id: int) -> None:
        super().__init__(f"stream {stream_id}", session.log, session.limit_s)
        self.session = session
        self.id = stream_id
        self.stopped: int | None = None
        self._no_more = ""

    @property
    def state(self) -> str:
        stopped = "" if self.stopped is None else f", and the target reads no more ({self.stopped:#x})"
        return f"{super().state}{stopped}"

    def send(self, data: bytes) -> None:
        self._send(data, end=False)

    async def write(self, payload: bytes) -> None:
        self.send(payload)

    def finish(self) -> None:
        self._send(b"", end=True)
        self._no_more = self._no_more or "it was ended"

    def _send(self, data: bytes, *, end: bool) -> None:
        if self._no_more or self.session.ending is not None:
            why = self._no_more or "the connection is over"
            self.log.note("quic", f"stream {self.id}: {len(data)} bytes are not sent: {why}")
            return
        if not end:
            self.log.sent("quic", data, f"stream {self.id}: {data[:64].hex()} [{len(data)}]")
        self.session.quic.send_stream_data(self.id, data, end_stream=end)
        self.session.flush()

    def reset(self, code: int = 0) -> None:
        self.session.quic.reset_stream(self.id, code)
        self._no_more = self._no_more or "it was reset"
        self.session.flush()

    def stop(self, code: int = 0) -> None:
        """Say that nothing more is read: STOP_SENDING, unless the target has ended its side."""
        if self.ending is None:
            self.session.quic.stop_stream(self.id, code)
            self.session.flush()

    def take_stop(self, code: int) -> None:
        """The target reads no more; aioquic has answered with a reset (RFC 9000 section 3.5)."""
        self.log.note("quic", f"stream {self.id}: the target reads no more ({code:#x})")
        self.stopped = code
        self._no_more = self._no_more or "the target reads no more"
        self.changed()


class QuicSession(Awaited):
    """One end of a QUIC connection. ``terminated`` holds the code it ended with, ``chosen`` what ALPN agreed on."""

    def __init__(
        self,
        datagrams: Datagrams,
        quic: Connection,
        on_stream: Callable[[QuicStream], None],
    ) -> None:
        super().__init__("connection", datagrams.log, datagrams.limit_s)
        self.datagrams = datagrams
        self.quic = quic
        self.streams: dict[int, QuicStream] = {}
        self.chosen: str | None = None
        self.complete = False
        self.terminated: int | None = None
        self._pings = 0
        self._pongs: set[int] = set()
        self._on_stream = on_stream
        self._listens = not quic.configuration.is_client
        self._timer: asyncio.TimerHandle | None = None
        datagrams.on_datagram = self._take

    # -- life --------------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Send the first flight; a listener's answers what the dialer has sent."""
        if self._listens:
            waiting, self.datagrams.received = self.datagrams.received, []
            for each in waiting:
                self._take(each)
        else:
            self.quic.connect(self.datagrams.remote, self._now())
            self.flush()

    async def handshake(self) -> None:
        """Go through the handshake. A refusal of our certificate may come only behind it."""
        self.connect()
        await self.until(lambda: self.complete or None, "QUIC handshake")

    def close(self) -> None:
        """Leave, telling the target as far as that is possible."""
        if self._timer is not None:
            self._timer.cancel()
        if self.terminated is None and self.ending is None and self._spoke:
            self.quic.close()
            self.flush()
        if self._timer is not None:
            self._timer.cancel()
        self.datagrams.close()

    @property
    def _spoke(self) -> bool:
        """Whether there is anybody to send to."""
        return bool(cast(Any, self.quic)._network_paths)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def flush(self) -> None:
        """Send what waits, and set the timer."""
        now = self._now()
        for datagram, _ in self.quic.datagrams_to_send(now):
            self.datagrams.send(datagram)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.quic.get_timer()
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._wake)

    def _wake(self) -> None:
        self.quic.handle_timer(self._now())
        self._tell()
        self.flush()

    def _take(self, datagram: bytes) -> None:
        self.quic.receive_datagram(datagram, self.datagrams.remote, self._now())
        self._tell()
        self.flush()

    # -- events ------------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        while (event := self.quic.next_event()) is not None:
            self._take_event(event)
        self.changed()

    def _take_event(self, event: events.QuicEvent) -> None:
        if isinstance(event, events.HandshakeCompleted):
            self.complete, self.chosen = True, event.alpn_protocol
        elif isinstance(event, events.ConnectionTerminated):
            self.terminated = event.error_code
            self.ending = f"QUIC code {event.error_code:#x} {event.reason_phrase}".rstrip()
            self.log.note("quic", self.ending)
            for stream in self.streams.values():
                stream.end(self.ending)
        elif isinstance(event, events.StreamDataReceived):
            stream = self._stream(event.stream_id)
            self.log.received(
                "quic", event.data, f"stream {stream.id}: {event.data[:64].hex()} [{len(event.data)}]"
            )
            if event.data:
                stream.feed(event.data)
            if event.end_stream:
                stream.end("end of stream")
        elif isinstance(event, events.StreamReset):
            self._stream(event.stream_id).end(f"reset {event.error_code:#x}")
        elif isinstance(event, events.StopSendingReceived):
            self._stream(event.stream_id).take_stop(event.error_code)
        elif isinstance(event, events.PingAcknowledged):
            self._pongs.add(event.uid)

    def _stream(self, stream_id: int) -> QuicStream:
        if stream_id not in self.streams:
            stream = self.streams[stream_id] = QuicStream(self, stream_id)
            if stream_id & 3 == (0 if self._listens else 1):
                self._on_stream(stream)
        return self.streams[stream_id]

    # -- the case's side ---------------------------------------------------------------------------------------------

    def start(self, *, unidirectional: bool = False) -> QuicStream:
        """A new stream, nothing negotiated."""
        stream_id = self.quic.get_next_available_stream_id(is_unidirectional=unidirectional)
        stream = self.streams[stream_id] = QuicStream(self, stream_id)
        self.quic.send_stream_data(stream_id, b"")
        return stream

    async def open(self, protocol: str) -> QuicStream:
        """A new stream with the protocol agreed."""
        stream = self.start()
        await stream.negotiate(protocol)
        return stream

    async def alive(self) -> None:
        """The connection answers a PING frame. Raises `Deviation` when it does not."""
        self._pings += 1
        uid = self._pings
        self.quic.send_ping(uid)
        self.flush()
        await self.until(lambda: (uid in self._pongs) or None, "acknowledgement of a PING frame")

    @property
    def remote_chain(self) -> list[bytes]:
        """The target's certificate in DER."""
        certificate = cast(Any, self.quic.tls)._peer_certificate
        if certificate is None:
            raise Deviation("the target showed no certificate")
        return [certificate.public_bytes(Encoding.DER)]

    def remote_peer(self) -> PeerId:
        """Whom the target's certificate proves. Raises `Deviation` when it proves nobody."""
        try:
            return PeerId.from_public_key(verify(self.remote_chain, time.time()))
        except MeshError as error:
            raise Deviation(f"the target's certificate: {error}") from None


class _Asking(QuicConnection):
    """A listener that asks the dialer for its certificate."""

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        self.tls._request_client_certificate = True


def dialer(options: TlsOptions, alpn: tuple[str, ...]) -> Connection:
    """A dialer's connection."""
    return QuicConnection(configuration=_configuration(options, alpn))


def listener(
    options: TlsOptions, alpn: tuple[str, ...], original_id: bytes, retry_id: bytes | None = None
) -> Connection:
    """A listener's connection: ``original_id`` was the first Initial's destination, ``retry_id`` the source of a Retry.
    Without ``alpn`` it agrees on no protocol at all."""
    return _Asking(
        configuration=_configuration(options, alpn),
        original_destination_connection_id=original_id,
        retry_source_connection_id=retry_id,
    )


def _configuration(options: TlsOptions, alpn: tuple[str, ...]) -> QuicConfiguration:
    """Of an end with these certificates, or none."""
    made = QuicConfiguration(
        is_client=not options.listens,
        alpn_protocols=list(alpn) or None,
        verify_mode=ssl.CERT_NONE,
        max_data=WINDOW_BYTES,
        max_stream_data=WINDOW_BYTES,
        supported_versions=[1],
    )
    if options.chain:
        made.certificate, *made.certificate_chain = options.chain
        made.private_key = options.key
    return made
