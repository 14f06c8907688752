"""A stream as programs hold it: awaitable reads and writes over one stream of a muxer, negotiation included."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mesh.errors import (
    MeshError,
    PeerError,
    StreamReset,
    TimedOut,
    UsageError,
)
from mesh.multiformats import varint
from mesh.network.stream_endings import ending, unwritable
from mesh.network.stream_reading import READ_BYTES, Reading
from mesh.protocols import multistream
from mesh.protocols.machine import Buffer
from mesh.protocols.yamux import ResetCode

if TYPE_CHECKING:
    from mesh.network.carrier import Carrier, MuxedStream
    from mesh.network.connection import Connection
    from mesh.network.resources import StreamScope

SMALL_WRITE_BYTES = 65507
"""What one record holds."""
WRITE_BYTES = 250_000
"""Sealed and written at once: four full records, so that the peer is woken once for them."""
MESSAGE_BYTES = 4096
"""Taken at once for a message: what lies behind a short one is copied when it is put back."""
NEGOTIATE_BYTES = 256
"""Taken at once while agreeing on a protocol: what lies behind the last token leaves the muxer's queue and count."""
TOKEN_BYTES = 256
"""Of a message that comes in pieces this much is taken ahead of its rest, such as what came along with a token."""


class Stream(Reading):
    """A bidirectional byte stream to a peer, agreed on ``protocol``.

    One task may read while another writes; concurrent writes are kept apart, concurrent reads are a `UsageError`.
    Errors: `StreamReset` when the peer reset the stream, `Closed` when the connection ended, `ProtocolNotSupported`
    when an optimistic opening was refused. ``async with stream`` closes it at the end, or resets it on an error.
    """

    __slots__ = (
        "_abandoned",
        "_driver",
        "_failure",
        "_follower",
        "_leftover",
        "_negotiated",
        "_negotiation",
        "_on_message",
        "_on_readable",
        "_reader",
        "_state",
        "_write_lock",
        "_writer",
        "connection",
        "protocol",
        "resources",
    )

    def __init__(
        self,
        connection: Connection,
        driver: Carrier,
        state: MuxedStream,
        negotiation: multistream.Initiator | multistream.Responder,
        protocol: str = "",
    ) -> None:
        self.connection = connection
        self.protocol = protocol
        self._driver = driver
        self._state = state
        self._negotiation: multistream.Initiator | multistream.Responder | None = negotiation
        self._negotiated: asyncio.Future[None] | None = None
        self._leftover = b""
        self._reader: asyncio.Future[None] | None = None
        self._on_readable: Callable[[], None] | None = None
        self._follower: Callable[[], None] | None = None
        self._on_message: Callable[[bytes], None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._write_lock: asyncio.Lock | None = None
        self._failure: MeshError | None = None
        self._abandoned = False
        self.resources: StreamScope | None = None
        state.owner = self

    def __repr__(self) -> str:
        return f"<Stream {self._state.id} {self.protocol or 'negotiating'} with {self.connection.peer}>"

    @property
    def id(self) -> int:
        """The muxer's number of this stream: odd ones were opened by the dialer of the connection."""
        return self._state.id

    @property
    def inbound(self) -> bool:
        """Whether the peer opened it."""
        return self._state.inbound

    @property
    def pending(self) -> bool:
        """Whether a reader would not have to wait: there are bytes, the end, or an error."""
        state = self._state
        if self._failure is not None or state.reset_code is not None or self._leftover:
            return True
        return self._negotiation is None and (state.queued_bytes > 0 or state.read_closed)

    # -- reading -----------------------------------------------------------------------------------------------------

    def take_chunk(self, max_bytes: int = READ_BYTES) -> Buffer | None:
        """What `read_chunk` gives if it need not wait, else None. Raises what that raises."""
        state = self._state
        if self._leftover:
            chunk, self._leftover = self._leftover[:max_bytes], self._leftover[max_bytes:]
            return chunk
        if self._negotiation is None:
            if state.queued_bytes:
                driver = self._driver
                payload = driver.session.take(state, max_bytes)
                driver.count_held()
                if driver.session.queued_bytes:
                    driver.request_flush()
                return payload
            if state.read_closed and self._failure is None:
                return b""
        self._check_alive()
        return None

    def readable(self) -> asyncio.Future[None]:
        """Done when there is something to read, the stream has ended or it has failed."""
        self._check_unread()
        waiter = self._driver.waiter()
        if self.pending:
            waiter.set_result(None)
        else:
            self._reader = waiter
        return waiter

    def when_readable(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, in a turn of its own, when there is something to read, the stream has ended or it has
        failed: for an owner of many streams who would otherwise keep a task waiting at each."""
        if self.pending:
            asyncio.get_running_loop().call_soon(callback)
        else:
            self._check_unread()
            self._on_readable = callback

    def follow(
        self, callback: Callable[[], None] | None, on_message: Callable[[bytes], None] | None = None
    ) -> None:
        """Call ``callback`` from now on whenever there may be something to read, the stream has ended or it has failed:
        within the very turn in which that came, so it must be short, wait for nothing and raise nothing. None ends it.

        ``on_message`` is given instead, while nothing is unread, each message behind its uvarint length that comes whole,
        in a piece of less than 16 KiB. Who reads otherwise ends that before.
        """
        self._follower = callback
        self._on_message = on_message
        self._state.sink = None if on_message is None else self._sink

    def take_message(self, max: int) -> bytes | None:
        """The next message as `read_message` gives it, if all of it is here and it is short; else None, and nothing is
        lost: `read_message` waits for it, or raises what is wrong."""
        state = self._state
        held: Buffer = self._leftover
        while True:
            if held:
                size, start = varint.decode_if_whole(held)
                if start and size <= max and (end := start + size) <= len(held):
                    self._leftover = bytes(held[end:])
                    return bytes(held[start:end])
            if len(held) >= TOKEN_BYTES or self._negotiation is not None or not state.queued_bytes:
                self._leftover = bytes(held)
                return None
            driver = self._driver
            chunk = driver.session.take(state, MESSAGE_BYTES)
            driver.count_held()
            if driver.session.queued_bytes:
                driver.request_flush()
            held = b"".join((held, chunk)) if held else chunk

    def _sink(self, data: bytes, start: int, end: int) -> bool:
        """Payload that has come: a whole message goes to who follows, anything else to the queue."""
        size, read = varint.decode_if_whole(data[start : start + 2])
        on_message, start = self._on_message, start + read
        if (
            not read
            or end - start != size
            or self._negotiation is not None
            or self._leftover
            or not on_message
        ):
            return False
        on_message(data[start:end])
        return True

    def _check_unread(self) -> None:
        if self._on_readable is not None or (self._reader is not None and not self._reader.done()):
            raise UsageError(f"{self.protocol}: another task is reading this stream")

    # -- writing -----------------------------------------------------------------------------------------------------

    async def write(self, data: Buffer) -> None:
        """Send all of ``data``; waits while the peer's window or the transport is full.

        When it returns the bytes belong to the muxer, and ``data`` may change.
        """
        if type(data) is memoryview and not (data.c_contiguous and data.nbytes == len(data)):
            data = data.tobytes()
        if not self.try_write(data):
            await self._write_in_turns(memoryview(data).cast("B"))

    def try_write(self, data: Buffer) -> bool:
        """Send all of ``data`` if that needs no waiting, or nothing; tells which. An ended stream takes nothing."""
        if not self._takes(len(data)):
            return False
        driver = self._driver
        frozen = type(data) is bytes or (type(data) is memoryview and type(data.obj) is bytes)
        driver.session.send(self._state, data if frozen else bytes(data))
        driver.request_flush()
        return True

    def _takes(self, size: int) -> bool:
        """Whether that much may be sent without waiting."""
        state = self._state
        return (
            size <= SMALL_WRITE_BYTES
            and size <= state.send_window
            and not self._driver.paused
            and not state.write_closed
            and state.reset_code is None
            and (self._write_lock is None or not self._write_lock.locked())
        )

    async def finish(self, data: bytes) -> None:
        """`write` and `close_write` in one: what needs no waiting leaves together with the end."""
        if self._takes(len(data)):
            session = self._driver.session
            session.send(self._state, data)
            session.close_write(self._state)
            self._driver.request_flush()
        else:
            await self.write(data)
            await self.close_write()

    async def write_message(self, message: Buffer) -> None:
        """Send a message behind its uvarint length."""
        await self.write(b"".join((varint.encode(len(message)), message)))

    async def close_write(self) -> None:
        """Half close: the peer reads to here and finds the end. Reading goes on."""
        if self._write_lock is not None:
            async with self._write_lock:
                pass
        self._driver.session.close_write(self._state)
        self._driver.schedule_flush()

    async def close(self) -> None:
        """Close both directions in order: what was written arrives, what still comes is thrown away."""
        state = self._state
        if state.reset_code is not None:
            self._forget_unread()
            return
        await self.close_write()
        if not state.read_closed or state.queued_bytes:
            self._abandon()

    def reset(self, code: int = ResetCode.NONE) -> None:
        """End both directions at once and tell the peer ``code``; nothing happens on an ended stream."""
        self._fail(StreamReset("the stream was reset on this side", protocol=self.protocol, wire_code=code))
        driver = self._driver
        driver.session.reset(self._state, code)
        driver.count_held()
        driver.request_flush()
        self.connection.stream_finished(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
        else:
            self.reset()

    # -- the connection's side ---------------------------------------------------------------------------------------

    async def negotiated(self) -> None:
        """Wait until the peer has agreed on a protocol."""
        if self._negotiation is not None and self._failure is None:
            self._negotiated = self._driver.waiter()
            await self._negotiated
        if self._failure is not None:
            raise self._failure

    def ready(self) -> None:
        """Payload, window, end or reset has come."""
        state = self._state
        if self._negotiation is not None:
            self._negotiate()
        if self._abandoned and state.queued_bytes:
            self._driver.session.drop(state)
        if state.dead:
            self.connection.stream_finished(self)
        self._wake()

    def expire(self) -> None:
        """The time for negotiating, or for the peer's end after `close`, is over."""
        if self._negotiation is not None:
            limit = self.connection.negotiate_timeout_s
            self._fail(TimedOut(f"multistream: no protocol was agreed on within {limit:g} s"))
            self._driver.session.reset(self._state, ResetCode.NEGOTIATION_FAILED)
        elif self._abandoned:
            self._driver.session.reset(self._state, ResetCode.NONE)
        self.connection.stream_finished(self)

    # -- within ------------------------------------------------------------------------------------------------------

    def _negotiate(self) -> None:
        state, session, negotiation = self._state, self._driver.session, self._negotiation
        assert negotiation is not None
        while negotiation.outcome is None and state.queued_bytes:
            negotiation.receive(session.take(state, NEGOTIATE_BYTES))
        outcome = negotiation.outcome
        if isinstance(outcome, multistream.Failed):
            self._refuse(outcome.error)
            return
        answer = b"".join(negotiation.output())
        if (
            answer
            and not state.write_closed
            and state.reset_code is None
            and session.send(state, answer) < len(answer)
        ):
            self._refuse(
                PeerError("multistream: the peer left no window for the answers", protocol="multistream")
            )
        elif outcome is not None:
            self._negotiation = None
            self.protocol = outcome.protocol
            self._leftover = outcome.leftover
            self.connection.stream_negotiated(self)
            self._settle_negotiated()
        elif state.read_closed or state.reset_code is not None:
            self._refuse(ending(self._state, self._driver.session.ended, self.protocol, "multistream: "))

    def _refuse(self, error: MeshError) -> None:
        self._negotiation = None
        self._fail(error)
        self._driver.session.reset(self._state, ResetCode.NEGOTIATION_FAILED)
        self.connection.stream_refused(self, error)

    def _fail(self, error: MeshError) -> None:
        if self._failure is None:
            self._failure = error
        self._negotiation = None
        self._leftover = b""
        self._settle_negotiated()
        self._wake()

    def _settle_negotiated(self) -> None:
        waiter, self._negotiated = self._negotiated, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._state.reset_code is not None:
            raise ending(self._state, self._driver.session.ended, self.protocol)

    async def _write_in_turns(self, view: memoryview) -> None:
        lock = self._write_lock
        if lock is None:
            lock = self._write_lock = asyncio.Lock()
        state, driver = self._state, self._driver
        size, offset = len(view), 0
        async with lock:
            while True:
                self._check_alive()
                if state.write_closed:
                    raise unwritable(state, self.protocol)
                if driver.paused:
                    driver.flush()
                    await driver.drained()
                    continue
                if offset >= size:
                    break
                if not state.send_window:
                    driver.flush()
                    await self._wait_writable()
                    continue
                offset += driver.session.send(state, view[offset : offset + driver.session.room])
                if offset >= size or driver.session.queued_bytes >= WRITE_BYTES:
                    driver.flush_full()
            if driver.session.own_queued():
                driver.schedule_flush()

    async def _wait_writable(self) -> None:
        self._writer = self._driver.waiter()
        try:
            await self._writer
        finally:
            self._writer = None

    def _wake(self) -> None:
        reader, writer = self._reader, self._writer
        if self._follower is not None:
            self._follower()
        callback = self._on_readable
        if callback is not None and self.pending:
            self._on_readable = None
            asyncio.get_running_loop().call_soon(callback)
        if reader is not None and not reader.done():
            reader.set_result(None)
        if writer is not None and not writer.done():
            writer.set_result(None)

    def _unread(self, data: bytearray) -> None:
        """Put back what a cancelled call had taken."""
        self._leftover = bytes(data) + self._leftover

    def _forget_unread(self) -> None:
        self._leftover = b""
        self._driver.session.drop(self._state)
        self._driver.count_held()

    def _abandon(self) -> None:
        self._abandoned = True
        self._forget_unread()
        if not self._state.dead:
            self.connection.stream_lingers(self)
