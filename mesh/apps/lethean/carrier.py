"""One WebSocket over one TCP connection: whole messages in, whole messages out, every length bounded.

The `websockets` package's protocol core does opening handshake, masking and control frames; this is its shell on asyncio.
Messages wait in a queue of `QUEUED_MESSAGES` and `QUEUED_BYTES`; a full one stops the reading of the socket, so a peer
is as fast as its messages are dealt with. Endings are bare ends of TCP, as a Go node's are, save where RFC 6455 wants a
close frame.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, cast

from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from mesh.apps.lethean.upgrade import PATH, answer_to
from mesh.errors import Closed, TimedOut

MAX_MESSAGE_BYTES: Final = 1024 * 1024
MAX_HEAD_BYTES: Final = 16 * 1024
FRAGMENT_BYTES: Final = 4096
"""A dialler splits longer messages into frames of this size, as a Go node does."""
QUEUED_MESSAGES: Final = 64
QUEUED_BYTES: Final = 2 * MAX_MESSAGE_BYTES
MAX_FRAGMENTS: Final = 4096
"""Frames of one message; a Go dialler needs 256 for the longest."""
MAX_UNSENT_BYTES: Final = 4 * MAX_MESSAGE_BYTES
CONTROL_FRAMES_AHEAD: Final = 256
"""Control frames a peer may send between two messages."""
USER_AGENT: Final = "Go-http-client/1.1"
_DATA: Final = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class _QuietLog(logging.LoggerAdapter[logging.Logger]):
    """Peers make the package log at info and above; here that is debug."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        super().log(logging.DEBUG, msg, *args, **kwargs)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, kwargs


_NO_CONTEXT: Final[Mapping[str, object]] = {}
_LOG = _QuietLog(logging.getLogger(__name__), _NO_CONTEXT)


class _Listening(ServerProtocol):
    """Closes with the reasons that Go gives."""

    def fail(self, code: CloseCode | int, reason: str = "") -> None:
        super().fail(code, _gos_reason(code, reason))


class _Dialling(ClientProtocol):
    """The same on the other side."""

    def fail(self, code: CloseCode | int, reason: str = "") -> None:
        super().fail(code, _gos_reason(code, reason))


def _gos_reason(code: CloseCode | int, reason: str) -> str:
    """None for a message that is too big; the number of a reserved opcode, which only the error at hand has."""
    if code == CloseCode.MESSAGE_TOO_BIG:
        return ""
    cause = getattr(sys.exception(), "__cause__", None)
    number, _, rest = str(cause).partition(" ")
    return f"bad opcode {number}" if number.isdigit() and rest.endswith("Opcode") else reason


class Carrier(asyncio.Protocol):
    """Messages of one WebSocket. Made by `listening` or `dialling`; ``opened`` is done when messages may pass."""

    def __init__(
        self,
        protocol: ClientProtocol | ServerProtocol,
        is_full: Callable[[], bool] | None,
        on_opened: Callable[[Carrier], None] | None,
        max_message_bytes: int,
    ) -> None:
        self._protocol = protocol
        self._is_full = is_full
        self._on_opened = on_opened
        self._limit = max_message_bytes
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self._messages: deque[bytes] = deque()
        self._queued_bytes = 0
        self._partial = bytearray()
        self._fragments = 0
        self._controls = 0
        self._head_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._paused = False
        self._cause = ""
        self.peer_address = ""

    @classmethod
    def listening(
        cls,
        is_full: Callable[[], bool],
        on_opened: Callable[[Carrier], None],
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> Carrier:
        """The listener's side. ``is_full`` is asked when a request comes, ``on_opened`` called when it was granted."""
        protocol = _Listening(max_size=max_message_bytes, logger=_LOG)
        return cls(protocol, is_full, on_opened, max_message_bytes)

    @classmethod
    def dialling(
        cls, host: str, port: int, *, secure: bool, max_message_bytes: int = MAX_MESSAGE_BYTES
    ) -> Carrier:
        """The dialler's side of a connection to this host."""
        uri = WebSocketURI(secure, host, port, PATH, "")
        protocol = _Dialling(uri, max_size=max_message_bytes, logger=_LOG)
        return cls(protocol, None, None, max_message_bytes)

    # -- messages ----------------------------------------------------------------------------------------------------

    async def receive(self) -> bytes:
        """The next message. Raises `Closed` once the connection has ended and all that came before was taken."""
        while not self._messages:
            if self._gone.done():
                raise self.closed_error()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._messages.popleft()
        self._queued_bytes -= len(message)
        room = len(self._messages) < QUEUED_MESSAGES // 2 and self._queued_bytes < QUEUED_BYTES // 2
        if self._paused and room and self._transport is not None:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return message

    async def send(self, data: bytes, *, text: bool = False) -> None:
        """Queue a message, and wait while the peer is slow. Raises `Closed`."""
        if not self.post(data, text=text):
            raise self.closed_error()
        if self._drained is not None:
            await asyncio.shield(self._drained)
            if self._gone.done():
                raise self.closed_error()

    def post(self, data: bytes, *, text: bool = False) -> bool:
        """Queue a message without waiting; False when the connection has ended."""
        transport, protocol = self._transport, self._protocol
        if (
            transport is None
            or self._gone.done()
            or protocol.state is not State.OPEN
            or transport.is_closing()
        ):
            return False
        opcode = Opcode.TEXT if text else Opcode.BINARY
        if isinstance(protocol, ClientProtocol):
            for at in range(0, max(1, len(data)), FRAGMENT_BYTES):
                end = at + FRAGMENT_BYTES
                protocol.send_frame(Frame(Opcode.CONT if at else opcode, data[at:end], fin=end >= len(data)))
        else:
            protocol.send_frame(Frame(opcode, data))
        self._flush()
        return True

    def closed_error(self) -> Closed:
        """What to raise about a connection that has ended."""
        return Closed(f"{self.peer_address or 'the peer'}: connection ended: {self._cause or 'closed here'}")

    # -- the end -----------------------------------------------------------------------------------------------------

    def end(self, cause: str = "closed here") -> None:
        """End TCP after what was sent has left; no close frame."""
        self._cause = self._cause or cause
        if self._transport is not None:
            self._transport.close()

    def abort(self, cause: str) -> None:
        """End TCP at once."""
        self._cause = self._cause or cause
        if self._transport is not None:
            self._transport.abort()
        elif not self._gone.done():
            self._end_unmade()

    async def wait_ended(self, patience_s: float) -> None:
        """Wait until the connection is gone; one that will not go within the time is aborted."""
        done, _ = await asyncio.wait([self._gone], timeout=patience_s)
        if not done:
            self.abort("did not end in time")
            await asyncio.wait([self._gone])

    @property
    def ended(self) -> bool:
        """Whether the connection is gone."""
        return self._gone.done()

    def on_ended(self, tell: Callable[[Carrier], object]) -> None:
        """Have ``tell`` called once the connection is gone."""
        self._gone.add_done_callback(lambda _: tell(self))

    # -- asyncio -----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._gone.done():
            self._transport.abort()
            return
        host, port = (transport.get_extra_info("peername") or ("?", 0))[:2]
        self.peer_address = f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
        if isinstance(self._protocol, ClientProtocol):
            request = self._protocol.connect()
            request.headers["User-Agent"] = USER_AGENT
            self._protocol.send_request(request)
            self._flush()

    def data_received(self, data: bytes) -> None:
        protocol = self._protocol
        opening = protocol.state is State.CONNECTING
        if opening:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES + self._limit:
                self.abort("too much before the WebSocket was open")
                return
        protocol.receive_data(data)
        self._take_events()
        self._flush()
        if isinstance(protocol.parser_exc, PayloadTooBig):
            self._cause = self._cause or f"a message above {self._limit} bytes"
        if opening and protocol.handshake_exc is not None:
            self._cause = self._cause or f"no WebSocket: {protocol.handshake_exc}"
        if protocol.close_expected():
            self._cause = self._cause or "the WebSocket was closed"
            self.end()

    def eof_received(self) -> bool:
        self._cause = self._cause or "the peer ended it"
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._cause = self._cause or (str(error) if error is not None else "the peer ended it")
        self._partial = bytearray()
        if not self._gone.done():
            self._gone.set_result(None)
        self._release(self._waiter)
        self.resume_writing()
        if not self.opened.done():
            self.opened.set_exception(self.closed_error())
            self.opened.exception()

    def pause_writing(self) -> None:
        if self._drained is None:
            self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        self._release(drained)

    def _end_unmade(self) -> None:
        """Nothing was connected yet, as while TLS is being set up: what comes after is ended at once."""
        self._gone.set_result(None)
        if not self.opened.done():
            self.opened.set_exception(self.closed_error())
            self.opened.exception()

    # -- within ------------------------------------------------------------------------------------------------------

    @staticmethod
    def _release(future: asyncio.Future[None] | None) -> None:
        if future is not None and not future.done():
            future.set_result(None)

    def _flush(self) -> None:
        """Hand on what the protocol has to send; a peer that takes nothing is given up."""
        transport = self._transport
        assert transport is not None
        writes = [part for part in self._protocol.data_to_send() if part]
        if not writes or transport.is_closing():
            return
        transport.writelines(writes)
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.abort("the peer takes nothing")

    def _take_events(self) -> None:
        protocol = self._protocol
        for event in protocol.events_received():
            if isinstance(event, Request):
                self._answer(event)
            elif isinstance(event, Response):
                self._judge()
            elif isinstance(event, Frame):
                self._take_frame(event)

    def _answer(self, request: Request) -> None:
        protocol = self._protocol
        assert isinstance(protocol, ServerProtocol)
        assert self._is_full is not None
        answer = answer_to(protocol, request, full=self._is_full())
        protocol.send_response(answer)
        if answer.status_code == 101:
            self._open()
        else:
            self._cause = f"answered {answer.status_code} {answer.reason_phrase}"

    def _judge(self) -> None:
        if self._protocol.state is State.OPEN:
            self._open()

    def _open(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)
        if self._on_opened is not None:
            self._on_opened(self)

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode not in _DATA:
            self._controls += 1
            if self._controls > CONTROL_FRAMES_AHEAD:
                self.abort("a flood of control frames")
            return
        self._fragments += 1
        if self._fragments > MAX_FRAGMENTS:
            self.abort(f"a message in more than {MAX_FRAGMENTS} fragments")
            return
        if frame.fin and not self._partial:
            message = bytes(frame.data)
        else:
            self._partial += frame.data
            if not frame.fin:
                return
            message, self._partial = bytes(self._partial), bytearray()
        self._fragments = 0
        self._controls = 0
        self._messages.append(message)
        self._queued_bytes += len(message)
        self._release(self._waiter)
        full = len(self._messages) >= QUEUED_MESSAGES or self._queued_bytes >= QUEUED_BYTES
        if full and not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()


async def dial_carrier(
    host: str, port: int, *, context: Any = None, timeout_s: float, max_message_bytes: int = MAX_MESSAGE_BYTES
) -> Carrier:
    """Connect and upgrade. ``context`` is an `ssl.SSLContext` for TLS. Raises `OSError`, `Closed`, `TimedOut`."""
    carrier = Carrier.dialling(host, port, secure=context is not None, max_message_bytes=max_message_bytes)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            await loop.create_connection(
                lambda: carrier,
                host,
                port,
                ssl=context,
                server_hostname=host if context is not None else None,
            )
            await asyncio.shield(carrier.opened)
    except BaseException as error:
        carrier.abort("the dial was given up")
        if isinstance(error, TimeoutError):
            raise TimedOut(f"{host}:{port}: no WebSocket within {timeout_s:g} s") from None
        raise
    return carrier
