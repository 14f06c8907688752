"""Levin headers and varints against what Go wrote, and against the generated record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs import levin as codec
from mesh.errors import DecodeError, Malformed, Truncated, UsageError
from mesh.framing.levin import HEADER_BYTES, Header, read_header, read_varint, write_header, write_varint
from tests.vectors import load

LEVIN = load("levin", "lethean")


@pytest.mark.parametrize("case", LEVIN["headers"], ids=lambda case: case["encoded_hex"][:40])
def test_headers(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["encoded_hex"])
    if case["decode_error"]:
        with pytest.raises(Malformed) as refusal:
            read_header(data)
        assert case["decode_error"] == f"levin: {refusal.value.reason}"
        return
    found = read_header(b"x" + data, 1)
    if "header" not in case:
        assert found.expect_response is case["decoded_expect_response"]
        return
    fields = case["header"]
    assert found == Header(
        fields["PayloadSize"],
        fields["ExpectResponse"],
        fields["Command"],
        fields["ReturnCode"],
        fields["Flags"],
        fields["ProtocolVersion"],
    )
    assert write_header(found) == data


@given(st.binary(min_size=30, max_size=36), st.booleans())
def test_the_struct_and_the_record_agree(tail: bytes, signed: bool) -> None:
    data = (bytes.fromhex("0121010101010101") if signed else b"") + tail
    data = (data[:14] + b"\0\0" + data[16:])[:HEADER_BYTES]
    try:
        record = codec.Header.decode(data)
    except DecodeError as error:
        with pytest.raises(type(error)):
            read_header(data)
        return
    found = read_header(data)
    assert found.payload_size == record.payload_size
    assert found.return_code & 0xFFFFFFFF == record.return_code
    assert (found.command, found.flags, found.version) == (record.command, record.flags, record.version)
    assert found.expect_response is (record.expect_response == 1)


def test_a_connection_may_have_a_lower_limit() -> None:
    data = write_header(Header(1000, False, 2001))
    assert read_header(data, 0, 1000).payload_size == 1000
    with pytest.raises(Malformed, match="maximum size"):
        read_header(data, 0, 999)
    with pytest.raises(UsageError):
        write_header(Header(codec.MAX_PAYLOAD_BYTES + 1, False, 2001))
    with pytest.raises(UsageError):
        write_header(Header(0, False, 2**32))


@pytest.mark.parametrize("case", LEVIN["varint_encode"], ids=lambda case: case["value"])
def test_writing_varints(case: dict[str, Any]) -> None:
    number = int(case["value"])
    if number != int(case["decoded"]):
        with pytest.raises(UsageError, match="outside"):
            write_varint(number)
        return
    data = write_varint(number)
    assert data.hex() == case["encoded_hex"]
    assert read_varint(data + b"x", 0, len(data)) == (number, case["consumed"])


@pytest.mark.parametrize("case", LEVIN["varint_decode"], ids=lambda case: case["hex"])
def test_reading_varints(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    if case["error"]:
        with pytest.raises(Truncated, match="truncated varint"):
            read_varint(data, 0, len(data))
        return
    assert read_varint(data, 0, len(data)) == (int(case["decoded"]), case["consumed"])


@given(st.integers(0, 2**62 - 1))
def test_every_number_comes_back(number: int) -> None:
    data = write_varint(number)
    assert read_varint(data, 0, len(data)) == (number, len(data))
    assert len(data) in (1, 2, 4, 8)
