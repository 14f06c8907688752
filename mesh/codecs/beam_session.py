# GENERATED from protocol_specs/beam_session.py by tools.spec_compiler; do not edit.
# Schema a391c75b66a80c0e
"""Beam's sessions: bytes over several paths, acknowledged, resent where a path failed.

Specification: this project: protocol_specs/beam_session.py.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    encode_text,
    encode_varint,
    outside,
    past_end,
    read_tag,
    read_varint,
    refused_number,
    refused_size,
    skip_field,
    too_long,
)
from mesh.errors import Malformed

SESSION_ID_BYTES = 16
MAX_PROTOCOL_BYTES = 128
MAX_REASON_BYTES = 512
MAX_OPENING_BYTES = 256
MAX_ANSWER_BYTES = 576
MAX_SEGMENT_BYTES = 32768
MAX_FRAME_BYTES = 32896
MAX_OFFSET = 9007199254740991
MAX_WINDOW_BYTES = 2147483647


class SessionStatus(IntEnum):
    """Other numbers are refusals too."""

    OK = 0
    UNKNOWN_SESSION = 1
    UNKNOWN_PROTOCOL = 2
    BUSY = 3


_SESSION_OPENING_FIELDS = {
    10: ("SessionOpening.session_id", 16),
    18: ("SessionOpening.protocol", 128),
}


class SessionOpening(Record):
    """The first message of a path.

    session_id: 16 random bytes, of the peer that opened the session

    protocol: what the session carries; empty on a further path of a session that stands
    """

    __slots__ = ("session_id", "protocol")

    MAX_BYTES = 256

    def __init__(self, session_id: bytes, protocol: str = "") -> None:
        self.session_id = session_id
        self.protocol = protocol

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 256:
            raise too_long("SessionOpening", offset, end - offset, 256)
        session_id: bytes | None = None
        protocol: str = ""
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "SessionOpening")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "SessionOpening")
                stop = offset + length
                if stop > end:
                    raise past_end(_SESSION_OPENING_FIELDS, tag, length, offset, "SessionOpening")
                if tag == 10:
                    if length > 16:
                        raise too_long("SessionOpening.session_id", offset, length, 16)
                    session_id = data[offset:stop]
                elif tag == 18:
                    if length > 128:
                        raise too_long("SessionOpening.protocol", offset, length, 128)
                    try:
                        protocol = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("SessionOpening.protocol", offset, "not UTF-8") from None
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "SessionOpening")
        if session_id is None:
            raise Malformed("SessionOpening.session_id", end, "a required field is missing")
        return cls(session_id, protocol)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        session_id = self.session_id
        size = len(session_id)
        if size > 16:
            raise refused_size("SessionOpening.session_id", size, 16)
        out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), session_id)
        protocol = self.protocol
        if protocol:
            content = encode_text(protocol, "SessionOpening.protocol")
            size = len(content)
            if size > 128:
                raise refused_size("SessionOpening.protocol", size, 128)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 256:
            raise refused_size("SessionOpening", len(encoded), 256)
        return encoded


_SESSION_ANSWER_FIELDS = {
    18: ("SessionAnswer.reason", 512),
}


class SessionAnswer(Record):
    """What the other end says to it."""

    __slots__ = ("status", "reason")

    MAX_BYTES = 576

    def __init__(self, status: int = 0, reason: str = "") -> None:
        self.status = status
        self.reason = reason

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 576:
            raise too_long("SessionAnswer", offset, end - offset, 576)
        status: int = 0
        reason: str = ""
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "SessionAnswer")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "SessionAnswer")
                stop = offset + length
                if stop > end:
                    raise past_end(_SESSION_ANSWER_FIELDS, tag, length, offset, "SessionAnswer")
                if tag == 18:
                    if length > 512:
                        raise too_long("SessionAnswer.reason", offset, length, 512)
                    try:
                        reason = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("SessionAnswer.reason", offset, "not UTF-8") from None
                offset = stop
            elif tag == 8:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "SessionAnswer.status")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                status = number
            else:
                offset = skip_field(data, tag, offset, end, "SessionAnswer")
        return cls(status, reason)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        status = self.status
        if status:
            if not -2147483648 <= status <= 2147483647:
                raise refused_number("SessionAnswer.status", status, -2147483648, 2147483647)
            out += (b"\x08", encode_varint(status & 0xFFFFFFFFFFFFFFFF))
        reason = self.reason
        if reason:
            content = encode_text(reason, "SessionAnswer.reason")
            size = len(content)
            if size > 512:
                raise refused_size("SessionAnswer.reason", size, 512)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 576:
            raise refused_size("SessionAnswer", len(encoded), 576)
        return encoded


_SESSION_FRAME_FIELDS = {
    18: ("SessionFrame.data", 32768),
}


class SessionFrame(Record):
    """One frame on one path.

    offset: of the data, or of the end

    final: nothing comes after the data: the end has the next offset

    received: everything below has come, the end counted as one byte

    window: how much may come after that

    ping: to be said back on the same path

    carries: of the opener: whether this path is to carry data

    reset: the session ends at once
    """

    __slots__ = ("offset", "data", "final", "received", "window", "ping", "pong", "carries", "reset")

    MAX_BYTES = 32896

    def __init__(
        self,
        offset: int = 0,
        data: bytes = b"",
        final: bool = False,
        received: int | None = None,
        window: int = 0,
        ping: int | None = None,
        pong: int | None = None,
        carries: bool | None = None,
        reset: bool = False,
    ) -> None:
        self.offset = offset
        self.data = data
        self.final = final
        self.received = received
        self.window = window
        self.ping = ping
        self.pong = pong
        self.carries = carries
        self.reset = reset

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 32896:
            raise too_long("SessionFrame", offset, end - offset, 32896)
        offset_: int = 0
        data_: bytes = b""
        final: bool = False
        received: int | None = None
        window: int = 0
        ping: int | None = None
        pong: int | None = None
        carries: bool | None = None
        reset: bool = False
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "SessionFrame")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "SessionFrame")
                stop = offset + length
                if stop > end:
                    raise past_end(_SESSION_FRAME_FIELDS, tag, length, offset, "SessionFrame")
                if tag == 18:
                    if length > 32768:
                        raise too_long("SessionFrame.data", offset, length, 32768)
                    data_ = data[offset:stop]
                offset = stop
            elif tag == 8:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "SessionFrame.offset")
                if not 0 <= number <= 0x1FFFFFFFFFFFFF:
                    raise outside("SessionFrame.offset", start, number, 0, 0x1FFFFFFFFFFFFF)
                offset_ = number
            elif tag == 24:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "SessionFrame.final")
                final = number != 0
            elif tag == 32:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "SessionFrame.received")
                if not 0 <= number <= 0x1FFFFFFFFFFFFF:
                    raise outside("SessionFrame.received", start, number, 0, 0x1FFFFFFFFFFFFF)
                received = number
            elif tag == 40:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "SessionFrame.window")
                number &= 0xFFFFFFFF
                if not 0 <= number <= 2147483647:
                    raise outside("SessionFrame.window", start, number, 0, 2147483647)
                window = number
            elif tag == 48:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "SessionFrame.ping")
                number &= 0xFFFFFFFF
                ping = number
            elif tag == 56:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "SessionFrame.pong")
                number &= 0xFFFFFFFF
                pong = number
            elif tag == 64:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "SessionFrame.carries")
                carries = number != 0
            elif tag == 72:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "SessionFrame.reset")
                reset = number != 0
            else:
                offset = skip_field(data, tag, offset, end, "SessionFrame")
        return cls(offset_, data_, final, received, window, ping, pong, carries, reset)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        offset = self.offset
        if offset:
            if not 0 <= offset <= 0x1FFFFFFFFFFFFF:
                raise refused_number("SessionFrame.offset", offset, 0, 0x1FFFFFFFFFFFFF)
            out += (b"\x08", ONE_BYTE[offset] if offset < 128 else encode_varint(offset))
        data = self.data
        if data:
            size = len(data)
            if size > 32768:
                raise refused_size("SessionFrame.data", size, 32768)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), data)
        final = self.final
        if final:
            out += (b"\x18", b"\x01" if final else b"\x00")
        received = self.received
        if received is not None:
            if not 0 <= received <= 0x1FFFFFFFFFFFFF:
                raise refused_number("SessionFrame.received", received, 0, 0x1FFFFFFFFFFFFF)
            out += (b"\x20", ONE_BYTE[received] if received < 128 else encode_varint(received))
        window = self.window
        if window:
            if not 0 <= window <= 2147483647:
                raise refused_number("SessionFrame.window", window, 0, 2147483647)
            out += (b"\x28", ONE_BYTE[window] if window < 128 else encode_varint(window))
        ping = self.ping
        if ping is not None:
            if not 0 <= ping <= 0xFFFFFFFF:
                raise refused_number("SessionFrame.ping", ping, 0, 0xFFFFFFFF)
            out += (b"\x30", ONE_BYTE[ping] if ping < 128 else encode_varint(ping))
        pong = self.pong
        if pong is not None:
            if not 0 <= pong <= 0xFFFFFFFF:
                raise refused_number("SessionFrame.pong", pong, 0, 0xFFFFFFFF)
            out += (b"\x38", ONE_BYTE[pong] if pong < 128 else encode_varint(pong))
        carries = self.carries
        if carries is not None:
            out += (b"\x40", b"\x01" if carries else b"\x00")
        reset = self.reset
        if reset:
            out += (b"\x48", b"\x01" if reset else b"\x00")
        encoded = b"".join(out)
        if len(encoded) > 32896:
            raise refused_size("SessionFrame", len(encoded), 32896)
        return encoded
