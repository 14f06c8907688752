"""A TLS end made of pyOpenSSL alone, which presents what it is told to; and what a test makes of its records by hand."""

from __future__ import annotations

import time
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from OpenSSL import SSL

from mesh.codecs.multistream import encode_token
from mesh.identity.certificate import Certificate, issue
from mesh.identity.keys import PrivateKey
from mesh.network.memory_counter import MemoryCounter
from mesh.network.security import TLS_PROTOCOL_ID, TlsSecurity
from mesh.network.upgrade import Upgrade, Upgraded, UpgradeSettings
from mesh.protocols import yamux
from mesh.protocols.machine import Role
from mesh.protocols.multistream import HEADER

HELLO = encode_token(HEADER)
AGREED = HELLO + encode_token(TLS_PROTOCOL_ID)
NOW = time.time()
STRANGER = PrivateKey.from_seed(b"s" * 32)


def settings(identity: PrivateKey, muxers: Sequence[str] = (yamux.PROTOCOL_ID,)) -> UpgradeSettings:
    """TLS alone."""
    security = TlsSecurity(identity, tuple(muxers), lambda: NOW)
    return UpgradeSettings((security,), yamux.Settings(), MemoryCounter(1 << 20))


class RawTls:
    """One end, of ``role``. ``alpn`` None offers nothing, and a listener accepts the first it is offered."""

    def __init__(
        self,
        role: Role,
        *,
        certificate: Certificate | None = None,
        chain: Sequence[Certificate] = (),
        alpn: Sequence[bytes] | None = (b"/yamux/1.0.0", b"libp2p"),
        version: int = SSL.TLS1_3_VERSION,
        server_name: bytes = b"",
        anonymous: bool = False,
        ciphers: bytes = b"TLS_AES_128_GCM_SHA256",
        context: SSL.Context | None = None,
    ) -> None:
        self.alerts: list[int] = []
        self.secrets: dict[str, bytes] = {}
        self.failure = ""
        self.done = False
        if context is None:
            context = self._make(role, certificate, chain, alpn, version, anonymous, ciphers)
        self.context = context
        self.connection = SSL.Connection(context, None)
        if server_name:
            self.connection.set_tlsext_host_name(server_name)
        if role is Role.INITIATOR:
            self.connection.set_connect_state()
        else:
            self.connection.set_accept_state()

    def _make(
        self,
        role: Role,
        certificate: Certificate | None,
        chain: Sequence[Certificate],
        alpn: Sequence[bytes] | None,
        version: int,
        anonymous: bool,
        ciphers: bytes,
    ) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
        context.set_tls13_ciphersuites(ciphers)
        if not anonymous:
            own = certificate or issue(STRANGER, NOW)
            context.use_certificate(own.certificate)
            context.use_privatekey(own.key)
            for further in chain:
                context.add_extra_chain_cert(further.certificate)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        if role is Role.INITIATOR and alpn is not None:
            context.set_alpn_protos(list(alpn))
        if role is Role.RESPONDER and alpn is not None:
            context.set_alpn_select_callback(lambda _, offered: offered[0])
        context.set_info_callback(self._note)
        context.set_keylog_callback(self._keep)
        return context

    def _note(self, _connection: SSL.Connection, where: int, value: int) -> None:
        if where == SSL.SSL_CB_READ | SSL.SSL_CB_ALERT:
            self.alerts.append(value & 0xFF)

    def _keep(self, _connection: SSL.Connection, line: bytes) -> None:
        label, _, secret = line.decode().split()
        self.secrets[label] = bytes.fromhex(secret)

    def take(self, data: bytes) -> bytes:
        """Go on with the handshake, then read; returns the payload that came."""
        if data:
            self.connection.bio_write(data)
        payload = b""
        try:
            if not self.done:
                self.connection.do_handshake()
                self.done = True
            while True:
                payload += self.connection.recv(1 << 16)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.failure = "close_notify"
        except SSL.Error as error:
            self.failure = str(error)
        return payload

    def output(self) -> bytes:
        """What it wants to send."""
        out = b""
        try:
            while True:
                out += self.connection.bio_read(1 << 16)
        except SSL.WantReadError:
            return out


def meet(raw: RawTls, upgrade: Upgrade, *, piece: int = 0) -> bytes:
    """Let both talk until nothing moves; the payload that ``raw`` got. ``piece`` cuts what ``upgrade`` receives."""
    said = b"".join(map(bytes, upgrade.output()))
    upgrade.receive(AGREED, 0.0)
    said += b"".join(map(bytes, upgrade.output()))
    assert said.startswith(AGREED)
    said = said.removeprefix(AGREED)
    payload = b""
    while True:
        payload += raw.take(said)
        out = raw.output()
        step = piece or len(out) or 1
        for start in range(0, len(out), step):
            data = out[start : start + step]
            if isinstance(upgrade.outcome, Upgraded):
                assert upgrade.outcome.channel.receive(data) == []
            elif upgrade.outcome is None:
                upgrade.receive(data, 0.0)
        said = b"".join(map(bytes, upgrade.output()))
        if not (said or out):
            return payload


def _expand(secret: bytes, label: str, length: int) -> bytes:
    """HKDF-Expand-Label without context (RFC 8446, 7.1), for SHA-256."""
    full = b"tls13 " + label.encode()
    info = length.to_bytes(2, "big") + bytes((len(full),)) + full + b"\x00"
    return HKDFExpand(hashes.SHA256(), length, info).derive(secret)


class Forger:
    """Makes the next records of an end whose traffic secret is known; AES-128-GCM."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.sequence = 0

    def record(self, kind: int, content: bytes) -> bytes:
        """One record of content type ``kind``."""
        key, iv = _expand(self.secret, "key", 16), _expand(self.secret, "iv", 12)
        nonce = (int.from_bytes(iv, "big") ^ self.sequence).to_bytes(12, "big")
        self.sequence += 1
        inner = content + bytes((kind,))
        head = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        return head + AESGCM(key).encrypt(nonce, inner, head)

    def key_update(self, *, asked: bool) -> bytes:
        """A KeyUpdate (4.6.3), ``asked``: the peer is to answer with its own."""
        data = self.record(22, b"\x18\x00\x00\x01" + bytes((asked,)))
        self.secret = _expand(self.secret, "traffic upd", 32)
        self.sequence = 0
        return data
