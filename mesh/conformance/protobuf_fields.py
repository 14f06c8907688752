"""Protobuf fields with any number in any place, where a codec of ours would refuse to write them."""

from __future__ import annotations

from mesh.codecs.wire import encode_varint

UNKNOWN_FIELDS = b"\xf8\x7f\x07" + b"\xf2\x7f\x05hello"
"""Field 2047 as a number, field 2046 as bytes: what no message of libp2p has."""

NOT_PROTOBUF = b"\x0a\xff\xff\xff\xff\xff"
"""A field whose length never ends."""

MAX_U64 = 2**64 - 1


def bytes_field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return encode_varint(number << 3 | 2) + encode_varint(len(content)) + content


def number_field(number: int, value: int) -> bytes:
    """A field of an unsigned number."""
    return encode_varint(number << 3) + encode_varint(value)
