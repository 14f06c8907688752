"""One QUIC connection on the loop: datagrams to the engine, its datagrams to the endpoint, one timer, and what the engine
tells to the `Connection` above. The counterpart of `mesh.network.driver`, with the same doors towards streams.

Datagrams leave at once when nothing else was written in this turn of the loop, otherwise together at the turn's end. A
batch that fills the socket waits until it is writable; the engine is not asked for more meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mesh.errors import MeshError, PeerError, TimedOut, WrongPeer
from mesh.identity.keys import PublicKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.carrier import Owner
from mesh.network.dial_causes import CONNECT
from mesh.network.memory_counter import MemoryCounter
from mesh.network.pump import Pump
from mesh.network.quic.endings import BAD_CERTIFICATE, close_code, error_of, error_of_network
from mesh.network.quic.endpoint import Endpoint
from mesh.network.quic.engine import Address, Engine, MakeEngine, Settings, Termination
from mesh.network.quic.session import Session

BATCH_BYTES = 65_507
MAX_BATCH_DATAGRAMS = 64
"""Asked of the engine at a time: what segmentation offload sends in one call."""
MAX_BATCHES = 16
"""Sent in one turn of the loop; the rest waits for the next."""
CLOSE_S = 2.0
"""How long queued bytes may take to leave before the connection is closed all the same."""
STAGE = "quic handshake"


class QuicOwner(Owner, Protocol):
    """What this driver tells the connection above it."""

    def began(self, local: Multiaddr, remote: Multiaddr) -> None:
        """The upgrade begins between these addresses. May raise a `MeshError` to refuse it."""


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A finished handshake; see `mesh.network.carrier.Authenticated`."""

    session: Session
    remote_key: PublicKey
    remote_peer: PeerId
    early_muxer: bool = False
    security: str = "tls"
    muxer: str = "quic"


@dataclass(frozen=True, slots=True)
class Terms:
    """What all connections of a node share. ``keepalive_s``: silence of the peer that is ended by a ping."""

    make: MakeEngine
    settings: Settings
    memory: MemoryCounter
    upgrade_s: float
    keepalive_s: float


class QuicDriver(Pump):
    """Drives one connection over ``endpoint``; a listener gives the ids of the Initial it answers."""

    __slots__ = (
        "_address",
        "_batch",
        "_closing_at",
        "_ending",
        "_endpoint",
        "_engine",
        "_expected_peer",
        "_heard_at",
        "_ids",
        "_owner",
        "_refusal",
        "_terms",
        "_timer",
        "_timer_at",
        "_upgrade_deadline",
        "on_gone",
        "session",
    )

    session: Session

    def __init__(
        self,
        terms: Terms,
        owner: QuicOwner,
        endpoint: Endpoint,
        address: Address,
        *,
        expected_peer: PeerId | None = None,
        dialer: bool,
        original_id: bytes = b"",
        retry_id: bytes = b"",
    ) -> None:
        super().__init__(terms.memory)
        now = time.monotonic()
        self._terms = terms
        self._owner = owner
        self._endpoint = endpoint
        self._expected_peer = expected_peer
        self._upgrade_deadline: float | None = now + terms.upgrade_s
        self._closing_at: float | None = None
        self._heard_at = now
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._ending: MeshError | None = None
        self._refusal: PeerError | None = None
        self.on_gone: Callable[[], None] = _nothing
        self.session = Session(dialer=dialer)
        self._engine: Engine = terms.make(
            replace(terms.settings, verify=self._verify),
            self.session,
            address,
            now,
            dialer=dialer,
            original_id=original_id,
            retry_id=retry_id,
        )
        self.session.attach(self._engine)
        self._address = address
        self._batch = min(MAX_BATCH_DATAGRAMS, BATCH_BYTES // terms.settings.max_datagram_bytes)
        self._ids = set(self._engine.connection_ids)

    def begin(self, local: Multiaddr, remote: Multiaddr, *, dialer: bool) -> None:
        """Route datagrams here and start the upgrade. A dialer that is refused is told so once its Initial was read."""
        for connection_id in self._ids:
            self._endpoint.register(connection_id, self)
        self._endpoint.peer_at(self._address, self)
        try:
            self._owner.began(local, remote)
        except MeshError as refusal:
            self._ending = refusal
            if dialer:
                self._lose(refusal)
            return
        if dialer:
            self._endpoint.watch(self._address, self._unreachable)
            self._engine.start(time.monotonic())
            self.flush()
        self.arm()

    # -- the endpoint's side -------------------------------------------------------------------------------------------

    def datagrams(self, data: bytes, segment_bytes: int, address: Address, now: float) -> None:
        """Datagrams for this connection came, several of ``segment_bytes`` when ``data`` is longer than that."""
        self.received_bytes += len(data)
        self._heard_at = now
        if self.near:
            self.wakefulness.heard(now)
        if self._lost:
            return
        if len(data) > segment_bytes:
            self._engine.receive_coalesced(data, segment_bytes, address, now)
        else:
            self._engine.receive(data, address, now)

    # -- the connection's side -----------------------------------------------------------------------------------------

    @property
    def stage(self) -> str:
        if self._upgrade_deadline is None:
            return "established"
        return STAGE if self.received_bytes else CONNECT

    def settle(self) -> None:
        """Act on what the engine has told, send what there is, and re-arm the timer."""
        if self._lost:
            return
        if self._ending is not None and self._upgrade_deadline is not None:
            self._finish()
            return
        session = self.session
        self._processing = True
        try:
            while session.eventful or session.ready:
                if session.eventful:
                    self._take_events()
                self._tell_ready()
        finally:
            self._processing = False
        self._count_held()
        if session.termination is not None and not self._lost:
            self._take_end(session.termination)
        elif self._deferred:
            self._deferred = False
            self.schedule_flush()
        else:
            self._flush_processed()

    def flush(self) -> None:
        """Send what the engine gives, as far as the socket takes it."""
        if self._lost:
            return
        endpoint, session = self._endpoint, self.session
        now = time.monotonic()
        for _ in range(MAX_BATCHES):
            if endpoint.blocked:
                self.paused = True
                endpoint.when_writable(self._resume)
                break
            if not self._send_batch(now):
                break
        else:
            self.schedule_flush()
        session.note_sent()
        if (session.ready or session.eventful) and not self._processing:
            self._loop.call_soon(self.settle)
        if self._closing_at is not None and not session.unsent:
            self._finish()
        else:
            self.arm()

    flush_full = flush

    def end(self, error: MeshError) -> None:
        """End the connection because of ``error``, after queued bytes have left."""
        if self._ending is None:
            self._ending = error
        if self._upgrade_deadline is not None:
            self.abort(error)
        elif self._closing_at is None and not self._lost:
            self._closing_at = time.monotonic() + CLOSE_S
            self.session.end(self._ending)
            if not self._processing:
                self.settle()

    def abort(self, error: MeshError) -> None:
        """Close at once with the code that ``error`` stands for."""
        if self._ending is None:
            self._ending = error
        self._finish()

    def arm_by(self, deadline: float) -> None:
        """The owner has a deadline more."""
        if self._timer is None or deadline < self._timer_at:
            self.arm()

    def arm(self) -> None:
        """Set the timer to the next deadline, if that is before the one it is set to."""
        if self._lost:
            return
        deadline = self._deadline()
        timer = self._timer
        if deadline is None or (timer is not None and self._timer_at <= deadline):
            return
        if timer is not None:
            timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_later(max(0.0, deadline - time.monotonic()), self._wake)

    # -- within --------------------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """The socket takes datagrams again."""
        self.paused = False
        if not self._lost:
            self._release_writers()
            self.flush()

    def _unreachable(self, error: OSError) -> None:
        """The network says that nobody is at the peer's address."""
        if self._upgrade_deadline is not None:
            self._lose(error_of_network(error))

    def _end_upgrade(self) -> None:
        self._upgrade_deadline = None
        self._endpoint.finished(self)
        self._endpoint.unwatch(self._address, self._unreachable)

    def _verify(self, chain: Sequence[bytes]) -> PublicKey:
        """The peer's key, if it is the peer that was dialled. Called from within the engine."""
        try:
            key = self._terms.settings.verify(chain)
            peer = PeerId.from_public_key(key)
            if self._expected_peer is not None and peer != self._expected_peer:
                raise WrongPeer(
                    f"tls: dialled {self._expected_peer} but {peer} answered",
                    found=str(peer),
                    protocol="tls",
                    wire_code=BAD_CERTIFICATE,
                )
        except PeerError as refusal:
            self._refusal = refusal
            raise
        return key

    def _take_events(self) -> None:
        session = self.session
        session.eventful = False
        self._route()
        if session.key is not None and self._upgrade_deadline is not None:
            self._finish_upgrade(session.key)
        opened, session.opened = session.opened, []
        for stream in opened:
            if stream.reset_code is None and session.ended is None:
                self._owner.stream_opened(stream)
        if session.more_streams and not self._lost:
            session.more_streams = False
            self._owner.openable()

    def _tell_ready(self) -> None:
        session, owner = self.session, self._owner
        ready = session.ready[:]
        session.ready.clear()
        for stream in ready:
            stream.touched = False
            owner.stream_ready(stream)
        self.count_held()

    def _take_end(self, how: Termination) -> None:
        """The engine is done. What came before is read first: tasks get a turn until the connection is lost."""
        cause = self._ending or self._refusal or error_of(how, self.stage)
        if self._ending is None:
            self._ending = cause
            self.flush()
            self.session.end(cause)
            self._tell_ready()
        self._loop.call_soon(self._lose, cause)

    def _finish_upgrade(self, key: PublicKey) -> None:
        result = Upgraded(self.session, key, PeerId.from_public_key(key))
        try:
            self._owner.upgraded(result)
        except MeshError as refusal:
            self.abort(refusal)
            return
        self._end_upgrade()

    def _route(self) -> None:
        session, endpoint = self.session, self._endpoint
        for connection_id in session.issued:
            self._ids.add(connection_id)
            endpoint.register(connection_id, self)
        for connection_id in session.retired:
            self._ids.discard(connection_id)
            endpoint.forget(connection_id)
        session.issued.clear()
        session.retired.clear()

    def _deadline(self) -> float | None:
        candidates = [
            self._engine.deadline(),
            self._owner.deadline(),
            self._upgrade_deadline or self._heard_at + self._terms.keepalive_s,
            self._closing_at,
        ]
        return min((each for each in candidates if each is not None), default=None)

    def _wake(self) -> None:
        self._timer = None
        now = time.monotonic()
        if self._lost:
            return
        if self._upgrade_deadline is not None and now >= self._upgrade_deadline:
            limit = self._terms.upgrade_s
            self.abort(TimedOut(f"{self.stage}: the peer did not finish it within {limit:g} s"))
            return
        if self._closing_at is not None and now >= self._closing_at:
            self._finish()
            return
        engine_deadline = self._engine.deadline()
        if engine_deadline is not None and engine_deadline <= now:
            self._engine.wake(now)
        if self._upgrade_deadline is None and now - self._heard_at >= self._terms.keepalive_s:
            self._heard_at = now
            self._engine.ping()
        self._owner.wake(now)
        self.settle()

    def _finish(self) -> None:
        """Say that it is over, and be gone. A peer that cannot read the last word yet gets the handshake before it."""
        if self._lost:
            return
        error = self._ending
        assert error is not None
        now = time.monotonic()
        if self.stage != "established":
            self._send_batch(now)
        self._engine.close(close_code(error), "", now)
        self._send_batch(now)
        self._lose(error)

    def _send_batch(self, now: float) -> bool:
        """Whether there was anything to send."""
        datagrams = self._engine.transmit(now, self._batch)
        if not datagrams:
            return False
        self.sent_bytes += sum(len(each) for each, _ in datagrams)
        self._endpoint.send(datagrams)
        return True

    def _lose(self, cause: MeshError) -> None:
        if self._lost:
            return
        stage = self.stage
        self._lost = True
        self._ending = cause
        self._end_upgrade()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._route()
        self._endpoint.peer_gone(self._address, self)
        for connection_id in self._ids:
            self._endpoint.forget(connection_id)
        self.session.end(cause)
        self._owner.lost(cause, stage)
        self._tell_ready()
        self._release_writers()
        self.on_gone()


def _nothing() -> None:
    return None
