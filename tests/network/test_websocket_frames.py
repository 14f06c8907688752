"""Frames as bytes: cut anywhere, fragmented, masked; and everything a frame may do wrong."""

from __future__ import annotations

import os
import tracemalloc

import pytest
from websockets import speedups
from websockets.frames import CloseCode, Frame, Opcode

from mesh.network import websocket_frames
from mesh.network.websocket_frames import (
    FRAME_BYTES,
    MAX_FRAME_BYTES,
    FrameReader,
    close_payload,
    control_frame,
    frames,
)

BOTH = pytest.mark.parametrize("masked", [False, True], ids=["from-server", "from-client"])
KEY = b"\0\0\0\0"


def read(reader: FrameReader, wire: bytes, step: int) -> bytes:
    """The payload of a wire that comes ``step`` bytes at a time."""
    view = memoryview(wire)
    return b"".join(
        bytes(piece) for at in range(0, len(wire), step) for piece in reader.receive(view[at : at + step])
    )


@BOTH
@pytest.mark.parametrize("size", [1, 125, 126, 65_535, 65_536, 70_001])
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1_000, 1 << 20])
def test_any_cut_gives_the_same_bytes(masked: bool, size: int, step: int) -> None:
    payloads = [os.urandom(size), b"x", os.urandom(130)]
    wire = b"".join(bytes(each) for payload in payloads for each in frames([payload], masked))
    reader = FrameReader(masked)
    assert read(reader, wire, step) == b"".join(payloads)
    assert reader.held_bytes == 0
    assert not reader.told


@BOTH
def test_the_package_reads_what_we_write(masked: bool) -> None:
    buffers = [os.urandom(2), os.urandom(65_533), os.urandom(3), b"", os.urandom(400)]
    wire = b"".join(bytes(each) for each in frames(list(buffers), masked))
    source = memoryview(wire)
    position = 0

    def take(size: int):  # type: ignore[no-untyped-def]
        nonlocal position
        position += size
        return source[position - size : position]
        yield

    with pytest.raises(StopIteration) as parsed:
        next(Frame.parse(take, mask=masked))
    frame = parsed.value.value
    assert (frame.opcode, frame.fin, frame.data) == (Opcode.BINARY, True, b"".join(buffers))
    assert position == len(wire)


@BOTH
def test_a_long_flush_leaves_in_several_messages(masked: bool) -> None:
    buffers = [os.urandom(65_535) for _ in range(20)]
    framed = frames(list(buffers), masked)
    assert len(framed) == 20 + 3, "seven buffers fit into one frame"
    wire = b"".join(bytes(each) for each in framed)
    assert read(FrameReader(masked), wire, FRAME_BYTES) == b"".join(buffers)
    assert frames([], masked) == []
    assert frames([b""], masked) == []


@BOTH
@pytest.mark.parametrize("step", [1, 5, 1 << 20])
def test_messages_in_fragments_of_one_byte(masked: bool, step: int) -> None:
    payload = os.urandom(500)
    parts = [Frame(Opcode.BINARY, payload[:1], fin=False)]
    parts += [Frame(Opcode.CONT, bytes([each]), fin=False) for each in payload[1:]]
    parts.insert(250, Frame(Opcode.PING, b"between"))
    parts.append(Frame(Opcode.CONT, b""))
    reader = FrameReader(masked)
    assert read(reader, b"".join(each.serialize(mask=masked) for each in parts), step) == payload
    assert reader.ping == b"between"
    assert reader.failure is None


def test_masking_is_compiled() -> None:
    assert vars(websocket_frames)["apply_mask"] is speedups.apply_mask


def test_many_small_pieces_become_one() -> None:
    wire = b"".join(bytes(each) for _ in range(1000) for each in frames([b"abc"], False))
    assert FrameReader(False).receive(memoryview(wire)) == [b"abc" * 1000]


@BOTH
def test_nothing_is_read_behind_a_close(masked: bool) -> None:
    close = control_frame(Opcode.CLOSE, close_payload(CloseCode.NORMAL_CLOSURE), masked)
    before, after = (b"".join(map(bytes, frames([each], masked))) for each in (b"before", b"after"))
    for step in (1, 1000):
        reader = FrameReader(masked)
        assert read(reader, before + close + after, step) == b"before"
        assert reader.closed == b"\x03\xe8"


@BOTH
def test_a_pong_and_an_empty_ping(masked: bool) -> None:
    reader = FrameReader(masked)
    pong = control_frame(Opcode.PONG, b"whatever", masked)
    assert read(reader, pong, 1) == b""
    assert not reader.told
    assert read(reader, control_frame(Opcode.PING, b"", masked), 1) == b""
    assert reader.told
    assert reader.ping == b""


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"\x81\x82" + KEY + b"hi", CloseCode.UNSUPPORTED_DATA),
        (b"\x01\x82" + KEY + b"hi", CloseCode.UNSUPPORTED_DATA),
        (b"\x82\x02hi", CloseCode.PROTOCOL_ERROR),
        (b"\xc2\x82" + KEY + b"hi", CloseCode.PROTOCOL_ERROR),
        (b"\x83\x82" + KEY + b"hi", CloseCode.PROTOCOL_ERROR),
        (b"\x8b\x82" + KEY + b"hi", CloseCode.PROTOCOL_ERROR),
        (b"\x80\x82" + KEY + b"hi", CloseCode.PROTOCOL_ERROR),
        (b"\x02\x81" + KEY + b"a" + b"\x82\x81" + KEY + b"b", CloseCode.PROTOCOL_ERROR),
        (b"\x09\x82" + KEY + b"hi", CloseCode.PROTOCOL_ERROR),
        (b"\x89\xfe\x00\x7e" + KEY + bytes(126), CloseCode.PROTOCOL_ERROR),
        (b"\x88\x81" + KEY + b"\x03", CloseCode.PROTOCOL_ERROR),
        (b"\x88\x82" + KEY + b"\x00\x01", CloseCode.PROTOCOL_ERROR),
        (b"\x88\x83" + KEY + b"\x03\xe8\xff", CloseCode.PROTOCOL_ERROR),
        (b"\x82\xff" + (MAX_FRAME_BYTES + 1).to_bytes(8, "big") + KEY, CloseCode.MESSAGE_TOO_BIG),
        (b"\x82\xff" + b"\xff" * 8 + KEY, CloseCode.MESSAGE_TOO_BIG),
    ],
    ids=[
        "text",
        "fragmented text",
        "unmasked",
        "reserved bit",
        "reserved data opcode",
        "reserved control opcode",
        "continuation of nothing",
        "message inside a message",
        "fragmented ping",
        "long ping",
        "close of one byte",
        "close with a bad code",
        "close with a bad reason",
        "too long",
        "as long as can be said",
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_what_ends_the_connection(wire: bytes, code: CloseCode, step: int) -> None:
    reader = FrameReader(True)
    read(reader, wire + b"\x82\x81" + KEY + b"x", step)
    assert reader.told
    assert reader.failure is not None
    assert reader.failure[0] == code
    assert len(close_payload(*reader.failure)) <= 125


def test_a_masked_frame_from_a_server() -> None:
    reader = FrameReader(False)
    assert reader.receive(memoryview(b"\x82\x81" + KEY + b"x")) == []
    assert reader.failure == (CloseCode.PROTOCOL_ERROR, "the frame is masked")


def test_an_announced_length_takes_no_memory() -> None:
    reader = FrameReader(True)
    tracemalloc.start()
    try:
        for byte in b"\x82\xff" + MAX_FRAME_BYTES.to_bytes(8, "big") + KEY + b"abc":
            reader.receive(memoryview(bytes([byte])))
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024
    finally:
        tracemalloc.stop()
    assert reader.held_bytes == 0
    assert reader.failure is None
