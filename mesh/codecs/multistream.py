# GENERATED from protocol_specs/multistream.py by tools.spec_compiler; do not edit.
# Schema 28a3b952a950ebd2
"""multistream-select tokens: a length that counts the newline, text, newline.

Specification: multiformats/multistream-select.
"""

from __future__ import annotations

from mesh.codecs.wire import Buffer, encode_text, encode_varint, read_uvarint, refused, refused_size
from mesh.errors import Malformed, Truncated

MAX_TOKEN_BYTES = 1024


def encode_token(text: str) -> bytes:
    """The bytes of one token; raises UsageError when a limit is broken."""
    out: list[bytes] = []
    region = encode_text(text, "token") + b"\x0a"
    if len(region) < 1:
        raise refused("token", f"{len(region)} bytes, at least 1")
    if len(region) > 1024:
        raise refused_size("token", len(region), 1024)
    out += (encode_varint(len(region)), region)
    return b"".join(out)


def decode_token(data: Buffer, offset: int = 0) -> tuple[str, int]:
    """One token at `offset` and the offset after it; Truncated if more bytes could help."""
    end = len(data)
    value: str
    if offset < end and 1 <= (octet := data[offset]) <= 127:
        size = octet
        offset += 1
    else:
        size, offset = read_uvarint(data, offset, end, 1, 1024, "token")
    stop = offset + size
    if stop > end:
        raise Truncated("token", offset)
    text_end = stop - 1
    if text_end < offset or data[text_end:stop] != b"\x0a":
        raise Malformed("token", offset, "does not end in 0a")
    try:
        value = str(data[offset:text_end], "utf-8")
    except UnicodeDecodeError:
        raise Malformed("token", offset, "not UTF-8") from None
    offset = stop
    return value, offset
