"""Delimited messages, whatever the pieces they arrive in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import Malformed
from mesh.framing.delimited import DelimitedReader, encode

MESSAGES = st.lists(st.binary(max_size=300), max_size=8)


@given(MESSAGES, st.data())
@settings(max_examples=150)
def test_any_cut_gives_the_same_messages(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(encode(message) for message in messages)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10).map(sorted))
    reader = DelimitedReader(300)
    seen: list[bytes] = []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        seen += reader.receive(stream[start:stop])
    assert seen == messages
    assert reader.pending_bytes == 0


def test_byte_by_byte() -> None:
    reader = DelimitedReader(1000)
    message = bytes(range(200)) * 3
    stream = encode(message) + encode(b"") + encode(b"x")
    seen = [found for byte in stream for found in reader.receive(bytes([byte]))]
    assert seen == [message, b"", b"x"]


def test_pending_bytes_tell_an_unfinished_message() -> None:
    reader = DelimitedReader(10)
    assert reader.receive(encode(b"done") + b"\x05ab") == [b"done"]
    assert reader.pending_bytes == 3
    assert reader.receive(memoryview(b"cde")) == [b"abcde"]
    assert reader.pending_bytes == 0


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"\x0b", "maximum"),
        (b"\x81\x00", "shortest"),
        (b"\xff" * 9, "longer than 9"),
        (b"\x01a\x0b", "maximum"),
    ],
)
def test_bad_lengths(stream: bytes, reason: str) -> None:
    reader = DelimitedReader(10)
    with pytest.raises(Malformed, match=reason):
        reader.receive(stream)
    with pytest.raises(Malformed, match=reason):
        reader.receive(b"")


def test_an_over_long_length_is_refused_before_its_bytes_arrive() -> None:
    reader = DelimitedReader(1 << 16)
    assert reader.receive(b"\xff\xff") == []
    with pytest.raises(Malformed):
        reader.receive(b"\x7f")


@given(st.binary(max_size=60))
def test_hostile_bytes_raise_nothing_else(data: bytes) -> None:
    reader = DelimitedReader(20)
    try:
        messages = reader.receive(data)
    except Malformed:
        return
    assert reader.pending_bytes <= 29
    assert sum(map(len, messages)) <= len(data)
