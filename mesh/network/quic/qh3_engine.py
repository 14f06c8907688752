"""An `Engine` over qh3 2.1.0: packets, streams, loss and congestion in its Rust core, TLS in `qh3_tls`.

The core grants credit for the bytes of an event the moment the event is taken, events stand in one queue, and nothing
can be taken out of its turn. So bytes told and not yet consumed are counted: beyond the connection's window everything
behind them stays in the core, which holds the peer to its windows. Nothing finer is to be had: a stream whose reader
rests does not hold up the others until it alone fills the connection's window, then it does.

A peer's address may change once in a connection's life; at a second change that is authentic the core finds no place for
another path, and the connection is closed.

Everything here and in the other modules of this name may touch what qh3 keeps private, so its version is pinned, and
`tests/network/quic/test_qh3_internals.py` fails when one of those names changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from qh3._hazmat import QuicConnectionCore
from qh3.quic.packet import QuicFrameType
from qh3.quic.tls_bridge import QuicTlsBridgeError

from mesh.errors import UsageError
from mesh.identity.keys import PublicKey
from mesh.network.quic.engine import Address, Owner, Settings, Termination
from mesh.network.quic.qh3_datagrams import Trial
from mesh.network.quic.qh3_endings import ENDINGS, read_ending
from mesh.network.quic.qh3_handshake import CORE_ERRORS, Handshake, numeric
from mesh.network.quic.qh3_outbox import Outbox, is_full
from mesh.network.quic.qh3_streams import Stream, Streams
from mesh.network.quic.qh3_tls import CRYPTO_ERROR
from mesh.protocols.machine import Buffer

INTERNAL_ERROR: Final = 0x1
PROTOCOL_VIOLATION: Final = 0xA
VERSION_NEGOTIATION_ERROR: Final = 0x11
UNEXPECTED_MESSAGE: Final = CRYPTO_ERROR + 10
"""Transport errors (RFC 9000, 20.1; RFC 9368, 4; RFC 9001, 6)."""

MAX_REASON_BYTES: Final = 256
"""The most of a reason that is sent: a close must fit in one datagram."""
MAX_STALE_EVENTS: Final = 1024
"""How often a peer may send on streams that were over long ago."""
MAX_PROBES: Final = 64
MAX_TIMERS: Final = 8
FEEDING_DATAGRAMS: Final = 16
"""How many leave between two looks at what else there is for the core."""
NO_ROOM: Final = "packet builder capacity exhausted"
"""What the core says when a frame does not fit in what may be sent to an address that is not validated yet: it waits."""
_ROUNDING_S: Final = 1e-6
"""A deadline is rounded to a float: a wake at exactly that instant could come a nanosecond early."""


class Qh3Engine:
    """One connection; see `mesh.network.quic.engine.Engine` and `MakeEngine`.

    ``core`` and ``take_events`` are for `Handshake` as well, which makes the one and calls the other.
    """

    __slots__ = (
        "_address",
        "_allowed",
        "_born",
        "_handshake",
        "_ids",
        "_now",
        "_outbox",
        "_over",
        "_owes",
        "_owner",
        "_probing",
        "_ready",
        "_settings",
        "_stale",
        "_stalled",
        "_streams",
        "_taking",
        "core",
        "dialer",
    )

    def __init__(
        self,
        settings: Settings,
        owner: Owner,
        address: Address,
        now: float,
        *,
        dialer: bool,
        original_id: bytes = b"",
        retry_id: bytes = b"",
    ) -> None:
        self.dialer = dialer
        self.core: QuicConnectionCore | None = None
        self._settings = settings
        self._owner = owner
        self._address = numeric(address)
        self._born = self._now = now
        self._handshake: Handshake | None = Handshake(self, settings, original_id, retry_id)
        self._ids = [self._handshake.host_cid]
        if not dialer:
            self._ids.insert(0, retry_id or original_id)
        self._streams = Streams(dialer)
        self._outbox: Outbox | None = None
        self._ready: list[tuple[bytes, Address]] = []
        self._stale = 0
        self._allowed = 1
        self._probing = False
        self._owes = False
        self._stalled = False
        self._taking = False
        self._over = False

    # --- what the owner asks ------------------------------------------------------------------------------------------

    @property
    def connection_ids(self) -> list[bytes]:
        return list(self._ids)

    @property
    def rtt_s(self) -> float | None:
        return None if self.core is None else self.core.smoothed_rtt

    @property
    def can_open(self) -> bool:
        core = self.core
        if core is None or self._over or self._handshake is not None:
            return False
        limit, _, opened, _ = core.stream_limits
        return opened < limit

    def unsent_bytes(self, stream_id: int) -> int:
        return 0 if self._outbox is None else self._outbox.unsent_bytes(stream_id)

    # --- datagrams and time -------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        if self._handshake is None or not self.dialer or self.core is not None:
            raise UsageError("start: only a dialer starts, and once")
        self._now = now
        self._handshake.connect(self._address, now)

    def receive(self, datagram: bytes, address: Address, now: float) -> None:
        self._now = now
        if len(address) == 4:
            address = numeric(address)
        try:
            if self._handshake is not None:
                self._handshake.receive_datagram(datagram, address, now)
            elif self.core is not None:
                report = self.core.receive_datagram(datagram, address, now)
                self._owes = self._owes or report[5] > 0
        except CORE_ERRORS as error:
            self._fail(INTERNAL_ERROR, str(error))
        self._attend()

    def receive_coalesced(self, buffer: bytes, segment_bytes: int, address: Address, now: float) -> None:
        if self._handshake is not None:
            for start in range(0, len(buffer), segment_bytes):
                self.receive(buffer[start : start + segment_bytes], address, now)
            return
        self._now = now
        if len(address) == 4:
            address = numeric(address)
        try:
            if self.core is not None:
                report = self.core.receive_gro_buffer(buffer, segment_bytes, address, now)
                self._owes = self._owes or report[5] > 0
        except CORE_ERRORS as error:
            self._fail(INTERNAL_ERROR, str(error))
        self._attend()

    def wake(self, now: float) -> None:
        self._now = now
        core = self.core
        try:
            if core is not None:
                timeouts = core.pto_total
                core.handle_timer(now)
                if core.pto_total > timeouts and self._outbox is not None:
                    self._probing = True
            elif not self.dialer and now >= self._born + self._settings.idle_timeout_s:
                self._end(Termination(0, "no handshake began", False, by_peer=False, idle=True))
        except CORE_ERRORS as error:
            self._fail(INTERNAL_ERROR, str(error))
        self._attend()

    def _attend(self) -> None:
        self._allowed = 1
        handshake = self._handshake
        if handshake is not None and handshake.version_refused:
            self.core = None
            reason = "the peer does not speak version 1 of QUIC"
            self._end(Termination(VERSION_NEGOTIATION_ERROR, reason, False, by_peer=True))
        self._judge()
        self.take_events()

    def _judge(self) -> None:
        """Must come between what may tell of a loss and the next datagram."""
        outbox = self._outbox
        if outbox is not None and outbox.trial is not None and outbox.trial.decided():
            outbox.trial = None

    def transmit(self, now: float, most: int) -> list[tuple[bytes, Address]]:
        core = self.core
        if core is None:
            return []
        if self._ready:
            sent, self._ready = self._ready[:most], self._ready[most:]
            return sent
        settings = self._settings
        room = (settings.max_in_flight_bytes - core.bytes_in_flight) // settings.max_datagram_bytes
        if room < most:
            if room <= 0:
                # Acknowledgements and probes still have to leave, else two full ends would wait for each other.
                room, self._allowed = self._allowed, 0
            most = room
        sent = self._poll(core, self._outbox, now, most)
        if self._owes and not sent:
            sent = self._release_acknowledgement(core, now)
        if self.dialer and self._handshake is not None and not core.received_authenticated_packet:
            # A repeated hello is followed by a datagram without one: a listener that sees it first may end all.
            del sent[1:]
        return sent

    def _poll(
        self, core: QuicConnectionCore, outbox: Outbox | None, now: float, most: int
    ) -> list[tuple[bytes, Address]]:
        sent: list[tuple[bytes, Address]] = []
        append = sent.append
        poll = core.poll_transmit
        staged = None if outbox is None else outbox.staged
        trial = None if outbox is None else outbox.trial
        try:
            for count in range(most):
                if staged and outbox is not None and (trial is not None or not count % FEEDING_DATAGRAMS):
                    outbox.feed()
                datagram = poll(now)
                if datagram is None and outbox is not None and (outbox.feed() or outbox.pass_over()):
                    datagram = poll(now)
                if datagram is None:
                    break
                append(datagram[:2])
                if trial is not None:
                    trial.note(datagram[0])
        except CORE_ERRORS as error:
            if str(error) != NO_ROOM:
                self._fail(INTERNAL_ERROR, str(error))
        return sent

    def _send_probes(self, core: QuicConnectionCore) -> bool:
        """After a timeout the core repeats what may have arrived, and fails when a stream ends before it has: so what it
        repeats is taken from it before its events. Whether it has no more of that."""
        self._ready += self._poll(core, None, self._now, MAX_PROBES)
        self._probing = is_full(core)
        return not self._probing

    def _release_acknowledgement(self, core: QuicConnectionCore, now: float) -> list[tuple[bytes, Address]]:
        """Something came that is to be acknowledged, and the core has nothing to send. While its window is full, frames
        that wait for it keep acknowledgements back too; only a timeout lets two datagrams pass. So one is made up."""
        self._owes = False
        if self._outbox is None or not is_full(core):
            return []
        for _ in range(MAX_TIMERS):
            timer = core.get_timer()
            if timer is None or timer[0] in ("idle", "close"):
                return []
            self._command(core.handle_timer, timer[1] + _ROUNDING_S)
            if timer[0] == "loss_detection":
                self._probing = True
                self._judge()
                return self._poll(core, None, now, 2)
        return []

    def deadline(self) -> float | None:
        core = self.core
        if core is None:
            return None if self._over or self.dialer else self._born + self._settings.idle_timeout_s
        if self._stalled and self._streams.held_bytes <= self._settings.connection_window_bytes * 3 // 4:
            return self._now
        timer = core.get_timer()
        return None if timer is None else timer[1] + _ROUNDING_S

    # --- commands -----------------------------------------------------------------------------------------------------

    def open_stream(self) -> int:
        if self.core is None or not self.can_open:
            raise UsageError("open_stream: the peer allows no more streams now, or the connection is not up")
        stream_id = self.core.open_stream(False)
        self._streams.add(stream_id)
        return stream_id

    def write(self, stream_id: int, data: Buffer, fin: bool) -> None:
        stream = self._streams.table.get(stream_id)
        if stream is None or not stream.writing or self._outbox is None:
            return
        if fin:
            stream.writing = False
        elif not data:
            return
        self._command(self._outbox.write, stream_id, data, fin)

    def consumed(self, stream_id: int, size: int) -> None:
        self._streams.release(stream_id, size)

    def reset(self, stream_id: int, code: int) -> None:
        stream = self._streams.table.get(stream_id)
        if stream is not None and not stream.finished and self.core is not None:
            stream.writing = False
            self._drop_unsent(stream_id)
            self._command(self.core.reset_stream, stream_id, code)

    def stop(self, stream_id: int, code: int) -> None:
        stream = self._streams.table.get(stream_id)
        if stream is None or self.core is None:
            return
        if stream.reading:
            stream.reading = False
            self._command(self.core.stop_sending, stream_id, code)
        self._streams.release(stream_id, stream.held)

    def ping(self) -> None:
        if self.core is not None:
            self._command(self.core.send_ping, 0)

    def close(self, code: int, reason: str, now: float) -> None:
        if self._over:
            return
        self._now = now
        if self.core is not None:
            self._command(self.core.close, code, None, reason.encode()[:MAX_REASON_BYTES])
        self._end(Termination(code, reason, True, by_peer=False))

    # --- events of the core -------------------------------------------------------------------------------------------

    def take_events(self) -> None:
        """Take what the core has to tell, as far as the reader's arrears allow."""
        core = self.core
        if core is None or self._taking:
            return
        if self._probing and core.state == "connected" and not self._send_probes(core):
            return
        self._taking = True
        next_event = core.next_event
        streams = self._streams
        table = streams.table
        tell = self._owner.stream_data
        limit = self._settings.connection_window_bytes
        while True:
            self._stalled = streams.held_bytes > limit and core.state == "connected"
            if self._stalled:
                break
            event = next_event()
            if event is None:
                break
            if self._over:
                continue
            if event[0] != "stream_data":
                self._take_event(event)
                continue
            _, stream_id, data, fin = event
            stream = table.get(stream_id)
            if stream is None or not stream.told:
                stream = self._opened_by_peer(stream_id, stream)
                if stream is None:
                    continue
            if stream.reading:
                size = len(data)
                stream.held += size
                streams.held_bytes += size
                if fin:
                    stream.reading = False
                tell(stream_id, data, fin)
                if stream.stopped is not None and not self._over:
                    code, stream.stopped = stream.stopped, None
                    self._owner.stream_stopped(stream_id, code)
        self._taking = False

    def _take_event(self, event: tuple[Any, ...]) -> None:
        kind = event[0]
        if kind == "stream_finished":
            self._streams.finish(event[1])
        elif kind == "stream_reset":
            self._take_reset(event[1], event[2])
        elif kind == "stop_sending":
            self._take_stop(event[1], event[2])
        elif kind == "streams_available":
            if not event[1] and self._handshake is None:
                self._owner.openable()
        elif kind == "crypto_data":
            self._take_crypto(event[1], event[2], event[3])
        elif kind == "connection_id_issued":
            self._ids.append(event[1])
            self._owner.connection_id_issued(event[1])
        elif kind == "connection_id_retired":
            if event[1] in self._ids:
                self._ids.remove(event[1])
                self._owner.connection_id_retired(event[1])
        elif kind in ENDINGS:
            self._end(read_ending(event))

    def _opened_by_peer(self, stream_id: int, early: Stream | None) -> Stream | None:
        """The stream that first bytes open, or None for one that was over long ago and must not open anew."""
        if early is not None:
            early.told = True
            return early
        if self._streams.is_new(stream_id):
            return self._streams.add(stream_id)
        self._stale += 1
        if self._stale > MAX_STALE_EVENTS:
            self._fail(PROTOCOL_VIOLATION, "data on streams that are over")
        elif self.core is not None:
            self._command(self.core.reset_stream, stream_id, 0)
            self._command(self.core.stop_sending, stream_id, 0)
        return None

    def _take_reset(self, stream_id: int, code: int) -> None:
        stream = self._streams.table.get(stream_id)
        if stream is None or not stream.told:
            # Opened and given up before a byte came: nobody knows of it, so our direction ends here too.
            if self.core is not None and (stream is not None or self._streams.is_new(stream_id)):
                self._command(self.core.reset_stream, stream_id, code)
            return
        self._streams.release(stream_id, stream.held)
        if stream.reading:
            stream.reading = False
            self._owner.stream_reset(stream_id, code)

    def _take_stop(self, stream_id: int, code: int) -> None:
        stream = self._streams.table.get(stream_id)
        if stream is None:
            if not self._streams.is_new(stream_id):
                return
            stream = self._streams.add(stream_id, told=False)
        stream.writing = False
        self._drop_unsent(stream_id)
        if stream.told:
            self._owner.stream_stopped(stream_id, code)
        else:
            stream.stopped = code

    # --- handshake and end --------------------------------------------------------------------------------------------

    def _take_crypto(self, epoch: int, offset: int, data: bytes) -> None:
        handshake = self._handshake
        if handshake is None:
            # Tickets a listener sends unasked are of no use; a dialer has nothing more to say (RFC 9001, 6).
            if not self.dialer:
                self._fail(UNEXPECTED_MESSAGE, "a TLS message after the handshake")
            return
        try:
            handshake.take_crypto(epoch, offset, data)
        except QuicTlsBridgeError as refusal:
            self._fail(refusal.error_code, refusal.reason_phrase)
            return
        if handshake.peer_key is not None:
            self._settle(handshake, handshake.peer_key)

    def _settle(self, handshake: Handshake, key: PublicKey) -> None:
        assert self.core is not None
        small = self._settings.datagram_bytes
        large = self.core.active_path[5]
        trial = Trial(self.core, small, large, handshake.shrinking(small)) if large > small else None
        self._outbox = Outbox(self.core, trial)
        self._handshake = None
        handshake.release()
        self._owner.handshake_finished(key)

    def _drop_unsent(self, stream_id: int) -> None:
        if self._outbox is not None:
            self._outbox.drop(stream_id)

    def _fail(self, code: int, reason: str) -> None:
        """End the connection with a transport error of ours."""
        if self._over:
            return
        if self.core is not None:
            reported = reason.encode()[:MAX_REASON_BYTES]
            self._command(self.core.close, code, int(QuicFrameType.CRYPTO), reported)
        self._end(Termination(code, reason, False, by_peer=False))

    def _end(self, how: Termination) -> None:
        if self._over:
            return
        self._over = True
        self._handshake = None
        self._outbox = None
        self._ready.clear()
        self._streams.clear()
        self._owner.terminated(how)

    def _command(self, command: Callable[..., object], *arguments: object) -> None:
        """A command that the core refuses on a stream or connection that is over: then there is nothing to do."""
        try:
            command(*arguments)
        except CORE_ERRORS:
            return
