"""WebSocket as a byte transport under the driver: the layer that shakes hands, frames and unframes (RFC 6455).

The driver's upgrade, its limits and its timer begin when the socket is connected; what it writes before the handshake is
done waits here. One flush of the driver is one binary message. At the end a close frame leaves and the peer gets 100 ms
to answer it; a refusal (an HTTP error, or a close frame with the reason's code) gets as long to leave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from websockets.frames import CloseCode, Opcode

from mesh.errors import Closed, MeshError, PeerError
from mesh.network.driver import MAX_UNSENT_BYTES, Driver
from mesh.network.layer import Layer
from mesh.network.websocket_frames import FrameReader, close_payload, control_frame, frames
from mesh.network.websocket_handshake import Handshake
from mesh.protocols.machine import Buffer

CLOSE_S: Final = 0.1
SMALL_BYTES: Final = 4096
"""Up to this, copying a frame behind its header is cheaper than a vectored write."""
STAGE: Final = "websocket handshake"


class WebSocketPipe(Layer):
    """``driver`` is above; ``dialer`` tells which end this is, and so who masks."""

    __slots__ = (
        "_driver",
        "_early",
        "_ending",
        "_ends_after",
        "_handshake",
        "_joined",
        "_masks",
        "_reader",
        "_refused",
        "_timer",
    )

    def __init__(self, driver: Driver, handshake: Handshake, *, dialer: bool, secure: bool) -> None:
        super().__init__(driver)
        self._driver = driver
        self._handshake: Handshake | None = handshake
        self._reader = FrameReader(masked=not dialer)
        self._masks = dialer
        self._joined = secure
        self._early: list[Buffer] = []
        self._ending = False
        self._ends_after = False
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None

    # -- towards the socket ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.enter_stage()
        super().connection_made(transport)
        if not self.is_closing():
            self._say()

    def buffer_updated(self, nbytes: int) -> None:
        data = self.get_buffer(-1)[:nbytes]
        if self._handshake is not None:
            data = self._shake_hands(self._handshake, data)
            if not data:
                return
        reader = self._reader
        pieces = reader.receive(data)
        if pieces and not self._ending:
            self._driver.take(pieces)
        if reader.told:
            self._hear()

    def eof_received(self) -> bool:
        self._ends_after = True
        if not self._ending:
            self._driver.eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ending = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

    def enter_stage(self, stage: str = STAGE) -> None:
        """What is going on before the first frame, for error messages and counters."""
        self._driver.lower_stage = stage

    def refuse(self, error: MeshError) -> None:
        """End the connection because of ``error``, but let what has been written reach the peer."""
        if not self._ending:
            self._refused = True
            self._driver.abort(error)

    # -- towards the driver ------------------------------------------------------------------------------------------

    def write(self, data: Buffer) -> None:
        if self._ending:
            return
        if self._handshake is not None:
            self._early.append(data)
            return
        self._send([data], len(data))

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        if self._ending:
            return
        buffers = list(list_of_data)
        if self._handshake is not None:
            self._early += buffers
            return
        self._send(buffers, sum(map(len, buffers)))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As below; but a refusal must not be lost to the reset that the driver makes of the socket."""
        return default if self._refused and name == "socket" else super().get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._ending or super().is_closing()

    def close(self) -> None:
        """Send what is queued and a close frame, give the peer 100 ms to answer it, then close."""
        if not self._ending:
            self._ending = True
            if self._handshake is None and self._reader.closed is None:
                self._control(Opcode.CLOSE, close_payload(CloseCode.NORMAL_CLOSURE))
            self._linger()

    def abort(self) -> None:
        if self._refused and not self._ending:
            self._ending = True
            self._linger()
        else:
            self._ending = True
            super().abort()

    # -- within ------------------------------------------------------------------------------------------------------

    def _shake_hands(self, handshake: Handshake, data: memoryview) -> memoryview:
        """Go on with the handshake; returns what follows it."""
        if self._ending:
            return data[:0]
        taken = handshake.receive(data)
        self._say()
        if handshake.failure is not None:
            self.refuse(handshake.failure)
        elif handshake.done:
            self._handshake = None
            self._driver.lower_stage = ""
            if self._early:
                early, self._early = self._early, []
                self.writelines(early)
            return data[taken:]
        return data[:0]

    def _say(self) -> None:
        assert self._handshake is not None
        if said := self._handshake.output():
            self._below.write(said)

    def _hear(self) -> None:
        """Answer what the reader has to tell besides payload."""
        reader = self._reader
        reader.told = False
        if reader.ping is not None and not self._ending:
            self._control(Opcode.PONG, reader.ping)
            reader.ping = None
            if self.get_write_buffer_size() > MAX_UNSENT_BYTES:
                self._driver.abort(PeerError("the peer does not read the answers to its pings"))
        if reader.closed is not None:
            self._peer_closed(reader.closed)
        elif reader.failure is not None and not self._ending:
            code, reason = reader.failure
            self._control(Opcode.CLOSE, close_payload(code, reason))
            error = PeerError(f"WebSocket: {reason}", protocol="websocket", wire_code=code, clause="RFC 6455")
            self.refuse(error)

    def _peer_closed(self, payload: bytes) -> None:
        if self._ends_after:
            return
        self._ends_after = True
        if self._ending:
            super().close()
            return
        self._control(Opcode.CLOSE, payload)
        code = int.from_bytes(payload[:2], "big") or CloseCode.NO_STATUS_RCVD
        self._driver.end(Closed(f"the peer closed the WebSocket (code {code:d})"))
        self.close()

    def _send(self, buffers: list[Buffer], size: int) -> None:
        framed = frames(buffers, self._masks)
        if size <= SMALL_BYTES or self._joined:
            self._below.write(b"".join(framed))
        else:
            self._below.writelines(framed)

    def _control(self, opcode: Opcode, payload: bytes) -> None:
        self._below.write(control_frame(opcode, payload, self._masks))

    def _linger(self) -> None:
        """Close when the peer has closed too, or after 100 ms; what it still says is thrown away."""
        self._early.clear()
        if self._ends_after:
            super().close()
        elif self._below.can_write_eof():
            try:
                self._below.write_eof()
            except OSError:  # the peer has reset the connection, which the loop has yet to notice
                super().abort()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CLOSE_S, self._lingered)

    def _lingered(self) -> None:
        """The driver's own limit ends what does not leave after a normal close."""
        self._timer = None
        if self._refused and self.get_write_buffer_size():
            super().abort()
        else:
            super().close()
