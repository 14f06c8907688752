"""JSON text against what Go wrote, and what it took."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Malformed, UsageError
from mesh.protocols.lethean import go_json
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.messages import Ping
from mesh.protocols.lethean.timestamp import ZERO, format_timestamp, read_timestamp, unix_ns
from tests.protocols.lethean.vectors import group

GROUP = group("go_json")
TIMES = next(each["time_parse"] for each in GROUP if "time_parse" in each)
PARSED = next(each["message_parse_as_ping"] for each in GROUP if "message_parse_as_ping" in each)


@pytest.mark.parametrize("case", [each for each in GROUP if "string_hex" in each])
def test_strings(case: dict[str, Any]) -> None:
    text = go_json.decode_utf8(bytes.fromhex(case["string_hex"]))
    if "bad" in text:
        text = text.replace("\ufffd", "\ud800")
    assert go_json.write_text(text) == case["envelope_encoding"].replace("\ufffd", "\\ufffd")
    assert go_json.write_text(text, html=True) == case["smsg_encoding"].replace("\ufffd", "\\ufffd")


@pytest.mark.parametrize("case", [each for each in GROUP if "float" in each])
def test_floats(case: dict[str, Any]) -> None:
    [number] = struct.unpack(">d", bytes.fromhex(case["float_bits_hex"]))
    assert go_json.write_float(number) == case["envelope_encoding"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_reads_as_it_was(number: float) -> None:
    assert float(go_json.read(go_json.write_float(number), "n")) == number


def test_what_is_no_number_is_not_written() -> None:
    with pytest.raises(UsageError):
        go_json.write_float(float("nan"))


@pytest.mark.parametrize("case", [each for each in GROUP if "time_unix_nano" in each])
def test_times(case: dict[str, Any]) -> None:
    text = case["envelope_encoding"].strip('"')
    nanoseconds = int(case["time_unix_nano"])
    assert unix_ns(text) == nanoseconds
    zone = text[-6:] if text[-1] != "Z" else "+00:00"
    minutes = int(zone[1:3]) * 60 + int(zone[4:])
    assert format_timestamp(nanoseconds, minutes if zone[0] == "+" else -minutes) == text


@pytest.mark.parametrize("case", TIMES, ids=lambda case: case["json"])
def test_reading_times(case: dict[str, Any]) -> None:
    message = f'{{"id":"a","type":"ping","ts":{case["json"]}}}'
    if case["error"]:
        with pytest.raises(Malformed):
            Envelope.decode(message)
        return
    assert Envelope.decode(message).ts == case["parsed"]


def test_more_than_nine_digits_are_cut() -> None:
    assert read_timestamp("2026-01-02T03:04:05.1234567891Z", "t") == "2026-01-02T03:04:05.123456789Z"
    assert read_timestamp("2028-02-29T00:00:00.100+05:30", "t") == "2028-02-29T00:00:00.1+05:30"
    with pytest.raises(Malformed):
        read_timestamp("2026-02-29T00:00:00Z", "t")
    assert Envelope.decode("{}").ts == ZERO


def test_times_that_are_none() -> None:
    for text in ("2026-01-02T03:04:05+24:00", "2026-01-02T03:04:05+00:60", "2026-13-01T00:00:00Z", "1"):
        with pytest.raises(Malformed):
            read_timestamp(text, "t")
    assert read_timestamp("2026-01-02T03:04:05-00:00", "t") == "2026-01-02T03:04:05Z"
    assert read_timestamp("0000-02-29T00:00:00Z", "t") == "0000-02-29T00:00:00Z"
    for text in ("0000-02-29T00:00:00Z", "never"):
        with pytest.raises(Malformed):
            unix_ns(text)
    with pytest.raises(UsageError):
        format_timestamp(10**21)


@pytest.mark.parametrize("case", PARSED, ids=lambda case: case["json"])
def test_envelopes_as_go_reads_them(case: dict[str, Any]) -> None:
    if case["envelope_error"]:
        with pytest.raises(Malformed):
            Envelope.decode(case["json"])
        return
    found = Envelope.decode(case["json"])
    assert (found.id, found.type) == (case["id"], case["type"])
    assert (found.raw is None) == case["payload_is_nil"]
    if case["payload_error"]:
        with pytest.raises(Malformed, match="sentAt"):
            found.payload(Ping)
        return
    assert found.payload(Ping).sent_at_ms == case["sentAt"]


def test_what_go_refuses_is_refused() -> None:
    for text in ("NaN", "-Infinity", "1 2", "'a'", "[1,]", "01", '"\t"', "", "[" * 20_000):
        with pytest.raises(Malformed):
            go_json.read(text, "x")


def test_lone_surrogates_become_the_replacement_character() -> None:
    text = r'"a\ud800b\ud83d\ude00\\ud800\udc00"'
    assert go_json.read(go_json.whole_surrogates(text), "x") == "a\ufffdb\U0001f600\\ud800\ufffd"


def test_each_byte_that_is_no_utf8_is_replaced_alone() -> None:
    assert go_json.decode_utf8(b"a\xe2\x82z\xed\xa0\x80") == "a\ufffd\ufffdz\ufffd\ufffd\ufffd"


def test_raw_json_is_compacted_and_its_strings_are_left() -> None:
    raw = '{ "a b" : [ 1.0 ,2e3 ],\n"\\u0041<&>" : "x\u2028 \\" y" }'
    assert go_json.write_raw(raw) == '{"a b":[1.0,2e3],"\\u0041<&>":"x\\u2028 \\" y"}'
    with pytest.raises(UsageError):
        go_json.write_raw("{")


def test_the_texts_of_members() -> None:
    assert go_json.raw_members(' {"a": {"b" :1} , "c":[ ], "a":2.50}', "x") == {"c": "[ ]", "a": "2.50"}
    for text in ("[]", '{"a" 1}', '{"a":1', "{1:2}", '{"a":1 "b":2}', '{"a":1,}'):
        with pytest.raises(Malformed):
            go_json.raw_members(text, "x")
