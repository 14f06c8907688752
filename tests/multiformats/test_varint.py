"""Unsigned varints beyond the recorded cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import DecodeError, Malformed, Truncated, UsageError
from mesh.multiformats import varint


@given(st.integers(0, varint.MAX_VALUE), st.binary(max_size=3), st.binary(max_size=3))
def test_round_trip_anywhere(value: int, before: bytes, after: bytes) -> None:
    data = varint.encode(value)
    end = len(before) + len(data)
    for form in (bytes, bytearray, memoryview):
        assert varint.decode(form(before + data + after), len(before)) == (value, end)


@given(st.binary(max_size=12))
def test_what_decodes_is_the_shortest_form(data: bytes) -> None:
    try:
        value, end = varint.decode(data)
    except DecodeError:
        return
    assert varint.encode(value) == data[:end]


def test_truncation_and_maximum() -> None:
    for data in (b"", b"\x80", b"\xff" * 8):
        with pytest.raises(Truncated):
            varint.decode(data)
    assert varint.decode(b"\x7f", max_value=127) == (127, 1)
    with pytest.raises(Malformed) as raised:
        varint.decode(b"\x00\x80\x01", 1, max_value=127)
    assert raised.value.offset == 1


@pytest.mark.parametrize("value", [-1, 1 << 63])
def test_values_without_a_form(value: int) -> None:
    with pytest.raises(UsageError):
        varint.encode(value)
