"""Frames of the marketplace: what the real node wrote, in pieces of any size, and one byte over each limit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs.market import MAX_DATA_BYTES, MAX_TYPE_BYTES, Frame, decode_reply, encode_reply
from mesh.errors import DecodeError, Malformed, Truncated
from mesh.framing.typed import FrameReader
from tests.vectors import load

VECTORS: dict[str, Any] = load("frames", "betar")
MARKET, PAID = VECTORS["marketplace_1_0_0"], VECTORS["x402_libp2p_1_0_0"]
REQUESTS = [bytes.fromhex(case["request_hex"]) for case in [*MARKET["cases"], *PAID["cases"]]]
TYPED = [*REQUESTS, *(bytes.fromhex(case["response_hex"]) for case in PAID["cases"])]
REPLIES = [
    *MARKET["cases"],
    {"response_hex": MARKET["client_capture"]["reply_fed_hex"], "response_text": "[]"},
]
REFUSED = [case for case in [*MARKET["malformed"], *PAID["malformed"]] if not case["response_hex"]]


@pytest.mark.parametrize("data", TYPED, ids=lambda data: data.hex()[:40])
def test_recorded_frames(data: bytes) -> None:
    frame = Frame.decode(data)
    assert frame.encode() == data
    assert FrameReader().receive(data + b"more") == frame
    reader = FrameReader()
    found = [reader.receive(data[at : at + 1]) for at in range(len(data))]
    assert found == [None] * (len(data) - 1) + [frame]


@pytest.mark.parametrize("case", MARKET["cases"], ids=lambda case: case["name"])
def test_what_recorded_requests_carry(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["request_hex"])
    assert Frame(case["type"], case["data_text"].encode()).encode() == data


@pytest.mark.parametrize("case", REPLIES, ids=lambda case: case["response_hex"][:40])
def test_recorded_answers(case: dict[str, Any]) -> None:
    data, text = bytes.fromhex(case["response_hex"]), case["response_text"].encode()
    assert decode_reply(data) == (text, len(data))
    assert encode_reply(text) == data
    assert FrameReader(typed=False).receive(data) == Frame("", text)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["name"])
def test_what_the_real_node_closed_without_a_byte(case: dict[str, Any]) -> None:
    data, reader = bytes.fromhex(case["request_hex"]), FrameReader()
    with pytest.raises(Malformed) as refusal:
        reader.receive(data)
    with pytest.raises(Malformed) as again:
        reader.receive(b"x")
    assert refusal.value is again.value
    with pytest.raises(Malformed):
        Frame.decode(data)


def test_limits_hold_to_the_byte() -> None:
    longest = Frame("t" * MAX_TYPE_BYTES, bytes(MAX_DATA_BYTES))
    assert FrameReader().receive(longest.encode()) == longest
    over = b"\0\1t" + (MAX_DATA_BYTES + 1).to_bytes(4)
    reader = FrameReader()
    assert reader.receive(over[:-1]) is None
    with pytest.raises(Malformed, match="8388609 bytes"):
        reader.receive(over[-1:])
    with pytest.raises(Malformed, match="101 bytes"):
        FrameReader(typed=False, max_data_bytes=100).receive(b"\0\0\0\x65")


@given(st.binary(max_size=40), st.booleans())
def test_the_reader_and_the_records_agree(data: bytes, typed: bool) -> None:
    try:
        wanted = Frame.decode_prefix(data)[0] if typed else Frame("", decode_reply(data)[0])
    except DecodeError as error:
        reader = FrameReader(typed=typed)
        if isinstance(error, Truncated):
            assert reader.receive(data) is None
            assert reader.pending_bytes == len(data)
        else:
            with pytest.raises(Malformed):
                reader.receive(data)
        return
    assert FrameReader(typed=typed).receive(data) == wanted
