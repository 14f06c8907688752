"""A UDP socket that all connections of one local address share, dialled and accepted ones.

Datagrams go to who registered the connection id they carry. For the others nothing is kept: a version negotiation, a
Retry or a stateless reset is answered, always smaller than what it answers, or they are dropped and counted
(`quic.dropped:<why>`). Only an Initial that may begin a connection reaches ``accept``, and only while fewer handshakes
than a limit are under way; from a lower limit on its client must first show, by a Retry, that its address is its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, Protocol

from mesh.codecs.quic import (
    MIN_INITIAL_DATAGRAM_BYTES,
    MIN_ORIGINAL_ID_BYTES,
    VERSION_1,
    Initial,
    LongHeader,
    VersionNegotiation,
)
from mesh.errors import DecodeError, UsageError
from mesh.network.quic.datagrams import Datagram, UdpSocket, open_socket
from mesh.network.quic.engine import CONNECTION_ID_BYTES, Address
from mesh.network.quic.lingering import Lingering
from mesh.network.quic.retry import RetryTokens, Stale
from mesh.network.quic.stateless_reset import StatelessReset
from mesh.telemetry.counters import Counters

MAX_RESET_OFFERS: Final = 8
"""Connections of one address that are shown a datagram which may be a stateless reset for one of them."""
_LONG: Final = 0x80
_FIXED: Final = 0x40
_INITIAL: Final = 0xC0
_TYPE: Final = 0xF0
_ID_LENGTH_AT: Final = 5
_ID_AT: Final = 6
_SHORT_END: Final = 1 + CONNECTION_ID_BYTES


class Receiver(Protocol):
    """A connection. Neither call may raise."""

    def datagrams(self, buffer: bytes, segment_bytes: int, address: Address, now: float) -> None:
        """Datagrams of ``segment_bytes`` each, the last one perhaps shorter, from one address."""

    def settle(self) -> None:
        """No more comes in this wake-up: time to answer."""


Accept = Callable[[Address, bytes, bytes, float], Receiver | None]
"""Makes a connection for the Initial of a client: its address, the destination id of its very first Initial, the id
that a Retry gave it or nothing, and the time. None refuses it. The receiver's ids must be registered when it returns;
the destination of this Initial is by the endpoint, until `Endpoint.finished`, unless it is among them."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a listener takes on. ``retry_above`` handshakes under way clients are asked to prove their address;
    ``max_handshakes`` is the most that are under way. ``retry_above`` -1 always asks."""

    retry_above: int = 64
    max_handshakes: int = 1024


class Endpoint:
    """A bound socket and who its datagrams belong to. ``local`` is its address; closing it ends no connection."""

    def __init__(
        self,
        reset: StatelessReset,
        counters: Counters,
        accept: Accept | None = None,
        load: Load | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.load = load or Load()
        self._accept = accept
        self._clock = clock
        self._reset = reset
        self._counters = counters
        self._tokens = RetryTokens()
        self._receivers: dict[bytes, Receiver] = {}
        self._lingering = Lingering()
        self._handshakes: dict[Receiver, bytes] = {}
        self._touched: dict[Receiver, None] = {}
        self._watchers: dict[Address, list[Callable[[OSError], None]]] = {}
        self._peers: dict[Address, list[Receiver]] = {}
        self._when_writable: dict[Callable[[], None], None] = {}
        self._socket: UdpSocket | None = None
        self.stray: Callable[[bytes, Address], bool] | None = None
        """Offered what cannot be QUIC, as answers of STUN servers; tells whether it took it."""

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        family: int,
        reset: StatelessReset,
        counters: Counters,
        accept: Accept | None = None,
        load: Load | None = None,
        *,
        offload: bool = True,
        watched: bool = True,
    ) -> Endpoint:
        """Bind to ``host`` and ``port``, 0 for any port. Without ``accept`` it only dials. Raises `OSError`.

        ``offload`` and ``watched`` are as in `datagrams.open_socket`.
        """
        endpoint = cls(reset, counters, accept, load)
        endpoint._socket = await open_socket(host, port, family, endpoint, offload=offload, watched=watched)
        return endpoint

    @property
    def local(self) -> Address:
        """The socket's own address. Raises `UsageError` when it is closed."""
        if self._socket is None:
            raise UsageError("the endpoint is closed")
        return self._socket.name

    @property
    def closed(self) -> bool:
        return self._socket is None

    @property
    def handshakes(self) -> int:
        """Accepted connections whose handshake is under way."""
        return len(self._handshakes)

    @property
    def ids(self) -> int:
        """Registered connection ids."""
        return len(self._receivers)

    def close(self) -> None:
        """Close the socket at once; everything registered is forgotten."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()
        for table in (
            self._receivers,
            self._handshakes,
            self._touched,
            self._watchers,
            self._peers,
            self._when_writable,
        ):
            table.clear()
        self._lingering = Lingering()

    def stop_accepting(self) -> None:
        """From now on it only dials; connections go on."""
        self._accept = None

    # --- what connections ask -----------------------------------------------------------------------------

    def register(self, connection_id: bytes, receiver: Receiver) -> None:
        """Give ``receiver`` what carries this id. Raises `UsageError` if it is another's."""
        if self._receivers.setdefault(connection_id, receiver) is not receiver:
            raise UsageError(f"connection id {connection_id.hex()} is in use")

    def forget(self, connection_id: bytes) -> None:
        """For a short time what still carries this id is swallowed, later answered as a stranger's."""
        if self._receivers.pop(connection_id, None) is not None:
            self._lingering.add(connection_id, self._clock())

    def finished(self, receiver: Receiver) -> None:
        """The handshake of an accepted connection is over, well or not. More often than once is harmless."""
        destination_id = self._handshakes.pop(receiver, None)
        if destination_id is not None:
            self.forget(destination_id)

    def peer_at(self, address: Address, receiver: Receiver) -> None:
        """The other end of ``receiver`` is there: what comes from it under an unknown id may be a stateless reset."""
        self._peers.setdefault(address, []).append(receiver)

    def peer_gone(self, address: Address, receiver: Receiver) -> None:
        """Undo one `peer_at`; harmless if there was none."""
        peers = self._peers.get(address, [])
        if receiver in peers:
            peers.remove(receiver)
            if not peers:
                del self._peers[address]

    def send(self, datagrams: Sequence[Datagram]) -> bool:
        """Send in order; runs of one size to one address are the fast case. False when some wait for room in the
        system: make no more until called by `when_writable`."""
        return self._socket is None or self._socket.send(datagrams)

    @property
    def blocked(self) -> bool:
        """Whether datagrams wait for room in the system."""
        return self._socket is not None and self._socket.blocked

    def when_writable(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once when nothing waits any more; asked for twice it is called once. Those who asked first
        are called first, until something waits again."""
        self._when_writable[resume] = None

    def watch(self, address: Address, told: Callable[[OSError], None]) -> None:
        """Call ``told``, soon, each time the system says that nothing reaches ``address``, until `unwatch`.

        Anyone on the path can make it say so: a reason to give up a dial, not a connection.
        """
        self._watchers.setdefault(address, []).append(told)

    def unwatch(self, address: Address, told: Callable[[OSError], None]) -> None:
        """Undo one `watch`; harmless if there was none."""
        watchers = self._watchers.get(address, [])
        if told in watchers:
            watchers.remove(told)
            if not watchers:
                del self._watchers[address]

    # --- what the socket tells ----------------------------------------------------------------------------

    def datagrams(self, buffer: bytes, segment_bytes: int, address: Address, now: float) -> None:
        if not buffer[0] & _LONG:
            receiver = self._receivers.get(buffer[1:_SHORT_END])
            if receiver is not None and (len(buffer) <= segment_bytes or _are_alike(buffer, segment_bytes)):
                self._touched[receiver] = None
                receiver.datagrams(buffer, segment_bytes, address, now)
                return
        for start in range(0, len(buffer), segment_bytes):
            self._datagram(buffer[start : start + segment_bytes], address, now)

    def settle(self) -> None:
        touched = list(self._touched)
        self._touched.clear()
        for receiver in touched:
            receiver.settle()

    def unreachable(self, address: Address, error: OSError) -> None:
        for told in self._watchers.get(address, ()):
            asyncio.get_running_loop().call_soon(told, error)

    def writable(self) -> None:
        for resume in list(self._when_writable):
            if self.blocked:
                break
            self._when_writable.pop(resume, None)
            resume()

    def lost(self, why: str, count: int) -> None:
        self._counters.count(f"quic.unsent:{why}", count)

    # --- one datagram -------------------------------------------------------------------------------------

    def _datagram(self, datagram: bytes, address: Address, now: float) -> None:
        if datagram[0] & _LONG:
            if len(datagram) < _ID_AT:
                self._drop("malformed")
                return
            connection_id = datagram[_ID_AT : _ID_AT + datagram[_ID_LENGTH_AT]]
        else:
            connection_id = datagram[1:_SHORT_END]
        receiver = self._receivers.get(connection_id)
        if receiver is not None:
            self._touched[receiver] = None
            receiver.datagrams(datagram, len(datagram), address, now)
        elif self._lingering.holds(connection_id, now):
            self._drop("closed")
        elif datagram[0] & _LONG:
            self._long(datagram, address, now)
        else:
            self._short(datagram, connection_id, address, now)

    def _drop(self, why: str) -> None:
        self._counters.count(f"quic.dropped:{why}")

    def _short(self, datagram: bytes, connection_id: bytes, address: Address, now: float) -> None:
        if not datagram[0] & _FIXED or len(connection_id) < CONNECTION_ID_BYTES:
            if self.stray is None or not self.stray(datagram, address):
                self._drop("malformed")
            return
        peers = self._peers.get(address)
        if peers is not None:
            for receiver in peers[-MAX_RESET_OFFERS:]:
                self._touched[receiver] = None
                receiver.datagrams(datagram, len(datagram), address, now)
            self._drop("unknown id")
            return
        answer = self._reset.answer(connection_id, len(datagram), now)
        if answer is None:
            self._drop("unknown id")
        else:
            self._counters.count("quic.answered:stateless reset")
            self.send([(answer, address)])

    def _long(self, datagram: bytes, address: Address, now: float) -> None:
        """A long header for nobody: perhaps the first of a client."""
        if self._accept is None:
            self._drop("not listening")
            return
        try:
            header, _ = LongHeader.decode_prefix(datagram)
            if header.version == VERSION_1 and header.first & _TYPE == _INITIAL:
                initial, stop = Initial.decode_prefix(datagram)
                if (
                    stop + initial.length > len(datagram)
                    or len(initial.destination_id) < MIN_ORIGINAL_ID_BYTES
                ):
                    self._drop("malformed")
                elif len(datagram) < MIN_INITIAL_DATAGRAM_BYTES:
                    self._drop("short initial")
                else:
                    self._initial(initial, datagram, address, now)
                return
        except DecodeError:
            self._drop("malformed")
            return
        if header.version == VERSION_1:
            self._drop("unknown id")
        elif header.version == 0:
            self._drop("version negotiation")
        elif len(datagram) < MIN_INITIAL_DATAGRAM_BYTES:
            self._drop("unknown version")
        else:
            answer = VersionNegotiation(
                header.first | _FIXED, header.source_id, header.destination_id, [VERSION_1]
            )
            self._counters.count("quic.answered:version negotiation")
            self.send([(answer.encode(), address)])

    def _initial(self, initial: Initial, datagram: bytes, address: Address, now: float) -> None:
        if len(self._handshakes) >= self.load.max_handshakes:
            self._drop("too many handshakes")
            return
        try:
            validated = self._tokens.open(initial, address, now) if initial.token else None
        except Stale:
            self._drop("stale token")
            return
        if validated is None and len(self._handshakes) > self.load.retry_above:
            self._counters.count("quic.answered:retry")
            self.send([(self._tokens.answer(initial, address, now), address)])
            return
        assert self._accept is not None
        original_id = initial.destination_id if validated is None else validated.original_id
        receiver = self._accept(address, original_id, b"" if validated is None else validated.retry_id, now)
        if receiver is None or self._socket is None:
            self._drop("refused")
            return
        own = initial.destination_id in self._receivers
        self.register(initial.destination_id, receiver)
        self._handshakes[receiver] = b"" if own else initial.destination_id
        self._touched[receiver] = None
        receiver.datagrams(datagram, len(datagram), address, now)


def _are_alike(buffer: bytes, step: int) -> bool:
    """Whether all datagrams have the same connection id behind a short header."""
    count = -(-len(buffer) // step)
    if (count - 1) * step + _SHORT_END > len(buffer) or max(buffer[::step]) & _LONG:
        return False
    return all(buffer[at::step] == buffer[at : at + 1] * count for at in range(1, _SHORT_END))
