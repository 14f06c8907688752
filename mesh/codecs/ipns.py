# GENERATED from protocol_specs/ipns.py by tools.spec_compiler; do not edit.
# Schema c7e7bb9faa140b59
"""IPNS records.

Specification: ipfs/specs src/ipns/ipns-record.md.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    encode_varint,
    past_end,
    read_tag,
    read_varint,
    refused,
    refused_number,
    refused_size,
    skip_field,
    too_long,
)
from mesh.errors import Malformed


class ValidityType(IntEnum):
    """What the validity says; EOL is the only one there is."""

    EOL = 0


_VALIDITY_TYPE = {int(member): member for member in ValidityType}

_IPNS_RECORD_FIELDS = {
    10: ("IpnsRecord.value", 10240),
    18: ("IpnsRecord.signature_v1", 1024),
    34: ("IpnsRecord.validity", 10240),
    58: ("IpnsRecord.pub_key", 2112),
    66: ("IpnsRecord.signature_v2", 1024),
    74: ("IpnsRecord.data", 10240),
}


class IpnsRecord(Record):
    """What a name points to, and until when. Fields 1 to 6 repeat the data for old readers.

    value: a content path

    signature_v1: over value, validity and validity type; never verified any more

    validity: RFC 3339 text

    ttl: nanoseconds a resolved value may be cached for

    pub_key: a PublicKey message, when the name holds none

    signature_v2: over the prefix and the data

    data: fields 1 and 3 to 6 as DAG-CBOR: what counts
    """

    __slots__ = (
        "value",
        "signature_v1",
        "validity_type",
        "validity",
        "sequence",
        "ttl",
        "pub_key",
        "signature_v2",
        "data",
    )

    MAX_BYTES = 10240

    def __init__(
        self,
        value: bytes | None = None,
        signature_v1: bytes | None = None,
        validity_type: ValidityType | None = None,
        validity: bytes | None = None,
        sequence: int | None = None,
        ttl: int | None = None,
        pub_key: bytes | None = None,
        signature_v2: bytes | None = None,
        data: bytes | None = None,
    ) -> None:
        self.value = value
        self.signature_v1 = signature_v1
        self.validity_type = validity_type
        self.validity = validity
        self.sequence = sequence
        self.ttl = ttl
        self.pub_key = pub_key
        self.signature_v2 = signature_v2
        self.data = data

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 10240:
            raise too_long("IpnsRecord", offset, end - offset, 10240)
        value_: bytes | None = None
        signature_v1: bytes | None = None
        validity_type: ValidityType | None = None
        validity: bytes | None = None
        sequence: int | None = None
        ttl: int | None = None
        pub_key: bytes | None = None
        signature_v2: bytes | None = None
        data_: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "IpnsRecord")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "IpnsRecord")
                stop = offset + length
                if stop > end:
                    raise past_end(_IPNS_RECORD_FIELDS, tag, length, offset, "IpnsRecord")
                if tag == 10:
                    value_ = data[offset:stop]
                elif tag == 18:
                    if length > 1024:
                        raise too_long("IpnsRecord.signature_v1", offset, length, 1024)
                    signature_v1 = data[offset:stop]
                elif tag == 34:
                    validity = data[offset:stop]
                elif tag == 58:
                    if length > 2112:
                        raise too_long("IpnsRecord.pub_key", offset, length, 2112)
                    pub_key = data[offset:stop]
                elif tag == 66:
                    if length > 1024:
                        raise too_long("IpnsRecord.signature_v2", offset, length, 1024)
                    signature_v2 = data[offset:stop]
                elif tag == 74:
                    data_ = data[offset:stop]
                offset = stop
            elif tag == 24:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "IpnsRecord.validity_type")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                if number not in _VALIDITY_TYPE:
                    raise Malformed("IpnsRecord.validity_type", start, f"{number} is no ValidityType")
                validity_type = _VALIDITY_TYPE[number]
            elif tag == 40:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "IpnsRecord.sequence")
                sequence = number
            elif tag == 48:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "IpnsRecord.ttl")
                ttl = number
            else:
                offset = skip_field(data, tag, offset, end, "IpnsRecord")
        return cls(value_, signature_v1, validity_type, validity, sequence, ttl, pub_key, signature_v2, data_)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        value = self.value
        if value is not None:
            size = len(value)
            if size > 10240:
                raise refused_size("IpnsRecord.value", size, 10240)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), value)
        signature_v1 = self.signature_v1
        if signature_v1 is not None:
            size = len(signature_v1)
            if size > 1024:
                raise refused_size("IpnsRecord.signature_v1", size, 1024)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), signature_v1)
        validity_type = self.validity_type
        if validity_type is not None:
            if validity_type not in _VALIDITY_TYPE:
                raise refused("IpnsRecord.validity_type", f"{validity_type} is no ValidityType")
            out += (b"\x18", ONE_BYTE[validity_type] if validity_type < 128 else encode_varint(validity_type))
        validity = self.validity
        if validity is not None:
            size = len(validity)
            if size > 10240:
                raise refused_size("IpnsRecord.validity", size, 10240)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), validity)
        sequence = self.sequence
        if sequence is not None:
            if not 0 <= sequence <= 0xFFFFFFFFFFFFFFFF:
                raise refused_number("IpnsRecord.sequence", sequence, 0, 0xFFFFFFFFFFFFFFFF)
            out += (b"\x28", ONE_BYTE[sequence] if sequence < 128 else encode_varint(sequence))
        ttl = self.ttl
        if ttl is not None:
            if not 0 <= ttl <= 0xFFFFFFFFFFFFFFFF:
                raise refused_number("IpnsRecord.ttl", ttl, 0, 0xFFFFFFFFFFFFFFFF)
            out += (b"\x30", ONE_BYTE[ttl] if ttl < 128 else encode_varint(ttl))
        pub_key = self.pub_key
        if pub_key is not None:
            size = len(pub_key)
            if size > 2112:
                raise refused_size("IpnsRecord.pub_key", size, 2112)
            out += (b"\x3a", ONE_BYTE[size] if size < 128 else encode_varint(size), pub_key)
        signature_v2 = self.signature_v2
        if signature_v2 is not None:
            size = len(signature_v2)
            if size > 1024:
                raise refused_size("IpnsRecord.signature_v2", size, 1024)
            out += (b"\x42", ONE_BYTE[size] if size < 128 else encode_varint(size), signature_v2)
        data = self.data
        if data is not None:
            size = len(data)
            if size > 10240:
                raise refused_size("IpnsRecord.data", size, 10240)
            out += (b"\x4a", ONE_BYTE[size] if size < 128 else encode_varint(size), data)
        encoded = b"".join(out)
        if len(encoded) > 10240:
            raise refused_size("IpnsRecord", len(encoded), 10240)
        return encoded
