# GENERATED from protocol_specs/noise.py by tools.spec_compiler; do not edit.
# Schema 5a4d55e64645d713
"""The Noise handshake payload and the frames of the channel.

Specification: libp2p/specs noise/README.md.
"""

from __future__ import annotations

import struct
from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Buffer,
    Record,
    crossing,
    encode_text,
    encode_varint,
    joined,
    past_end,
    put_run,
    read_tag,
    read_varint,
    refused_count,
    refused_size,
    skip_field,
    take_run,
    too_long,
)
from mesh.errors import Malformed, Truncated

MAX_MESSAGE_BYTES = 65535
MAX_PLAINTEXT_BYTES = 65519
TAG_BYTES = 16
LENGTH = struct.Struct(">H")

_NOISE_EXTENSIONS_FIELDS = {
    10: ("NoiseExtensions.webtransport_certhashes", 256),
    18: ("NoiseExtensions.stream_muxers", 1024),
}


class NoiseExtensions(Record):
    """What both sides offer inside the handshake."""

    __slots__ = ("webtransport_certhashes", "stream_muxers")

    MAX_BYTES = 65535

    def __init__(
        self,
        webtransport_certhashes: list[bytes] | None = None,
        stream_muxers: list[str] | None = None,
    ) -> None:
        self.webtransport_certhashes = [] if webtransport_certhashes is None else webtransport_certhashes
        self.stream_muxers = [] if stream_muxers is None else stream_muxers

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 65535:
            raise too_long("NoiseExtensions", offset, end - offset, 65535)
        webtransport_certhashes: list[bytes] = []
        stream_muxers: list[str] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "NoiseExtensions")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "NoiseExtensions")
                stop = offset + length
                if stop > end:
                    raise past_end(_NOISE_EXTENSIONS_FIELDS, tag, length, offset, "NoiseExtensions")
                if tag == 10:
                    if length > 256:
                        raise too_long("NoiseExtensions.webtransport_certhashes", offset, length, 256)
                    if len(webtransport_certhashes) >= 1024:
                        raise Malformed("NoiseExtensions.webtransport_certhashes", offset, "more than 1024")
                    webtransport_certhashes.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 10 and data[stop + 1] == first:
                        stop = take_run(webtransport_certhashes, data, stop, end, 10, length, 1024)
                elif tag == 18:
                    if length > 1024:
                        raise too_long("NoiseExtensions.stream_muxers", offset, length, 1024)
                    if len(stream_muxers) >= 1024:
                        raise Malformed("NoiseExtensions.stream_muxers", offset, "more than 1024")
                    try:
                        stream_muxers.append(data[offset:stop].decode())
                    except UnicodeDecodeError:
                        raise Malformed("NoiseExtensions.stream_muxers", offset, "not UTF-8") from None
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "NoiseExtensions")
        return cls(webtransport_certhashes, stream_muxers)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        if len(self.webtransport_certhashes) > 1024:
            raise refused_count(
                "NoiseExtensions.webtransport_certhashes", len(self.webtransport_certhashes), 1024,
            )
        put_run(out, b"\x0a", self.webtransport_certhashes, 256, "NoiseExtensions.webtransport_certhashes")
        if len(self.stream_muxers) > 1024:
            raise refused_count("NoiseExtensions.stream_muxers", len(self.stream_muxers), 1024)
        for text in self.stream_muxers:
            content = encode_text(text, "NoiseExtensions.stream_muxers")
            size = len(content)
            if size > 1024:
                raise refused_size("NoiseExtensions.stream_muxers", size, 1024)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 65535:
            raise refused_size("NoiseExtensions", len(encoded), 65535)
        return encoded


_HANDSHAKE_PAYLOAD_FIELDS = {
    10: ("HandshakePayload.identity_key", 2112),
    18: ("HandshakePayload.identity_sig", 1024),
    34: ("HandshakePayload.extensions", 65535),
}


class HandshakePayload(Record):
    """The payload of the second and the third handshake message.

    identity_key: a PublicKey message
    """

    __slots__ = ("identity_key", "identity_sig", "extensions")

    MAX_BYTES = 65535

    def __init__(
        self,
        identity_key: bytes | None = None,
        identity_sig: bytes | None = None,
        extensions: NoiseExtensions | None = None,
    ) -> None:
        self.identity_key = identity_key
        self.identity_sig = identity_sig
        self.extensions = extensions

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 65535:
            raise too_long("HandshakePayload", offset, end - offset, 65535)
        identity_key: bytes | None = None
        identity_sig: bytes | None = None
        extensions_spans: list[tuple[int, int]] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "HandshakePayload")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "HandshakePayload")
                stop = offset + length
                if stop > end:
                    raise past_end(_HANDSHAKE_PAYLOAD_FIELDS, tag, length, offset, "HandshakePayload")
                if tag == 10:
                    if length > 2112:
                        raise too_long("HandshakePayload.identity_key", offset, length, 2112)
                    identity_key = data[offset:stop]
                elif tag == 18:
                    if length > 1024:
                        raise too_long("HandshakePayload.identity_sig", offset, length, 1024)
                    identity_sig = data[offset:stop]
                elif tag == 34:
                    extensions_spans.append((offset, stop))
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "HandshakePayload")
        extensions: NoiseExtensions | None = None
        if extensions_spans:
            try:
                region = joined(data, extensions_spans, 65535, "HandshakePayload.extensions")
                extensions = NoiseExtensions._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(identity_key, identity_sig, extensions)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        identity_key = self.identity_key
        if identity_key is not None:
            size = len(identity_key)
            if size > 2112:
                raise refused_size("HandshakePayload.identity_key", size, 2112)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), identity_key)
        identity_sig = self.identity_sig
        if identity_sig is not None:
            size = len(identity_sig)
            if size > 1024:
                raise refused_size("HandshakePayload.identity_sig", size, 1024)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), identity_sig)
        extensions = self.extensions
        if extensions is not None:
            content = extensions.encode()
            size = len(content)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 65535:
            raise refused_size("HandshakePayload", len(encoded), 65535)
        return encoded


MAX_FRAME_BYTES = 65535


def encode_frame(payload: bytes) -> bytes:
    """The bytes of one frame; raises UsageError when a limit is broken."""
    out: list[bytes] = []
    region = payload
    if len(region) > 65535:
        raise refused_size("frame", len(region), 65535)
    out += (LENGTH.pack(len(region)), region)
    return b"".join(out)


def decode_frame(data: Buffer, offset: int = 0) -> tuple[bytes, int]:
    """One frame at `offset` and the offset after it; Truncated if more bytes could help."""
    end = len(data)
    value: bytes
    if end - offset < 2:
        raise Truncated("frame", offset)
    (size,) = LENGTH.unpack_from(data, offset)
    offset += 2
    stop = offset + size
    if stop > end:
        raise Truncated("frame", offset)
    value = bytes(data[offset:stop])
    offset = stop
    return value, offset
