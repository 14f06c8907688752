# GENERATED from protocol_specs/openclaw.py by tools.spec_compiler; do not edit.
# Schema 2788255c5e472a25
"""The frame of the stock agent protocols: JSON behind its length.

Specification: bsv-p2p daemon specification, section 5.
"""

from __future__ import annotations

from mesh.codecs.wire import Buffer, encode_varint, read_uvarint, refused_size
from mesh.errors import Truncated

MAX_MESSAGE_BYTES = 1048576

MAX_FRAME_BYTES = 4194304


def encode_frame(payload: bytes) -> bytes:
    """The bytes of one frame; raises UsageError when a limit is broken."""
    out: list[bytes] = []
    region = payload
    if len(region) > 4194304:
        raise refused_size("frame", len(region), 4194304)
    out += (encode_varint(len(region)), region)
    return b"".join(out)


def decode_frame(data: Buffer, offset: int = 0) -> tuple[bytes, int]:
    """One frame at `offset` and the offset after it; Truncated if more bytes could help."""
    end = len(data)
    value: bytes
    if offset < end and (octet := data[offset]) <= 127:
        size = octet
        offset += 1
    else:
        size, offset = read_uvarint(data, offset, end, 0, 4194304, "frame")
    stop = offset + size
    if stop > end:
        raise Truncated("frame", offset)
    value = bytes(data[offset:stop])
    offset = stop
    return value, offset
