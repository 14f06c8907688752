"""One UDP socket on the loop, as fast as the system allows.

On Linux runs of equal datagrams leave in one call (UDP_SEGMENT) and arrive in one (UDP_GRO), and ICMP errors are read
with the address they are about (IP_RECVERR), and answers leave from the address that was asked (`local_addresses`).
Where a kernel or an interface refuses, datagrams go one by one; where
the loop cannot watch sockets (asyncio's Proactor), they go through its own transport (`datagram_transport`).

Datagrams are never fragmented: one that is too large for the path is dropped, as a router would.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from time import monotonic
from typing import Final, Protocol

from mesh.network.quic import udp_options
from mesh.network.quic.datagram_transport import TransportSocket
from mesh.network.quic.engine import Address
from mesh.network.quic.local_addresses import STALE, LocalAddresses
from mesh.network.quic.udp_options import ANCILLARY_BYTES, SOL_UDP, UDP_GRO, UDP_SEGMENT
from mesh.network.quic.watching import Watch
from mesh.network.receive_buffer import receive_buffer

MAX_SEGMENTS: Final = 64
MAX_CALL_BYTES: Final = 65_507
MAX_RECEIVED_BYTES: Final = 65_536
READS_PER_WAKE: Final = 16
"""Calls to the kernel, of up to 64 KiB each, until others on the loop have their turn."""
ERRORS_PER_WAKE: Final = 64
TRIES: Final = 4
"""How often a datagram is sent again when the kernel answers with the error of an earlier one."""
MAX_WAITING: Final = 4096
"""Datagrams that wait for room in the kernel; more are dropped, as the network would."""

_SEGMENT_BYTES = struct.Struct("=H")
_COALESCED_BYTES = struct.Struct("=i")
_NO_SEGMENTS: Final = frozenset((errno.EIO, errno.EINVAL, errno.ENOPROTOOPT, errno.EOPNOTSUPP))
_TOO_LARGE: Final = frozenset((errno.EMSGSIZE, 10040))
_CONGESTED: Final = frozenset((errno.ENOBUFS, errno.ENOMEM))

Datagram = tuple[bytes, Address]


class Sink(Protocol):
    """Who gets what comes. Called on the loop; must not raise, nor close the socket from within `unreachable`."""

    def datagrams(self, buffer: bytes, segment_bytes: int, address: Address, now: float) -> None:
        """Datagrams of ``segment_bytes`` each, the last one perhaps shorter; none is empty."""

    def settle(self) -> None:
        """What this wake-up brought has been given."""

    def unreachable(self, address: Address, error: OSError) -> None:
        """The system says that a datagram did not reach this address."""

    def writable(self) -> None:
        """Nothing waits for room in the kernel any more."""

    def lost(self, why: str, count: int) -> None:
        """Datagrams were dropped here instead of sent."""


class UdpSocket(Protocol):
    """An open socket, of either kind."""

    name: Address

    @property
    def blocked(self) -> bool:
        """Whether datagrams wait for room in the kernel."""

    def send(self, datagrams: Sequence[Datagram]) -> bool:
        """Send in order. False when some wait for room: make no more until `Sink.writable`."""

    def close(self) -> None:
        """Read and send no more; what waits is dropped. Harmless when closed already."""


async def open_socket(
    host: str, port: int, family: int, sink: Sink, *, offload: bool = True, watched: bool = True
) -> UdpSocket:
    """A socket bound to ``host`` and ``port`` (0 for any), reading. Raises `OSError`.

    ``offload`` false sends and receives datagrams one by one; ``watched`` false uses the loop's own transport.
    """
    sock = await udp_options.bind(host, port, family)
    try:
        if watched and hasattr(sock, "recvmsg_into"):
            try:
                return DatagramSocket(sock, sink, offload)
            except NotImplementedError:
                pass
        return await TransportSocket.open(sock, sink)
    except BaseException:
        sock.close()
        raise


class DatagramSocket:
    """A socket that the loop watches. ``segments`` and ``coalesces`` say what is offloaded."""

    __slots__ = (
        "_buffer",
        "_errors",
        "_locals",
        "_open",
        "_sink",
        "_socket",
        "_waiting",
        "_watch",
        "coalesces",
        "name",
        "segments",
    )

    def __init__(self, sock: socket.socket, sink: Sink, offload: bool) -> None:
        self._watch = Watch(sock, self._read, self._flush)
        self._socket = sock
        self._sink = sink
        self._buffer = [receive_buffer()[:MAX_RECEIVED_BYTES]]
        self._waiting: list[Datagram] = []
        self._errors = udp_options.report_errors(sock)
        self._locals = LocalAddresses() if udp_options.tell_local(sock) else None
        self._open = True
        self.segments = offload and udp_options.can_segment(sock)
        self.coalesces = offload and udp_options.coalesce(sock)
        self.name: Address = sock.getsockname()

    @property
    def blocked(self) -> bool:
        return bool(self._waiting)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._waiting.clear()
            self._watch.close()
            self._socket.close()

    # --- sending ------------------------------------------------------------------------------------------

    def send(self, datagrams: Sequence[Datagram]) -> bool:
        if not self._open:
            return True
        if self._waiting:
            self._queue(datagrams)
            return False
        sent = self._send(datagrams)
        if sent == len(datagrams):
            return True
        self._queue(datagrams[sent:])
        self._watch.want_write(True)
        return False

    def _queue(self, datagrams: Sequence[Datagram]) -> None:
        room = MAX_WAITING - len(self._waiting)
        self._waiting += datagrams[:room]
        if len(datagrams) > room:
            self._sink.lost("too many wait", len(datagrams) - room)

    def _flush(self) -> None:
        del self._waiting[: self._send(self._waiting)]
        if not self._waiting:
            self._watch.want_write(False)
            self._sink.writable()

    def _send(self, datagrams: Sequence[Datagram]) -> int:
        """How many are done with, sent or dropped; the rest finds no room."""
        at, total = 0, len(datagrams)
        while at < total:
            stop = _run_end(datagrams, at) if self.segments else at + 1
            done = self._send_one(*datagrams[at]) if stop == at + 1 else self._send_run(datagrams[at:stop])
            at += done
            if at < stop:
                break
        return at

    def _send_one(self, data: bytes, address: Address) -> int:
        error = self._call([data], address)
        if isinstance(error, BlockingIOError):
            return 0
        if error is not None:
            self._lose(1, address, error)
        return 1

    def _send_run(self, run: Sequence[Datagram]) -> int:
        """Datagrams of one size to one address, the last one perhaps shorter, in one call."""
        address = run[0][1]
        error = self._call([data for data, _ in run], address)
        if error is None:
            return len(run)
        if isinstance(error, BlockingIOError):
            return 0
        if error.errno not in _NO_SEGMENTS and error.errno not in _TOO_LARGE:
            self._lose(len(run), address, error)
            return len(run)
        return self._send_apart(run, error)

    def _send_apart(self, run: Sequence[Datagram], refusal: OSError) -> int:
        """One by one what was refused as a run; if they pass, segments are what this socket's interface cannot do."""
        for done, (data, address) in enumerate(run):
            error = self._call([data], address)
            if isinstance(error, BlockingIOError):
                return done
            if error is not None:
                self._lose(1, address, error)
            elif not done and refusal.errno in _NO_SEGMENTS:
                self.segments = False
        return len(run)

    def _call(self, payloads: list[bytes], address: Address) -> OSError | None:
        """The error of one call, after those of earlier datagrams have been reported."""
        found = None
        for _ in range(TRIES):
            control = [] if self._locals is None else self._locals.of(address)
            try:
                if len(payloads) > 1:
                    segment = (SOL_UDP, UDP_SEGMENT, _SEGMENT_BYTES.pack(len(payloads[0])))
                    self._socket.sendmsg(payloads, [segment, *control], 0, address)
                elif control:
                    self._socket.sendmsg(payloads, control, 0, address)
                else:
                    self._socket.sendto(payloads[0], address)
            except BlockingIOError as error:
                return error
            except OSError as error:
                found = error
                if control and self._locals is not None and error.errno in STALE:
                    self._locals.forget(address)
                elif error.errno in _NO_SEGMENTS or not self._report():
                    return error
            else:
                return None
        return found

    def _lose(self, count: int, address: Address, error: OSError) -> None:
        if error.errno in _TOO_LARGE:
            self._sink.lost("too large", count)
        elif error.errno in _CONGESTED:
            self._sink.lost("no memory", count)
        else:
            self._sink.lost("unreachable", count)
            self._sink.unreachable(address, error)

    # --- receiving ----------------------------------------------------------------------------------------

    def _read(self) -> None:
        sink, receive, [view] = self._sink, self._socket.recvmsg_into, self._buffer
        for at in range(READS_PER_WAKE):
            try:
                size, ancillary, _, address = receive(self._buffer, ANCILLARY_BYTES)
            except BlockingIOError:
                if not at:
                    self._report()
                break
            except OSError:
                self._report()
                continue
            if size:
                segment = size
                for control in ancillary:
                    if control[1] == UDP_GRO and control[0] == SOL_UDP:
                        [segment] = _COALESCED_BYTES.unpack(control[2])
                    elif self._locals is not None:
                        self._locals.note(address, control)
                sink.datagrams(bytes(view[:size]), segment, address, monotonic())
                if not self._open:
                    return
        sink.settle()

    def _report(self) -> int:
        """Read the errors that wait; returns how many came over the network. One of them may be what a call failed by,
        whatever that was about."""
        count = 0
        for _ in range(ERRORS_PER_WAKE if self._errors else 0):
            try:
                found = udp_options.take_error(self._socket)
            except OSError:
                break
            if found is not None:
                count += 1
                if found[1].errno not in _TOO_LARGE:
                    self._sink.unreachable(*found)
        return count


def _run_end(datagrams: Sequence[Datagram], start: int) -> int:
    """Where the run ends that may leave in one call: one address, one size but for a shorter last."""
    first, address = datagrams[start]
    size = len(first)
    stop = min(len(datagrams), start + MAX_SEGMENTS, start + (MAX_CALL_BYTES // size if size else 1))
    for at in range(start + 1, stop):
        data, other = datagrams[at]
        if other != address or len(data) > size:
            return at
        if len(data) < size:
            return at + 1 if data else at
    return max(stop, start + 1)
