# GENERATED from protocol_specs/crdt.py by tools.spec_compiler; do not edit.
# Schema c52a4b0a2db15075
"""Broadcasts and deltas of the Merkle-CRDT.

Specification: ipfs/go-ds-crdt v0.6.8 pb/.
"""

from __future__ import annotations

from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    crossing,
    encode_text,
    encode_varint,
    outside,
    past_end,
    read_tag,
    read_varint,
    refused_count,
    refused_number,
    refused_size,
    skip_field,
    too_long,
)
from mesh.errors import Malformed, Truncated

MAX_BROADCAST_BYTES = 1048576
MAX_HEADS = 16384
MAX_ELEMENTS = 65536
MAX_KEY_BYTES = 4096

_HEAD_FIELDS = {
    10: ("Head.cid", 168),
    18: ("Head.dag_name", 1024),
}


class Head(Record):
    """A head of the sender.

    dag_name: newer versions only
    """

    __slots__ = ("cid", "dag_name")

    MAX_BYTES = 1256

    def __init__(self, cid: bytes = b"", dag_name: str = "") -> None:
        self.cid = cid
        self.dag_name = dag_name

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1256:
            raise too_long("Head", offset, end - offset, 1256)
        cid: bytes = b""
        dag_name: str = ""
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Head")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Head")
                stop = offset + length
                if stop > end:
                    raise past_end(_HEAD_FIELDS, tag, length, offset, "Head")
                if tag == 10:
                    if length > 168:
                        raise too_long("Head.cid", offset, length, 168)
                    cid = data[offset:stop]
                elif tag == 18:
                    if length > 1024:
                        raise too_long("Head.dag_name", offset, length, 1024)
                    try:
                        dag_name = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Head.dag_name", offset, "not UTF-8") from None
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Head")
        return cls(cid, dag_name)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        cid = self.cid
        if cid:
            size = len(cid)
            if size > 168:
                raise refused_size("Head.cid", size, 168)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), cid)
        dag_name = self.dag_name
        if dag_name:
            content = encode_text(dag_name, "Head.dag_name")
            size = len(content)
            if size > 1024:
                raise refused_size("Head.dag_name", size, 1024)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 1256:
            raise refused_size("Head", len(encoded), 1256)
        return encoded


_BROADCAST_FIELDS = {
    10: ("Broadcast.heads", 1256),
}


class Broadcast(Record):
    """A pubsub message: heads that the receiver may lack."""

    __slots__ = ("heads",)

    MAX_BYTES = 1048576

    def __init__(self, heads: list[Head] | None = None) -> None:
        self.heads = [] if heads is None else heads

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1048576:
            raise too_long("Broadcast", offset, end - offset, 1048576)
        heads: list[Head] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Broadcast")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Broadcast")
                stop = offset + length
                if stop > end:
                    raise past_end(_BROADCAST_FIELDS, tag, length, offset, "Broadcast")
                if tag == 10:
                    if length > 1256:
                        raise too_long("Broadcast.heads", offset, length, 1256)
                    if len(heads) >= 16384:
                        raise Malformed("Broadcast.heads", offset, "more than 16384")
                    try:
                        heads.append(Head._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Broadcast")
        return cls(heads)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        if len(self.heads) > 16384:
            raise refused_count("Broadcast.heads", len(self.heads), 16384)
        for heads_item in self.heads:
            content = heads_item.encode()
            size = len(content)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 1048576:
            raise refused_size("Broadcast", len(encoded), 1048576)
        return encoded


_ELEMENT_FIELDS = {
    10: ("Element.key", 4096),
    18: ("Element.id", 320),
    26: ("Element.value", 2097152),
}


class Element(Record):
    """One addition, or one tombstone.

    key: with its leading slash

    id: of a tombstone: `/` and the base32 multihash of the block that added the value; else empty
    """

    __slots__ = ("key", "id", "value")

    MAX_BYTES = 2097152

    def __init__(self, key: str = "", id: str = "", value: bytes = b"") -> None:
        self.key = key
        self.id = id
        self.value = value

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 2097152:
            raise too_long("Element", offset, end - offset, 2097152)
        key: str = ""
        id: str = ""
        value_: bytes = b""
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Element")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Element")
                stop = offset + length
                if stop > end:
                    raise past_end(_ELEMENT_FIELDS, tag, length, offset, "Element")
                if tag == 10:
                    if length > 4096:
                        raise too_long("Element.key", offset, length, 4096)
                    try:
                        key = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Element.key", offset, "not UTF-8") from None
                elif tag == 18:
                    if length > 320:
                        raise too_long("Element.id", offset, length, 320)
                    try:
                        id = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Element.id", offset, "not UTF-8") from None
                elif tag == 26:
                    value_ = data[offset:stop]
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Element")
        return cls(key, id, value_)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        key = self.key
        if key:
            content = encode_text(key, "Element.key")
            size = len(content)
            if size > 4096:
                raise refused_size("Element.key", size, 4096)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        id = self.id
        if id:
            content = encode_text(id, "Element.id")
            size = len(content)
            if size > 320:
                raise refused_size("Element.id", size, 320)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        value = self.value
        if value:
            size = len(value)
            if size > 2097152:
                raise refused_size("Element.value", size, 2097152)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), value)
        encoded = b"".join(out)
        if len(encoded) > 2097152:
            raise refused_size("Element", len(encoded), 2097152)
        return encoded


_DELTA_FIELDS = {
    10: ("Delta.elements", 2097152),
    18: ("Delta.tombstones", 2097152),
    34: ("Delta.dag_name", 1024),
}


class Delta(Record):
    """What one node of the DAG changes: its data.

    priority: height in the DAG: one more than the highest node linked to

    dag_name: newer versions only
    """

    __slots__ = ("elements", "tombstones", "priority", "dag_name")

    MAX_BYTES = 2097152

    def __init__(
        self,
        elements: list[Element] | None = None,
        tombstones: list[Element] | None = None,
        priority: int = 0,
        dag_name: str = "",
    ) -> None:
        self.elements = [] if elements is None else elements
        self.tombstones = [] if tombstones is None else tombstones
        self.priority = priority
        self.dag_name = dag_name

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 2097152:
            raise too_long("Delta", offset, end - offset, 2097152)
        elements: list[Element] = []
        tombstones: list[Element] = []
        priority: int = 0
        dag_name: str = ""
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Delta")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Delta")
                stop = offset + length
                if stop > end:
                    raise past_end(_DELTA_FIELDS, tag, length, offset, "Delta")
                if tag == 10:
                    if len(elements) >= 65536:
                        raise Malformed("Delta.elements", offset, "more than 65536")
                    try:
                        elements.append(Element._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                elif tag == 18:
                    if len(tombstones) >= 65536:
                        raise Malformed("Delta.tombstones", offset, "more than 65536")
                    try:
                        tombstones.append(Element._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                elif tag == 34:
                    if length > 1024:
                        raise too_long("Delta.dag_name", offset, length, 1024)
                    try:
                        dag_name = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Delta.dag_name", offset, "not UTF-8") from None
                offset = stop
            elif tag == 24:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Delta.priority")
                if not 0 <= number <= 0x7FFFFFFFFFFFFFFF:
                    raise outside("Delta.priority", start, number, 0, 0x7FFFFFFFFFFFFFFF)
                priority = number
            else:
                offset = skip_field(data, tag, offset, end, "Delta")
        return cls(elements, tombstones, priority, dag_name)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        if len(self.elements) > 65536:
            raise refused_count("Delta.elements", len(self.elements), 65536)
        for elements_item in self.elements:
            content = elements_item.encode()
            size = len(content)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.tombstones) > 65536:
            raise refused_count("Delta.tombstones", len(self.tombstones), 65536)
        for tombstones_item in self.tombstones:
            content = tombstones_item.encode()
            size = len(content)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        priority = self.priority
        if priority:
            if not 0 <= priority <= 0x7FFFFFFFFFFFFFFF:
                raise refused_number("Delta.priority", priority, 0, 0x7FFFFFFFFFFFFFFF)
            out += (b"\x18", ONE_BYTE[priority] if priority < 128 else encode_varint(priority))
        dag_name = self.dag_name
        if dag_name:
            content = encode_text(dag_name, "Delta.dag_name")
            size = len(content)
            if size > 1024:
                raise refused_size("Delta.dag_name", size, 1024)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 2097152:
            raise refused_size("Delta", len(encoded), 2097152)
        return encoded
