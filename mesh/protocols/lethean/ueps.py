"""UEPS packets with their HMAC, written and verified (section 13).

The common packet, as every builder writes it, is one struct and one comparison; all others take the loop, which reads any
order, repeats and unknown tags as Go does. Header entries too short for their value crash Go: here they are malformed.
There is no protection against replay.
"""

from __future__ import annotations

import hmac
import struct
from typing import Final

from mesh.codecs.ueps import (
    HMAC_BYTES,
    LAYER,
    MAX_ENTRIES,
    MAX_HEADER_BYTES,
    MAX_VALUE_BYTES,
    VERSION,
    Intent,
    Tag,
)
from mesh.errors import Malformed, Truncated, UsageError

Buffer = bytes | bytearray | memoryview

_COMMON: Final = struct.Struct(">3sB3sB3sB3sB3sH3s32sBH")
_COMMON_BYTES: Final = _COMMON.size
_SIGNED_BYTES: Final = 21
_V: Final = b"\x01\x00\x01"
_C: Final = b"\x02\x00\x01"
_T: Final = b"\x03\x00\x01"
_I: Final = b"\x04\x00\x01"
_S: Final = b"\x05\x00\x02"
_H: Final = b"\x06\x00\x20"
_PAYLOAD: Final = int(Tag.PAYLOAD)
_MISMATCH: Final = "integrity violation: HMAC mismatch (ThreatScore +100)"
_SHORTEST: Final = {int(Tag.VERSION): 1, int(Tag.CURRENT_LAYER): 1, int(Tag.TARGET_LAYER): 1} | {
    int(Tag.INTENT): 1,
    int(Tag.THREAT_SCORE): 2,
}


class Packet:
    """What a verified packet says. `unknown` holds the entries of other tags, which were signed too."""

    __slots__ = ("current_layer", "intent", "payload", "target_layer", "threat_score", "unknown", "version")

    def __init__(
        self,
        intent: int,
        payload: bytes,
        threat_score: int = 0,
        version: int = VERSION,
        current_layer: int = LAYER,
        target_layer: int = LAYER,
        unknown: tuple[tuple[int, bytes], ...] = (),
    ) -> None:
        self.intent = intent
        self.payload = payload
        self.threat_score = threat_score
        self.version = version
        self.current_layer = current_layer
        self.target_layer = target_layer
        self.unknown = unknown

    def __repr__(self) -> str:
        return (
            f"Packet(intent={self.intent:#04x}, threat_score={self.threat_score}, version={self.version}, "
            f"layers={self.current_layer}>{self.target_layer}, {len(self.payload)} bytes)"
        )


def build_packet(
    secret: bytes,
    intent: int,
    payload: bytes = b"",
    *,
    threat_score: int = 0,
    version: int = VERSION,
    current_layer: int = LAYER,
    target_layer: int = LAYER,
) -> bytes:
    """A packet of 59 bytes more than its payload. Raises UsageError for numbers that do not fit."""
    if len(payload) > MAX_VALUE_BYTES:
        raise UsageError("TLV value too large for 2-byte length header")
    try:
        head = _COMMON.pack(
            _V,
            version,
            _C,
            current_layer,
            _T,
            target_layer,
            _I,
            intent,
            _S,
            threat_score,
            _H,
            b"",
            _PAYLOAD,
            0,
        )[:_SIGNED_BYTES]
    except struct.error:
        raise UsageError(
            "version, layers and intent have 8 bits, the threat score 16: "
            f"{version}, {current_layer}, {target_layer}, {intent}, {threat_score}"
        ) from None
    tag = hmac.digest(secret, head + payload, "sha256")
    return b"".join((head, _H, tag, b"\xff", len(payload).to_bytes(2, "big"), payload))


def read_packet(data: Buffer, secret: bytes, offset: int = 0) -> tuple[Packet, int]:
    """The packet that starts at `offset`, verified: (packet, offset after it).

    Raises Truncated when the packet goes on behind the input, Malformed for one that is none or was changed.
    """
    if len(data) - offset >= _COMMON_BYTES:
        v, version, c, current, t, target, i, intent, s, threat, h, tag, last, size = _COMMON.unpack_from(
            data, offset
        )
        if (
            last == _PAYLOAD
            and v == _V
            and c == _C
            and t == _T
            and i == _I
            and s == _S
            and h == _H
            and offset + _COMMON_BYTES + size <= len(data)
        ):
            start = offset + _COMMON_BYTES
            payload = bytes(data[start : start + size])
            signed = bytes(data[offset : offset + _SIGNED_BYTES]) + payload
            if not hmac.compare_digest(hmac.digest(secret, signed, "sha256"), tag):
                raise Malformed("ueps", offset, _MISMATCH)
            return Packet(intent, payload, threat, version, current, target), start + size
    return _read_any(data, secret, offset)


def _read_any(data: Buffer, secret: bytes, offset: int) -> tuple[Packet, int]:
    start, found, signed, unknown = offset, dict.fromkeys(_SHORTEST, b""), bytearray(), []
    signature = b""
    for _ in range(MAX_ENTRIES):
        begin = offset
        tag, value, offset = _read_entry(data, offset)
        if tag == _PAYLOAD:
            break
        if offset - start > MAX_HEADER_BYTES:
            raise Malformed("ueps", start, f"more than {MAX_HEADER_BYTES} bytes before the payload")
        if tag == Tag.HMAC:
            signature = value
            continue
        if len(value) < _SHORTEST.get(tag, 0):
            raise Malformed(
                "ueps", begin, f"the entry {tag:#04x} has {len(value)} bytes, wants {_SHORTEST[tag]}"
            )
        signed += data[begin:offset]
        if tag in found:
            found[tag] = value
        else:
            unknown.append((tag, value))
    else:
        raise Malformed("ueps", start, f"more than {MAX_ENTRIES} entries")
    if not signature:
        raise Malformed("ueps", start, "UEPS packet missing HMAC signature")
    if len(signature) != HMAC_BYTES or not hmac.compare_digest(
        hmac.digest(secret, bytes(signed + value), "sha256"), signature
    ):
        raise Malformed("ueps", start, _MISMATCH)
    first = {tag: int.from_bytes(found[tag][:size], "big") for tag, size in _SHORTEST.items()}
    packet = Packet(
        first[Tag.INTENT],
        value,
        first[Tag.THREAT_SCORE],
        first[Tag.VERSION],
        first[Tag.CURRENT_LAYER],
        first[Tag.TARGET_LAYER],
        tuple(unknown),
    )
    return packet, offset


def _read_entry(data: Buffer, offset: int) -> tuple[int, bytes, int]:
    end = len(data)
    if end - offset < 3:
        raise Truncated("ueps", offset, "EOF" if end - offset in (0, 1) else "unexpected EOF")
    size = data[offset + 1] << 8 | data[offset + 2]
    start, stop = offset + 3, offset + 3 + size
    if stop > end:
        raise Truncated("ueps", offset, "EOF" if start == end else "unexpected EOF")
    return data[offset], bytes(data[start:stop]), stop


__all__ = ["Intent", "Packet", "Tag", "build_packet", "read_packet"]
