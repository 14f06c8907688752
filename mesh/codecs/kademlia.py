# GENERATED from protocol_specs/kademlia.py by tools.spec_compiler; do not edit.
# Schema 9928ab20d0ef9f5d
"""Kademlia messages.

Specification: libp2p/specs kad-dht/README.md.
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
    past_end,
    put_run,
    read_tag,
    read_varint,
    refused,
    refused_count,
    refused_number,
    refused_size,
    skip_field,
    take_run,
    too_long,
)
from mesh.errors import Malformed, Truncated

MAX_KEY_BYTES = 1024


class MessageType(IntEnum):
    """What a message asks for; an answer bears the type of its request. Other numbers end the stream."""

    PUT_VALUE = 0
    GET_VALUE = 1
    ADD_PROVIDER = 2
    GET_PROVIDERS = 3
    FIND_NODE = 4
    PING = 5


_MESSAGE_TYPE = {int(member): member for member in MessageType}


class ConnectionType(IntEnum):
    """How the sender says it is connected to a peer. Only a hint: other numbers are kept."""

    NOT_CONNECTED = 0
    CONNECTED = 1
    CAN_CONNECT = 2
    CANNOT_CONNECT = 3


_VALUE_RECORD_FIELDS = {
    10: ("ValueRecord.key", 1024),
    18: ("ValueRecord.value", 4194304),
    42: ("ValueRecord.time_received", 128),
}


class ValueRecord(Record):
    """A value under its key (the specification's Record).

    time_received: RFC 3339 text that the storing peer sets
    """

    __slots__ = ("key", "value", "time_received")

    MAX_BYTES = 4194304

    def __init__(self, key: bytes = b"", value: bytes = b"", time_received: str = "") -> None:
        self.key = key
        self.value = value
        self.time_received = time_received

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4194304:
            raise too_long("ValueRecord", offset, end - offset, 4194304)
        key: bytes = b""
        value_: bytes = b""
        time_received: str = ""
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "ValueRecord")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "ValueRecord")
                stop = offset + length
                if stop > end:
                    raise past_end(_VALUE_RECORD_FIELDS, tag, length, offset, "ValueRecord")
                if tag == 10:
                    if length > 1024:
                        raise too_long("ValueRecord.key", offset, length, 1024)
                    key = data[offset:stop]
                elif tag == 18:
                    value_ = data[offset:stop]
                elif tag == 42:
                    if length > 128:
                        raise too_long("ValueRecord.time_received", offset, length, 128)
                    try:
                        time_received = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("ValueRecord.time_received", offset, "not UTF-8") from None
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "ValueRecord")
        return cls(key, value_, time_received)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        key = self.key
        if key:
            size = len(key)
            if size > 1024:
                raise refused_size("ValueRecord.key", size, 1024)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), key)
        value = self.value
        if value:
            size = len(value)
            if size > 4194304:
                raise refused_size("ValueRecord.value", size, 4194304)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), value)
        time_received = self.time_received
        if time_received:
            content = encode_text(time_received, "ValueRecord.time_received")
            size = len(content)
            if size > 128:
                raise refused_size("ValueRecord.time_received", size, 128)
            out += (b"\x2a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 4194304:
            raise refused_size("ValueRecord", len(encoded), 4194304)
        return encoded


_PEER_FIELDS = {
    10: ("Peer.id", 4194304),
    18: ("Peer.addrs", 4194304),
}


class Peer(Record):
    """A peer and its multiaddrs, which stay bytes: one that does not parse must not spoil the others.

    id: the multihash of a peer id
    """

    __slots__ = ("id", "addrs", "connection")

    MAX_BYTES = 4194304

    def __init__(self, id: bytes = b"", addrs: list[bytes] | None = None, connection: int = 0) -> None:
        self.id = id
        self.addrs = [] if addrs is None else addrs
        self.connection = connection

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4194304:
            raise too_long("Peer", offset, end - offset, 4194304)
        id: bytes = b""
        addrs: list[bytes] = []
        connection: int = 0
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Peer")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Peer")
                stop = offset + length
                if stop > end:
                    raise past_end(_PEER_FIELDS, tag, length, offset, "Peer")
                if tag == 10:
                    id = data[offset:stop]
                elif tag == 18:
                    if len(addrs) >= 500:
                        raise Malformed("Peer.addrs", offset, "more than 500")
                    addrs.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 18 and data[stop + 1] == first:
                        stop = take_run(addrs, data, stop, end, 18, length, 500)
                offset = stop
            elif tag == 24:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Peer.connection")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                connection = number
            else:
                offset = skip_field(data, tag, offset, end, "Peer")
        return cls(id, addrs, connection)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        id = self.id
        if id:
            size = len(id)
            if size > 4194304:
                raise refused_size("Peer.id", size, 4194304)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), id)
        if len(self.addrs) > 500:
            raise refused_count("Peer.addrs", len(self.addrs), 500)
        put_run(out, b"\x12", self.addrs, 4194304, "Peer.addrs")
        connection = self.connection
        if connection:
            if not -2147483648 <= connection <= 2147483647:
                raise refused_number("Peer.connection", connection, -2147483648, 2147483647)
            out += (b"\x18", encode_varint(connection & 0xFFFFFFFFFFFFFFFF))
        encoded = b"".join(out)
        if len(encoded) > 4194304:
            raise refused_size("Peer", len(encoded), 4194304)
        return encoded


_MESSAGE_FIELDS = {
    18: ("Message.key", 1024),
    26: ("Message.record", 4194304),
    66: ("Message.closer_peers", 4194304),
    74: ("Message.provider_peers", 4194304),
}


class Message(Record):
    """A request or its answer.

    type: PUT_VALUE is 0 and so absent on the wire

    cluster_level_raw: go writes 1 in every message; unused since
    """

    __slots__ = ("type", "key", "record", "closer_peers", "provider_peers", "cluster_level_raw")

    MAX_BYTES = 4194304

    def __init__(
        self,
        type: MessageType = MessageType(0),
        key: bytes = b"",
        record: ValueRecord | None = None,
        closer_peers: list[Peer] | None = None,
        provider_peers: list[Peer] | None = None,
        cluster_level_raw: int = 0,
    ) -> None:
        self.type = type
        self.key = key
        self.record = record
        self.closer_peers = [] if closer_peers is None else closer_peers
        self.provider_peers = [] if provider_peers is None else provider_peers
        self.cluster_level_raw = cluster_level_raw

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4194304:
            raise too_long("Message", offset, end - offset, 4194304)
        type: MessageType = _MESSAGE_TYPE[0]
        key: bytes = b""
        record_spans: list[tuple[int, int]] = []
        closer_peers: list[Peer] = []
        provider_peers: list[Peer] = []
        cluster_level_raw: int = 0
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
                    if length > 1024:
                        raise too_long("Message.key", offset, length, 1024)
                    key = data[offset:stop]
                elif tag == 26:
                    record_spans.append((offset, stop))
                elif tag == 66:
                    if len(closer_peers) >= 64:
                        raise Malformed("Message.closer_peers", offset, "more than 64")
                    try:
                        closer_peers.append(Peer._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                elif tag == 74:
                    if len(provider_peers) >= 1024:
                        raise Malformed("Message.provider_peers", offset, "more than 1024")
                    try:
                        provider_peers.append(Peer._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
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
            elif tag == 80:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Message.cluster_level_raw")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                cluster_level_raw = number
            else:
                offset = skip_field(data, tag, offset, end, "Message")
        record: ValueRecord | None = None
        if record_spans:
            try:
                region = joined(data, record_spans, 4194304, "Message.record")
                record = ValueRecord._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(type, key, record, closer_peers, provider_peers, cluster_level_raw)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        type = self.type
        if type:
            if type not in _MESSAGE_TYPE:
                raise refused("Message.type", f"{type} is no MessageType")
            out += (b"\x08", ONE_BYTE[type] if type < 128 else encode_varint(type))
        key = self.key
        if key:
            size = len(key)
            if size > 1024:
                raise refused_size("Message.key", size, 1024)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), key)
        record = self.record
        if record is not None:
            content = record.encode()
            size = len(content)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.closer_peers) > 64:
            raise refused_count("Message.closer_peers", len(self.closer_peers), 64)
        for closer_peers_item in self.closer_peers:
            content = closer_peers_item.encode()
            size = len(content)
            out += (b"\x42", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.provider_peers) > 1024:
            raise refused_count("Message.provider_peers", len(self.provider_peers), 1024)
        for provider_peers_item in self.provider_peers:
            content = provider_peers_item.encode()
            size = len(content)
            out += (b"\x4a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        cluster_level_raw = self.cluster_level_raw
        if cluster_level_raw:
            if not -2147483648 <= cluster_level_raw <= 2147483647:
                raise refused_number("Message.cluster_level_raw", cluster_level_raw, -2147483648, 2147483647)
            out += (b"\x50", encode_varint(cluster_level_raw & 0xFFFFFFFFFFFFFFFF))
        encoded = b"".join(out)
        if len(encoded) > 4194304:
            raise refused_size("Message", len(encoded), 4194304)
        return encoded


_ANSWER_FIELDS = {
    18: ("Answer.key", 1024),
    26: ("Answer.record", 4194304),
    66: ("Answer.closer_peers", 4194304),
    74: ("Answer.provider_peers", 4194304),
}


class Answer(Record):
    """A Message whose closer peers stay encoded: the same ones come over and over, and need reading once.

    closer_peers: each a Peer, encoded
    """

    __slots__ = ("type", "key", "record", "closer_peers", "provider_peers")

    MAX_BYTES = 4194304

    def __init__(
        self,
        type: MessageType = MessageType(0),
        key: bytes = b"",
        record: ValueRecord | None = None,
        closer_peers: list[bytes] | None = None,
        provider_peers: list[Peer] | None = None,
    ) -> None:
        self.type = type
        self.key = key
        self.record = record
        self.closer_peers = [] if closer_peers is None else closer_peers
        self.provider_peers = [] if provider_peers is None else provider_peers

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4194304:
            raise too_long("Answer", offset, end - offset, 4194304)
        type: MessageType = _MESSAGE_TYPE[0]
        key: bytes = b""
        record_spans: list[tuple[int, int]] = []
        closer_peers: list[bytes] = []
        provider_peers: list[Peer] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Answer")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Answer")
                stop = offset + length
                if stop > end:
                    raise past_end(_ANSWER_FIELDS, tag, length, offset, "Answer")
                if tag == 18:
                    if length > 1024:
                        raise too_long("Answer.key", offset, length, 1024)
                    key = data[offset:stop]
                elif tag == 26:
                    record_spans.append((offset, stop))
                elif tag == 66:
                    if len(closer_peers) >= 64:
                        raise Malformed("Answer.closer_peers", offset, "more than 64")
                    closer_peers.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 66 and data[stop + 1] == first:
                        stop = take_run(closer_peers, data, stop, end, 66, length, 64)
                elif tag == 74:
                    if len(provider_peers) >= 1024:
                        raise Malformed("Answer.provider_peers", offset, "more than 1024")
                    try:
                        provider_peers.append(Peer._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                offset = stop
            elif tag == 8:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Answer.type")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                if number not in _MESSAGE_TYPE:
                    raise Malformed("Answer.type", start, f"{number} is no MessageType")
                type = _MESSAGE_TYPE[number]
            else:
                offset = skip_field(data, tag, offset, end, "Answer")
        record: ValueRecord | None = None
        if record_spans:
            try:
                region = joined(data, record_spans, 4194304, "Answer.record")
                record = ValueRecord._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(type, key, record, closer_peers, provider_peers)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        type = self.type
        if type:
            if type not in _MESSAGE_TYPE:
                raise refused("Answer.type", f"{type} is no MessageType")
            out += (b"\x08", ONE_BYTE[type] if type < 128 else encode_varint(type))
        key = self.key
        if key:
            size = len(key)
            if size > 1024:
                raise refused_size("Answer.key", size, 1024)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), key)
        record = self.record
        if record is not None:
            content = record.encode()
            size = len(content)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.closer_peers) > 64:
            raise refused_count("Answer.closer_peers", len(self.closer_peers), 64)
        put_run(out, b"\x42", self.closer_peers, 4194304, "Answer.closer_peers")
        if len(self.provider_peers) > 1024:
            raise refused_count("Answer.provider_peers", len(self.provider_peers), 1024)
        for provider_peers_item in self.provider_peers:
            content = provider_peers_item.encode()
            size = len(content)
            out += (b"\x4a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 4194304:
            raise refused_size("Answer", len(encoded), 4194304)
        return encoded
