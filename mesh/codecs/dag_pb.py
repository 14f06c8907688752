# GENERATED from protocol_specs/dag_pb.py by tools.spec_compiler; do not edit.
# Schema c3f53bb5da9b5d0a
"""Nodes of the Merkle DAG.

Specification: ipld/specs codecs/dag-pb.
"""

from __future__ import annotations

from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    crossing,
    encode_text,
    encode_varint,
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

MAX_BLOCK_BYTES = 2097152
MAX_CID_BYTES = 168
MAX_NAME_BYTES = 4096
MAX_LINKS = 32768

_P_B_LINK_FIELDS = {
    10: ("PBLink.hash", 168),
    18: ("PBLink.name", 4096),
}


class PBLink(Record):
    """A link to another node.

    hash: a binary CID

    tsize: bytes of all blocks below, as the writer believes
    """

    __slots__ = ("hash", "name", "tsize")

    MAX_BYTES = 4296

    def __init__(self, hash: bytes, name: str | None = None, tsize: int | None = None) -> None:
        self.hash = hash
        self.name = name
        self.tsize = tsize

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4296:
            raise too_long("PBLink", offset, end - offset, 4296)
        hash: bytes | None = None
        name: str | None = None
        tsize: int | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "PBLink")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "PBLink")
                stop = offset + length
                if stop > end:
                    raise past_end(_P_B_LINK_FIELDS, tag, length, offset, "PBLink")
                if tag == 10:
                    if length > 168:
                        raise too_long("PBLink.hash", offset, length, 168)
                    hash = data[offset:stop]
                elif tag == 18:
                    if length > 4096:
                        raise too_long("PBLink.name", offset, length, 4096)
                    try:
                        name = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("PBLink.name", offset, "not UTF-8") from None
                offset = stop
            elif tag == 24:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "PBLink.tsize")
                tsize = number
            else:
                offset = skip_field(data, tag, offset, end, "PBLink")
        if hash is None:
            raise Malformed("PBLink.hash", end, "a required field is missing")
        return cls(hash, name, tsize)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        hash = self.hash
        size = len(hash)
        if size > 168:
            raise refused_size("PBLink.hash", size, 168)
        out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), hash)
        name = self.name
        if name is not None:
            content = encode_text(name, "PBLink.name")
            size = len(content)
            if size > 4096:
                raise refused_size("PBLink.name", size, 4096)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        tsize = self.tsize
        if tsize is not None:
            if not 0 <= tsize <= 0xFFFFFFFFFFFFFFFF:
                raise refused_number("PBLink.tsize", tsize, 0, 0xFFFFFFFFFFFFFFFF)
            out += (b"\x18", ONE_BYTE[tsize] if tsize < 128 else encode_varint(tsize))
        encoded = b"".join(out)
        if len(encoded) > 4296:
            raise refused_size("PBLink", len(encoded), 4296)
        return encoded


_P_B_NODE_FIELDS = {
    10: ("PBNode.data", 2097152),
    18: ("PBNode.links", 4296),
}


class PBNode(Record):
    """A node: data and links."""

    __slots__ = ("data", "links")

    MAX_BYTES = 2097152

    def __init__(self, data: bytes | None = None, links: list[PBLink] | None = None) -> None:
        self.data = data
        self.links = [] if links is None else links

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 2097152:
            raise too_long("PBNode", offset, end - offset, 2097152)
        data_: bytes | None = None
        links: list[PBLink] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "PBNode")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "PBNode")
                stop = offset + length
                if stop > end:
                    raise past_end(_P_B_NODE_FIELDS, tag, length, offset, "PBNode")
                if tag == 10:
                    data_ = data[offset:stop]
                elif tag == 18:
                    if length > 4296:
                        raise too_long("PBNode.links", offset, length, 4296)
                    if len(links) >= 32768:
                        raise Malformed("PBNode.links", offset, "more than 32768")
                    try:
                        links.append(PBLink._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "PBNode")
        return cls(data_, links)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        data = self.data
        if data is not None:
            size = len(data)
            if size > 2097152:
                raise refused_size("PBNode.data", size, 2097152)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), data)
        if len(self.links) > 32768:
            raise refused_count("PBNode.links", len(self.links), 32768)
        for links_item in self.links:
            content = links_item.encode()
            size = len(content)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 2097152:
            raise refused_size("PBNode", len(encoded), 2097152)
        return encoded
