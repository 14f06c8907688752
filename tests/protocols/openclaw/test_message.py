"""Messages as stock daemons write them, read and written the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.codecs.openclaw import decode_frame, encode_frame
from mesh.errors import Malformed, PeerError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.protocols.openclaw.json_text import MAX_DEPTH, read_object, write_object
from mesh.protocols.openclaw.message import check_sender, message_id, read_message, repeated, write_message
from mesh.protocols.openclaw.message_types import FIELDS
from protocol_specs.openclaw import MESSAGES
from tests.vectors import load

RECORDED: Any = load("message_protocol", "bsv")
DAEMON = PeerId.parse("12D3KooWD2ZthCxWx2pGVZ9onqGttXipu9b8QX525V62kKUid3xU")
PROBE = PeerId.parse("12D3KooWKVD1wsjMz6XwNenM6ajiE98qpetwBcbt5bEHRKhN2Hdd")
SENT = {case["name"]: case for case in RECORDED["peer_to_daemon"]}


@pytest.mark.parametrize("case", RECORDED["daemon_to_peer"], ids=lambda case: case["name"])
def test_we_write_what_the_daemon_wrote(case: dict[str, Any]) -> None:
    document = dict(case["json"])
    id, kind, timestamp = (document.pop(key) for key in ("id", "type", "timestamp"))
    sender, to = (PeerId.parse(document.pop(key)) for key in ("from", "to"))
    body = write_message(id, kind, timestamp, sender, to, document)
    assert encode_frame(body).hex() == case["stream_bytes_hex"]
    assert body.decode() == case["json_text"]


@pytest.mark.parametrize("case", SENT.values(), ids=lambda case: case["name"])
def test_what_came_on_a_stream_is_read(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["stream_bytes_hex"])
    found, end = decode_frame(data)
    if not case["frames"]:
        with pytest.raises(Malformed):
            read_message(found)
        return
    assert (end < len(data)) == (len(case["frames"]) > 1)
    message = read_message(found)
    document = case["frames"][0]
    assert message.document == document
    assert (message.id, message.type, message.timestamp) == (
        document["id"],
        document["type"],
        document["timestamp"],
    )
    assert message.sender == document.get("from", "")


def test_the_sender_is_the_peer_of_the_connection() -> None:
    own = read_message(decode_frame(bytes.fromhex(SENT["send_text"]["stream_bytes_hex"]))[0])
    check_sender(own, PROBE)
    nameless = read_message(decode_frame(bytes.fromhex(SENT["send_nofrom"]["stream_bytes_hex"]))[0])
    check_sender(nameless, PROBE)
    spoofed = read_message(decode_frame(bytes.fromhex(SENT["send_spoof"]["stream_bytes_hex"]))[0])
    with pytest.raises(PeerError, match="in the name of"):
        check_sender(spoofed, PROBE)
    with pytest.raises(PeerError, match="in the name of"):
        check_sender(read_message(b'{"from":"unknown"}'), PROBE)


def test_the_content_of_a_log() -> None:
    assert read_message(b'{"content":"hi","type":"text"}').content == "hi"
    assert read_message(b'{ "type" : "x", "content": 5 }').content == '{"type":"x","content":5}'


def test_which_message_an_answer_names() -> None:
    assert read_message(b'{"type":"response","requestId":"a","replyTo":"b"}').answers == "a"
    assert read_message(b'{"type":"paid:result","requestId":"a"}').answers == "a"
    assert read_message(b'{"type":"text","requestId":"a","replyTo":"b"}').answers == "b"
    assert read_message(b'{"type":"text","replyTo":7}').answers == ""
    assert read_message(b'{"type":"text","replyTo":"%s"}' % (b"x" * 129)).answers == ""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Expecting value"),
        (b"no json", "Expecting value"),
        (b"[]", "no object"),
        (b"null", "no object"),
        (b'"text"', "no object"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"a":1}x', "Extra data"),
        (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "nested deeper"),
        (b"[" * 1_000_000, "nested deeper"),
        (b'{"a":' + b"9" * 5000 + b"}", "limit"),
        (b'{"type":"%s"}' % (b"t" * 129), "129 characters"),
    ],
)
def test_no_message(body: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        read_message(body)


def test_nesting_up_to_the_limit_and_brackets_in_strings() -> None:
    deep = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert read_object(deep, "x")
    quoted = json.dumps({"a": '[{"' * 500, "b": [[]] * 200}).encode()
    assert read_object(quoted, "x")["a"] == '[{"' * 500


def test_texts_without_a_utf8_form_get_no_further() -> None:
    message = read_message(b'{"content":"\\ud800 \\ud83d\\ude00","\\udfff":["\\udc00"],"type":"text"}')
    assert message.content == "\ufffd \U0001f600"
    assert message.document["\ufffd"] == ["\ufffd"]
    assert read_message(b'{"content":"\xff\xc3\xa9"}').content == "\ufffd\u00e9"
    assert write_object({"a": "\ud800x"}).encode() == b'{"a":"\xef\xbf\xbdx"}'


def test_numbers_that_a_double_cannot_hold_are_null() -> None:
    assert read_message(b'{"a":1e999,"type":"x"}').content == '{"a":null,"type":"x"}'
    for text, wanted in (
        (b"1.5e12", 1_500_000_000_000),
        (b"true", 0),
        (b'"1"', 0),
        (b"-1", 0),
        (b"1e300", 0),
    ):
        assert read_message(b'{"timestamp":' + text + b"}").timestamp == wanted


def test_a_message_without_an_id_is_known_by_its_bytes() -> None:
    bodies = [
        b'{"content":"a"}',
        b'{"content":"b"}',
        b'{"content":"a","id":7}',
        b'{"id":"%s"}' % (b"i" * 129),
    ]
    ids = [read_message(body).id for body in bodies]
    assert len(set(ids)) == 4
    assert ids == [read_message(body).id for body in bodies]
    assert all(each.startswith("sha256-") for each in ids)


def test_ids_are_made_as_stock_daemons_make_them() -> None:
    assert message_id(1795198653600, 0) == "1795198653600-00000000"
    assert message_id(1, 36**8 - 1) == "1-zzzzzzzz"
    assert message_id(1, 2**64) == message_id(1, 2**64 % 36**8)


def test_an_id_is_a_replay_for_ten_minutes() -> None:
    assert repeated(1000, 1000 + 599_999)
    assert not repeated(1000, 1000 + 600_000)


def test_the_table_of_types_and_the_code_agree() -> None:
    written = {
        kind: {key.name: key.kind + ("?" if key.omit else "") for key in keys}
        for kind, keys in MESSAGES.items()
    }
    assert written == FIELDS


@pytest.mark.parametrize("kind", FIELDS)
def test_our_own_messages_are_held_to_their_type(kind: str) -> None:
    values = {
        "string": "s",
        "integer": 1,
        "number": 0.5,
        "bool": True,
        "object": {},
        "objects": [{}],
        "any": [1],
    }
    whole = {name: values[wanted.rstrip("?")] for name, wanted in FIELDS[kind].items()}
    body = write_message("i", kind, 1, DAEMON, PROBE, {**whole, "more": 1})
    assert json.loads(body) == {
        "id": "i",
        "type": kind,
        "timestamp": 1,
        "from": str(DAEMON),
        "to": str(PROBE),
        **whole,
        "more": 1,
    }
    for name, wanted in FIELDS[kind].items():
        without = {key: value for key, value in whole.items() if key != name}
        if wanted.endswith("?"):
            assert name not in json.loads(write_message("i", kind, 1, DAEMON, PROBE, {**without, name: None}))
        else:
            with pytest.raises(UsageError, match=f"needs {name}"):
                write_message("i", kind, 1, DAEMON, PROBE, without)
        if wanted.rstrip("?") != "any":
            wrong: Any = 0.5 if wanted.startswith(("string", "integer", "bool", "object")) else "0.5"
            with pytest.raises(UsageError, match=name):
                write_message("i", kind, 1, DAEMON, PROBE, {**whole, name: wrong})


def test_what_is_not_the_senders_to_choose() -> None:
    with pytest.raises(UsageError, match="from"):
        write_message("i", "x", 1, DAEMON, PROBE, {"from": "me"})
    with pytest.raises(UsageError, match="JSON"):
        write_message("i", "x", 1, DAEMON, PROBE, {"a": float("nan")})
    with pytest.raises(UsageError, match="JSON"):
        write_message("i", "x", 1, DAEMON, PROBE, {"a": object()})
    with pytest.raises(UsageError, match="type"):
        write_message("i", "", 1, DAEMON, PROBE, {})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5))
def test_what_is_written_is_read_again(document: dict[str, Any]) -> None:
    text = write_object(document)
    assert write_object(read_object(text.encode(), "x")) == text


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    try:
        message = read_message(data)
    except Malformed:
        return
    assert (
        read_message(message.content.encode() if "content" not in message.document else data).type
        == message.type
    )
    message.content.encode()
