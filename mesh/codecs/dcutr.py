# GENERATED from protocol_specs/dcutr.py by tools.spec_compiler; do not edit.
# Schema f9f79182a6d20014
"""DCUtR: the message of hole punching.

Specification: libp2p/specs relay/DCUtR.md.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    encode_varint,
    past_end,
    put_run,
    read_tag,
    read_varint,
    refused,
    refused_count,
    refused_size,
    skip_field,
    take_run,
    too_long,
)
from mesh.errors import Malformed

MAX_MESSAGE_BYTES = 4096


class PunchType(IntEnum):
    """Addresses are exchanged, or: dial now."""

    CONNECT = 100
    SYNC = 300


_PUNCH_TYPE = {int(member): member for member in PunchType}

_HOLE_PUNCH_FIELDS = {
    18: ("HolePunch.obs_addrs", 4096),
}


class HolePunch(Record):
    """Between the two ends of a relayed connection.

    obs_addrs: binary multiaddrs, with no relay in them
    """

    __slots__ = ("type", "obs_addrs")

    MAX_BYTES = 4096

    def __init__(self, type: PunchType, obs_addrs: list[bytes] | None = None) -> None:
        self.type = type
        self.obs_addrs = [] if obs_addrs is None else obs_addrs

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4096:
            raise too_long("HolePunch", offset, end - offset, 4096)
        type: PunchType | None = None
        obs_addrs: list[bytes] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "HolePunch")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "HolePunch")
                stop = offset + length
                if stop > end:
                    raise past_end(_HOLE_PUNCH_FIELDS, tag, length, offset, "HolePunch")
                if tag == 18:
                    if len(obs_addrs) >= 500:
                        raise Malformed("HolePunch.obs_addrs", offset, "more than 500")
                    obs_addrs.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 18 and data[stop + 1] == first:
                        stop = take_run(obs_addrs, data, stop, end, 18, length, 500)
                offset = stop
            elif tag == 8:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "HolePunch.type")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                if number not in _PUNCH_TYPE:
                    raise Malformed("HolePunch.type", start, f"{number} is no PunchType")
                type = _PUNCH_TYPE[number]
            else:
                offset = skip_field(data, tag, offset, end, "HolePunch")
        if type is None:
            raise Malformed("HolePunch.type", end, "a required field is missing")
        return cls(type, obs_addrs)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        type = self.type
        if type not in _PUNCH_TYPE:
            raise refused("HolePunch.type", f"{type} is no PunchType")
        out += (b"\x08", ONE_BYTE[type] if type < 128 else encode_varint(type))
        if len(self.obs_addrs) > 500:
            raise refused_count("HolePunch.obs_addrs", len(self.obs_addrs), 500)
        put_run(out, b"\x12", self.obs_addrs, 4096, "HolePunch.obs_addrs")
        encoded = b"".join(out)
        if len(encoded) > 4096:
            raise refused_size("HolePunch", len(encoded), 4096)
        return encoded
