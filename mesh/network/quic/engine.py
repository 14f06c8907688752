"""What this package asks of a QUIC implementation: a connection without socket, clock or loop.

An engine is created for one connection, takes datagrams and instants, gives datagrams, and tells its owner what happened
by calling it from within `receive`, `receive_coalesced` and `wake`. After any call from outside: `transmit`, then
`deadline`. It never raises for what a peer did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mesh.identity.keys import PublicKey
from mesh.protocols.machine import Buffer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

Address = tuple[str, int] | tuple[str, int, int, int]
"""A socket's address as the socket module gives it."""

CONNECTION_ID_BYTES = 8
"""Every connection id an engine issues has this length, so that short headers can be routed."""
ALPN = "libp2p"
MIN_DATAGRAM_BYTES = 1200
MAX_UNSENT_BYTES = 1024 * 1024
"""A writer waits while this much of its stream has not been sent once."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all connections of a node share. Sizes in bytes, times in seconds.

    ``verify`` takes the certificates the peer has shown, DER, its own first, and gives its key; it raises a `PeerError`
    whose ``wire_code`` is the TLS alert to send. ``reset_token`` gives the 16 bytes of a connection id's stateless reset.
    Datagrams begin at ``datagram_bytes`` and may grow to ``max_datagram_bytes`` once the path has carried such a one.
    """

    certificate: bytes
    certificate_key: ec.EllipticCurvePrivateKey
    verify: Callable[[Sequence[bytes]], PublicKey]
    reset_token: Callable[[bytes], bytes]
    idle_timeout_s: float = 30.0
    max_inbound_streams: int = 256
    stream_window_bytes: int = 10 * 1024 * 1024
    connection_window_bytes: int = 15 * 1024 * 1024
    max_in_flight_bytes: int = 16 * 1024 * 1024
    datagram_bytes: int = 1252
    max_datagram_bytes: int = 1452


@dataclass(frozen=True, slots=True)
class Termination:
    """How a connection ended. ``code`` is an application's code if ``application``, else a transport error
    (RFC 9000 section 20.1; 0x100 + n is TLS alert n). ``idle``: nothing came for too long. ``reset``: a stateless reset.
    ``by_peer``: the other end said so."""

    code: int
    reason: str
    application: bool
    by_peer: bool
    idle: bool = False
    reset: bool = False


class Owner(Protocol):
    """What an engine tells. None of these may call back into the engine's `receive`, `transmit` or `wake`."""

    def handshake_finished(self, key: PublicKey) -> None:
        """The peer has proved to have ``key``; streams may be opened. On the client the server may still refuse."""

    def stream_data(self, stream_id: int, data: bytes, fin: bool) -> None:
        """Bytes in order of a bidirectional stream, which the first of them opens; ``fin``: nothing follows."""

    def stream_reset(self, stream_id: int, code: int) -> None:
        """The peer gave up sending (RESET_STREAM)."""

    def stream_stopped(self, stream_id: int, code: int) -> None:
        """The peer reads no more (STOP_SENDING)."""

    def openable(self) -> None:
        """The peer allows more streams than before."""

    def connection_id_issued(self, connection_id: bytes) -> None:
        """Datagrams with this id are this connection's from now on."""

    def connection_id_retired(self, connection_id: bytes) -> None:
        """That id is no longer used."""

    def terminated(self, how: Termination) -> None:
        """The connection is over; nothing more is told. What `transmit` still gives should be sent."""


class Engine(Protocol):
    """One QUIC connection. ``now`` is `time.monotonic()` in seconds everywhere."""

    @property
    def connection_ids(self) -> list[bytes]:
        """Ids that datagrams to this end carry; changes are told to the owner."""

    @property
    def rtt_s(self) -> float | None:
        """Smoothed round trip in seconds, None before the first sample."""

    @property
    def can_open(self) -> bool:
        """Whether the peer's limit allows another bidirectional stream now."""

    def start(self, now: float) -> None:
        """Dialer: begin the handshake."""

    def receive(self, datagram: bytes, address: Address, now: float) -> None:
        """Take one datagram."""

    def receive_coalesced(self, buffer: bytes, segment_bytes: int, address: Address, now: float) -> None:
        """Take datagrams of ``segment_bytes`` each, the last one perhaps shorter, as receive offload joins them."""

    def transmit(self, now: float, most: int) -> list[tuple[bytes, Address]]:
        """At most ``most`` datagrams to send now; call again for more, until it gives none."""

    def deadline(self) -> float | None:
        """When `wake` must be called, also after the end while closing datagrams are due; None for never."""

    def wake(self, now: float) -> None:
        """Time has passed."""

    def open_stream(self) -> int:
        """The id of a new bidirectional stream; only while `can_open`. The peer hears of it by its first bytes."""

    def write(self, stream_id: int, data: Buffer, fin: bool) -> None:
        """Queue bytes, copied, and with ``fin`` the end. Nothing happens on a stream that was reset or is unknown."""

    def unsent_bytes(self, stream_id: int) -> int:
        """What of a stream was queued and not sent once."""

    def consumed(self, stream_id: int, size: int) -> None:
        """A reader took ``size`` bytes: the peer may send as many more."""

    def reset(self, stream_id: int, code: int) -> None:
        """Give up sending (RESET_STREAM)."""

    def stop(self, stream_id: int, code: int) -> None:
        """Ask the peer to give up sending (STOP_SENDING)."""

    def ping(self) -> None:
        """Send something that the peer acknowledges, to keep the connection alive."""

    def close(self, code: int, reason: str, now: float) -> None:
        """End the connection with an application's code; the owner is told by `terminated`."""


class MakeEngine(Protocol):
    """How an engine is made; `aioquic_engine.AioquicEngine` and `qh3_engine.Qh3Engine` are such.

    A dialer gives the ``address`` it dials. A listener gives the address the first Initial came from, the destination
    ``original_id`` of the client's very first Initial, and after a Retry the ``retry_id`` which that carried as source.
    """

    def __call__(
        self,
        settings: Settings,
        owner: Owner,
        address: Address,
        now: float,
        *,
        dialer: bool,
        original_id: bytes = b"",
        retry_id: bytes = b"",
    ) -> Engine: ...
