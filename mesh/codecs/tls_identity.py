# GENERATED from protocol_specs/tls_identity.py by tools.spec_compiler; do not edit.
# Schema 421aa2eb8cd197d9
"""The certificate extension that binds a TLS certificate to a peer's key.

Specification: libp2p/specs tls/tls.md.
"""

from __future__ import annotations

from typing import Self

from mesh.codecs.wire import Buffer, Record, crossing, encode_der_length, read_der_length, refused_size
from mesh.errors import Malformed, Truncated


class SignedKey(Record):
    """The peer's PublicKey message, and its signature over the key of the certificate."""

    __slots__ = ("public_key", "signature")

    MAX_BYTES = 3154

    def __init__(self, public_key: bytes, signature: bytes) -> None:
        self.public_key = public_key
        self.signature = signature

    @classmethod
    def decode_prefix(cls, data: Buffer, offset: int = 0) -> tuple[Self, int]:
        """Read one record that starts at `offset`; return it with the offset after it."""
        if not isinstance(data, bytes):
            data = bytes(data)
        return cls._read_part(data, offset, len(data))

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        value, stop = cls._read_part(data, offset, end)
        if stop != end:
            raise Malformed("SignedKey", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        public_key: bytes
        if end - offset < 1:
            raise Truncated("SignedKey.public_key", offset)
        if data[offset : offset + 1] != b"\x04":
            raise Malformed("SignedKey.public_key", offset, "the constant 04 is not there")
        offset += 1
        size, offset = read_der_length(data, offset, end, 0, 2112, "SignedKey.public_key")
        stop = offset + size
        if stop > end:
            raise Truncated("SignedKey.public_key", offset)
        public_key = bytes(data[offset:stop])
        offset = stop
        signature: bytes
        if end - offset < 1:
            raise Truncated("SignedKey.signature", offset)
        if data[offset : offset + 1] != b"\x04":
            raise Malformed("SignedKey.signature", offset, "the constant 04 is not there")
        offset += 1
        size, offset = read_der_length(data, offset, end, 0, 1024, "SignedKey.signature")
        stop = offset + size
        if stop > end:
            raise Truncated("SignedKey.signature", offset)
        signature = bytes(data[offset:stop])
        offset = stop
        return cls(public_key, signature), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        region = self.public_key
        if len(region) > 2112:
            raise refused_size("SignedKey.public_key", len(region), 2112)
        out.append(b"\x04")
        out += (encode_der_length(len(region)), region)
        region = self.signature
        if len(region) > 1024:
            raise refused_size("SignedKey.signature", len(region), 1024)
        out.append(b"\x04")
        out += (encode_der_length(len(region)), region)
        return b"".join(out)


MAX_EXTENSION_BYTES = 3144


def encode_extension(value: SignedKey) -> bytes:
    """The bytes of one extension; raises UsageError when a limit is broken."""
    out: list[bytes] = []
    region = value.encode()
    if len(region) > 3144:
        raise refused_size("extension", len(region), 3144)
    out.append(b"\x30")
    out += (encode_der_length(len(region)), region)
    return b"".join(out)


def decode_extension(data: Buffer, offset: int = 0) -> tuple[SignedKey, int]:
    """One extension at `offset` and the offset after it; Truncated if more bytes could help."""
    if not isinstance(data, bytes):
        data = bytes(data)
    end = len(data)
    value: SignedKey
    if end - offset < 1:
        raise Truncated("extension", offset)
    if data[offset : offset + 1] != b"\x30":
        raise Malformed("extension", offset, "the constant 30 is not there")
    offset += 1
    size, offset = read_der_length(data, offset, end, 0, 3144, "extension")
    stop = offset + size
    if stop > end:
        raise Truncated("extension", offset)
    try:
        value, offset = SignedKey._read_part(data, offset, stop)
    except Truncated as error:
        raise crossing(error) from None
    if offset != stop:
        raise Malformed("extension", offset, f"{stop - offset} bytes left over")
    return value, offset
