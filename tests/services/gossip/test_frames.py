"""Bytes of a stream cut into RPCs, however they arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Malformed
from mesh.framing import delimited
from mesh.services.gossip.frames import Frames

MAX_BYTES = 1000


@given(
    rpcs=st.lists(st.binary(max_size=MAX_BYTES), max_size=20),
    cuts=st.lists(st.integers(1, 300), min_size=1, max_size=20),
)
def test_whatever_the_pieces_the_rpcs_are_the_same(rpcs: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(delimited.encode, rpcs))
    frames = Frames(MAX_BYTES)
    found: list[bytes] = []
    offset = step = 0
    while offset < len(data):
        size = cuts[step % len(cuts)]
        found += frames.receive(memoryview(data)[offset : offset + size])
        offset += size
        step += 1
    assert found == [each for each in rpcs if each]


@given(st.binary(max_size=64), st.integers(1, 64))
def test_bytes_of_a_stranger_give_rpcs_or_an_error(data: bytes, size: int) -> None:
    frames = Frames(20)
    try:
        found = [each for at in range(0, len(data), size) for each in frames.receive(data[at : at + size])]
    except Malformed:
        return
    assert all(0 < len(each) <= 20 for each in found)
    assert sum(len(each) + 1 for each in found) <= len(data)


@pytest.mark.parametrize(
    "length",
    [b"\xe9\x07", b"\x81\x00", b"\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x80\x80", b"\xff" * 10],
    ids=["one too long", "not shortest", "four bytes", "no end", "ten bytes"],
)
def test_a_length_that_cannot_be_is_an_error(length: bytes) -> None:
    with pytest.raises(Malformed):
        Frames(MAX_BYTES).receive(length)


def test_the_longest_is_taken() -> None:
    assert Frames(MAX_BYTES).receive(delimited.encode(bytes(MAX_BYTES))) == [bytes(MAX_BYTES)]


def test_a_short_limit_holds_for_lengths_of_one_byte() -> None:
    with pytest.raises(Malformed):
        Frames(20).receive(bytes([21]) + bytes(21))
