"""WebSocket frames as a byte stream (RFC 6455, section 5): what is inside binary messages, whatever their borders.

Payload is handed on as it comes, so that nothing is held but a partial header and a partial control frame: a message, or
a frame, costs no memory by its announced length. Headers are read here and not by `websockets.frames.Frame.parse`, which
gathers whole frames by way of a `bytearray` and a generator: CPU for a megabyte that arrives 512 KiB at a time was 84 us
with it and 9 us here in 64 KiB frames (masked 107 and 38), 79 and 2 us in 512 KiB frames (masked 105 and 27). Masking,
control frames' contents and everything about the opening handshake is the package's.
"""

from __future__ import annotations

import os
import struct
from typing import Final

from websockets.exceptions import ProtocolError
from websockets.frames import Close, CloseCode, Frame, Opcode

from mesh.protocols.machine import Buffer

try:
    from websockets.speedups import apply_mask
except ImportError:  # where the package has no wheel: correct, and hundreds of times slower
    from websockets.utils import apply_mask

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
MAX_CONTROL_BYTES: Final = 125
FRAME_BYTES: Final = 512 * 1024
"""No frame is begun with more than this; what is longer leaves in several."""
MANY_PIECES: Final = 32
SMALL_BYTES: Final = 1024
"""So many pieces that are so small on average are joined: each costs the layers above more than its copy."""

_FIN: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_CONTROL: Final = 0x08
_FIN_BINARY: Final = _FIN | Opcode.BINARY
_LENGTH_16 = struct.Struct("!H")
_LENGTH_64 = struct.Struct("!Q")
_HEAD_7 = struct.Struct("!BB")
_HEAD_16 = struct.Struct("!BBH")
_HEAD_64 = struct.Struct("!BBQ")
_NO_KEY: Final = b""


class FrameReader:
    """Reads the frames of one peer. ``masked`` says whether the peer has to mask, as a client has.

    After each `receive`, ``told`` says whether one of ``ping`` (payload of the last ping), ``closed`` (payload of the
    close frame) or ``failure`` (close code and reason) was set. Nothing is read behind a close frame or failure.
    """

    __slots__ = (
        "_control",
        "_head",
        "_in_message",
        "_key",
        "_left",
        "_masked",
        "_opcode",
        "closed",
        "failure",
        "ping",
        "told",
    )

    def __init__(self, masked: bool) -> None:
        self._masked = masked
        self._left = 0
        self._key = _NO_KEY
        self._opcode = 0
        self._head = b""
        self._control = b""
        self._in_message = False
        self.told = False
        self.ping: bytes | None = None
        self.closed: bytes | None = None
        self.failure: tuple[CloseCode, str] | None = None

    @property
    def held_bytes(self) -> int:
        """What is kept of frames that are not complete."""
        return len(self._head) + len(self._control)

    def receive(self, data: memoryview) -> list[Buffer]:
        """Take bytes cut anywhere and return the payload among them, in order; pieces may be views of ``data``."""
        pieces: list[Buffer] = []
        position, end = 0, len(data)
        if self._head:
            position = self._complete_head(data)
            if self._head:
                return pieces
        while True:
            left = self._left
            if left:
                if position == end:
                    break
                stop = position + left
                if stop > end:
                    stop = end
                piece: Buffer = data[position:stop]
                if self._key:
                    piece = apply_mask(piece, self._key)
                self._left = left = left - (stop - position)
                if left and self._key:
                    turn = (stop - position) & 3
                    self._key = self._key[turn:] + self._key[:turn]
                position = stop
                if self._opcode < _CONTROL:
                    pieces.append(piece)
                    continue
                self._control += piece
                if left:
                    break
                self._end_control()
            if self.closed is not None or self.failure is not None:
                break
            after = self._begin(data, position, end)
            if after < 0:
                self._head = bytes(data[position:])
                break
            position = after
        if len(pieces) > MANY_PIECES and end < len(pieces) * SMALL_BYTES:
            pieces = [b"".join(pieces)]
        return pieces

    def _complete_head(self, data: memoryview) -> int:
        """Read the header whose first bytes came earlier; returns how much of ``data`` that took."""
        known = len(self._head)
        head = self._head + data[: 14 - known]
        after = self._begin(head, 0, len(head))
        if after < 0:
            self._head = head
            return len(data)
        self._head = b""
        return after - known

    def _begin(self, data: Buffer, position: int, end: int) -> int:
        """Read a header; returns where the payload begins, -1 when the header is not complete."""
        if end - position < 2:
            return -1
        first, second = data[position], data[position + 1]
        if not self._acceptable(first, second):
            return end
        position += 2
        length = second & 0x7F
        if length > MAX_CONTROL_BYTES:
            size = _LENGTH_16 if length == 126 else _LENGTH_64
            if end - position < size.size:
                return -1
            (length,) = size.unpack_from(data, position)
            position += size.size
            if length > MAX_FRAME_BYTES:
                self._fail(CloseCode.MESSAGE_TOO_BIG, f"a frame of {length} bytes; at most {MAX_FRAME_BYTES}")
                return end
        if self._masked:
            if end - position < 4:
                return -1
            self._key = bytes(data[position : position + 4])
            position += 4
        self._left = length
        self._opcode = opcode = first & 0x0F
        if opcode < _CONTROL:
            self._in_message = first < _FIN
        elif not length:
            self._end_control()
        return position

    def _acceptable(self, first: int, second: int) -> bool:
        opcode = first & 0x0F
        reason = ""
        if bool(second & _MASKED) is not self._masked:
            reason = "the frame is not masked" if self._masked else "the frame is masked"
        elif first == _FIN_BINARY and not self._in_message:
            return True
        elif first & _RESERVED:
            reason = "reserved bits are set"
        elif opcode == Opcode.TEXT:
            self._fail(CloseCode.UNSUPPORTED_DATA, "text frames are not taken")
        elif opcode not in (Opcode.CONT, Opcode.BINARY, Opcode.CLOSE, Opcode.PING, Opcode.PONG):
            reason = f"unknown opcode {opcode}"
        elif opcode >= _CONTROL:
            if first < _FIN or (second & 0x7F) > MAX_CONTROL_BYTES:
                reason = "a control frame is fragmented or too long"
        elif (opcode == Opcode.CONT) is not self._in_message:
            reason = "a message begins inside another" if self._in_message else "a continuation of nothing"
        if reason:
            self._fail(CloseCode.PROTOCOL_ERROR, reason)
        return self.failure is None

    def _end_control(self) -> None:
        payload, self._control = self._control, b""
        if self._opcode == Opcode.PING:
            self.ping = payload
        elif self._opcode == Opcode.CLOSE:
            try:
                Close.parse(payload)
            except (ProtocolError, UnicodeDecodeError):
                self._fail(CloseCode.PROTOCOL_ERROR, "a malformed close frame")
                return
            self.closed = payload
        else:
            return
        self.told = True

    def _fail(self, code: CloseCode, reason: str) -> None:
        self.failure = (code, reason)
        self.told = True


def frames(buffers: list[Buffer], masked: bool) -> list[Buffer]:
    """The buffers as binary messages of one frame each, of about FRAME_BYTES at most; buffers are never cut.

    Unmasked, they are not copied. Masked, each is masked by itself: joining them first would cost more than the mask.
    """
    framed: list[Buffer] = []
    start, size = 0, 0
    for place, buffer in enumerate(buffers):
        if size and size + len(buffer) > FRAME_BYTES:
            _frame(buffers[start:place], size, masked, framed)
            start, size = place, 0
        size += len(buffer)
    if size:
        _frame(buffers[start:] if start else buffers, size, masked, framed)
    return framed


def _frame(buffers: list[Buffer], size: int, masked: bool, framed: list[Buffer]) -> None:
    bit = _MASKED if masked else 0
    if size <= MAX_CONTROL_BYTES:
        head = _HEAD_7.pack(_FIN_BINARY, bit | size)
    elif size < 1 << 16:
        head = _HEAD_16.pack(_FIN_BINARY, bit | 126, size)
    else:
        head = _HEAD_64.pack(_FIN_BINARY, bit | 127, size)
    if not masked:
        framed.append(head)
        framed += buffers
        return
    key = os.urandom(4)
    framed.append(head + key)
    for buffer in buffers:
        framed.append(apply_mask(buffer, key))
        if turn := len(buffer) & 3:
            key = key[turn:] + key[:turn]


def control_frame(opcode: Opcode, payload: bytes, masked: bool) -> bytes:
    """A pong or close frame with at most 125 bytes."""
    return Frame(opcode, payload).serialize(mask=masked)


def close_payload(code: CloseCode, reason: str = "") -> bytes:
    """What a close frame carries; the reason is cut to what fits."""
    return Close(code, reason[: MAX_CONTROL_BYTES - 2]).serialize()
