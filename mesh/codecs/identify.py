# GENERATED from protocol_specs/identify.py by tools.spec_compiler; do not edit.
# Schema 67f625ec247707e8
"""The identify message.

Specification: libp2p/specs identify/README.md.
"""

from __future__ import annotations

from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    encode_text,
    encode_varint,
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
from mesh.errors import Malformed

_IDENTIFY_FIELDS = {
    10: ("Identify.public_key", 8192),
    18: ("Identify.listen_addrs", 8192),
    26: ("Identify.protocols", 8192),
    34: ("Identify.observed_addr", 8192),
    42: ("Identify.protocol_version", 8192),
    50: ("Identify.agent_version", 8192),
    66: ("Identify.signed_peer_record", 8192),
}


class Identify(Record):
    """What a peer says of itself. Messages on one stream are merged: lists append, the rest replaces.

    public_key: a PublicKey message

    observed_addr: the multiaddr the sender sees the receiver at

    signed_peer_record: an Envelope around a PeerRecord
    """

    __slots__ = (
        "public_key",
        "listen_addrs",
        "protocols",
        "observed_addr",
        "protocol_version",
        "agent_version",
        "signed_peer_record",
    )

    MAX_BYTES = 8192

    def __init__(
        self,
        public_key: bytes | None = None,
        listen_addrs: list[bytes] | None = None,
        protocols: list[str] | None = None,
        observed_addr: bytes | None = None,
        protocol_version: str | None = None,
        agent_version: str | None = None,
        signed_peer_record: bytes | None = None,
    ) -> None:
        self.public_key = public_key
        self.listen_addrs = [] if listen_addrs is None else listen_addrs
        self.protocols = [] if protocols is None else protocols
        self.observed_addr = observed_addr
        self.protocol_version = protocol_version
        self.agent_version = agent_version
        self.signed_peer_record = signed_peer_record

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 8192:
            raise too_long("Identify", offset, end - offset, 8192)
        public_key: bytes | None = None
        listen_addrs: list[bytes] = []
        protocols: list[str] = []
        observed_addr: bytes | None = None
        protocol_version: str | None = None
        agent_version: str | None = None
        signed_peer_record: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Identify")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Identify")
                stop = offset + length
                if stop > end:
                    raise past_end(_IDENTIFY_FIELDS, tag, length, offset, "Identify")
                if tag == 10:
                    public_key = data[offset:stop]
                elif tag == 18:
                    if len(listen_addrs) >= 500:
                        raise Malformed("Identify.listen_addrs", offset, "more than 500")
                    listen_addrs.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 18 and data[stop + 1] == first:
                        stop = take_run(listen_addrs, data, stop, end, 18, length, 500)
                elif tag == 26:
                    if len(protocols) >= 1024:
                        raise Malformed("Identify.protocols", offset, "more than 1024")
                    try:
                        protocols.append(data[offset:stop].decode())
                    except UnicodeDecodeError:
                        raise Malformed("Identify.protocols", offset, "not UTF-8") from None
                elif tag == 34:
                    observed_addr = data[offset:stop]
                elif tag == 42:
                    try:
                        protocol_version = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Identify.protocol_version", offset, "not UTF-8") from None
                elif tag == 50:
                    try:
                        agent_version = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Identify.agent_version", offset, "not UTF-8") from None
                elif tag == 66:
                    signed_peer_record = data[offset:stop]
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Identify")
        return cls(
            public_key,
            listen_addrs,
            protocols,
            observed_addr,
            protocol_version,
            agent_version,
            signed_peer_record,
        )

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        public_key = self.public_key
        if public_key is not None:
            size = len(public_key)
            if size > 8192:
                raise refused_size("Identify.public_key", size, 8192)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), public_key)
        if len(self.listen_addrs) > 500:
            raise refused_count("Identify.listen_addrs", len(self.listen_addrs), 500)
        put_run(out, b"\x12", self.listen_addrs, 8192, "Identify.listen_addrs")
        if len(self.protocols) > 1024:
            raise refused_count("Identify.protocols", len(self.protocols), 1024)
        for text in self.protocols:
            content = encode_text(text, "Identify.protocols")
            size = len(content)
            if size > 8192:
                raise refused_size("Identify.protocols", size, 8192)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        observed_addr = self.observed_addr
        if observed_addr is not None:
            size = len(observed_addr)
            if size > 8192:
                raise refused_size("Identify.observed_addr", size, 8192)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), observed_addr)
        protocol_version = self.protocol_version
        if protocol_version is not None:
            content = encode_text(protocol_version, "Identify.protocol_version")
            size = len(content)
            if size > 8192:
                raise refused_size("Identify.protocol_version", size, 8192)
            out += (b"\x2a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        agent_version = self.agent_version
        if agent_version is not None:
            content = encode_text(agent_version, "Identify.agent_version")
            size = len(content)
            if size > 8192:
                raise refused_size("Identify.agent_version", size, 8192)
            out += (b"\x32", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        signed_peer_record = self.signed_peer_record
        if signed_peer_record is not None:
            size = len(signed_peer_record)
            if size > 8192:
                raise refused_size("Identify.signed_peer_record", size, 8192)
            out += (b"\x42", ONE_BYTE[size] if size < 128 else encode_varint(size), signed_peer_record)
        encoded = b"".join(out)
        if len(encoded) > 8192:
            raise refused_size("Identify", len(encoded), 8192)
        return encoded
