"""Portable storage against Go's, and two ends of a Levin connection of ours."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs.levin import Command, ReturnCode
from mesh.errors import DecodeError, LimitError, Malformed, UsageError
from mesh.framing.levin import Header, write_header, write_varint
from mesh.protocols.lethean import levin
from mesh.protocols.lethean.levin import (
    Answered,
    Asked,
    Connected,
    Ended,
    LevinConnection,
    LevinNode,
    Notified,
    Ponged,
    Synced,
)
from mesh.protocols.lethean.portable_storage import (
    MAX_DEPTH,
    Kind,
    Section,
    Typed,
    decode_storage,
    encode_storage,
    want,
)
from tests.protocols.lethean.vectors import group

LEVIN = group("levin")
NETWORK = bytes(range(16))


def typed(field: dict[str, Any]) -> Typed:
    kind = Kind[field["t"].upper()]
    if kind is Kind.OBJECT:
        return Typed(kind, section(field["v"]))
    if kind is Kind.STRING:
        if "rule" in field:
            return Typed(kind, bytes(7 * number % 256 for number in range(field["len"])))
        return Typed(kind, bytes.fromhex(field["hex"]))
    if kind is Kind.DOUBLE:
        return Typed(kind, struct.unpack(">d", bytes.fromhex(field["bits_hex"]))[0])
    return Typed(kind, field["v"] if kind is Kind.BOOL else int(field["v"]))


def section(fields: dict[str, Any]) -> Section:
    return {name: typed(field) for name, field in fields.items()}


@pytest.mark.parametrize("case", LEVIN["storage_encode"], ids=lambda case: case["name"])
def test_written_storage(case: dict[str, Any]) -> None:
    if case["error"]:
        fields = {"x": Typed(Kind.INT64, [1], True)} if "array" in case["name"] else section(case["fields"])
        with pytest.raises(UsageError) as refusal:
            encode_storage(fields)
        assert str(refusal.value) in case["error"]
        return
    fields = section(case["fields"])
    data = encode_storage(fields)
    if "encoded_hex" in case:
        assert data.hex() == case["encoded_hex"]
    else:
        assert hashlib.sha256(data).hexdigest() == case["encoded_sha256"]
    assert decode_storage(data) == fields


@pytest.mark.parametrize("case", LEVIN["storage_decode"], ids=lambda case: case["name"])
def test_read_storage(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    if case["error"]:
        with pytest.raises(DecodeError) as refusal:
            decode_storage(data)
        assert refusal.value.reason in case["error"]
        return
    assert decode_storage(data) == section(case["fields"])


def test_arrays() -> None:
    fields = {
        "o": Typed(Kind.OBJECT, [{"a": Typed(Kind.UINT8, 1)}, {}], True),
        "s": Typed(Kind.STRING, [b"", b"xy"], True),
        "u": Typed(Kind.UINT32, [1, 2**32 - 1], True),
        "v": Typed(Kind.UINT64, [], True),
    }
    assert decode_storage(encode_storage(fields)) == fields


def test_what_crashes_go_is_refused() -> None:
    head = encode_storage({})[:9]
    for count in (2**62 - 1, 2**40, 100):
        for tag in (0x85, 0x86, 0x8A, 0x8C):
            with pytest.raises(DecodeError):
                decode_storage(
                    head + write_varint(1) + b"\x01a" + bytes([tag]) + write_varint(count) + b"abc"
                )
    nested: Section = {}
    for _ in range(MAX_DEPTH + 1):
        nested = {"a": Typed(Kind.OBJECT, nested)}
    with pytest.raises(UsageError, match="deeper"):
        encode_storage(nested)
    deep = head + (write_varint(1) + b"\x01a\x0c") * 5000 + write_varint(0)
    with pytest.raises(Malformed, match="deeper"):
        decode_storage(deep)
    many = head + write_varint(1) + b"\x01a\x8a" + write_varint(300_000) + bytes(300_000)
    with pytest.raises(Malformed, match="values"):
        decode_storage(many)


def test_values_have_the_type_they_were_written_with() -> None:
    fields = {"a": Typed(Kind.UINT8, 1)}
    assert want(fields, "a", Kind.UINT8) == 1
    with pytest.raises(Malformed, match="value type mismatch"):
        want(fields, "a", Kind.UINT16)
    with pytest.raises(Malformed, match="missing"):
        want(fields, "b", Kind.UINT8)
    with pytest.raises(UsageError):
        encode_storage({"a": Typed(Kind.UINT8, 256)})


@given(st.binary(max_size=200))
def test_any_bytes_are_storage_or_refused(tail: bytes) -> None:
    try:
        fields = decode_storage(encode_storage({})[:9] + tail)
    except DecodeError:
        return
    data = encode_storage(fields)
    assert encode_storage(decode_storage(data)) == data


def node(number: int, network: bytes = NETWORK) -> LevinNode:
    return LevinNode(number, network, 4000 + number, number * 10, bytes([number]) * 32, 1000)


def exchange(first: LevinConnection, second: LevinConnection, now: float, step: int = 10**6) -> None:
    """Carries bytes between two ends until both are quiet, `step` bytes at a time."""
    while True:
        one, two = b"".join(first.output()), b"".join(second.output())
        if not one and not two:
            return
        for data, end in ((one, second), (two, first)):
            for start in range(0, len(data), step):
                end.receive(data[start : start + step], now)


def connected(step: int = 10**6) -> tuple[LevinConnection, LevinConnection]:
    dialer, listener = LevinConnection(node(1), True, 0.0), LevinConnection(node(2), False, 0.0)
    exchange(dialer, listener, 0.0, step)
    assert dialer.events() == [Connected(node(2))]
    assert listener.events() == [Connected(node(1))]
    return dialer, listener


@pytest.mark.parametrize("step", [1, 7, 10**6])
def test_a_handshake_in_any_pieces(step: int) -> None:
    connected(step)


def test_packets_have_gos_bytes() -> None:
    packets = {case["name"]: case["bytes_hex"] for case in LEVIN["packets"]}
    dialer, listener = connected()
    dialer.ping(0.0)
    assert b"".join(dialer.output()).hex() == packets["request ping expecting response, empty"]
    dialer.notify(2001, b"block")
    assert b"".join(dialer.output()).hex() == packets["notification 2001 with payload"]
    quiet = LevinConnection(LevinNode(7, NETWORK, 1, 0, bytes(32), 0), False, 0.0)
    quiet.receive(bytes.fromhex(packets["request ping expecting response, empty"]), 0.0)
    assert b"".join(quiet.output()).hex() == packets["response 1003 ok"]
    listener.respond(2003, b"", ReturnCode.FORMAT)
    assert b"".join(listener.output())[13:] == (
        bytes.fromhex(packets["response format error"])[13:17]
        + (2003).to_bytes(4, "little")
        + bytes.fromhex(packets["response format error"])[21:]
    )


def test_ping_timed_sync_and_the_applications_packets() -> None:
    dialer, listener = connected()
    dialer.ping(1.0)
    exchange(dialer, listener, 1.5)
    assert dialer.events() == [Ponged(2, 0.5)]
    assert dialer.deadline() == levin.SYNC_INTERVAL_S
    dialer.update(node(9), 60.0)
    dialer.wake(60.0)
    exchange(dialer, listener, 60.0)
    assert listener.events() == [Synced(90, bytes([9]) * 32)]
    assert dialer.events() == [Synced(20, bytes([2]) * 32)]
    dialer.request(Command.REQUEST_CHAIN, b"ask", 60.0)
    dialer.notify(Command.NEW_BLOCK, b"tell")
    exchange(dialer, listener, 60.0)
    assert listener.events() == [Asked(2006, b"ask"), Notified(2001, b"tell")]
    listener.respond(2006, b"reply", ReturnCode.FORMAT)
    exchange(dialer, listener, 60.0)
    assert dialer.events() == [Answered(2006, -7, b"reply")]


def test_another_network_is_refused() -> None:
    dialer, listener = LevinConnection(node(1), True, 0.0), LevinConnection(node(2, bytes(16)), False, 0.0)
    exchange(dialer, listener, 0.0)
    [ended] = listener.events()
    assert isinstance(ended, Ended)
    assert "network" in ended.reason
    [refused] = dialer.events()
    assert isinstance(refused, Ended)
    assert "code -1" in refused.reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bytes(33), "bad signature"),
        (write_header(Header(0, True, 2003)), "before the handshake"),
        (write_header(Header(0, False, 1003, 0, 2)), "nobody asked"),
        (write_header(Header(0, True, 1001)), "truncated"),
        (write_header(Header(1001, False, 2001)), "maximum size"),
    ],
)
def test_a_peer_out_of_step_ends_the_connection(data: bytes, reason: str) -> None:
    end = LevinConnection(node(1), False, 0.0, max_payload_bytes=1000)
    end.receive(data, 0.0)
    [ended] = end.events()
    assert isinstance(ended, Ended)
    assert reason in ended.reason
    end.receive(data, 0.0)
    assert end.events() == []
    assert end.deadline() is None


def answer(command: int, fields: Section, code: int = 0) -> bytes:
    payload = encode_storage(fields)
    return write_header(Header(len(payload), False, command, code, 2)) + payload


def test_answers_that_end_a_connection() -> None:
    strange = LevinConnection(node(1), True, 0.0)
    other = LevinConnection(node(3, bytes(16)), True, 0.0)
    introduction = b"".join(bytes(piece) for piece in other.output())[33:]
    strange.receive(write_header(Header(len(introduction), False, 1001, 0, 2)) + introduction, 0.0)
    assert strange.events() == [Ended("the other end is of another network")]
    dialer, _ = connected()
    dialer.ping(0.0)
    dialer.receive(answer(1003, {"status": Typed(Kind.STRING, b"NO"), "peer_id": Typed(Kind.UINT64, 1)}), 0.0)
    assert dialer.events() == [Ended("a ping was answered with another status than OK")]
    with pytest.raises(UsageError, match="ended"):
        dialer.ping(0.0)
    _, listener = connected()
    again = LevinConnection(node(1), True, 0.0)
    listener.receive(b"".join(bytes(piece) for piece in again.output()), 0.0)
    assert listener.events() == [Ended("a second handshake")]


def test_answers_may_come_in_another_order() -> None:
    dialer, _ = connected()
    dialer.request(2003, b"", 1.0)
    dialer.ping(2.0)
    dialer.receive(answer(1003, {"status": Typed(Kind.STRING, b"OK"), "peer_id": Typed(Kind.UINT64, 2)}), 3.0)
    dialer.receive(write_header(Header(0, False, 2003, -1, 2)), 4.0)
    assert dialer.events() == [Ponged(2, 1.0), Answered(2003, -1, b"")]


def test_silence_ends_a_connection() -> None:
    idle = LevinConnection(node(1), False, 0.0)
    assert idle.deadline() == 120.0
    idle.wake(120.0)
    [ended] = idle.events()
    assert isinstance(ended, Ended)
    unanswered = LevinConnection(node(1), True, 0.0)
    assert unanswered.deadline() == 30.0
    unanswered.wake(30.0)
    [late] = unanswered.events()
    assert isinstance(late, Ended)
    assert "1001" in late.reason


def test_wishes_that_are_illegal() -> None:
    early = LevinConnection(node(1), False, 0.0)
    with pytest.raises(UsageError, match="not set up"):
        early.request(2003, b"", 0.0)
    dialer, _ = connected()
    with pytest.raises(UsageError, match="own"):
        dialer.request(Command.PING, b"", 0.0)
    for _ in range(levin.MAX_WAITING):
        dialer.ping(0.0)
    with pytest.raises(LimitError):
        dialer.ping(0.0)
    with pytest.raises(UsageError, match="16 bytes"):
        LevinConnection(node(1, b"short"), False, 0.0)
