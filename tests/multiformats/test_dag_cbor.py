"""DAG-CBOR: one form for each value, and everything else refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import DecodeError, Malformed, Truncated, UsageError
from mesh.multiformats import multihash
from mesh.multiformats.cid import DAG_CBOR, Cid
from mesh.multiformats.dag_cbor import MAX_DEPTH, Value, decode, encode

CIDS = st.builds(lambda data: Cid(1, DAG_CBOR, multihash.digest(data)), st.binary(max_size=8))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    st.binary(max_size=300),
    CIDS,
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=30,
)
LINK = Cid(1, DAG_CBOR, multihash.digest(b"x"))


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: 1, 1.0 and True are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return bool(one == other)


@given(VALUES)
def test_round_trip(value: Value) -> None:
    data = encode(value)
    assert same(decode(data), value)
    assert encode(decode(data)) == data


@given(VALUES, st.data())
def test_a_document_cut_short_is_truncated(value: Value, data: st.DataObject) -> None:
    whole = encode(value)
    with pytest.raises(Truncated):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=60))
def test_what_is_accepted_is_canonical(data: bytes) -> None:
    try:
        value = decode(data)
    except DecodeError:
        return
    assert encode(value) == data


@given(VALUES, st.integers(0, 2**32), st.integers(0, 255))
def test_what_is_accepted_after_a_change_is_canonical(value: Value, at: int, octet: int) -> None:
    data = bytearray(encode(value))
    data[at % len(data)] = octet
    test_what_is_accepted_is_canonical.hypothesis.inner_test(bytes(data))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (255, "18ff"),
        (256, "190100"),
        (65536, "1a00010000"),
        (2**32, "1b0000000100000000"),
        (2**64 - 1, "1bffffffffffffffff"),
        (-1, "20"),
        (-24, "37"),
        (-25, "3818"),
        (-(2**64), "3bffffffffffffffff"),
        (1.0, "fb3ff0000000000000"),
        (-0.0, "fb8000000000000000"),
        ([None, True, False], "83f6f5f4"),
        ({"b": 1, "a": 2, "aa": 3}, "a361610261620162616103"),
        ({"é": b"\x01"}, "a162c3a94101"),
        (LINK, "d82a5825" + "00" + LINK.to_bytes().hex()),
    ],
)
def test_known_bytes(value: Value, data: str) -> None:
    assert encode(value).hex() == data
    assert same(decode(bytes.fromhex(data)), value)


def test_tuples_are_lists() -> None:
    assert encode((1, (2,))) == encode([1, [2]])  # type: ignore[arg-type]
    assert decode(memoryview(bytearray(b"\x01"))) == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("1800", "shortest"),
        ("190018", "shortest"),
        ("1a0000ffff", "shortest"),
        ("1b00000000ffffffff", "shortest"),
        ("580161", "shortest"),
        ("9fff", "indefinite"),
        ("5f4101ff", "indefinite"),
        ("7fff", "indefinite"),
        ("bfff", "indefinite"),
        ("1c", "reserved"),
        ("f7", "float of 64"),
        ("f93c00", "float of 64"),
        ("fa3f800000", "float of 64"),
        ("f820", "float of 64"),
        ("ff", "float of 64"),
        ("fb7ff0000000000000", "finite"),
        ("fb7ff8000000000000", "finite"),
        ("a2616101616102", "repeated"),
        ("a2616201616102", "order"),
        ("a262616101616202", "order"),
        ("a10101", "not text"),
        ("a1410101", "not text"),
        ("61ff", "UTF-8"),
        ("63eda080", "UTF-8"),
        ("c000", "tag 0"),
        ("d82b4100", "tag 43"),
        ("d82a00", "not bytes"),
        ("d82a40", "leading zero"),
        ("d82a420155", "leading zero"),
        ("d82a4100", "not a link"),
        ("d82a430001ff", "not a link"),
        ("0000", "follow"),
        ("80f6", "follow"),
    ],
)
def test_other_forms_are_refused(data: str, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    "data", ["", "18", "5bffffffffffffffff", "9a10000000", "ba10000000", "a1", "a161", "d82a"]
)
def test_lengths_beyond_the_input_cost_nothing(data: str) -> None:
    with pytest.raises(Truncated):
        decode(bytes.fromhex(data))


def test_limits() -> None:
    deep: Value = 1
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert same(decode(encode(deep)), deep)
    with pytest.raises(UsageError, match="deeper"):
        encode([deep])
    with pytest.raises(Malformed, match="deeper"):
        decode(b"\x81" * (MAX_DEPTH + 1) + b"\x01")
    with pytest.raises(Malformed, match="deeper"):
        decode(b"\x81\x81\x01", max_depth=1)
    with pytest.raises(Malformed, match="at most 3"):
        decode(b"\x81\x81\x81\x01", max_bytes=3)
    with pytest.raises(UsageError, match="at most 3"):
        encode("abc", max_bytes=3)
    assert decode(b"\x82\x01\x02", max_items=3) == [1, 2]
    for data in (b"\x82\x01\x02", b"\xa1\x61a\x01"):
        with pytest.raises(Malformed, match="items"):
            decode(data, max_items=2)


@pytest.mark.parametrize(
    "value",
    [2**64, -(2**64) - 1, math.nan, math.inf, "\ud800", {1: 2}, {"\ud800": 1}, object(), {1}, bytearray()],
)
def test_what_the_data_model_does_not_hold(value: Any) -> None:
    with pytest.raises(UsageError):
        encode(value)
