"""What Go's decoder takes and refuses, in its words, and what it never should have to hold."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Malformed
from mesh.go_json import MAX_DEPTH, MAX_VALUES, Record, Refused, member, read_records
from mesh.go_json.parsing import parse


@dataclass(frozen=True, slots=True)
class Part(Record, name="marketplace.Part"):
    id: str = member("id")
    size: int = member("size", 0)


@dataclass(frozen=True, slots=True)
class Message(Record, name="marketplace.Message"):
    order_id: str = member("orderId")
    price: float = member("price", 0.0)
    count: int = member("count", 7)
    ready: bool = member("ready", False)
    body: bytes = member("body", b"")
    names: tuple[str, ...] = member("names", ())
    part: Part | None = member("part", None)
    parts: tuple[Part, ...] = member("parts", ())
    labels: dict[str, str] | None = member("labels", None)
    anything: Any = member("anything", None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", Message()),
        ("null", Message()),
        (' {"other":[{}],"orderId":"a"}\n', Message("a")),
        ('{"ORDERID":"a"}', Message("a")),
        ('{"orderID":"a","orderId":"b"}', Message("b")),
        ('{"orderId":"a","ORDERID":"b"}', Message("b")),
        ('{"order\u0131d":"a"}', Message()),
        ('{"\u017fize":1}', Message()),
        ('{"name\u017f":["x"]}', Message(names=("x",))),
        ('{"orderId":null,"count":null,"names":null,"part":null}', Message()),
        ('{"price":1,"count":-9223372036854775808}', Message(price=1.0, count=-(2**63))),
        ('{"price":1e-7}', Message(price=1e-7)),
        ('{"body":"eA==\\n"}', Message(body=b"x")),
        ('{"names":["a",null]}', Message(names=("a", ""))),
        ('{"part":{"id":"x"},"part":{"size":2}}', Message(part=Part("x", 2))),
        ('{"part":{"id":"x"},"part":null}', Message()),
        ('{"parts":[{"ID":"x"},{}]}', Message(parts=(Part("x"), Part()))),
        ('{"labels":{"a":"1"},"labels":{"b":"2"}}', Message(labels={"a": "1", "b": "2"})),
        ('{"anything":{"a":[1,2.5,null,"x"]}}', Message(anything={"a": [1, 2.5, None, "x"]})),
        ('{"orderId":"\\ud800x"}', Message("\ufffdx")),
        ('{"orderId":"\\ud83d\\ude00"}', Message("\U0001f600")),
    ],
)
def test_what_is_taken(text: str, found: Message) -> None:
    assert Message.read(text.encode()) == found


def test_bytes_that_are_no_text() -> None:
    assert Message.read(b'{"orderId":"\xe2\x82\xff"}') == Message("\ufffd\ufffd\ufffd")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ('{"orderId":"a', "unexpected end of JSON input"),
        ('{"orderId":"\\u00', "unexpected end of JSON input"),
        ('{"orderId":tru', "unexpected end of JSON input"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("\ufeff{}", "invalid character '\\ufeff' looking for beginning of value"),
        ('{"orderId" 1}', "invalid character '1' after object key"),
        ('{"price":NaN}', "invalid character 'N' looking for beginning of value"),
        ('{"count":[1,]}', "invalid character ']' looking for beginning of value"),
        ("{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
    ],
)
def test_what_is_no_json(text: str, reason: str) -> None:
    with pytest.raises(Malformed) as refusal:
        Message.read(text.encode())
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "array into Go value of type marketplace.Message"),
        ('"x"', "string into Go value of type marketplace.Message"),
        ("1", "number into Go value of type marketplace.Message"),
        ("true", "bool into Go value of type marketplace.Message"),
        ('{"orderId":1}', "number into Go struct field Message.orderId of type string"),
        ('{"price":"1"}', "string into Go struct field Message.price of type float64"),
        ('{"price":1e400}', "number 1e400 into Go struct field Message.price of type float64"),
        ('{"count":1.0}', "number 1.0 into Go struct field Message.count of type int64"),
        (
            '{"count":9223372036854775808}',
            "number 9223372036854775808 into Go struct field Message.count of type int64",
        ),
        ('{"ready":"yes"}', "string into Go struct field Message.ready of type bool"),
        ('{"body":{}}', "object into Go struct field Message.body of type []uint8"),
        ('{"names":{}}', "object into Go struct field Message.names of type []string"),
        ('{"names":[1]}', "number into Go struct field Message.names of type string"),
        ('{"part":{"id":[]}}', "array into Go struct field Message.part.id of type string"),
        ('{"part":[]}', "array into Go struct field Message.part of type marketplace.Part"),
        ('{"labels":[]}', "array into Go struct field Message.labels of type map[string]string"),
    ],
)
def test_a_wrong_type_refuses_the_whole_message(text: str, reason: str) -> None:
    with pytest.raises(Refused) as refusal:
        Message.read(text.encode())
    assert refusal.value.reason == f"json: cannot unmarshal {reason}"


def test_lists_of_records() -> None:
    assert read_records(Part, b'[{"id":"a"},{}]') == (Part("a"), Part())
    assert read_records(Part, b"null") == ()
    with pytest.raises(Refused, match=r"object into Go value of type \[\]marketplace.Part"):
        read_records(Part, b"{}")


def test_bad_base64() -> None:
    with pytest.raises(Malformed, match="base64"):
        Message.read(b'{"body":"?"}')


BOMBS = {
    "lists in lists": b"[" * 8_000_000,
    "objects in objects": b'{"a":' * 1_600_000,
    "balanced": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "behind a text": b'["' + b"]" * 200 + b'",' + b"[" * (MAX_DEPTH + 1),
    "empty lists": b"[" + b"[]," * MAX_VALUES + b"[]]",
    "numbers": b"[" + b"0," * MAX_VALUES + b"0]",
    "members": b"{" + b'"":0,' * MAX_VALUES + b'"":0}',
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_they_unfold(name: str) -> None:
    with pytest.raises(Malformed, match=r"nested deeper|more than"):
        parse(BOMBS[name])


def test_brackets_and_commas_in_texts_are_no_bomb() -> None:
    text = '"' + '[{,\\"' * 1_000_000 + '"'
    assert len(parse(text.encode())) == 4_000_000
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert parse(deepest)


def test_a_number_of_millions_of_digits_has_no_value() -> None:
    text = b'{"count":' + b"1" * 4_000_000 + b"}"
    with pytest.raises(Refused, match="number 1111"):
        Message.read(text)


@given(st.binary(max_size=60))
def test_nothing_else_escapes(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        Message.read(data)
