"""libp2p TLS on OpenSSL, with certificates, names and versions of the case's choosing; either end of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from OpenSSL._util import lib as _lib

from mesh.conformance.tls_forger import SUITE, Forger
from mesh.conformance.verdict import Deviation
from mesh.conformance.waiting import ByteFlow
from mesh.errors import MeshError
from mesh.identity.certificate import issue, verify
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId

LIBP2P = "libp2p"
READ_BYTES = 16 * 1024
MAX_RECORD_BYTES = 16 * 1024

Ticket = tuple[SSL.Context, SSL.Session]
"""A session with the context that it belongs to."""


@dataclass(slots=True)
class TlsOptions:
    """How a client hello and what follows it look. ``chain`` is sent leaf first; none means no client certificate.
    ``listens``: be the server, which chooses the first of ``alpn`` that is offered."""

    alpn: tuple[str, ...] = ("/yamux/1.0.0", LIBP2P)
    chain: tuple[x509.Certificate, ...] = ()
    key: CertificateIssuerPrivateKeyTypes | None = None
    server_name: str = ""
    max_version: int = SSL.TLS1_3_VERSION
    min_version: int = SSL.TLS1_3_VERSION
    ticket: Ticket | None = None
    listens: bool = False

    @classmethod
    def of(cls, identity: PrivateKey) -> TlsOptions:
        """A good certificate for an identity."""
        made = issue(identity, time.time())
        return cls(chain=(made.certificate,), key=made.key)


class TlsChannel(ByteFlow):
    """A TLS connection over a flow; `handshake` first. It ends with the flow below, or with an alert.

    ``chosen``: what ALPN agreed on; ``remote_chain``: the target's certificates in DER.
    """

    def __init__(self, below: ByteFlow, options: TlsOptions) -> None:
        super().__init__("tls", below.log, below.limit_s)
        self.below = below
        self.done = False
        self._secret = b""
        self._records_sent = 0
        self._forger: Forger | None = None
        self._shut = False
        self._context = options.ticket[0] if options.ticket else _context(options, self._keep_secret)
        self._connection = SSL.Connection(self._context, None)
        if options.listens:
            self._connection.set_accept_state()
        else:
            self._connection.set_connect_state()
        if options.server_name:
            self._connection.set_tlsext_host_name(options.server_name.encode())
        if options.ticket is not None:
            self._connection.set_session(options.ticket[1])
        below.on_end = self.end
        self._started = options.listens

    def _keep_secret(self, _connection: SSL.Connection, line: bytes) -> None:
        label, _, secret = line.split(b" ")
        if label == b"CLIENT_TRAFFIC_SECRET_0":
            self._secret = bytes.fromhex(secret.decode())

    def hello(self) -> bytes:
        """The client hello, for cases that send it their own way; once, before `handshake`."""
        self._started = True
        with suppress(SSL.WantReadError):
            self._connection.do_handshake()
        return self._drain()

    async def handshake(self) -> None:
        """Go through the handshake. A client is done before the target has judged its certificate: see `accepted`."""
        if not self._started:
            self.below.send(self.hello())
        self.below.rise(self._take)
        await self.until(lambda: self.done or None, "TLS handshake")

    def _take(self, data: bytes) -> None:
        self._connection.bio_write(data)
        try:
            if not self.done:
                self._connection.do_handshake()
                self.done = True
            while True:
                plaintext = self._connection.recv(READ_BYTES)
                self.log.received("tls", plaintext)
                self.feed(plaintext)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.end("close_notify")
        except SSL.Error as error:
            self.end(f"TLS: {_words(error)}")
        answer = self._drain()
        if answer and self.below.ending is None:
            self.below.send(answer)
        self.changed()

    def _drain(self) -> bytes:
        out = bytearray()
        try:
            while True:
                out += self._connection.bio_read(READ_BYTES)
        except SSL.WantReadError:
            return bytes(out)

    def records(self, data: bytes) -> bytes:
        """The data encrypted, not sent."""
        out = b""
        for start in range(0, len(data), MAX_RECORD_BYTES):
            piece = data[start : start + MAX_RECORD_BYTES]
            if self._forger is not None:
                out += self._forger.data(piece)
                continue
            try:
                self._connection.send(piece)
            except SSL.Error as error:
                self.end(f"TLS: {_words(error)}")
                break
            self._records_sent += 1
            out += self._drain()
        return out

    @property
    def unsent_bytes(self) -> int:
        return self.below.unsent_bytes

    def send(self, data: bytes) -> None:
        if self.ending is None and not self._shut:
            self.log.sent("tls", data)
            self.below.send(self.records(data))

    def shut_down(self) -> None:
        """Say close_notify."""
        self._shut = True
        self._connection.shutdown()
        self.below.send(self._drain())

    def update_keys(self) -> None:
        """Send a KeyUpdate that asks for the target's own; records are made by hand from here on."""
        self._forger = Forger(self._secret, self._records_sent)
        self.below.send(self._forger.key_update(asks=True))

    @property
    def version(self) -> str:
        return str(self._connection.get_protocol_version_name())

    @property
    def chosen(self) -> str:
        return bytes(self._connection.get_alpn_proto_negotiated()).decode()

    @property
    def ticket(self) -> Ticket | None:
        """What resumes this session, once the target has sent it."""
        session = self._connection.get_session()
        return None if session is None else (self._context, session)

    @property
    def resumed(self) -> bool:
        return bool(_lib.SSL_session_reused(self._connection._ssl))

    @property
    def remote_chain(self) -> list[bytes]:
        chain = self._connection.get_peer_cert_chain(as_cryptography=True) or []
        return [each.public_bytes(Encoding.DER) for each in chain]

    def remote_peer(self) -> PeerId:
        """Whom the target's certificate proves. Raises `Deviation` when it proves nobody."""
        try:
            return PeerId.from_public_key(verify(self.remote_chain, time.time()))
        except MeshError as error:
            raise Deviation(f"the target's certificate: {error}") from None


def _context(options: TlsOptions, keep_secret: Callable[[SSL.Connection, bytes], None]) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_keylog_callback(keep_secret)
    context.set_tls13_ciphersuites(SUITE)
    context.set_min_proto_version(options.min_version)
    context.set_max_proto_version(options.max_version)
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    if options.listens:
        wanted = [each.encode() for each in options.alpn]
        context.set_alpn_select_callback(
            lambda _connection, offered: next(
                (each for each in wanted if each in offered), SSL.NO_OVERLAPPING_PROTOCOLS
            )
        )
    elif options.alpn:
        context.set_alpn_protos([each.encode() for each in options.alpn])
    if options.chain and options.key is not None:
        context.use_certificate(options.chain[0])
        context.use_privatekey(options.key)  # type: ignore[arg-type]
        for each in options.chain[1:]:
            context.add_extra_chain_cert(each)
    return context


def _words(error: SSL.Error) -> str:
    reasons: Sequence[object] = error.args[0] if error.args else ()
    texts = [str(each[-1]) for each in reasons if isinstance(each, tuple) and each]
    return "; ".join(texts) or "connection broken"
