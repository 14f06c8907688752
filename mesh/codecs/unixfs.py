# GENERATED from protocol_specs/unixfs.py by tools.spec_compiler; do not edit.
# Schema ed02fe27fedd7ab8
"""UnixFS data of dag-pb nodes.

Specification: ipfs/specs src/unixfs.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    crossing,
    encode_varint,
    joined,
    outside,
    past_end,
    read_packed,
    read_tag,
    read_varint,
    refused,
    refused_count,
    refused_number,
    refused_size,
    skip_field,
    too_long,
)
from mesh.errors import Malformed, Truncated

_U32_LE = struct.Struct("<I")


class DataType(IntEnum):
    """What a node stands for."""

    RAW = 0
    DIRECTORY = 1
    FILE = 2
    METADATA = 3
    SYMLINK = 4
    HAMT_SHARD = 5


_DATA_TYPE = {int(member): member for member in DataType}


class UnixTime(Record):
    """When it was last modified."""

    __slots__ = ("seconds", "nanoseconds")

    MAX_BYTES = 32

    def __init__(self, seconds: int, nanoseconds: int | None = None) -> None:
        self.seconds = seconds
        self.nanoseconds = nanoseconds

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 32:
            raise too_long("UnixTime", offset, end - offset, 32)
        seconds: int | None = None
        nanoseconds: int | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "UnixTime")
            if tag == 8:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "UnixTime.seconds")
                if number > 0x7FFFFFFFFFFFFFFF:
                    number -= 0x10000000000000000
                seconds = number
            elif tag == 21:
                start = offset
                if offset + 4 > end:
                    raise Truncated("UnixTime.nanoseconds", offset)
                (number,) = _U32_LE.unpack_from(data, offset)
                offset += 4
                if not 0 <= number <= 999999999:
                    raise outside("UnixTime.nanoseconds", start, number, 0, 999999999)
                nanoseconds = number
            else:
                offset = skip_field(data, tag, offset, end, "UnixTime")
        if seconds is None:
            raise Malformed("UnixTime.seconds", end, "a required field is missing")
        return cls(seconds, nanoseconds)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        seconds = self.seconds
        if not -9223372036854775808 <= seconds <= 0x7FFFFFFFFFFFFFFF:
            raise refused_number("UnixTime.seconds", seconds, -9223372036854775808, 0x7FFFFFFFFFFFFFFF)
        out += (b"\x08", encode_varint(seconds & 0xFFFFFFFFFFFFFFFF))
        nanoseconds = self.nanoseconds
        if nanoseconds is not None:
            if not 0 <= nanoseconds <= 999999999:
                raise refused_number("UnixTime.nanoseconds", nanoseconds, 0, 999999999)
            out += (b"\x15", _U32_LE.pack(nanoseconds))
        encoded = b"".join(out)
        if len(encoded) > 32:
            raise refused_size("UnixTime", len(encoded), 32)
        return encoded


_DATA_FIELDS = {
    18: ("Data.data", 2097152),
    34: ("Data.block_sizes", 327680),
    66: ("Data.mtime", 32),
}


class Data(Record):
    """What a dag-pb node is in a file system.

    data: content of a leaf, target of a symlink, bits of a shard

    file_size: bytes of the file below this node

    block_sizes: of them, how many below each link

    hash_type: multicodec number of a shard's hash

    fanout: of a shard
    """

    __slots__ = ("type", "data", "file_size", "block_sizes", "hash_type", "fanout", "mode", "mtime")

    MAX_BYTES = 2097152

    def __init__(
        self,
        type: DataType,
        data: bytes | None = None,
        file_size: int | None = None,
        block_sizes: list[int] | None = None,
        hash_type: int | None = None,
        fanout: int | None = None,
        mode: int | None = None,
        mtime: UnixTime | None = None,
    ) -> None:
        self.type = type
        self.data = data
        self.file_size = file_size
        self.block_sizes = [] if block_sizes is None else block_sizes
        self.hash_type = hash_type
        self.fanout = fanout
        self.mode = mode
        self.mtime = mtime

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 2097152:
            raise too_long("Data", offset, end - offset, 2097152)
        type: DataType | None = None
        data_: bytes | None = None
        file_size: int | None = None
        block_sizes: list[int] = []
        hash_type: int | None = None
        fanout: int | None = None
        mode: int | None = None
        mtime_spans: list[tuple[int, int]] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Data")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Data")
                stop = offset + length
                if stop > end:
                    raise past_end(_DATA_FIELDS, tag, length, offset, "Data")
                if tag == 18:
                    data_ = data[offset:stop]
                elif tag == 34:
                    if length > 327680:
                        raise too_long("Data.block_sizes", offset, length, 327680)
                    for number in read_packed(data, offset, stop, 32768 - len(block_sizes), "Data.block_sizes"):
                        if not 0 <= number <= 0x7FFFFFFFFFFFFFFF:
                            raise outside("Data.block_sizes", offset, number, 0, 0x7FFFFFFFFFFFFFFF)
                        if len(block_sizes) >= 32768:
                            raise Malformed("Data.block_sizes", offset, "more than 32768")
                        block_sizes.append(number)
                elif tag == 66:
                    if length > 32:
                        raise too_long("Data.mtime", offset, length, 32)
                    mtime_spans.append((offset, stop))
                offset = stop
            elif tag == 8:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Data.type")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                if number not in _DATA_TYPE:
                    raise Malformed("Data.type", start, f"{number} is no DataType")
                type = _DATA_TYPE[number]
            elif tag == 24:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Data.file_size")
                if not 0 <= number <= 0x7FFFFFFFFFFFFFFF:
                    raise outside("Data.file_size", start, number, 0, 0x7FFFFFFFFFFFFFFF)
                file_size = number
            elif tag == 32:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Data.block_sizes")
                if not 0 <= number <= 0x7FFFFFFFFFFFFFFF:
                    raise outside("Data.block_sizes", start, number, 0, 0x7FFFFFFFFFFFFFFF)
                if len(block_sizes) >= 32768:
                    raise Malformed("Data.block_sizes", start, "more than 32768")
                block_sizes.append(number)
            elif tag == 40:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Data.hash_type")
                hash_type = number
            elif tag == 48:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Data.fanout")
                if not 0 <= number <= 1024:
                    raise outside("Data.fanout", start, number, 0, 1024)
                fanout = number
            elif tag == 56:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Data.mode")
                number &= 0xFFFFFFFF
                mode = number
            else:
                offset = skip_field(data, tag, offset, end, "Data")
        if type is None:
            raise Malformed("Data.type", end, "a required field is missing")
        mtime: UnixTime | None = None
        if mtime_spans:
            try:
                region = joined(data, mtime_spans, 32, "Data.mtime")
                mtime = UnixTime._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(type, data_, file_size, block_sizes, hash_type, fanout, mode, mtime)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        type = self.type
        if type not in _DATA_TYPE:
            raise refused("Data.type", f"{type} is no DataType")
        out += (b"\x08", ONE_BYTE[type] if type < 128 else encode_varint(type))
        data = self.data
        if data is not None:
            size = len(data)
            if size > 2097152:
                raise refused_size("Data.data", size, 2097152)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), data)
        file_size = self.file_size
        if file_size is not None:
            if not 0 <= file_size <= 0x7FFFFFFFFFFFFFFF:
                raise refused_number("Data.file_size", file_size, 0, 0x7FFFFFFFFFFFFFFF)
            out += (b"\x18", ONE_BYTE[file_size] if file_size < 128 else encode_varint(file_size))
        if len(self.block_sizes) > 32768:
            raise refused_count("Data.block_sizes", len(self.block_sizes), 32768)
        for number in self.block_sizes:
            if not 0 <= number <= 0x7FFFFFFFFFFFFFFF:
                raise refused_number("Data.block_sizes", number, 0, 0x7FFFFFFFFFFFFFFF)
            out += (b"\x20", ONE_BYTE[number] if number < 128 else encode_varint(number))
        hash_type = self.hash_type
        if hash_type is not None:
            if not 0 <= hash_type <= 0xFFFFFFFFFFFFFFFF:
                raise refused_number("Data.hash_type", hash_type, 0, 0xFFFFFFFFFFFFFFFF)
            out += (b"\x28", ONE_BYTE[hash_type] if hash_type < 128 else encode_varint(hash_type))
        fanout = self.fanout
        if fanout is not None:
            if not 0 <= fanout <= 1024:
                raise refused_number("Data.fanout", fanout, 0, 1024)
            out += (b"\x30", ONE_BYTE[fanout] if fanout < 128 else encode_varint(fanout))
        mode = self.mode
        if mode is not None:
            if not 0 <= mode <= 0xFFFFFFFF:
                raise refused_number("Data.mode", mode, 0, 0xFFFFFFFF)
            out += (b"\x38", ONE_BYTE[mode] if mode < 128 else encode_varint(mode))
        mtime = self.mtime
        if mtime is not None:
            content = mtime.encode()
            size = len(content)
            out += (b"\x42", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 2097152:
            raise refused_size("Data", len(encoded), 2097152)
        return encoded
