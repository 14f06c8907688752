# GENERATED from protocol_specs/envelope.py by tools.spec_compiler; do not edit.
# Schema 7c98ce0081683803
"""Signed envelopes.

Specification: libp2p/specs RFC/0002-signed-envelopes.md.
"""

from __future__ import annotations

from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    encode_varint,
    past_end,
    read_tag,
    read_varint,
    refused_size,
    skip_field,
    too_long,
)

_ENVELOPE_FIELDS = {
    10: ("Envelope.public_key", 2112),
    18: ("Envelope.payload_type", 256),
    26: ("Envelope.payload", 61440),
    42: ("Envelope.signature", 1024),
}


class Envelope(Record):
    """A payload signed by a key: over domain, payload type and payload, each after its length.

    public_key: a PublicKey message, as received
    """

    __slots__ = ("public_key", "payload_type", "payload", "signature")

    MAX_BYTES = 65536

    def __init__(
        self,
        public_key: bytes = b"",
        payload_type: bytes = b"",
        payload: bytes = b"",
        signature: bytes = b"",
    ) -> None:
        self.public_key = public_key
        self.payload_type = payload_type
        self.payload = payload
        self.signature = signature

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 65536:
            raise too_long("Envelope", offset, end - offset, 65536)
        public_key: bytes = b""
        payload_type: bytes = b""
        payload: bytes = b""
        signature: bytes = b""
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Envelope")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Envelope")
                stop = offset + length
                if stop > end:
                    raise past_end(_ENVELOPE_FIELDS, tag, length, offset, "Envelope")
                if tag == 10:
                    if length > 2112:
                        raise too_long("Envelope.public_key", offset, length, 2112)
                    public_key = data[offset:stop]
                elif tag == 18:
                    if length > 256:
                        raise too_long("Envelope.payload_type", offset, length, 256)
                    payload_type = data[offset:stop]
                elif tag == 26:
                    if length > 61440:
                        raise too_long("Envelope.payload", offset, length, 61440)
                    payload = data[offset:stop]
                elif tag == 42:
                    if length > 1024:
                        raise too_long("Envelope.signature", offset, length, 1024)
                    signature = data[offset:stop]
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Envelope")
        return cls(public_key, payload_type, payload, signature)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        public_key = self.public_key
        if public_key:
            size = len(public_key)
            if size > 2112:
                raise refused_size("Envelope.public_key", size, 2112)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), public_key)
        payload_type = self.payload_type
        if payload_type:
            size = len(payload_type)
            if size > 256:
                raise refused_size("Envelope.payload_type", size, 256)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), payload_type)
        payload = self.payload
        if payload:
            size = len(payload)
            if size > 61440:
                raise refused_size("Envelope.payload", size, 61440)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), payload)
        signature = self.signature
        if signature:
            size = len(signature)
            if size > 1024:
                raise refused_size("Envelope.signature", size, 1024)
            out += (b"\x2a", ONE_BYTE[size] if size < 128 else encode_varint(size), signature)
        encoded = b"".join(out)
        if len(encoded) > 65536:
            raise refused_size("Envelope", len(encoded), 65536)
        return encoded
