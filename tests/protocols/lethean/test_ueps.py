"""UEPS packets and their dispatch against Go's builder, reader and dispatcher."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs import ueps as codec
from mesh.errors import DecodeError, Malformed, Truncated, UsageError
from mesh.protocols.lethean.dispatcher import Dispatcher, Dropped, PacketDropped
from mesh.protocols.lethean.ueps import Packet, build_packet, read_packet
from tests.protocols.lethean.vectors import group

UEPS = group("ueps")
SECRET = bytes.fromhex(UEPS["build"][0]["secret_hex"])


def payload_of(case: dict[str, Any]) -> bytes:
    if "payload_hex" in case:
        return bytes.fromhex(case["payload_hex"])
    return bytes(7 * number % 256 for number in range(case["payload_len"]))


def same(packet: Packet, read: dict[str, Any]) -> None:
    for name in ("version", "current_layer", "target_layer", "intent", "threat_score"):
        assert getattr(packet, name) == read[name]
    assert len(packet.payload) == read["payload_len"]


@pytest.mark.parametrize("case", UEPS["build"], ids=lambda case: case["name"])
def test_built_packets(case: dict[str, Any]) -> None:
    secret, payload = bytes.fromhex(case["secret_hex"]), payload_of(case)
    header = case["header"]
    if case["error"]:
        with pytest.raises(UsageError) as refusal:
            build_packet(secret, case["intent"], payload)
        assert case["error"].endswith(str(refusal.value))
        return
    data = build_packet(secret, case["intent"], payload, **header)
    assert len(data) == case["packet_len"] == 59 + len(payload)
    assert hashlib.sha256(data).hexdigest() == case["packet_sha256"]
    packet, stop = read_packet(data, secret)
    assert (packet.payload, stop) == (payload, len(data))
    same(packet, case["read"])


@pytest.mark.parametrize("case", UEPS["read"], ids=lambda case: case["name"])
def test_read_packets(case: dict[str, Any]) -> None:
    data, secret, read = bytes.fromhex(case["packet_hex"]), bytes.fromhex(case["secret_hex"]), case["read"]
    if "panic" in read:
        with pytest.raises(Malformed, match="wants"):
            read_packet(data, secret)
        return
    if "error" in read:
        with pytest.raises(DecodeError) as refusal:
            read_packet(data, secret)
        assert read["error"].removeprefix("ueps.ReadAndVerify: ") == refusal.value.reason
        assert isinstance(refusal.value, Truncated) == read["error"].endswith("EOF")
        return
    packet, stop = read_packet(data, secret)
    same(packet, read)
    assert packet.payload.hex() == read["payload_hex"]
    assert len(data) - stop == read["remaining_bytes"]


def test_packets_follow_one_another() -> None:
    stream = build_packet(SECRET, 1, b"a") + build_packet(SECRET, 2, b"bc")
    first, offset = read_packet(memoryview(stream), SECRET)
    second, end = read_packet(stream, SECRET, offset)
    assert (first.payload, second.payload, end) == (b"a", b"bc", len(stream))


def test_unknown_entries_are_kept() -> None:
    [case] = [case for case in UEPS["read"] if case["name"] == "unknown tag signed"]
    packet, _ = read_packet(bytes.fromhex(case["packet_hex"]), bytes.fromhex(case["secret_hex"]))
    assert packet.unknown == ((0x10, b"ext"),)


@given(st.binary(max_size=80), st.integers(0, 255), st.integers(0, 65535), st.data())
def test_any_change_shows(payload: bytes, intent: int, threat: int, data: st.DataObject) -> None:
    whole = build_packet(SECRET, intent, payload, threat_score=threat)
    packet, _ = read_packet(whole, SECRET)
    assert (packet.intent, packet.threat_score, packet.payload) == (intent, threat, payload)
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:place] + bytes([whole[place] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[place + 1 :]
    try:
        found, stop = read_packet(changed, SECRET)
    except DecodeError:
        return
    assert stop <= len(whole)
    raise AssertionError(f"{changed.hex()} was taken as {found}")


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_truncated(data: bytes) -> None:
    with pytest.raises(DecodeError):
        read_packet(data, SECRET)


def test_the_generated_codec_sees_the_same_entries() -> None:
    whole = build_packet(SECRET, 0x20, b"hello")
    entries = codec.Packet.decode(whole).entries
    assert [tag for tag, _ in entries] == [1, 2, 3, 4, 5, 6, 0xFF]
    assert entries[-1][1] == b"hello"
    assert codec.Packet(entries).encode() == whole


def test_entries_before_the_payload_are_bounded() -> None:
    for stream in (b"\x10\x00\x00" * 300, (b"\x10\xff\xff" + bytes(65535)) * 2):
        with pytest.raises(Malformed, match="more than"):
            read_packet(stream + b"\xff\x00\x00", SECRET)


def test_numbers_that_do_not_fit_are_not_written() -> None:
    for settings in ({"threat_score": 65536}, {"version": 256}, {"current_layer": -1}):
        with pytest.raises(UsageError, match="16"):
            build_packet(SECRET, 1, b"", **settings)


@pytest.mark.parametrize("case", UEPS["dispatch"], ids=lambda case: str(sorted(case.items())))
def test_dispatch(case: dict[str, Any]) -> None:
    dispatcher: Dispatcher[str] = Dispatcher()
    for intent in case.get("registered_intents", ()):
        dispatcher.register(intent, lambda packet: f"done {packet.intent}")
    packet = None if case.get("nil_packet") else Packet(case["intent"], b"", case["threat_score"])
    if case["error"] is None:
        assert dispatcher.dispatch(packet) == f"done {case['intent']}"
        assert dispatcher.dispatched == 1
        return
    with pytest.raises((PacketDropped, UsageError)) as refusal:
        dispatcher.dispatch(packet)
    assert case["error"] == f"Dispatcher.Dispatch: {refusal.value}"
    assert dispatcher.dispatched == 0


def test_handlers_are_replaced_and_drops_counted() -> None:
    dispatcher: Dispatcher[int] = Dispatcher()
    dispatcher.register(0xFF, lambda packet: 1)
    dispatcher.register(0xFF, lambda packet: 2)
    assert dispatcher.dispatch(Packet(0xFF, b"")) == 2
    for packet in (Packet(0xFF, b"", 50_001), Packet(0x01, b""), Packet(0x01, b"", 60_000)):
        with pytest.raises(PacketDropped):
            dispatcher.dispatch(packet)
    assert dispatcher.dropped == {Dropped.THREAT: 2, Dropped.UNKNOWN_INTENT: 1}
    with pytest.raises(UsageError):
        dispatcher.register(256, lambda packet: 3)
