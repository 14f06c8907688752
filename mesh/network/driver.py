"""The one place where bytes meet the machines: a `BufferedProtocol` that owns a connection's stack.

Inward, `buffer_updated` feeds the upgrade, later channel and yamux, in one pass over everything that is complete; every
connection of a loop reads into the same 512 KiB buffer and keeps only its partial record. Outward, what the machines put
out is sealed and written: at once when nothing else was written in this turn of the loop (a ping must not wait),
otherwise together at the turn's end or at 48 KiB. One timer is armed to the least deadline of the stack.

The transport reads on while a stream's reader is slow: the stream's window holds the peer back, so that other streams
and pings pass. Writing waits for the stream's window and for the transport's high-water mark.

Machines get `time.monotonic()`: a loop's own clock may stand still within a turn and tick in milliseconds.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import time
from collections.abc import Iterable
from typing import Protocol, cast

from mesh.errors import Closed, MeshError, NetworkError, TimedOut, TurnedAway
from mesh.network.carrier import Authenticated, MuxedStream, Owner
from mesh.network.memory_counter import MemoryCounter
from mesh.network.pump import FLUSH_BYTES, Pump
from mesh.network.security import Channel
from mesh.network.upgrade import Failed, Upgrade
from mesh.protocols import yamux
from mesh.protocols.machine import Buffer

HIGH_WATER_BYTES = 1024 * 1024
PATIENCE_S = 0.05
"""A dialer speaks first: its listener's header leaves with the answer, one write and one waking of the dialer less. After
this time it leaves by itself, for a dialer that waits for it."""
CLOSE_S = 2.0
"""How long last bytes may take to leave before the connection is reset."""
MAX_UNSENT_BYTES = 16 * 1024 * 1024
"""Answers waiting for a peer that does not read; one that makes us queue more is cut off."""
NEAR_SEND_BYTES = 192 * 1024
"""Of the system's send buffer to a peer on this machine, of which the system makes twice as much: what waits there is
still in the processor's cache when the peer copies it. Left to grow to some MiB, as suits a distant peer, the same bytes
took 1.6 times as long."""
_LINGER_OFF = struct.pack("ii", 1, 0)


class ByteOwner(Owner, Protocol):
    """What this driver tells the connection above it."""

    def connected(self, transport: asyncio.BaseTransport) -> None:
        """The byte transport is there. May raise a `MeshError` to refuse it."""


class _Nobody:
    """Owns what is lost: a connection that still knew its owner would be garbage that only the collector finds."""

    def connected(self, transport: asyncio.BaseTransport) -> None: ...

    def upgraded(self, result: Authenticated) -> None: ...

    def stream_opened(self, stream: MuxedStream) -> None: ...

    def stream_ready(self, stream: MuxedStream) -> None: ...

    def openable(self) -> None: ...

    def deadline(self) -> float | None:
        return None

    def wake(self, now: float) -> None: ...

    def lost(self, error: MeshError, stage: str) -> None: ...


_NOBODY = _Nobody()


def _ignore(_stream: MuxedStream) -> None:
    """A stream of a lost connection has ended."""


class Driver(Pump, asyncio.BufferedProtocol):
    """Drives one connection.

    ``buffer`` is the receive buffer shared by all connections of the loop, ``memory`` the node's counter of held bytes,
    ``upgrade_s`` the time the upgrade may take. ``near`` is set by the owner for a peer on this machine.
    """

    __slots__ = (
        "_buffer",
        "_ending",
        "_owner",
        "_speak_at",
        "_timer",
        "_timer_at",
        "_unsent",
        "_upgrade",
        "_upgrade_deadline",
        "_upgrade_limit_s",
        "channel",
        "lower_stage",
        "session",
        "transport",
    )

    channel: Channel
    session: yamux.Session
    transport: asyncio.Transport

    def __init__(
        self, upgrade: Upgrade, owner: ByteOwner, buffer: memoryview, memory: MemoryCounter, upgrade_s: float
    ) -> None:
        super().__init__(memory)
        self._buffer = buffer
        self._upgrade: Upgrade | None = upgrade
        self._upgrade_limit_s = upgrade_s
        self._upgrade_deadline = time.monotonic() + upgrade_s
        self._owner = owner
        self._speak_at = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._unsent: list[Buffer] = []
        self._ending: MeshError | None = None
        self.lower_stage = ""

    # -- asyncio's side ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        assert self._upgrade is not None
        try:
            self._owner.connected(transport)
        except MeshError as refusal:
            self.abort(refusal)
            return
        if self.near and (raw := self.transport.get_extra_info("socket")) is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NEAR_SEND_BYTES)
        if self._upgrade.listening:
            self._speak_at = time.monotonic() + PATIENCE_S
        else:
            self._write_upgrade(self._upgrade)
        self.arm()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.take((self._buffer[:nbytes],))

    def take(self, pieces: Iterable[Buffer]) -> None:
        """Received bytes in order, from a layer that has its own buffers or borders; views are not kept."""
        now = time.monotonic()
        received = False
        if self.near:
            self.wakefulness.heard(now)
        for data in pieces:
            if self._ending is not None:
                return
            self.received_bytes += len(data)
            if self._upgrade is not None:
                self._take_upgrade(self._upgrade, data, now)
                continue
            session = self.session
            self._processing = received = True
            for plaintext in self.channel.receive(data):
                session.receive(plaintext, now)
        if received:
            self._unsent += self.channel.output()
            self.settle()
            if self.channel.failure is not None:
                self.end(self.channel.failure)

    def eof_received(self) -> bool:
        cause: MeshError = self._cut_off(Closed, f"the peer closed the connection{self._during()}")
        if self._upgrade is None:
            cause = self.channel.cut_off() or cause
        self.end(cause)
        return False

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._release_writers()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        cause = self._ending
        if cause is None:
            kind, text = (NetworkError, f": {exc}") if exc else (Closed, "")
            cause = self._cut_off(kind, f"connection lost{self._during()}{text}")
        self._ending = cause
        stage = self.stage
        self._owner.lost(cause, stage)
        if self._upgrade is None:
            self.session.end(cause)
            self.settle()
            self.session.gone = _ignore
        self._upgrade = None
        self._owner = _NOBODY
        self._release_writers()

    # -- the connection's side ---------------------------------------------------------------------------------------

    @property
    def stage(self) -> str:
        """What the connection is doing, for error messages; ``lower_stage`` is that of a layer below while it begins."""
        return "established" if self._upgrade is None else self.lower_stage or self._upgrade.stage

    def settle(self) -> None:
        """Act on what the session has to tell, send what it has to say, and re-arm the timer."""
        session = self.session
        owner = self._owner
        self._processing = True
        try:
            while session.eventful or session.ready or session.held_bytes != self._held_bytes:
                if session.eventful:
                    self._take_events(session)
                ready, session.ready = session.ready, []
                for stream in ready:
                    stream.touched = False
                    owner.stream_ready(stream)
                if session.held_bytes != self._held_bytes:
                    self._count_held()
            if session.can_open:
                owner.openable()
        finally:
            self._processing = False
        if self._deferred:
            self._deferred = False
            self.schedule_flush()
        elif session.queued_bytes or self._unsent:
            self._flush_processed()
        if self._ending is not None and session.ended is not None:
            self._close_transport()
        elif session.remote_gone and not session.streams:
            self.end(Closed("the peer said go away"))
        elif self._timer is None:
            self.arm()

    def flush(self) -> None:
        """Seal and write everything the session has queued."""
        self._seal(self.session.output())

    def flush_full(self) -> None:
        """Seal and write what fills its records; the rest waits for what the writer adds, or for a flush."""
        self._seal(self.session.full_output())

    def _seal(self, batches: list[list[Buffer]]) -> None:
        if not (batches or self._unsent) or self._lost:
            return
        channel = self.channel
        if len(batches) == 1 and not self._unsent:
            self._write(channel.seal(batches[0]))
            return
        records = self._unsent[:]
        self._unsent.clear()
        for batch in batches:
            records += channel.seal(batch)
        self._write(records)

    def end(self, error: MeshError) -> None:
        """End the connection because of ``error``: queued answers (a go away) leave, then it closes. A peer at fault
        during the upgrade sees a reset."""
        if self._ending is None:
            self._ending = error
        if self._upgrade is not None:
            self.abort(self._ending)
            return
        self.session.end(self._ending)
        if not self._processing:
            self.settle()

    def abort(self, error: MeshError, *, flushed: bool = False) -> None:
        """Reset the connection at once; ``flushed``: as soon as what was written has left."""
        if self._ending is None:
            self._ending = error
        if hasattr(self, "transport"):
            raw = self.transport.get_extra_info("socket")
            if raw is not None and raw.family != getattr(socket, "AF_UNIX", None) and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
            if flushed:
                self._close_soon()
            else:
                self.transport.abort()

    # -- within ------------------------------------------------------------------------------------------------------

    def _take_events(self, session: yamux.Session) -> None:
        for event in session.events():
            if isinstance(event, yamux.StreamOpened):
                self._owner.stream_opened(event.stream)
            elif self._ending is None:
                self._ending = event.error

    def _take_upgrade(self, upgrade: Upgrade, data: Buffer, now: float) -> None:
        self._speak_at = math.inf
        upgrade.receive(data, now)
        outcome = upgrade.outcome
        if outcome is None:
            self._write_upgrade(upgrade)
        elif isinstance(outcome, Failed):
            last = upgrade.output()
            self._write(last)
            self.abort(outcome.error, flushed=bool(last))
        else:
            self._unsent = upgrade.output()
            self.channel = outcome.channel
            self.session = outcome.session
            self._upgrade = None
            try:
                self._owner.upgraded(outcome)
            except MeshError as refusal:
                self.abort(refusal)
                return
            self.session.wake(now)
            self.defer_flush()
            self.settle()

    def _write_upgrade(self, upgrade: Upgrade) -> None:
        self._write(upgrade.output())
        if self.near:
            self.wakefulness.wrote(time.monotonic())

    def _write(self, buffers: list[Buffer]) -> None:
        if not buffers or self._lost or self.transport.is_closing():
            return
        size = sum(map(len, buffers))
        self.sent_bytes += size
        if size <= FLUSH_BYTES:
            self.transport.write(b"".join(buffers))
        else:
            self.transport.writelines(buffers)
        if self.paused and self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.abort(NetworkError("the peer does not read: too many answers wait for it"))

    def arm_by(self, deadline: float) -> None:
        """The owner has a deadline more."""
        if self._timer is None or deadline < self._timer_at:
            self.arm()

    def arm(self) -> None:
        """Set the timer to the stack's next deadline, if that is before the one it is set to."""
        if self._ending is not None:
            return
        deadline = self._deadline()
        timer = self._timer
        if deadline is None or (timer is not None and self._timer_at <= deadline):
            return
        if timer is not None:
            timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_later(max(0.0, deadline - time.monotonic()), self._wake)

    def _deadline(self) -> float | None:
        if self._upgrade is not None:
            return min(self._speak_at, self._upgrade_deadline)
        mine, owners = self.session.deadline(), self._owner.deadline()
        return owners if mine is None else mine if owners is None else min(mine, owners)

    def _wake(self) -> None:
        self._timer = None
        now = time.monotonic()
        if self._upgrade is not None:
            if now >= self._upgrade_deadline:
                limit = self._upgrade_limit_s
                self.abort(TimedOut(f"{self.stage}: the peer did not finish it within {limit:g} s"))
                return
            if now >= self._speak_at:
                self._speak_at = math.inf
                self._write_upgrade(self._upgrade)
        else:
            self.session.wake(now)
            self._owner.wake(now)
            self.settle()
        self.arm()

    def _close_transport(self) -> None:
        if not self._lost and not self.transport.is_closing():
            self._write(self.channel.close())
            self._close_soon()

    def _close_soon(self) -> None:
        self.transport.close()
        if self._timer is not None:
            self._timer.cancel()
        if not self._lost:
            self._timer = self._loop.call_later(CLOSE_S, self._force)

    def _force(self) -> None:
        if not self._lost:
            self.transport.abort()

    def _cut_off(self, kind: type[NetworkError], text: str) -> NetworkError:
        """What it means that the other end, or the network, ended the connection."""
        return (kind if self.received_bytes else TurnedAway)(text)

    def _during(self) -> str:
        return "" if self._upgrade is None else f" during {self.stage}"
