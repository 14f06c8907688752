"""Texts byte for byte as Go wrote them: floats, escapes, order, times."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Malformed, UsageError
from mesh.go_json import Record, member, read_instant, write_float, write_instant, write_json
from mesh.go_json.parsing import Members, Number, parse
from tests.vectors import load

FLOATS: list[dict[str, str]] = load("marketplace", "betar")["float_formatting"]


@pytest.mark.parametrize("case", FLOATS, ids=lambda case: case["go_json"])
def test_recorded_floats(case: dict[str, str]) -> None:
    number = float(case["value_17g"])
    assert write_float(number) == case["go_json"]
    assert float(case["go_json"]) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_comes_back(number: float) -> None:
    text = write_float(number)
    assert float(text) == number
    assert ("e" in text) == (number != 0 and not 1e-6 <= abs(number) < 1e21)
    assert "e-0" not in text
    assert not text.endswith(".0")


def test_floats_that_json_cannot_say() -> None:
    for number in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(UsageError):
            write_float(number)
    assert write_float(-0.0) == "-0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("<a&b>", '"\\u003ca\\u0026b\\u003e"'),
        ("\u2028\u2029é\U0001f600", '"\\u2028\\u2029é\U0001f600"'),
        ('"\\/\b\f\n\r\t\x00\x1f\x7f', '"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f"'),
        ("\udcff", '"\\ufffd"'),
        (b"\xff\xfe", '"//4="'),
        (b"", '""'),
        (None, "null"),
        (True, "true"),
        ([1, (), {}], "[1,[],{}]"),
        ({"b": 1, "a": 2.0}, '{"b":1,"a":2}'),
    ],
)
def test_values(value: object, text: str) -> None:
    assert write_json(value) == text.encode()


def test_what_has_no_form() -> None:
    with pytest.raises(UsageError, match="set"):
        write_json({"a": {1}})


def plain(tree: Any) -> Any:
    if type(tree) is Members:
        return {key: plain(each) for key, each in tree}
    if type(tree) is list:
        return [plain(each) for each in tree]
    return json.loads(tree) if type(tree) is Number else tree


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_what_is_written_reads_back(value: Any) -> None:
    data = write_json(value)
    assert json.loads(data) == value
    assert plain(parse(data)) == value


@dataclass(frozen=True, slots=True)
class Inner(Record, name="shop.Inner"):
    count: int = member("count", 0)


@dataclass(frozen=True, slots=True)
class Outer(Record, name="shop.Outer"):
    name: str = member("name")
    price: float = member("price", 0.0)
    addrs: tuple[str, ...] = member("addrs", (), omit=True)
    listed: tuple[Inner, ...] | None = member("listed", None)
    inner: Inner | None = member("inner", None)
    ready: bool = member("ready", False, omit=True)
    body: bytes | None = member("body", None)
    labels: dict[str, str] | None = member("labels", None, omit=True)


def test_records_are_written_in_the_order_of_their_keys() -> None:
    assert Outer().write() == b'{"name":"","price":0,"listed":null,"inner":null,"body":null}'
    full = Outer("n", 1, ("a",), (), Inner(3), True, b"x", {"b": "2", "a": "1"})
    text = (
        '{"name":"n","price":1,"addrs":["a"],"listed":[],"inner":{"count":3},"ready":true,"body":"eA==",'
        '"labels":{"a":"1","b":"2"}}'
    )
    assert full.write() == text.encode()
    assert Outer.read(text.encode()) == full
    assert Outer.read(Outer().write()) == Outer()


@pytest.mark.parametrize(
    ("unix_ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_711_900_000_123_456_789, "2024-03-31T15:46:40.123456789Z"),
        (1_711_900_000_120_000_000, "2024-03-31T15:46:40.12Z"),
        (-62_135_596_800 * 10**9, "0001-01-01T00:00:00Z"),
    ],
)
def test_times(unix_ns: int, text: str) -> None:
    assert write_instant(unix_ns) == text
    assert read_instant(text) == unix_ns


def test_times_of_others() -> None:
    assert read_instant("2024-03-31T17:46:40+02:00") == 1_711_900_000 * 10**9
    assert read_instant("2024-03-31T10:16:40.5-05:30") == 1_711_900_000 * 10**9 + 500_000_000
    for text in ("", "2024-03-31", "2024-13-31T00:00:00Z", "2024-03-31T15:46:40", "٢٠٢٤-03-31T15:46:40Z"):
        with pytest.raises(Malformed, match="parsing time"):
            read_instant(text)
    with pytest.raises(UsageError):
        write_instant(10**22)
