# GENERATED from protocol_specs/beam.py by tools.spec_compiler; do not edit.
# Schema 2bb70a79fa01c94a
"""Beam's registry, gossip and tunnels: signed records, rumours, the opening of a tunnel.

Specification: this project: protocol_specs/beam.py.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    crossing,
    encode_text,
    encode_varint,
    joined,
    outside,
    past_end,
    put_run,
    read_tag,
    read_varint,
    refused_count,
    refused_number,
    refused_size,
    skip_field,
    take_run,
    too_long,
)
from mesh.errors import Malformed, Truncated

MAX_ID_BYTES = 255
MAX_ENDPOINTS = 16
MAX_METADATA_BYTES = 4096
MAX_RECORD_BYTES = 16384
MAX_TTL_S = 172800
MAX_PROVIDERS = 32
MAX_TRANSFERS = 8
MAX_GOSSIP_BYTES = 65536
MAX_RUMOURS = 64
MAX_IDS = 512
MAX_HOPS = 255
MAX_FRAME_BYTES = 196608
MAX_REASON_BYTES = 512
MAX_OPENING_BYTES = 319
MAX_ANSWER_BYTES = 576


class ServiceType(IntEnum):
    """What a service speaks; numbers that are not known count as OTHER."""

    OTHER = 0
    HTTP = 1
    TCP = 2
    UDP = 3
    WS = 4


class TunnelStatus(IntEnum):
    """OK: the service's own bytes follow. UNAVAILABLE: it does not take connections. Other numbers are refusals too."""

    OK = 0
    UNKNOWN_SERVICE = 1
    NOT_ALLOWED = 2
    UNAVAILABLE = 3
    BUSY = 4


_SERVICE_RECORD_FIELDS = {
    10: ("ServiceRecord.service_id", 255),
    26: ("ServiceRecord.peer_id", 128),
    34: ("ServiceRecord.endpoints", 512),
    42: ("ServiceRecord.metadata", 4096),
}


class ServiceRecord(Record):
    """A service of one provider.

    peer_id: the provider, who signs

    metadata: a JSON object

    seq: the greatest of a provider counts

    created_ms: milliseconds since 1970

    withdrawn: the provider offers it no more
    """

    __slots__ = (
        "service_id",
        "service_type",
        "peer_id",
        "endpoints",
        "metadata",
        "ttl_s",
        "seq",
        "created_ms",
        "withdrawn",
    )

    MAX_BYTES = 16384

    def __init__(
        self,
        *,
        service_id: str,
        service_type: int = 0,
        peer_id: bytes,
        endpoints: list[bytes] | None = None,
        metadata: bytes = b"",
        ttl_s: int,
        seq: int,
        created_ms: int,
        withdrawn: bool = False,
    ) -> None:
        self.service_id = service_id
        self.service_type = service_type
        self.peer_id = peer_id
        self.endpoints = [] if endpoints is None else endpoints
        self.metadata = metadata
        self.ttl_s = ttl_s
        self.seq = seq
        self.created_ms = created_ms
        self.withdrawn = withdrawn

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 16384:
            raise too_long("ServiceRecord", offset, end - offset, 16384)
        service_id: str | None = None
        service_type: int = 0
        peer_id: bytes | None = None
        endpoints: list[bytes] = []
        metadata: bytes = b""
        ttl_s: int | None = None
        seq: int | None = None
        created_ms: int | None = None
        withdrawn: bool = False
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "ServiceRecord")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "ServiceRecord")
                stop = offset + length
                if stop > end:
                    raise past_end(_SERVICE_RECORD_FIELDS, tag, length, offset, "ServiceRecord")
                if tag == 10:
                    if length > 255:
                        raise too_long("ServiceRecord.service_id", offset, length, 255)
                    try:
                        service_id = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("ServiceRecord.service_id", offset, "not UTF-8") from None
                elif tag == 26:
                    if length > 128:
                        raise too_long("ServiceRecord.peer_id", offset, length, 128)
                    peer_id = data[offset:stop]
                elif tag == 34:
                    if length > 512:
                        raise too_long("ServiceRecord.endpoints", offset, length, 512)
                    if len(endpoints) >= 16:
                        raise Malformed("ServiceRecord.endpoints", offset, "more than 16")
                    endpoints.append(data[offset:stop])
                elif tag == 42:
                    if length > 4096:
                        raise too_long("ServiceRecord.metadata", offset, length, 4096)
                    metadata = data[offset:stop]
                offset = stop
            elif tag == 16:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "ServiceRecord.service_type")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                service_type = number
            elif tag == 48:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "ServiceRecord.ttl_s")
                number &= 0xFFFFFFFF
                if not 1 <= number <= 172800:
                    raise outside("ServiceRecord.ttl_s", start, number, 1, 172800)
                ttl_s = number
            elif tag == 56:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "ServiceRecord.seq")
                if not 0 <= number <= 0x1FFFFFFFFFFFFF:
                    raise outside("ServiceRecord.seq", start, number, 0, 0x1FFFFFFFFFFFFF)
                seq = number
            elif tag == 64:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "ServiceRecord.created_ms")
                if not 0 <= number <= 0x1FFFFFFFFFFFFF:
                    raise outside("ServiceRecord.created_ms", start, number, 0, 0x1FFFFFFFFFFFFF)
                created_ms = number
            elif tag == 72:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "ServiceRecord.withdrawn")
                withdrawn = number != 0
            else:
                offset = skip_field(data, tag, offset, end, "ServiceRecord")
        if service_id is None:
            raise Malformed("ServiceRecord.service_id", end, "a required field is missing")
        if peer_id is None:
            raise Malformed("ServiceRecord.peer_id", end, "a required field is missing")
        if ttl_s is None:
            raise Malformed("ServiceRecord.ttl_s", end, "a required field is missing")
        if seq is None:
            raise Malformed("ServiceRecord.seq", end, "a required field is missing")
        if created_ms is None:
            raise Malformed("ServiceRecord.created_ms", end, "a required field is missing")
        return cls(
            service_id=service_id,
            service_type=service_type,
            peer_id=peer_id,
            endpoints=endpoints,
            metadata=metadata,
            ttl_s=ttl_s,
            seq=seq,
            created_ms=created_ms,
            withdrawn=withdrawn,
        )

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        service_id = self.service_id
        content = encode_text(service_id, "ServiceRecord.service_id")
        size = len(content)
        if size > 255:
            raise refused_size("ServiceRecord.service_id", size, 255)
        out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        service_type = self.service_type
        if service_type:
            if not -2147483648 <= service_type <= 2147483647:
                raise refused_number("ServiceRecord.service_type", service_type, -2147483648, 2147483647)
            out += (b"\x10", encode_varint(service_type & 0xFFFFFFFFFFFFFFFF))
        peer_id = self.peer_id
        size = len(peer_id)
        if size > 128:
            raise refused_size("ServiceRecord.peer_id", size, 128)
        out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), peer_id)
        if len(self.endpoints) > 16:
            raise refused_count("ServiceRecord.endpoints", len(self.endpoints), 16)
        put_run(out, b"\x22", self.endpoints, 512, "ServiceRecord.endpoints")
        metadata = self.metadata
        if metadata:
            size = len(metadata)
            if size > 4096:
                raise refused_size("ServiceRecord.metadata", size, 4096)
            out += (b"\x2a", ONE_BYTE[size] if size < 128 else encode_varint(size), metadata)
        ttl_s = self.ttl_s
        if not 1 <= ttl_s <= 172800:
            raise refused_number("ServiceRecord.ttl_s", ttl_s, 1, 172800)
        out += (b"\x30", ONE_BYTE[ttl_s] if ttl_s < 128 else encode_varint(ttl_s))
        seq = self.seq
        if not 0 <= seq <= 0x1FFFFFFFFFFFFF:
            raise refused_number("ServiceRecord.seq", seq, 0, 0x1FFFFFFFFFFFFF)
        out += (b"\x38", ONE_BYTE[seq] if seq < 128 else encode_varint(seq))
        created_ms = self.created_ms
        if not 0 <= created_ms <= 0x1FFFFFFFFFFFFF:
            raise refused_number("ServiceRecord.created_ms", created_ms, 0, 0x1FFFFFFFFFFFFF)
        out += (b"\x40", ONE_BYTE[created_ms] if created_ms < 128 else encode_varint(created_ms))
        withdrawn = self.withdrawn
        if withdrawn:
            out += (b"\x48", b"\x01" if withdrawn else b"\x00")
        encoded = b"".join(out)
        if len(encoded) > 16384:
            raise refused_size("ServiceRecord", len(encoded), 16384)
        return encoded


_NAME_TRANSFER_FIELDS = {
    10: ("NameTransfer.name", 255),
    18: ("NameTransfer.previous_owner", 128),
    26: ("NameTransfer.new_owner", 128),
}


class NameTransfer(Record):
    """The owner of a name gives it to somebody else.

    previous_owner: who signs

    version: of the last record before the transfer
    """

    __slots__ = ("name", "previous_owner", "new_owner", "at_ms", "version")

    MAX_BYTES = 1024

    def __init__(self, name: str, previous_owner: bytes, new_owner: bytes, at_ms: int, version: int) -> None:
        self.name = name
        self.previous_owner = previous_owner
        self.new_owner = new_owner
        self.at_ms = at_ms
        self.version = version

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1024:
            raise too_long("NameTransfer", offset, end - offset, 1024)
        name: str | None = None
        previous_owner: bytes | None = None
        new_owner: bytes | None = None
        at_ms: int | None = None
        version: int | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "NameTransfer")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "NameTransfer")
                stop = offset + length
                if stop > end:
                    raise past_end(_NAME_TRANSFER_FIELDS, tag, length, offset, "NameTransfer")
                if tag == 10:
                    if length > 255:
                        raise too_long("NameTransfer.name", offset, length, 255)
                    try:
                        name = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("NameTransfer.name", offset, "not UTF-8") from None
                elif tag == 18:
                    if length > 128:
                        raise too_long("NameTransfer.previous_owner", offset, length, 128)
                    previous_owner = data[offset:stop]
                elif tag == 26:
                    if length > 128:
                        raise too_long("NameTransfer.new_owner", offset, length, 128)
                    new_owner = data[offset:stop]
                offset = stop
            elif tag == 32:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "NameTransfer.at_ms")
                if not 0 <= number <= 0x1FFFFFFFFFFFFF:
                    raise outside("NameTransfer.at_ms", start, number, 0, 0x1FFFFFFFFFFFFF)
                at_ms = number
            elif tag == 40:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "NameTransfer.version")
                if not 0 <= number <= 0x1FFFFFFFFFFFFF:
                    raise outside("NameTransfer.version", start, number, 0, 0x1FFFFFFFFFFFFF)
                version = number
            else:
                offset = skip_field(data, tag, offset, end, "NameTransfer")
        if name is None:
            raise Malformed("NameTransfer.name", end, "a required field is missing")
        if previous_owner is None:
            raise Malformed("NameTransfer.previous_owner", end, "a required field is missing")
        if new_owner is None:
            raise Malformed("NameTransfer.new_owner", end, "a required field is missing")
        if at_ms is None:
            raise Malformed("NameTransfer.at_ms", end, "a required field is missing")
        if version is None:
            raise Malformed("NameTransfer.version", end, "a required field is missing")
        return cls(name, previous_owner, new_owner, at_ms, version)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        name = self.name
        content = encode_text(name, "NameTransfer.name")
        size = len(content)
        if size > 255:
            raise refused_size("NameTransfer.name", size, 255)
        out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        previous_owner = self.previous_owner
        size = len(previous_owner)
        if size > 128:
            raise refused_size("NameTransfer.previous_owner", size, 128)
        out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), previous_owner)
        new_owner = self.new_owner
        size = len(new_owner)
        if size > 128:
            raise refused_size("NameTransfer.new_owner", size, 128)
        out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), new_owner)
        at_ms = self.at_ms
        if not 0 <= at_ms <= 0x1FFFFFFFFFFFFF:
            raise refused_number("NameTransfer.at_ms", at_ms, 0, 0x1FFFFFFFFFFFFF)
        out += (b"\x20", ONE_BYTE[at_ms] if at_ms < 128 else encode_varint(at_ms))
        version = self.version
        if not 0 <= version <= 0x1FFFFFFFFFFFFF:
            raise refused_number("NameTransfer.version", version, 0, 0x1FFFFFFFFFFFFF)
        out += (b"\x28", ONE_BYTE[version] if version < 128 else encode_varint(version))
        encoded = b"".join(out)
        if len(encoded) > 1024:
            raise refused_size("NameTransfer", len(encoded), 1024)
        return encoded


_NAME_RECORD_FIELDS = {
    10: ("NameRecord.id", 16),
    18: ("NameRecord.name", 255),
    26: ("NameRecord.owner", 128),
    34: ("NameRecord.tunnel_id", 255),
    42: ("NameRecord.tunnel_protocol", 16),
    50: ("NameRecord.addresses", 512),
    90: ("NameRecord.description", 512),
    98: ("NameRecord.tags", 64),
    106: ("NameRecord.providers", 128),
    114: ("NameRecord.transfers", 1024),
}


class NameRecord(Record):
    """Whose a name is and what it leads to.

    id: a random UUID

    owner: peer id of who signs

    tunnel_id: the service it leads to

    addresses: the first is the address of choice

    version: the greatest of an owner counts

    providers: peers besides the owner that may serve the name

    transfers: each a NameTransfer in a signed envelope, the latest last

    revoked: the owner gives the name up
    """

    __slots__ = (
        "id",
        "name",
        "owner",
        "tunnel_id",
        "tunnel_protocol",
        "addresses",
        "created_ms",
        "updated_ms",
        "ttl_s",
        "version",
        "description",
        "tags",
        "providers",
        "transfers",
        "revoked",
    )

    MAX_BYTES = 16384

    def __init__(
        self,
        *,
        id: bytes,
        name: str,
        owner: bytes,
        tunnel_id: str = "",
        tunnel_protocol: str = "",
        addresses: list[bytes] | None = None,
        created_ms: int,
        updated_ms: int,
        ttl_s: int,
        version: int,
        description: str = "",
        tags: list[str] | None = None,
        providers: list[bytes] | None = None,
        transfers: list[bytes] | None = None,
        revoked: bool = False,
    ) -> None:
        self.id = id
        self.name = name
        self.owner = owner
        self.tunnel_id = tunnel_id
        self.tunnel_protocol = tunnel_protocol
        self.addresses = [] if addresses is None else addresses
        self.created_ms = created_ms
        self.updated_ms = updated_ms
        self.ttl_s = ttl_s
        self.version = version
        self.description = description
        self.tags = [] if tags is None else tags
        self.providers = [] if providers is None else providers
        self.transfers = [] if transfers is None else transfers
        self.revoked = revoked

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 16384:
            raise too_long("NameRecord", offset, end - offset, 16384)
        id: bytes | None = None
        name: str | None = None
        owner: bytes | None = None
        tunnel_id: str = ""
        tunnel_protocol: str = ""
        addresses: list[bytes] = []
        created_ms: int | None = None
        updated_ms: int | None = None
        ttl_s: int | None = None
        version: int | None = None
        description: str = ""
        tags: list[str] = []
        providers: list[bytes] = []
        transfers: list[bytes] = []
        revoked: bool = False
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "NameRecord")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "NameRecord")
                stop = offset + length
                if stop > end:
                    raise past_end(_NAME_RECORD_FIELDS, tag, length, offset, "NameRecord")
                if tag == 10:
                    if length > 16:
                        raise too_long("NameRecord.id", offset, length, 16)
                    id = data[offset:stop]
                elif tag == 18:
                    if length > 255:
                        raise too_long("NameRecord.name", offset, length, 255)
                    try:
                        name = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("NameRecord.name", offset, "not UTF-8") from None
                elif tag == 26:
                    if length > 128:
                        raise too_long("NameRecord.owner", offset, length, 128)
                    owner = data[offset:stop]
                elif tag == 34:
                    if length > 255:
                        raise too_long("NameRecord.tunnel_id", offset, length, 255)
                    try:
                        tunnel_id = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("NameRecord.tunnel_id", offset, "not UTF-8") from None
                elif tag == 42:
                    if length > 16:
                        raise too_long("NameRecord.tunnel_protocol", offset, length, 16)
                    try:
                        tunnel_protocol = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("NameRecord.tunnel_protocol", offset, "not UTF-8") from None
                elif tag == 50:
                    if length > 512:
                        raise too_long("NameRecord.addresses", offset, length, 512)
                    if len(addresses) >= 16:
                        raise Malformed("NameRecord.addresses", offset, "more than 16")
                    addresses.append(data[offset:stop])
                elif tag == 90:
                    if length > 512:
                        raise too_long("NameRecord.description", offset, length, 512)
                    try:
                        description = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("NameRecord.description", offset, "not UTF-8") from None
                elif tag == 98:
                    if length > 64:
                        raise too_long("NameRecord.tags", offset, length, 64)
                    if len(tags) >= 16:
                        raise Malformed("NameRecord.tags", offset, "more than 16")
                    try:
                        tags.append(data[offset:stop].decode())
                    except UnicodeDecodeError:
                        raise Malformed("NameRecord.tags", offset, "not UTF-8") from None
                elif tag == 106:
                    if length > 128:
                        raise too_long("NameRecord.providers", offset, length, 128)
                    if len(providers) >= 32:
                        raise Malformed("NameRecord.providers", offset, "more than 32")
                    providers.append(data[offset:stop])
                elif tag == 114:
                    if length > 1024:
                        raise too_long("NameRecord.transfers", offset, length, 1024)
                    if len(transfers) >= 8:
                        raise Malformed("NameRecord.transfers", offset, "more than 8")
                    transfers.append(data[offset:stop])
                offset = stop
            elif tag == 56:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "NameRecord.created_ms")
                if not 0 <= number <= 0x1FFFFFFFFFFFFF:
                    raise outside("NameRecord.created_ms", start, number, 0, 0x1FFFFFFFFFFFFF)
                created_ms = number
            elif tag == 64:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "NameRecord.updated_ms")
                if not 0 <= number <= 0x1FFFFFFFFFFFFF:
                    raise outside("NameRecord.updated_ms", start, number, 0, 0x1FFFFFFFFFFFFF)
                updated_ms = number
            elif tag == 72:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "NameRecord.ttl_s")
                number &= 0xFFFFFFFF
                if not 1 <= number <= 172800:
                    raise outside("NameRecord.ttl_s", start, number, 1, 172800)
                ttl_s = number
            elif tag == 80:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "NameRecord.version")
                if not 0 <= number <= 0x1FFFFFFFFFFFFF:
                    raise outside("NameRecord.version", start, number, 0, 0x1FFFFFFFFFFFFF)
                version = number
            elif tag == 120:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "NameRecord.revoked")
                revoked = number != 0
            else:
                offset = skip_field(data, tag, offset, end, "NameRecord")
        if id is None:
            raise Malformed("NameRecord.id", end, "a required field is missing")
        if name is None:
            raise Malformed("NameRecord.name", end, "a required field is missing")
        if owner is None:
            raise Malformed("NameRecord.owner", end, "a required field is missing")
        if created_ms is None:
            raise Malformed("NameRecord.created_ms", end, "a required field is missing")
        if updated_ms is None:
            raise Malformed("NameRecord.updated_ms", end, "a required field is missing")
        if ttl_s is None:
            raise Malformed("NameRecord.ttl_s", end, "a required field is missing")
        if version is None:
            raise Malformed("NameRecord.version", end, "a required field is missing")
        return cls(
            id=id,
            name=name,
            owner=owner,
            tunnel_id=tunnel_id,
            tunnel_protocol=tunnel_protocol,
            addresses=addresses,
            created_ms=created_ms,
            updated_ms=updated_ms,
            ttl_s=ttl_s,
            version=version,
            description=description,
            tags=tags,
            providers=providers,
            transfers=transfers,
            revoked=revoked,
        )

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        id = self.id
        size = len(id)
        if size > 16:
            raise refused_size("NameRecord.id", size, 16)
        out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), id)
        name = self.name
        content = encode_text(name, "NameRecord.name")
        size = len(content)
        if size > 255:
            raise refused_size("NameRecord.name", size, 255)
        out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        owner = self.owner
        size = len(owner)
        if size > 128:
            raise refused_size("NameRecord.owner", size, 128)
        out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), owner)
        tunnel_id = self.tunnel_id
        if tunnel_id:
            content = encode_text(tunnel_id, "NameRecord.tunnel_id")
            size = len(content)
            if size > 255:
                raise refused_size("NameRecord.tunnel_id", size, 255)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        tunnel_protocol = self.tunnel_protocol
        if tunnel_protocol:
            content = encode_text(tunnel_protocol, "NameRecord.tunnel_protocol")
            size = len(content)
            if size > 16:
                raise refused_size("NameRecord.tunnel_protocol", size, 16)
            out += (b"\x2a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.addresses) > 16:
            raise refused_count("NameRecord.addresses", len(self.addresses), 16)
        put_run(out, b"\x32", self.addresses, 512, "NameRecord.addresses")
        created_ms = self.created_ms
        if not 0 <= created_ms <= 0x1FFFFFFFFFFFFF:
            raise refused_number("NameRecord.created_ms", created_ms, 0, 0x1FFFFFFFFFFFFF)
        out += (b"\x38", ONE_BYTE[created_ms] if created_ms < 128 else encode_varint(created_ms))
        updated_ms = self.updated_ms
        if not 0 <= updated_ms <= 0x1FFFFFFFFFFFFF:
            raise refused_number("NameRecord.updated_ms", updated_ms, 0, 0x1FFFFFFFFFFFFF)
        out += (b"\x40", ONE_BYTE[updated_ms] if updated_ms < 128 else encode_varint(updated_ms))
        ttl_s = self.ttl_s
        if not 1 <= ttl_s <= 172800:
            raise refused_number("NameRecord.ttl_s", ttl_s, 1, 172800)
        out += (b"\x48", ONE_BYTE[ttl_s] if ttl_s < 128 else encode_varint(ttl_s))
        version = self.version
        if not 0 <= version <= 0x1FFFFFFFFFFFFF:
            raise refused_number("NameRecord.version", version, 0, 0x1FFFFFFFFFFFFF)
        out += (b"\x50", ONE_BYTE[version] if version < 128 else encode_varint(version))
        description = self.description
        if description:
            content = encode_text(description, "NameRecord.description")
            size = len(content)
            if size > 512:
                raise refused_size("NameRecord.description", size, 512)
            out += (b"\x5a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.tags) > 16:
            raise refused_count("NameRecord.tags", len(self.tags), 16)
        for text in self.tags:
            content = encode_text(text, "NameRecord.tags")
            size = len(content)
            if size > 64:
                raise refused_size("NameRecord.tags", size, 64)
            out += (b"\x62", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.providers) > 32:
            raise refused_count("NameRecord.providers", len(self.providers), 32)
        put_run(out, b"\x6a", self.providers, 128, "NameRecord.providers")
        if len(self.transfers) > 8:
            raise refused_count("NameRecord.transfers", len(self.transfers), 8)
        put_run(out, b"\x72", self.transfers, 1024, "NameRecord.transfers")
        revoked = self.revoked
        if revoked:
            out += (b"\x78", b"\x01" if revoked else b"\x00")
        encoded = b"".join(out)
        if len(encoded) > 16384:
            raise refused_size("NameRecord", len(encoded), 16384)
        return encoded


_RUMOUR_FIELDS = {
    18: ("Rumour.message", 65536),
}


class Rumour(Record):
    """The protobuf message Rumour.

    hops: that it may still make

    message: a signed envelope
    """

    __slots__ = ("hops", "message")

    MAX_BYTES = 65552

    def __init__(self, *, hops: int = 0, message: bytes) -> None:
        self.hops = hops
        self.message = message

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 65552:
            raise too_long("Rumour", offset, end - offset, 65552)
        hops: int = 0
        message: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Rumour")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Rumour")
                stop = offset + length
                if stop > end:
                    raise past_end(_RUMOUR_FIELDS, tag, length, offset, "Rumour")
                if tag == 18:
                    if length > 65536:
                        raise too_long("Rumour.message", offset, length, 65536)
                    message = data[offset:stop]
                offset = stop
            elif tag == 8:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Rumour.hops")
                number &= 0xFFFFFFFF
                if not 0 <= number <= 255:
                    raise outside("Rumour.hops", start, number, 0, 255)
                hops = number
            else:
                offset = skip_field(data, tag, offset, end, "Rumour")
        if message is None:
            raise Malformed("Rumour.message", end, "a required field is missing")
        return cls(hops=hops, message=message)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        hops = self.hops
        if hops:
            if not 0 <= hops <= 255:
                raise refused_number("Rumour.hops", hops, 0, 255)
            out += (b"\x08", ONE_BYTE[hops] if hops < 128 else encode_varint(hops))
        message = self.message
        size = len(message)
        if size > 65536:
            raise refused_size("Rumour.message", size, 65536)
        out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), message)
        encoded = b"".join(out)
        if len(encoded) > 65552:
            raise refused_size("Rumour", len(encoded), 65552)
        return encoded


_IDS_FIELDS = {
    10: ("Ids.ids", 32),
}


class Ids(Record):
    """SHA-256 digests of signed messages."""

    __slots__ = ("ids",)

    MAX_BYTES = 17408

    def __init__(self, ids: list[bytes] | None = None) -> None:
        self.ids = [] if ids is None else ids

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 17408:
            raise too_long("Ids", offset, end - offset, 17408)
        ids: list[bytes] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Ids")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Ids")
                stop = offset + length
                if stop > end:
                    raise past_end(_IDS_FIELDS, tag, length, offset, "Ids")
                if tag == 10:
                    if length > 32:
                        raise too_long("Ids.ids", offset, length, 32)
                    if len(ids) >= 512:
                        raise Malformed("Ids.ids", offset, "more than 512")
                    ids.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 10 and data[stop + 1] == first:
                        stop = take_run(ids, data, stop, end, 10, length, 512)
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Ids")
        return cls(ids)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        if len(self.ids) > 512:
            raise refused_count("Ids.ids", len(self.ids), 512)
        put_run(out, b"\x0a", self.ids, 32, "Ids.ids")
        encoded = b"".join(out)
        if len(encoded) > 17408:
            raise refused_size("Ids", len(encoded), 17408)
        return encoded


_GOSSIP_FRAME_FIELDS = {
    10: ("GossipFrame.rumours", 65552),
    18: ("GossipFrame.digest", 17408),
    26: ("GossipFrame.wanted", 17408),
    34: ("GossipFrame.offered", 17408),
}


class GossipFrame(Record):
    """One frame between neighbours.

    digest: what the sender heard lately

    wanted: what the sender asks for

    offered: with an answer to a digest: what that left out
    """

    __slots__ = ("rumours", "digest", "wanted", "offered")

    MAX_BYTES = 196608

    def __init__(
        self,
        rumours: list[Rumour] | None = None,
        digest: Ids | None = None,
        wanted: Ids | None = None,
        offered: Ids | None = None,
    ) -> None:
        self.rumours = [] if rumours is None else rumours
        self.digest = digest
        self.wanted = wanted
        self.offered = offered

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 196608:
            raise too_long("GossipFrame", offset, end - offset, 196608)
        rumours: list[Rumour] = []
        digest_spans: list[tuple[int, int]] = []
        wanted_spans: list[tuple[int, int]] = []
        offered_spans: list[tuple[int, int]] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "GossipFrame")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "GossipFrame")
                stop = offset + length
                if stop > end:
                    raise past_end(_GOSSIP_FRAME_FIELDS, tag, length, offset, "GossipFrame")
                if tag == 10:
                    if length > 65552:
                        raise too_long("GossipFrame.rumours", offset, length, 65552)
                    if len(rumours) >= 64:
                        raise Malformed("GossipFrame.rumours", offset, "more than 64")
                    try:
                        rumours.append(Rumour._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                elif tag == 18:
                    if length > 17408:
                        raise too_long("GossipFrame.digest", offset, length, 17408)
                    digest_spans.append((offset, stop))
                elif tag == 26:
                    if length > 17408:
                        raise too_long("GossipFrame.wanted", offset, length, 17408)
                    wanted_spans.append((offset, stop))
                elif tag == 34:
                    if length > 17408:
                        raise too_long("GossipFrame.offered", offset, length, 17408)
                    offered_spans.append((offset, stop))
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "GossipFrame")
        digest: Ids | None = None
        if digest_spans:
            try:
                region = joined(data, digest_spans, 17408, "GossipFrame.digest")
                digest = Ids._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        wanted: Ids | None = None
        if wanted_spans:
            try:
                region = joined(data, wanted_spans, 17408, "GossipFrame.wanted")
                wanted = Ids._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        offered: Ids | None = None
        if offered_spans:
            try:
                region = joined(data, offered_spans, 17408, "GossipFrame.offered")
                offered = Ids._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(rumours, digest, wanted, offered)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        if len(self.rumours) > 64:
            raise refused_count("GossipFrame.rumours", len(self.rumours), 64)
        for rumours_item in self.rumours:
            content = rumours_item.encode()
            size = len(content)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        digest = self.digest
        if digest is not None:
            content = digest.encode()
            size = len(content)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        wanted = self.wanted
        if wanted is not None:
            content = wanted.encode()
            size = len(content)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        offered = self.offered
        if offered is not None:
            content = offered.encode()
            size = len(content)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 196608:
            raise refused_size("GossipFrame", len(encoded), 196608)
        return encoded


_OPENING_FIELDS = {
    10: ("Opening.service_id", 255),
}


class Opening(Record):
    """The first message of a tunnel, and all of a probe."""

    __slots__ = ("service_id",)

    MAX_BYTES = 319

    def __init__(self, service_id: str) -> None:
        self.service_id = service_id

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 319:
            raise too_long("Opening", offset, end - offset, 319)
        service_id: str | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Opening")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Opening")
                stop = offset + length
                if stop > end:
                    raise past_end(_OPENING_FIELDS, tag, length, offset, "Opening")
                if tag == 10:
                    if length > 255:
                        raise too_long("Opening.service_id", offset, length, 255)
                    try:
                        service_id = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Opening.service_id", offset, "not UTF-8") from None
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Opening")
        if service_id is None:
            raise Malformed("Opening.service_id", end, "a required field is missing")
        return cls(service_id)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        service_id = self.service_id
        content = encode_text(service_id, "Opening.service_id")
        size = len(content)
        if size > 255:
            raise refused_size("Opening.service_id", size, 255)
        out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 319:
            raise refused_size("Opening", len(encoded), 319)
        return encoded


_TUNNEL_ANSWER_FIELDS = {
    18: ("TunnelAnswer.reason", 512),
}


class TunnelAnswer(Record):
    """What the provider says to it."""

    __slots__ = ("status", "reason")

    MAX_BYTES = 576

    def __init__(self, status: int = 0, reason: str = "") -> None:
        self.status = status
        self.reason = reason

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 576:
            raise too_long("TunnelAnswer", offset, end - offset, 576)
        status: int = 0
        reason: str = ""
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "TunnelAnswer")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "TunnelAnswer")
                stop = offset + length
                if stop > end:
                    raise past_end(_TUNNEL_ANSWER_FIELDS, tag, length, offset, "TunnelAnswer")
                if tag == 18:
                    if length > 512:
                        raise too_long("TunnelAnswer.reason", offset, length, 512)
                    try:
                        reason = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("TunnelAnswer.reason", offset, "not UTF-8") from None
                offset = stop
            elif tag == 8:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "TunnelAnswer.status")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                status = number
            else:
                offset = skip_field(data, tag, offset, end, "TunnelAnswer")
        return cls(status, reason)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        status = self.status
        if status:
            if not -2147483648 <= status <= 2147483647:
                raise refused_number("TunnelAnswer.status", status, -2147483648, 2147483647)
            out += (b"\x08", encode_varint(status & 0xFFFFFFFFFFFFFFFF))
        reason = self.reason
        if reason:
            content = encode_text(reason, "TunnelAnswer.reason")
            size = len(content)
            if size > 512:
                raise refused_size("TunnelAnswer.reason", size, 512)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 576:
            raise refused_size("TunnelAnswer", len(encoded), 576)
        return encoded
