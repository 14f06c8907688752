"""TLS under WebSocket (`/wss`, `/tls/ws`): the certificate of a name, checked by the standard library.

It runs over memory buffers inside the connection's own chain of layers, so that the driver's timer, limits and reset hold
from the first byte, and both kinds of event loop behave alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, cast

from mesh.errors import ConfigError, PeerError
from mesh.network.driver import MAX_UNSENT_BYTES
from mesh.network.layer import Layer
from mesh.network.websocket_pipe import WebSocketPipe
from mesh.protocols.machine import Buffer

STAGE: Final = "tls handshake"


def server_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """For listening, from PEM files: the certificate with its chain, and the private key.

    Raises `ConfigError` when one is missing or unusable.
    """
    if certificate is None or key is None:
        missing = "network.tls_certificate" if certificate is None else "network.tls_key"
        raise ConfigError(f"{missing} is not set: listening on /wss needs a certificate and its key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    for setting, path in (("network.tls_certificate", certificate), ("network.tls_key", key)):
        _check_readable(setting, path)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(
            f"network.tls_certificate {certificate} and network.tls_key {key} cannot be used together: {error}"
        ) from None
    return context


def client_context(trust: Path | None) -> ssl.SSLContext:
    """For dialling: the system's authorities and those of the PEM file ``trust``. Raises `ConfigError`."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if trust is not None:
        _check_readable("network.tls_trust", trust)
        try:
            context.load_verify_locations(trust)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(f"network.tls_trust {trust} holds no certificates: {error}") from None
    return context


def _check_readable(setting: str, path: Path) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read: {error.strerror}") from None


def _no_password() -> str:
    raise ValueError("the key is protected by a password")


class TlsLayer(Layer):
    """``above`` is the WebSocket layer; ``name`` the host name or address the certificate must be for, when dialling."""

    __slots__ = ("_failed", "_incoming", "_outgoing", "_pipe", "_secured", "_tls", "_waiting")

    def __init__(self, above: WebSocketPipe, context: ssl.SSLContext, name: str | None) -> None:
        super().__init__(above)
        self._pipe = above
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=name is None, server_hostname=name
        )
        self._waiting: list[Buffer] = []
        self._secured = False
        self._failed = False

    # -- towards the socket ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self.is_closing():
            self._pipe.enter_stage(STAGE)
            self._shake_hands()

    def buffer_updated(self, nbytes: int) -> None:
        if self._failed:
            return
        self._incoming.write(self.get_buffer(-1)[:nbytes])
        if self._secured or self._shake_hands():
            self._read()

    def eof_received(self) -> bool:
        self._pipe.eof_received()
        return False

    # -- towards the WebSocket layer -----------------------------------------------------------------------------------

    def write(self, data: Buffer) -> None:
        if self._failed or not data:
            return
        if not self._secured:
            self._waiting.append(data)
            return
        try:
            self._tls.write(data)
        except ssl.SSLError:
            self._failed = True
            self.abort()
            return
        self._flush()

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        """Say that nothing follows, let it leave, close."""
        if self._secured and not self._failed and not self.is_closing():
            self._failed = True
            with contextlib.suppress(ssl.SSLError):  # the peer's own last word is not waited for
                self._tls.unwrap()
            self._flush()
        super().close()

    # -- within ------------------------------------------------------------------------------------------------------

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._fail(error)
            return False
        self._secured = True
        self._pipe.enter_stage()
        waiting, self._waiting = self._waiting, []
        self._flush()
        for data in waiting:
            self.write(data)
        return True

    def _read(self) -> None:
        """Decrypt into the receive buffer, which the ciphertext has left, and pass it on."""
        buffer = self.get_buffer(-1)
        size = len(buffer)
        read = cast("Callable[[int, memoryview], int]", self._tls.read)
        more = True
        while more and not self._failed:
            filled = 0
            try:
                while filled < size and more:
                    count = read(size - filled, buffer[filled:])
                    filled += count
                    more = count > 0
            except ssl.SSLWantReadError:
                more = False
            except ssl.SSLZeroReturnError:
                self._deliver(filled)
                self._end()
                return
            except ssl.SSLError as error:
                self._deliver(filled)
                self._fail(error)
                return
            self._deliver(filled)
        self._flush()
        if (
            self.get_write_buffer_size() > MAX_UNSENT_BYTES
        ):  # key updates that the peer asks for and does not read
            self.abort()

    def _deliver(self, size: int) -> None:
        if size and not self._failed:
            self._pipe.buffer_updated(size)

    def _end(self) -> None:
        self._flush()
        if not self._failed:
            self._pipe.eof_received()
            self.close()

    def _flush(self) -> None:
        if self._outgoing.pending and not self.is_closing():
            self._below.write(self._outgoing.read())

    def _fail(self, error: ssl.SSLError) -> None:
        """The alert leaves before the connection ends."""
        if self._failed:
            return
        self._flush()
        self._failed = True
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        self._pipe.refuse(PeerError(f"TLS: {reason}", protocol="tls", clause="RFC 8446"))
