"""One end of a TLS 1.3 connection in OpenSSL, over memory; the one module that knows pyOpenSSL from inside.

pyOpenSSL keeps contexts and connections. Its own calls copy each record twice more than is needed, and cannot say why a
certificate is refused, so reading, writing and the verdict on certificates go to the library below it. What is used of
it that is not public: `Context._context`, `Connection._ssl` and `_from_ssl`; its version is pinned.

OpenSSL judges no certificate here: `mesh.identity.certificate` does, and its verdict becomes the alert that is sent.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

from OpenSSL import SSL, crypto
from OpenSSL._util import ffi as _ffi
from OpenSSL._util import lib as _lib

from mesh.errors import CertificateRefused, MeshError, PeerError, WrongPeer
from mesh.identity.certificate import Alert, issue, verify
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.identity.peer_id import PeerId
from mesh.network import tls_alerts
from mesh.protocols.machine import Buffer, Role

LIBP2P: Final = "libp2p"
"""Says that the muxer is negotiated inside the connection."""
WRITE_BYTES: Final = 64 * 1024
"""Payload that is encrypted at a time: OpenSSL's memory for what leaves keeps the size it once had."""
CHUNK_BYTES: Final = 128 * 1024
"""Payload comes out in pieces of no more than this and a record."""
MAX_IDLE_MESSAGES: Final = 64
"""Steps of the handshake layer (a key update takes two or three) in a row, without a byte of payload between them."""

_RECORD_BYTES: Final = 16 * 1024
_SCRATCH_BYTES: Final = CHUNK_BYTES + _RECORD_BYTES
_GROUPS: Final = b"X25519:P-256:P-384"
"""Only X25519 has its share in the first message. No hybrid group: it would take another millisecond and 2 KiB, for a
secrecy that Noise beside it does not have."""
_AES_FIRST: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
_CHACHA_FIRST: Final = b"TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
_AES_MACHINES: Final = frozenset({"x86_64", "amd64", "arm64", "aarch64"})
_VERDICTS: Final = {Alert.UNSUPPORTED_CERTIFICATE: 26, Alert.CERTIFICATE_EXPIRED: 10}
"""OpenSSL's verification errors that it answers with these alerts; any other of ours is bad_certificate."""
_CERT_REJECTED: Final = 28
_READ_ALERT: Final = SSL.SSL_CB_READ | SSL.SSL_CB_ALERT
_WRITE_ALERT: Final = SSL.SSL_CB_WRITE | SSL.SSL_CB_ALERT

_NOTHING: Final = _ffi.new("char[1]")

_engines: WeakValueDictionary[int, TlsEngine] = WeakValueDictionary()
"""By the address of the `SSL` they drive: what OpenSSL tells its callbacks."""


class TlsIdentity:
    """What all TLS connections of a node share: its certificate, OpenSSL's context, and memory to work in.

    ``muxers`` in order of liking. ``clock`` gives Unix time. Connections of one identity belong to one thread.
    """

    __slots__ = ("clock", "context", "key", "muxers", "scratch", "scratch_view")

    def __init__(self, key: PrivateKey, muxers: Sequence[str], clock: Callable[[], float]) -> None:
        self.key = key
        self.muxers = tuple(muxers)
        self.clock = clock
        own = issue(key, clock())
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.clear_mode(_lib.SSL_MODE_ENABLE_PARTIAL_WRITE)
        aes = platform.machine().lower() in _AES_MACHINES
        context.set_tls13_ciphersuites(_AES_FIRST if aes else _CHACHA_FIRST)
        context.use_certificate(own.certificate)
        context.use_privatekey(own.key)
        context.set_alpn_protos([each.encode() for each in (*self.muxers, LIBP2P)])
        context.set_alpn_select_callback(self._choose)
        native = context._context
        _lib.SSL_CTX_set1_curves_list(native, _GROUPS)
        _lib.SSL_CTX_set_verify(native, SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _on_certificate)
        _lib.SSL_CTX_set_info_callback(native, _on_event)
        self.context = context
        self.scratch = bytearray(_SCRATCH_BYTES)
        self.scratch_view = memoryview(self.scratch)

    def _choose(self, _connection: SSL.Connection, offered: list[bytes]) -> bytes:
        """The client's first muxer that is known here, even behind `libp2p`, as go does; else `libp2p`."""
        known = {each.encode() for each in self.muxers}
        chosen = next((each for each in offered if each in known), None)
        if chosen is not None:
            return chosen
        if LIBP2P.encode() in offered:
            return LIBP2P.encode()
        raise _NoProtocol


class _NoProtocol(Exception):  # noqa: N818 - never seen outside: it makes pyOpenSSL send the alert
    pass


class TlsEngine:
    """One end. ``failure`` is set when nothing more can be read.

    ``remote_key`` is proven once `handshake` has returned True.
    """

    __slots__ = (
        "__weakref__",
        "_alert_received",
        "_alert_sent",
        "_connection",
        "_expected_peer",
        "_from_ssl",
        "_identity",
        "_idle_messages",
        "_lent",
        "_native",
        "_refusal",
        "_role",
        "_scratch",
        "_source",
        "closed",
        "failure",
        "remote_key",
    )

    def __init__(self, role: Role, identity: TlsIdentity, expected_peer: PeerId | None) -> None:
        self._identity = identity
        self._role = role
        self._expected_peer = expected_peer
        self._alert_received: int | None = None
        self._alert_sent: int | None = None
        self._idle_messages = 0
        self._refusal: PeerError | None = None
        self.failure: MeshError | None = None
        self.closed = False
        self.remote_key: PublicKey | None = None
        connection: Any = SSL.Connection(identity.context, None)
        self._connection = connection
        self._native = connection._ssl
        self._lent: Any = None
        self._source: Any = None
        _lib.SSL_clear_mode(self._native, _lib.SSL_MODE_AUTO_RETRY)
        self._from_ssl = connection._from_ssl
        self._scratch = _ffi.from_buffer(identity.scratch)
        _engines[_address(self._native)] = self
        if role is Role.INITIATOR:
            connection.set_connect_state()
        else:
            connection.set_accept_state()

    # -- ciphertext --------------------------------------------------------------------------------------------------

    def handshake(self, data: Buffer) -> bool:
        """Go on with the handshake; True when it is done, and `read` gives what came behind it."""
        self._lend(data)
        _lib.ERR_clear_error()
        result = _lib.SSL_do_handshake(self._native)
        if result == 1 and self._one_certificate():
            self._idle_messages = 0
            return True
        self._note(result, "the handshake failed")
        self._take_back()
        return False

    def _lend(self, data: Buffer) -> None:
        """Let OpenSSL read received bytes where they are; they must stay until it is done with them."""
        native = _ffi.from_buffer(data)
        source = _lib.BIO_new_mem_buf(native, len(native))
        _lib.BIO_set_mem_eof_return(source, -1)
        _lib.SSL_set_bio(self._native, source, self._from_ssl)
        self._source = source
        self._lent = native

    def _take_back(self) -> None:
        """OpenSSL has read what it was lent, and keeps the beginning of a record by itself."""
        source = _lib.BIO_new_mem_buf(_NOTHING, 0)
        _lib.BIO_set_mem_eof_return(source, -1)
        _lib.SSL_set_bio(self._native, source, self._from_ssl)
        self._lent = None

    def drain(self) -> list[Buffer]:
        """Everything OpenSSL wants to send."""
        out: list[Buffer] = []
        while (size := _lib.BIO_read(self._from_ssl, self._scratch, _SCRATCH_BYTES)) > 0:
            out.append(bytes(self._identity.scratch_view[:size]))
        return out

    @property
    def chosen(self) -> str:
        """What ALPN agreed on; empty when the client offered nothing."""
        return str(self._connection.get_alpn_proto_negotiated().decode())

    def _one_certificate(self) -> bool:
        """A listener learns of further certificates only now, when no alert can be sent any more."""
        if self._role is Role.RESPONDER:
            further = _lib.SSL_get_peer_cert_chain(self._native)
            count = 0 if further == _ffi.NULL else _lib.sk_X509_num(further)
            if count:
                self.failure = CertificateRefused(
                    f"certificate refused: {count + 1} certificates instead of one",
                    protocol="tls",
                    wire_code=int(Alert.BAD_CERTIFICATE),
                )
        return self.failure is None

    # -- payload -----------------------------------------------------------------------------------------------------

    def read(self, data: Buffer) -> list[bytes]:
        """The payload of every record that ``data`` completes."""
        chunks: list[bytes] = []
        if self._lent is not None:
            self._read(chunks)
        if len(data):
            self._lend(data)
            self._read(chunks)
        if self._idle_messages > MAX_IDLE_MESSAGES and self.failure is None:
            self.failure = tls_alerts.violated(
                f"{self._idle_messages} messages without payload, such as key updates", None
            )
        return chunks

    def _read(self, chunks: list[bytes]) -> None:
        total = 0
        read, native, scratch = _lib.SSL_read, self._native, self._scratch
        _lib.ERR_clear_error()
        while (size := read(native, scratch + total, _RECORD_BYTES)) > 0 or self._more():
            if size <= 0:
                continue
            self._idle_messages = 0
            total += size
            if total >= CHUNK_BYTES:
                chunks.append(bytes(self._identity.scratch_view[:total]))
                total = 0
        if _lib.SSL_get_error(native, size) != _lib.SSL_ERROR_WANT_READ:
            self._note(size, "a record cannot be read")
        self._take_back()
        if total:
            chunks.append(bytes(self._identity.scratch_view[:total]))

    def _more(self) -> bool:
        """Whether to read on after a record without payload: OpenSSL stops at each, so that many can be too many."""
        return bool(
            self._idle_messages <= MAX_IDLE_MESSAGES
            and _lib.BIO_get_mem_data(self._source, _ffi.NULL) > 0
            and _lib.SSL_get_error(self._native, -1) == _lib.SSL_ERROR_WANT_READ
        )

    def write(self, frames: list[Buffer]) -> list[Buffer]:
        """Encrypt the frames' bytes as one stream; returns the records, and whatever else wants to leave.

        After an end there is nothing to encrypt for.
        """
        if self.closed or self.failure is not None:
            return self.drain()
        _lib.ERR_clear_error()
        out: list[Buffer] = []
        if len(frames) == 2 and len(frames[1]) >= 2 * _RECORD_BYTES:
            head, body = frames
            first = _RECORD_BYTES - len(head)
            self._write(head + body[:first], 0, out)  # type: ignore[operator]
            self._write(body, first, out)
        else:
            self._write(frames[0] if len(frames) == 1 else b"".join(frames), 0, out)
        out += self.drain()
        return out

    def _write(self, data: Buffer, start: int, out: list[Buffer]) -> None:
        native = _ffi.from_buffer(data)
        size = len(native)
        while start < size and self.failure is None:
            piece = min(WRITE_BYTES, size - start)
            if _lib.SSL_write(self._native, native + start, piece) != piece:
                self._note(-1, "nothing more can be sent")
            start += piece
            if piece == WRITE_BYTES:
                out += self.drain()

    def close(self) -> None:
        """Say close_notify."""
        if not self.closed:
            self.closed = True
            if self.failure is None:
                _lib.SSL_shutdown(self._native)
                _lib.ERR_clear_error()

    # -- what OpenSSL tells --------------------------------------------------------------------------------------------

    def judge(self, der: bytes, further: int) -> int:
        """The verdict on the peer's certificates as OpenSSL's error number, 0 for a good one."""
        if self.remote_key is not None:
            return 0
        identity = self._identity
        try:
            key = verify([der, *[b""] * further], identity.clock())
            peer = PeerId.from_public_key(key)
            if self._expected_peer is not None and peer != self._expected_peer:
                raise WrongPeer(
                    f"tls: dialled {self._expected_peer} but {peer} answered", found=str(peer), protocol="tls"
                )
            if key == identity.key.public:
                raise PeerError("tls: the peer shows this node's own identity", protocol="tls")
        except PeerError as error:
            self._refusal = error
            return _VERDICTS.get(Alert(error.wire_code or Alert.BAD_CERTIFICATE), _CERT_REJECTED)
        self.remote_key = key
        return 0

    def note_event(self, where: int, value: int) -> None:
        """An alert passed, or a message of the handshake layer was handled."""
        if where == _READ_ALERT:
            self._alert_received = value & 0xFF
        elif where == _WRITE_ALERT:
            self._alert_sent = value & 0xFF
        elif where & SSL.SSL_CB_LOOP:
            self._idle_messages += 1

    def _note(self, result: int, what: str) -> None:
        """Keep why an operation gave no result, unless it only waits for more."""
        error = _lib.SSL_get_error(self._native, result)
        if error in (_lib.SSL_ERROR_WANT_READ, _lib.SSL_ERROR_NONE) or self.failure is not None:
            return
        reason = _lib.ERR_reason_error_string(_lib.ERR_peek_error())
        _lib.ERR_clear_error()
        received, sent = self._alert_received, self._alert_sent
        if self._refusal is not None:
            self.failure = self._refusal
        elif received is not None:
            self.failure = tls_alerts.received(received)
        elif error == _lib.SSL_ERROR_ZERO_RETURN:
            self.failure = tls_alerts.received(tls_alerts.CLOSE_NOTIFY)
        else:
            words = what if reason == _ffi.NULL else f"{what}: {_ffi.string(reason).decode()}"
            self.failure = tls_alerts.violated(words, sent)


def _address(native: Any) -> int:
    return int(_ffi.cast("uintptr_t", native))


_STORE_INDEX: Final = _lib.SSL_get_ex_data_X509_STORE_CTX_idx()


@_ffi.callback("int (*)(int, X509_STORE_CTX *)", error=0)  # type: ignore[untyped-decorator, unused-ignore]
def _on_certificate(_good: int, store: Any) -> int:
    """OpenSSL has a certificate to be judged, or has found a fault in it, perhaps one after another."""
    native = _ffi.cast("SSL *", _lib.X509_STORE_CTX_get_ex_data(store, _STORE_INDEX))
    leaf = _lib.X509_STORE_CTX_get0_cert(store)
    _lib.X509_up_ref(leaf)
    der = crypto.dump_certificate(crypto.FILETYPE_ASN1, crypto.X509._from_raw_x509_ptr(leaf))
    chain = _lib.SSL_get_peer_cert_chain(native)
    further = 0 if chain == _ffi.NULL else max(0, _lib.sk_X509_num(chain) - 1)
    verdict = _engines[_address(native)].judge(der, further)
    _lib.X509_STORE_CTX_set_error(store, verdict)
    return 0 if verdict else 1


@_ffi.callback("void (*)(const SSL *, int, int)")  # type: ignore[untyped-decorator, unused-ignore]
def _on_event(native: Any, where: int, value: int) -> None:
    engine = _engines.get(_address(native))
    if engine is not None:
        engine.note_event(where, value)
