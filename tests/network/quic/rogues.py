"""Ends that break the rules of libp2p's TLS, made of a qh3 engine with its insides bent. For tests of any engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MethodType
from typing import Any

import pytest
from qh3 import tls
from qh3._hazmat import Buffer
from qh3.quic.tls_bridge import QuicTlsCryptoData

from mesh.network.quic.engine import Address, Engine, MakeEngine, Owner, Settings
from mesh.network.quic.qh3.engine import Qh3Engine
from mesh.network.quic.qh3.handshake import Handshake
from mesh.network.quic.qh3.tls import MutualContext


def bent(bend: Callable[[MutualContext], None], garble: Callable[[bytes], bytes] = bytes) -> MakeEngine:
    """An engine whose TLS is given to ``bend`` before its first message, and what it sends to ``garble``."""

    class BentHandshake(Handshake):
        def _create_tls(self, remote_source_cid: bytes | None) -> Any:
            bridge = super()._create_tls(remote_source_cid)
            bend(self.bridge.context)
            take = bridge.next_crypto_data

            def take_garbled() -> QuicTlsCryptoData | None:
                piece = take()
                return None if piece is None else replace(piece, data=garble(piece.data))

            bridge.next_crypto_data = take_garbled  # type: ignore[method-assign]
            return bridge

    def make(
        settings: Settings,
        owner: Owner,
        address: Address,
        now: float,
        *,
        dialer: bool,
        original_id: bytes = b"",
        retry_id: bytes = b"",
    ) -> Engine:
        engine = Qh3Engine(
            settings, owner, address, now, dialer=dialer, original_id=original_id, retry_id=retry_id
        )
        handshake = BentHandshake(engine, settings, original_id, retry_id)
        engine._handshake = handshake
        engine._ids[-1] = handshake.host_cid
        return engine

    return make


def unbent(context: MutualContext) -> None:
    """Leave it as it is."""


class Shown:
    """In place of a certificate: bytes to show."""

    def __init__(self, der: bytes) -> None:
        self.der = der

    def public_bytes(self) -> bytes:
        return self.der


def shows_nothing(context: MutualContext) -> None:
    context.certificate = None


def shows(der: bytes) -> Callable[[MutualContext], None]:
    def bend(context: MutualContext) -> None:
        context.certificate = Shown(der)  # type: ignore[assignment]

    return bend


def shows_two(context: MutualContext) -> None:
    assert context.certificate is not None
    context.certificate_chain = [context.certificate]


def says(**changes: Any) -> Callable[[MutualContext], None]:
    """A dialer whose hello says something else: fields of qh3's ClientHello."""

    def bend(context: MutualContext) -> None:
        def send(self: MutualContext, buf: Buffer) -> None:
            push = tls.push_client_hello

            def push_changed(buf: Buffer, hello: tls.ClientHello) -> None:
                push(buf, replace(hello, **changes))

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(tls, "push_client_hello", push_changed)
                MutualContext._client_send_hello(self, buf)

        context._client_send_hello = MethodType(send, context)  # type: ignore[method-assign]

    return bend


def looks_like_a_browser(context: MutualContext) -> None:
    """A hello with shares of X25519MLKEM768 and X25519 as Go's, and much besides that nobody knows."""
    context._supported_groups = [
        context._grease_group,
        tls.Group.X25519ML768,
        tls.Group.X25519,
        tls.Group.SECP256R1,
    ]
    context._offer_ec_key_shares = False
    context._client_send_hello = MethodType(tls.Context._client_send_hello, context)  # type: ignore[method-assign]


def swaps_its_flight(context: MutualContext) -> None:
    """A dialer that says Finished without certificate, though asked for one."""
    finish = MutualContext._client_handle_finished

    def handle(self: MutualContext, input_buf: Buffer, output_buf: Buffer) -> None:
        self._certificate_request = None
        finish(self, input_buf, output_buf)

    context._client_handle_finished = MethodType(handle, context)  # type: ignore[method-assign]


def signs_with_another_key(context: MutualContext) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    other = ec.generate_private_key(ec.SECP256R1())
    context.certificate_private_key = tls.load_pem_private_key(
        other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
