"""What unread payload keeps alive, how it is counted and bounded, and how it is handed out."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from mesh.protocols.yamux import ResetCode, Session, Stream
from tests.protocols.yamux.frames import (
    FIN,
    RST,
    SYN,
    UPDATE,
    Frame,
    data,
    drain,
    incoming,
    opened,
    responder,
    sent,
    update,
)

RECORD = 65519
STRANGER = 99


def padded(frames: bytes, size: int = RECORD) -> bytes:
    """A record of the given size: the frames, then a body nobody wants."""
    return frames + data(STRANGER, bytes(size - len(frames) - 12))


def deliver(session: Session, frames: bytes, count: int, size: int = RECORD) -> None:
    for _ in range(count):
        session.receive(padded(frames, size), 0.0)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("body", "size", "count"),
    [
        (1, RECORD, 100),
        (1023, RECORD, 60),
        (32700, RECORD, 8),
        (32754, RECORD, 8),
        (40000, RECORD, 6),
        (1, 30, 500),
    ],
)
def test_held_bytes_is_what_is_kept_alive(body: int, size: int, count: int) -> None:
    session = responder()
    stream = incoming(session)
    before, _ = tracemalloc.get_traced_memory()
    deliver(session, data(1, bytes(body)), count, size)
    kept = tracemalloc.get_traced_memory()[0] - before
    assert session.held_bytes == stream.held_bytes
    assert stream.queued_bytes == body * count
    assert kept <= session.held_bytes * 5 // 4 + 16_384
    assert session.held_bytes <= 2.01 * stream.queued_bytes
    drain(session, stream)
    assert session.held_bytes == 0
    assert tracemalloc.get_traced_memory()[0] - before < 16_384


@pytest.mark.usefixtures("traced")
def test_one_byte_frames_on_many_streams_pin_no_records() -> None:
    session = responder()
    streams = [incoming(session, number) for number in range(1, 41, 2)]
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(4):
        for stream in streams:
            session.receive(padded(data(stream.id, b"x")), 0.0)
    assert session.held_bytes == 80
    assert tracemalloc.get_traced_memory()[0] - before < len(streams) * 2048


@pytest.mark.usefixtures("traced")
def test_reading_the_tail_bit_by_bit_gives_memory_back() -> None:
    session = responder()
    stream = incoming(session)
    deliver(session, data(1, bytes(1000)), 100, 2100)
    before, _ = tracemalloc.get_traced_memory()
    while stream.queued_bytes > 1000:
        session.take(stream, 500)
    session.output()
    assert before - tracemalloc.get_traced_memory()[0] > 90_000


def test_a_view_holds_its_record_until_its_last_byte_is_taken() -> None:
    session = responder()
    stream = incoming(session)
    record = padded(data(1, bytes(range(200)) * 250))
    session.receive(record, 0.0)
    for left in (40_000, 30_000, 1, 0):
        session.take(stream, stream.queued_bytes - left)
        assert stream.queued_bytes == left
        assert session.held_bytes == (len(record) if left else 0)


@pytest.mark.parametrize("step", [1, 7, 1024, 5000, 1 << 20])
def test_take_splits_without_loss(step: int) -> None:
    session = responder()
    stream = incoming(session)
    expected = b""
    for size in (1, 3, 5000, 2, 1024, 2048, 1):
        body = bytes((size + number) % 251 for number in range(size))
        expected += body
        session.receive(data(1, body), 0.0)
    parts = []
    while part := bytes(session.take(stream, step)):
        assert len(part) <= step
        parts.append(part)
    assert b"".join(parts) == expected
    assert session.take(stream, step) == b""
    assert session.held_bytes == stream.held_bytes == stream.queued_bytes == 0


def test_what_was_taken_does_not_change_later() -> None:
    stream = Stream(1, True, 0, 0.0)
    stream.store(b"abcdef" + bytes(100), 0, 6)
    first, released = stream.fetch(2)
    assert released == 2
    stream.store(b"ghi" + bytes(100), 0, 3)
    second, _ = stream.fetch(100)
    stream.store(b"xyz" + bytes(100), 0, 3)
    assert (bytes(first), bytes(second)) == (b"ab", b"cdefghi")
    assert stream.fetch(0) == (b"", 0)
    assert Stream(3, True, 0, 0.0).fetch(10) == (b"", 0)


@pytest.mark.parametrize("fin", [0, FIN])
def test_too_much_unread_payload_resets_the_stream_that_brought_it(fin: int) -> None:
    session = responder(max_held_bytes=100_000)
    quiet, loud = incoming(session), incoming(session, 3)
    session.receive(data(1, bytes(50_000)), 0.0)
    session.receive(data(3, bytes(30_000)), 0.0)
    assert session.held_bytes == 80_024
    whole = data(3, bytes(30_000), fin)
    session.receive(whole[:25_000], 0.0)
    session.receive(whole[25_000:], 0.0)
    assert sent(session) == [Frame(UPDATE, RST, 3, ResetCode.RESOURCE_LIMIT)]
    assert loud.reset_code == ResetCode.RESOURCE_LIMIT
    assert not loud.read_closed
    assert session.held_bytes == quiet.held_bytes == 50_012
    assert session.streams == {1: quiet}


def test_a_reset_for_memory_with_fin_in_the_same_frame_stays_a_reset() -> None:
    session = responder(max_held_bytes=1000)
    session.receive(data(1, bytes(5000), SYN | FIN), 0.0)
    (stream,) = opened(session)
    assert stream.reset_code == ResetCode.RESOURCE_LIMIT
    assert not stream.read_closed
    assert session.held_bytes == 0


def test_shed_resets_the_greediest() -> None:
    session = responder()
    streams = [incoming(session, number) for number in (1, 3, 5)]
    for stream, size in zip(streams, (2000, 9000, 50), strict=True):
        session.receive(data(stream.id, bytes(size)), 0.0)
    for expected in (3, 1, 5):
        session.shed()
        assert sent(session) == [Frame(UPDATE, RST, expected, ResetCode.RESOURCE_LIMIT)]
    assert session.held_bytes == 0


def test_shed_leaves_streams_that_hold_nothing() -> None:
    session = responder()
    stream = incoming(session)
    session.shed()
    assert sent(session) == []
    assert session.streams == {1: stream}


def test_drop_forgets_and_counts() -> None:
    session = responder()
    stream, other = incoming(session), incoming(session, 3)
    session.receive(data(1, bytes(9000)) + data(3, b"x"), 0.0)
    session.drop(stream)
    session.drop(stream)
    assert (stream.queued_bytes, stream.held_bytes, session.held_bytes) == (0, 0, other.held_bytes)
    session.receive(data(1, b"more"), 0.0)
    assert drain(session, stream) == b"more"


def test_dropping_unread_payload_of_finished_streams() -> None:
    session = responder()
    stream = incoming(session)
    session.receive(data(1, b"unread", FIN), 0.0)
    session.close_write(stream)
    assert not session.streams
    assert session.held_bytes == 6
    session.output()
    session.reset(stream)
    assert session.held_bytes == 0
    assert sent(session) == []


def test_streams_come_once_to_the_ready_list() -> None:
    session = responder()
    stream = incoming(session)
    session.receive(data(1, b"a") * 5 + update(1, 1) * 3 + update(1, flags=FIN), 0.0)
    assert session.ready == [stream]
