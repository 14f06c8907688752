"""An `Engine` over qh3 2.1.0: packets, streams, loss and congestion in its Rust core, TLS in `qh3.tls`.

The core grants the connection credit for the bytes of an event the moment the event is taken, events stand in one queue,
and nothing can be taken out of its turn. So bytes told and not yet consumed are counted: beyond the connection's window
everything behind them stays in the core, which holds the peer to its windows. That one stream never fills the
connection's window alone is the matter of `qh3.credit`; where the peer is, of `qh3.path`. The core draws the reset tokens
of its spare ids by lot: a peer that has gone over to one does not know a stateless reset for it, and waits until idle.

Everything in this package, and nothing outside it, may touch what qh3 keeps private, so its version is pinned, and
`tests/network/quic/test_qh3_internals.py` fails when one of those names changes.
"""

from __future__ import annotations

from typing import Any, Final

from qh3._hazmat import QuicConnectionCore
from qh3.quic.packet import QuicFrameType
from qh3.quic.tls_bridge import QuicTlsBridgeError

from mesh.errors import UsageError
from mesh.identity.keys import PublicKey
from mesh.network.quic.engine import CONNECTION_ID_BYTES, Address, Owner, Settings, Termination
from mesh.network.quic.protection import HEAD_BYTES, Protection
from mesh.network.quic.qh3.credit import Credit
from mesh.network.quic.qh3.datagrams import Trial
from mesh.network.quic.qh3.endings import ENDINGS, read_ending
from mesh.network.quic.qh3.handshake import CORE_ERRORS, Handshake, numeric
from mesh.network.quic.qh3.outbox import Outbox
from mesh.network.quic.qh3.path import Path
from mesh.network.quic.qh3.sender import ROUNDING_S, Sender, attempt
from mesh.network.quic.qh3.streams import Stream, Streams
from mesh.network.quic.qh3.tls import CRYPTO_ERROR
from mesh.protocols.machine import Buffer

INTERNAL_ERROR: Final = 0x1
FLOW_CONTROL_ERROR: Final = 0x3
PROTOCOL_VIOLATION: Final = 0xA
VERSION_NEGOTIATION_ERROR: Final = 0x11
UNEXPECTED_MESSAGE: Final = CRYPTO_ERROR + 10
"""Transport errors (RFC 9000, 20.1; RFC 9368, 4; RFC 9001, 6)."""

MAX_REASON_BYTES: Final = 256
"""The most of a reason that is sent: a close must fit in one datagram."""
MAX_STALE_EVENTS: Final = 1024
"""How often a peer may send on streams that were over long ago."""
_MAX_WRAPS: Final = 256
"""How often the low bits of the peer's packet numbers may have gone round in packets that were lost."""


class Qh3Engine:
    """One connection; see `mesh.network.quic.engine.Engine` and `MakeEngine`.

    ``core`` and ``take_events`` are for `Handshake` as well, which makes the one and calls the other.
    """

    __slots__ = (
        "_address",
        "_born",
        "_handshake",
        "_ids",
        "_now",
        "_opening",
        "_over",
        "_owner",
        "_path",
        "_sender",
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
        self._streams = Streams(dialer, settings.stream_window_bytes)
        self._path = Path(self._address)
        self._sender = Sender(settings, self._path, Credit(settings.stream_window_bytes))
        self._opening: Protection | None = None
        self._stale = 0
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
        outbox = self._sender.outbox
        return 0 if outbox is None else outbox.unsent_bytes(stream_id)

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
        path, core = self._path, self.core
        try:
            if self._handshake is not None:
                if address == self._address:
                    self._handshake.receive_datagram(datagram, address, now)
            elif core is not None:
                if address != path.peer or path.limit is not None:
                    self._receive_unproven(core, datagram, address, now)
                else:
                    report = core.receive_datagram(datagram, self._address, now)
                    self._sender.owes = self._sender.owes or report[5] > 0
                    if report[2] and not report[4] and not self.dialer:
                        path.came += report[2]
                        path.head = datagram[:HEAD_BYTES]
        except CORE_ERRORS as error:
            self._fail(INTERNAL_ERROR, str(error))
        self._attend()

    def receive_coalesced(self, buffer: bytes, segment_bytes: int, address: Address, now: float) -> None:
        path, core = self._path, self.core
        if len(address) == 4:
            address = numeric(address)
        if self._handshake is not None or address != path.peer or path.limit is not None:
            for start in range(0, len(buffer), segment_bytes):
                self.receive(buffer[start : start + segment_bytes], address, now)
            return
        self._now = now
        try:
            if core is not None:
                report = core.receive_gro_buffer(buffer, segment_bytes, self._address, now)
                self._sender.owes = self._sender.owes or report[5] > 0
                if report[2] and not report[4] and not self.dialer:
                    path.came += report[2]
                    last = (len(buffer) - 1) // segment_bytes * segment_bytes
                    path.head = buffer[last : last + HEAD_BYTES]
        except CORE_ERRORS as error:
            self._fail(INTERNAL_ERROR, str(error))
        self._attend()

    def _receive_unproven(
        self, core: QuicConnectionCore, datagram: bytes, address: Address, now: float
    ) -> None:
        """A datagram came from where nothing is sent to, or only little until the peer has proven to be there."""
        opening, path = self._opening, self._path
        if opening is None or (self.dialer and address != path.peer):
            return
        report = core.receive_datagram(datagram, self._address, now)
        self._sender.owes = self._sender.owes or report[5] > 0
        path.came += report[2]
        generation = self._sender.generation(core) if report[2] else None
        if generation is None:
            return
        opening.follow(generation)
        opened = opening.open(datagram, CONNECTION_ID_BYTES, opening.newest + path.came, _MAX_WRAPS)
        if opened is None:
            return
        path.came = 0
        number, destination_id, payload = opened
        before = opening.number_of(path.head, CONNECTION_ID_BYTES, number)
        if before is not None:
            path.newest = max(path.newest, before)
        if path.heard(number, payload, len(datagram), address, now, core.smoothed_rtt):
            if path.head[1 : 1 + CONNECTION_ID_BYTES] not in (b"", destination_id):
                attempt(core.change_connection_id)
            path.head = datagram[:HEAD_BYTES]

    def wake(self, now: float) -> None:
        self._now = now
        core = self.core
        try:
            if core is not None:
                timeouts = core.pto_total
                core.handle_timer(now)
                if core.pto_total > timeouts and self._sender.outbox is not None:
                    self._sender.probing = True
                self._path.wake(now)
            elif not self.dialer and now >= self._born + self._settings.idle_timeout_s:
                self._end(Termination(0, "no handshake began", False, by_peer=False, idle=True))
        except CORE_ERRORS as error:
            self._fail(INTERNAL_ERROR, str(error))
        self._attend()

    def _attend(self) -> None:
        handshake = self._handshake
        if handshake is not None and handshake.version_refused:
            self.core = None
            reason = "the peer does not speak version 1 of QUIC"
            self._end(Termination(VERSION_NEGOTIATION_ERROR, reason, False, by_peer=True))
        self._sender.attend()
        self.take_events()

    def transmit(self, now: float, most: int) -> list[tuple[bytes, Address]]:
        core, sender = self.core, self._sender
        if core is None:
            return []
        sent = sender.transmit(core, now, most)
        if sender.failure is not None:
            self._fail(INTERNAL_ERROR, sender.failure)
        if self.dialer and self._handshake is not None and not core.received_authenticated_packet:
            # A repeated hello is followed by a datagram without one: a listener that sees it first may end all.
            del sent[1:]
        return sent

    def deadline(self) -> float | None:
        core = self.core
        if core is None:
            return None if self._over or self.dialer else self._born + self._settings.idle_timeout_s
        if self._stalled and self._streams.held_bytes <= self._settings.connection_window_bytes * 3 // 4:
            return self._now
        timer = core.get_timer()
        core_at = None if timer is None else timer[1] + ROUNDING_S
        if self._path.limit is None and self._sender.credit.due_at is None:
            return core_at
        own_at = self._sender.deadline()
        return core_at if own_at is None else own_at if core_at is None else min(core_at, own_at)

    # --- commands -----------------------------------------------------------------------------------------------------

    def open_stream(self) -> int:
        if self.core is None or not self.can_open:
            raise UsageError("open_stream: the peer allows no more streams now, or the connection is not up")
        stream_id = self.core.open_stream(False)
        self._streams.add(stream_id)
        return stream_id

    def write(self, stream_id: int, data: Buffer, fin: bool) -> None:
        stream = self._streams.table.get(stream_id)
        outbox = self._sender.outbox
        if stream is None or not stream.writing or outbox is None:
            return
        if fin:
            stream.writing = False
        elif not data:
            return
        attempt(outbox.write, stream_id, data, fin)

    def consumed(self, stream_id: int, size: int) -> None:
        stream = self._streams.release(stream_id, size)
        if stream is not None:
            self._sender.credit.widen(stream_id, stream, self._now)

    def reset(self, stream_id: int, code: int) -> None:
        stream = self._streams.table.get(stream_id)
        if stream is not None and not stream.finished and self.core is not None:
            stream.writing = False
            self._drop_unsent(stream_id)
            attempt(self.core.reset_stream, stream_id, code)

    def stop(self, stream_id: int, code: int) -> None:
        stream = self._streams.table.get(stream_id)
        if stream is None or self.core is None:
            return
        if stream.reading:
            stream.reading = False
            attempt(self.core.stop_sending, stream_id, code)
        self._streams.release(stream_id, stream.held)

    def ping(self) -> None:
        if self.core is not None:
            attempt(self.core.send_ping, 0)

    def close(self, code: int, reason: str, now: float) -> None:
        if self._over:
            return
        self._now = now
        if self.core is not None:
            attempt(self.core.close, code, None, reason.encode()[:MAX_REASON_BYTES])
        self._end(Termination(code, reason, True, by_peer=False))

    # --- events of the core -------------------------------------------------------------------------------------------

    def take_events(self) -> None:
        """Take what the core has to tell, as far as the reader's arrears allow."""
        core = self.core
        if core is None or self._taking:
            return
        sender = self._sender
        if sender.probing and core.state == "connected" and not sender.send_probes(core, self._now):
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
                stream.received += size
                streams.held_bytes += size
                if stream.received > stream.limit:
                    self._fail(FLOW_CONTROL_ERROR, "more came of a stream than was allowed")
                    continue
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
        elif kind == "peer_blocked":
            if event[1] is not None:
                self._sender.credit.blocked(event[1], self._now)
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
            attempt(self.core.reset_stream, stream_id, 0)
            attempt(self.core.stop_sending, stream_id, 0)
        return None

    def _take_reset(self, stream_id: int, code: int) -> None:
        stream = self._streams.table.get(stream_id)
        if stream is None or not stream.told:
            # Opened and given up before a byte came: nobody knows of it, so our direction ends here too.
            if self.core is not None and (stream is not None or self._streams.is_new(stream_id)):
                attempt(self.core.reset_stream, stream_id, code)
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
        sender = self._sender
        sender.outbox = Outbox(self.core, trial)
        self._opening, sender.sealing, sender.id_bytes = handshake.protections
        self._handshake = None
        handshake.release()
        self._owner.handshake_finished(key)

    def _drop_unsent(self, stream_id: int) -> None:
        outbox = self._sender.outbox
        if outbox is not None:
            outbox.drop(stream_id)

    def _fail(self, code: int, reason: str) -> None:
        """End the connection with a transport error of ours."""
        if self._over:
            return
        if self.core is not None:
            reported = reason.encode()[:MAX_REASON_BYTES]
            attempt(self.core.close, code, int(QuicFrameType.CRYPTO), reported)
        self._end(Termination(code, reason, False, by_peer=False))

    def _end(self, how: Termination) -> None:
        if self._over:
            return
        self._over = True
        self._handshake = None
        self._sender.clear()
        self._sender.credit.clear()
        self._streams.clear()
        self._owner.terminated(how)
