# GENERATED from protocol_specs/rendezvous.py by tools.spec_compiler; do not edit.
# Schema 83c2bfd6657afffc
"""Rendezvous messages.

Specification: libp2p/specs rendezvous/README.md.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    crossing,
    encode_text,
    encode_varint,
    joined,
    outside,
    past_end,
    read_tag,
    read_varint,
    refused,
    refused_count,
    refused_number,
    refused_size,
    skip_field,
    too_long,
)
from mesh.errors import Malformed, Truncated

MAX_MESSAGE_BYTES = 1048576
MAX_NAMESPACE_BYTES = 255
MAX_RECORD_BYTES = 8192
MAX_REGISTRATIONS = 1000


class MessageType(IntEnum):
    """What a message is. UNREGISTER has no answer."""

    REGISTER = 0
    REGISTER_RESPONSE = 1
    UNREGISTER = 2
    DISCOVER = 3
    DISCOVER_RESPONSE = 4


_MESSAGE_TYPE = {int(member): member for member in MessageType}


class Status(IntEnum):
    """How a request went. Other numbers are kept: anything but OK is a refusal."""

    OK = 0
    INVALID_NAMESPACE = 100
    INVALID_SIGNED_PEER_RECORD = 101
    INVALID_TTL = 102
    INVALID_COOKIE = 103
    NOT_AUTHORIZED = 200
    INTERNAL_ERROR = 300
    UNAVAILABLE = 400


_REGISTER_FIELDS = {
    10: ("Register.namespace", 4096),
    18: ("Register.signed_peer_record", 8192),
}


class Register(Record):
    """A peer's wish to be found under a namespace.

    signed_peer_record: an Envelope around a PeerRecord

    ttl_s: seconds; what is left of them in an answer
    """

    __slots__ = ("namespace", "signed_peer_record", "ttl_s")

    MAX_BYTES = 12352

    def __init__(
        self,
        namespace: str | None = None,
        signed_peer_record: bytes | None = None,
        ttl_s: int | None = None,
    ) -> None:
        self.namespace = namespace
        self.signed_peer_record = signed_peer_record
        self.ttl_s = ttl_s

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 12352:
            raise too_long("Register", offset, end - offset, 12352)
        namespace: str | None = None
        signed_peer_record: bytes | None = None
        ttl_s: int | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Register")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Register")
                stop = offset + length
                if stop > end:
                    raise past_end(_REGISTER_FIELDS, tag, length, offset, "Register")
                if tag == 10:
                    if length > 4096:
                        raise too_long("Register.namespace", offset, length, 4096)
                    try:
                        namespace = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Register.namespace", offset, "not UTF-8") from None
                elif tag == 18:
                    if length > 8192:
                        raise too_long("Register.signed_peer_record", offset, length, 8192)
                    signed_peer_record = data[offset:stop]
                offset = stop
            elif tag == 24:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Register.ttl_s")
                if not 0 <= number <= 0x7FFFFFFFFFFFFFFF:
                    raise outside("Register.ttl_s", start, number, 0, 0x7FFFFFFFFFFFFFFF)
                ttl_s = number
            else:
                offset = skip_field(data, tag, offset, end, "Register")
        return cls(namespace, signed_peer_record, ttl_s)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        namespace = self.namespace
        if namespace is not None:
            content = encode_text(namespace, "Register.namespace")
            size = len(content)
            if size > 4096:
                raise refused_size("Register.namespace", size, 4096)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        signed_peer_record = self.signed_peer_record
        if signed_peer_record is not None:
            size = len(signed_peer_record)
            if size > 8192:
                raise refused_size("Register.signed_peer_record", size, 8192)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), signed_peer_record)
        ttl_s = self.ttl_s
        if ttl_s is not None:
            if not 0 <= ttl_s <= 0x7FFFFFFFFFFFFFFF:
                raise refused_number("Register.ttl_s", ttl_s, 0, 0x7FFFFFFFFFFFFFFF)
            out += (b"\x18", ONE_BYTE[ttl_s] if ttl_s < 128 else encode_varint(ttl_s))
        encoded = b"".join(out)
        if len(encoded) > 12352:
            raise refused_size("Register", len(encoded), 12352)
        return encoded


_REGISTER_RESPONSE_FIELDS = {
    18: ("RegisterResponse.status_text", 4096),
}


class RegisterResponse(Record):
    """Whether the peer was registered.

    ttl_s: seconds granted
    """

    __slots__ = ("status", "status_text", "ttl_s")

    MAX_BYTES = 4160

    def __init__(
        self,
        status: int | None = None,
        status_text: str | None = None,
        ttl_s: int | None = None,
    ) -> None:
        self.status = status
        self.status_text = status_text
        self.ttl_s = ttl_s

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4160:
            raise too_long("RegisterResponse", offset, end - offset, 4160)
        status: int | None = None
        status_text: str | None = None
        ttl_s: int | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "RegisterResponse")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "RegisterResponse")
                stop = offset + length
                if stop > end:
                    raise past_end(_REGISTER_RESPONSE_FIELDS, tag, length, offset, "RegisterResponse")
                if tag == 18:
                    if length > 4096:
                        raise too_long("RegisterResponse.status_text", offset, length, 4096)
                    try:
                        status_text = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("RegisterResponse.status_text", offset, "not UTF-8") from None
                offset = stop
            elif tag == 8:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "RegisterResponse.status")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                status = number
            elif tag == 24:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "RegisterResponse.ttl_s")
                if not 0 <= number <= 0x7FFFFFFFFFFFFFFF:
                    raise outside("RegisterResponse.ttl_s", start, number, 0, 0x7FFFFFFFFFFFFFFF)
                ttl_s = number
            else:
                offset = skip_field(data, tag, offset, end, "RegisterResponse")
        return cls(status, status_text, ttl_s)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        status = self.status
        if status is not None:
            if not -2147483648 <= status <= 2147483647:
                raise refused_number("RegisterResponse.status", status, -2147483648, 2147483647)
            out += (b"\x08", encode_varint(status & 0xFFFFFFFFFFFFFFFF))
        status_text = self.status_text
        if status_text is not None:
            content = encode_text(status_text, "RegisterResponse.status_text")
            size = len(content)
            if size > 4096:
                raise refused_size("RegisterResponse.status_text", size, 4096)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        ttl_s = self.ttl_s
        if ttl_s is not None:
            if not 0 <= ttl_s <= 0x7FFFFFFFFFFFFFFF:
                raise refused_number("RegisterResponse.ttl_s", ttl_s, 0, 0x7FFFFFFFFFFFFFFF)
            out += (b"\x18", ONE_BYTE[ttl_s] if ttl_s < 128 else encode_varint(ttl_s))
        encoded = b"".join(out)
        if len(encoded) > 4160:
            raise refused_size("RegisterResponse", len(encoded), 4160)
        return encoded


_UNREGISTER_FIELDS = {
    10: ("Unregister.namespace", 4096),
    18: ("Unregister.id", 4096),
}


class Unregister(Record):
    """A peer's wish not to be found any more.

    id: of former versions; the sender is meant anyway
    """

    __slots__ = ("namespace", "id")

    MAX_BYTES = 8256

    def __init__(self, namespace: str | None = None, id: bytes | None = None) -> None:
        self.namespace = namespace
        self.id = id

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 8256:
            raise too_long("Unregister", offset, end - offset, 8256)
        namespace: str | None = None
        id: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Unregister")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Unregister")
                stop = offset + length
                if stop > end:
                    raise past_end(_UNREGISTER_FIELDS, tag, length, offset, "Unregister")
                if tag == 10:
                    if length > 4096:
                        raise too_long("Unregister.namespace", offset, length, 4096)
                    try:
                        namespace = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Unregister.namespace", offset, "not UTF-8") from None
                elif tag == 18:
                    if length > 4096:
                        raise too_long("Unregister.id", offset, length, 4096)
                    id = data[offset:stop]
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Unregister")
        return cls(namespace, id)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        namespace = self.namespace
        if namespace is not None:
            content = encode_text(namespace, "Unregister.namespace")
            size = len(content)
            if size > 4096:
                raise refused_size("Unregister.namespace", size, 4096)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        id = self.id
        if id is not None:
            size = len(id)
            if size > 4096:
                raise refused_size("Unregister.id", size, 4096)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), id)
        encoded = b"".join(out)
        if len(encoded) > 8256:
            raise refused_size("Unregister", len(encoded), 8256)
        return encoded


_DISCOVER_FIELDS = {
    10: ("Discover.namespace", 4096),
    26: ("Discover.cookie", 4096),
}


class Discover(Record):
    """Who is registered.

    namespace: absent or empty for all

    limit: most registrations wanted; absent or 0 for as many as fit

    cookie: of the answer after which to go on
    """

    __slots__ = ("namespace", "limit", "cookie")

    MAX_BYTES = 8256

    def __init__(
        self,
        namespace: str | None = None,
        limit: int | None = None,
        cookie: bytes | None = None,
    ) -> None:
        self.namespace = namespace
        self.limit = limit
        self.cookie = cookie

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 8256:
            raise too_long("Discover", offset, end - offset, 8256)
        namespace: str | None = None
        limit: int | None = None
        cookie: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Discover")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Discover")
                stop = offset + length
                if stop > end:
                    raise past_end(_DISCOVER_FIELDS, tag, length, offset, "Discover")
                if tag == 10:
                    if length > 4096:
                        raise too_long("Discover.namespace", offset, length, 4096)
                    try:
                        namespace = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Discover.namespace", offset, "not UTF-8") from None
                elif tag == 26:
                    if length > 4096:
                        raise too_long("Discover.cookie", offset, length, 4096)
                    cookie = data[offset:stop]
                offset = stop
            elif tag == 16:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Discover.limit")
                limit = number
            else:
                offset = skip_field(data, tag, offset, end, "Discover")
        return cls(namespace, limit, cookie)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        namespace = self.namespace
        if namespace is not None:
            content = encode_text(namespace, "Discover.namespace")
            size = len(content)
            if size > 4096:
                raise refused_size("Discover.namespace", size, 4096)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        limit = self.limit
        if limit is not None:
            if not 0 <= limit <= 0xFFFFFFFFFFFFFFFF:
                raise refused_number("Discover.limit", limit, 0, 0xFFFFFFFFFFFFFFFF)
            out += (b"\x10", ONE_BYTE[limit] if limit < 128 else encode_varint(limit))
        cookie = self.cookie
        if cookie is not None:
            size = len(cookie)
            if size > 4096:
                raise refused_size("Discover.cookie", size, 4096)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), cookie)
        encoded = b"".join(out)
        if len(encoded) > 8256:
            raise refused_size("Discover", len(encoded), 8256)
        return encoded


_DISCOVER_RESPONSE_FIELDS = {
    10: ("DiscoverResponse.registrations", 12352),
    18: ("DiscoverResponse.cookie", 4096),
    34: ("DiscoverResponse.status_text", 4096),
}


class DiscoverResponse(Record):
    """Registrations, and the cookie to ask for later ones."""

    __slots__ = ("registrations", "cookie", "status", "status_text")

    MAX_BYTES = 1048576

    def __init__(
        self,
        registrations: list[Register] | None = None,
        cookie: bytes | None = None,
        status: int | None = None,
        status_text: str | None = None,
    ) -> None:
        self.registrations = [] if registrations is None else registrations
        self.cookie = cookie
        self.status = status
        self.status_text = status_text

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1048576:
            raise too_long("DiscoverResponse", offset, end - offset, 1048576)
        registrations: list[Register] = []
        cookie: bytes | None = None
        status: int | None = None
        status_text: str | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "DiscoverResponse")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "DiscoverResponse")
                stop = offset + length
                if stop > end:
                    raise past_end(_DISCOVER_RESPONSE_FIELDS, tag, length, offset, "DiscoverResponse")
                if tag == 10:
                    if length > 12352:
                        raise too_long("DiscoverResponse.registrations", offset, length, 12352)
                    if len(registrations) >= 1000:
                        raise Malformed("DiscoverResponse.registrations", offset, "more than 1000")
                    try:
                        registrations.append(Register._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                elif tag == 18:
                    if length > 4096:
                        raise too_long("DiscoverResponse.cookie", offset, length, 4096)
                    cookie = data[offset:stop]
                elif tag == 34:
                    if length > 4096:
                        raise too_long("DiscoverResponse.status_text", offset, length, 4096)
                    try:
                        status_text = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("DiscoverResponse.status_text", offset, "not UTF-8") from None
                offset = stop
            elif tag == 24:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "DiscoverResponse.status")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                status = number
            else:
                offset = skip_field(data, tag, offset, end, "DiscoverResponse")
        return cls(registrations, cookie, status, status_text)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        if len(self.registrations) > 1000:
            raise refused_count("DiscoverResponse.registrations", len(self.registrations), 1000)
        for registrations_item in self.registrations:
            content = registrations_item.encode()
            size = len(content)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        cookie = self.cookie
        if cookie is not None:
            size = len(cookie)
            if size > 4096:
                raise refused_size("DiscoverResponse.cookie", size, 4096)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), cookie)
        status = self.status
        if status is not None:
            if not -2147483648 <= status <= 2147483647:
                raise refused_number("DiscoverResponse.status", status, -2147483648, 2147483647)
            out += (b"\x18", encode_varint(status & 0xFFFFFFFFFFFFFFFF))
        status_text = self.status_text
        if status_text is not None:
            content = encode_text(status_text, "DiscoverResponse.status_text")
            size = len(content)
            if size > 4096:
                raise refused_size("DiscoverResponse.status_text", size, 4096)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 1048576:
            raise refused_size("DiscoverResponse", len(encoded), 1048576)
        return encoded


_MESSAGE_FIELDS = {
    18: ("Message.register", 12352),
    26: ("Message.register_response", 4160),
    34: ("Message.unregister", 8256),
    42: ("Message.discover", 8256),
    50: ("Message.discover_response", 1048576),
}


class Message(Record):
    """One of them, as the type says."""

    __slots__ = ("type", "register", "register_response", "unregister", "discover", "discover_response")

    MAX_BYTES = 1048576

    def __init__(
        self,
        type: MessageType | None = None,
        register: Register | None = None,
        register_response: RegisterResponse | None = None,
        unregister: Unregister | None = None,
        discover: Discover | None = None,
        discover_response: DiscoverResponse | None = None,
    ) -> None:
        self.type = type
        self.register = register
        self.register_response = register_response
        self.unregister = unregister
        self.discover = discover
        self.discover_response = discover_response

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1048576:
            raise too_long("Message", offset, end - offset, 1048576)
        type: MessageType | None = None
        register_spans: list[tuple[int, int]] = []
        register_response_spans: list[tuple[int, int]] = []
        unregister_spans: list[tuple[int, int]] = []
        discover_spans: list[tuple[int, int]] = []
        discover_response_spans: list[tuple[int, int]] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Message")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Message")
                stop = offset + length
                if stop > end:
                    raise past_end(_MESSAGE_FIELDS, tag, length, offset, "Message")
                if tag == 18:
                    if length > 12352:
                        raise too_long("Message.register", offset, length, 12352)
                    register_spans.append((offset, stop))
                elif tag == 26:
                    if length > 4160:
                        raise too_long("Message.register_response", offset, length, 4160)
                    register_response_spans.append((offset, stop))
                elif tag == 34:
                    if length > 8256:
                        raise too_long("Message.unregister", offset, length, 8256)
                    unregister_spans.append((offset, stop))
                elif tag == 42:
                    if length > 8256:
                        raise too_long("Message.discover", offset, length, 8256)
                    discover_spans.append((offset, stop))
                elif tag == 50:
                    discover_response_spans.append((offset, stop))
                offset = stop
            elif tag == 8:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Message.type")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                if number not in _MESSAGE_TYPE:
                    raise Malformed("Message.type", start, f"{number} is no MessageType")
                type = _MESSAGE_TYPE[number]
            else:
                offset = skip_field(data, tag, offset, end, "Message")
        register: Register | None = None
        if register_spans:
            try:
                region = joined(data, register_spans, 12352, "Message.register")
                register = Register._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        register_response: RegisterResponse | None = None
        if register_response_spans:
            try:
                region = joined(data, register_response_spans, 4160, "Message.register_response")
                register_response = RegisterResponse._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        unregister: Unregister | None = None
        if unregister_spans:
            try:
                region = joined(data, unregister_spans, 8256, "Message.unregister")
                unregister = Unregister._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        discover: Discover | None = None
        if discover_spans:
            try:
                region = joined(data, discover_spans, 8256, "Message.discover")
                discover = Discover._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        discover_response: DiscoverResponse | None = None
        if discover_response_spans:
            try:
                region = joined(data, discover_response_spans, 1048576, "Message.discover_response")
                discover_response = DiscoverResponse._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(type, register, register_response, unregister, discover, discover_response)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        type = self.type
        if type is not None:
            if type not in _MESSAGE_TYPE:
                raise refused("Message.type", f"{type} is no MessageType")
            out += (b"\x08", ONE_BYTE[type] if type < 128 else encode_varint(type))
        register = self.register
        if register is not None:
            content = register.encode()
            size = len(content)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        register_response = self.register_response
        if register_response is not None:
            content = register_response.encode()
            size = len(content)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        unregister = self.unregister
        if unregister is not None:
            content = unregister.encode()
            size = len(content)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        discover = self.discover
        if discover is not None:
            content = discover.encode()
            size = len(content)
            out += (b"\x2a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        discover_response = self.discover_response
        if discover_response is not None:
            content = discover_response.encode()
            size = len(content)
            out += (b"\x32", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 1048576:
            raise refused_size("Message", len(encoded), 1048576)
        return encoded
