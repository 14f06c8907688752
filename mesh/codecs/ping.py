# GENERATED from protocol_specs/ping.py by tools.spec_compiler; do not edit.
# Schema 622d0c095c5f4d7b
"""The ping payload, echoed as it is.

Specification: libp2p/specs ping/ping.md.
"""

from __future__ import annotations

from mesh.codecs.wire import Buffer, refused
from mesh.errors import Truncated

PING_BYTES = 32


def encode_ping(payload: bytes) -> bytes:
    """The bytes of one ping; raises UsageError when a limit is broken."""
    out: list[bytes] = []
    if len(payload) != 32:
        raise refused("ping", f"{len(payload)} bytes, wants 32")
    out.append(payload)
    return b"".join(out)


def decode_ping(data: Buffer, offset: int = 0) -> tuple[bytes, int]:
    """One ping at `offset` and the offset after it; Truncated if more bytes could help."""
    end = len(data)
    value: bytes
    if end - offset < 32:
        raise Truncated("ping", offset)
    value = bytes(data[offset : offset + 32])
    offset += 32
    return value, offset
