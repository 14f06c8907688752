# GENERATED from protocol_specs/keys.py by tools.spec_compiler; do not edit.
# Schema 3100ddf89be22145
"""Public and private keys as protobufs.

Specification: libp2p/specs peer-ids/peer-ids.md.
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
    refused_size,
    skip_field,
    too_long,
)
from mesh.errors import Malformed


class KeyType(IntEnum):
    """The kinds of keys; others are refused."""

    RSA = 0
    ED25519 = 1
    SECP256K1 = 2
    ECDSA = 3


_KEY_TYPE = {int(member): member for member in KeyType}

_PUBLIC_KEY_FIELDS = {
    18: ("PublicKey.data", 2048),
}


class PublicKey(Record):
    """A public key. `data` is 32 raw bytes for Ed25519, a point of 33 for secp256k1, DER otherwise."""

    __slots__ = ("type", "data")

    MAX_BYTES = 2112

    def __init__(self, type: KeyType, data: bytes) -> None:
        self.type = type
        self.data = data

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 2112:
            raise too_long("PublicKey", offset, end - offset, 2112)
        type: KeyType | None = None
        data_: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "PublicKey")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "PublicKey")
                stop = offset + length
                if stop > end:
                    raise past_end(_PUBLIC_KEY_FIELDS, tag, length, offset, "PublicKey")
                if tag == 18:
                    if length > 2048:
                        raise too_long("PublicKey.data", offset, length, 2048)
                    data_ = data[offset:stop]
                offset = stop
            elif tag == 8:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "PublicKey.type")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                if number not in _KEY_TYPE:
                    raise Malformed("PublicKey.type", start, f"{number} is no KeyType")
                type = _KEY_TYPE[number]
            else:
                offset = skip_field(data, tag, offset, end, "PublicKey")
        if type is None:
            raise Malformed("PublicKey.type", end, "a required field is missing")
        if data_ is None:
            raise Malformed("PublicKey.data", end, "a required field is missing")
        return cls(type, data_)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        type = self.type
        if type not in _KEY_TYPE:
            raise refused("PublicKey.type", f"{type} is no KeyType")
        out += (b"\x08", ONE_BYTE[type] if type < 128 else encode_varint(type))
        data = self.data
        size = len(data)
        if size > 2048:
            raise refused_size("PublicKey.data", size, 2048)
        out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), data)
        encoded = b"".join(out)
        if len(encoded) > 2112:
            raise refused_size("PublicKey", len(encoded), 2112)
        return encoded


_PRIVATE_KEY_FIELDS = {
    18: ("PrivateKey.data", 8192),
}


class PrivateKey(Record):
    """A private key. `data` is seed and public key for Ed25519, a scalar for secp256k1, else DER."""

    __slots__ = ("type", "data")

    MAX_BYTES = 8256

    def __init__(self, type: KeyType, data: bytes) -> None:
        self.type = type
        self.data = data

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 8256:
            raise too_long("PrivateKey", offset, end - offset, 8256)
        type: KeyType | None = None
        data_: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "PrivateKey")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "PrivateKey")
                stop = offset + length
                if stop > end:
                    raise past_end(_PRIVATE_KEY_FIELDS, tag, length, offset, "PrivateKey")
                if tag == 18:
                    if length > 8192:
                        raise too_long("PrivateKey.data", offset, length, 8192)
                    data_ = data[offset:stop]
                offset = stop
            elif tag == 8:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "PrivateKey.type")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                if number not in _KEY_TYPE:
                    raise Malformed("PrivateKey.type", start, f"{number} is no KeyType")
                type = _KEY_TYPE[number]
            else:
                offset = skip_field(data, tag, offset, end, "PrivateKey")
        if type is None:
            raise Malformed("PrivateKey.type", end, "a required field is missing")
        if data_ is None:
            raise Malformed("PrivateKey.data", end, "a required field is missing")
        return cls(type, data_)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        type = self.type
        if type not in _KEY_TYPE:
            raise refused("PrivateKey.type", f"{type} is no KeyType")
        out += (b"\x08", ONE_BYTE[type] if type < 128 else encode_varint(type))
        data = self.data
        size = len(data)
        if size > 8192:
            raise refused_size("PrivateKey.data", size, 8192)
        out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), data)
        encoded = b"".join(out)
        if len(encoded) > 8256:
            raise refused_size("PrivateKey", len(encoded), 8256)
        return encoded
