"""Frames gathered into batches: what fills one, what waits, and who owns the bytes meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs.yamux import HEADER_BYTES
from mesh.protocols.machine import Buffer
from mesh.protocols.yamux.outbox import MIN_PIECE_BYTES, Outbox
from tests.protocols.yamux.frames import DATA, PING, UPDATE, Frame, outgoing, parse, responder

LIMIT = 4096
MOST = LIMIT - HEADER_BYTES
PATTERN = bytes(range(251)) * 200


def joined(batches: list[list[Buffer]]) -> list[bytes]:
    return [b"".join(batch) for batch in batches]


def filled(size: int) -> Outbox:
    """A box whose open batch holds a body of ``size``."""
    box = Outbox(LIMIT)
    box.put_data(0, 1, bytes(size), size)
    return box


def test_an_empty_box() -> None:
    box = Outbox(LIMIT)
    assert (box.take(), box.take_full(), box.queued_bytes, box.room) == ([], [], 0, MOST)
    box.own()
    assert box.take() == []


def test_only_what_is_full_leaves() -> None:
    box = filled(MOST)
    box.put(PING, 1, 0, 7)
    assert [parse(each) for each in joined(box.take_full())] == [[Frame(DATA, 0, 1, MOST, bytes(MOST))]]
    assert box.take_full() == []
    assert box.queued_bytes == HEADER_BYTES
    assert [parse(each) for each in joined(box.take())] == [[Frame(PING, 1, 0, 7)]]
    assert box.queued_bytes == 0


def test_order_holds_when_what_is_full_leaves_first() -> None:
    box = Outbox(LIMIT)
    box.put(UPDATE, 1, 1, 0)
    box.put_data(0, 1, b"a" * 100, 100)
    box.put_data(0, 3, b"b" * 4000, 4000)
    box.put(UPDATE, 0, 1, 9)
    left = joined(box.take_full()) + joined(box.take())
    assert [(each.kind, each.stream_id, each.length) for each in parse(b"".join(left))] == [
        (UPDATE, 1, 0),
        (DATA, 1, 100),
        (DATA, 3, 4000),
        (UPDATE, 1, 9),
    ]


@pytest.mark.parametrize(
    ("size", "room"),
    [
        (1, MOST - 1 - HEADER_BYTES),
        (MOST - HEADER_BYTES - MIN_PIECE_BYTES, MIN_PIECE_BYTES),
        (MOST - HEADER_BYTES - MIN_PIECE_BYTES + 1, MOST),
        (MOST - 1, MOST),
        (MOST, MOST),
    ],
)
def test_room_fills_the_batch_or_the_next_one(size: int, room: int) -> None:
    box = filled(size)
    assert box.room == room
    box.put_data(0, 1, bytes(room), room)
    assert len(box.take_full()[-1]) % 2 == 0
    assert box.queued_bytes == 0, "a body as long as the room leaves nothing open"


def test_a_batch_too_small_for_a_piece_still_takes_some() -> None:
    box = Outbox(64)
    assert box.room == 64 - HEADER_BYTES
    box.put(PING, 1, 0, 7)
    assert box.room == 64 - HEADER_BYTES


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_owned_frames_do_not_change_with_the_buffer(closed: bool) -> None:
    box = Outbox(LIMIT)
    lent = bytearray(b"a" * MOST)
    box.put_data(0, 1, memoryview(lent)[: MOST if closed else 100], MOST if closed else 100)
    box.put(PING, 1, 0, 7)
    before = box.queued_bytes
    box.own()
    lent[:] = b"b" * MOST
    lent.clear()
    assert box.queued_bytes == before
    first, last = parse(b"".join(joined(box.take())))
    assert set(first.body) == {ord("a")}
    assert last == Frame(PING, 1, 0, 7)


def test_an_owned_batch_goes_on_filling() -> None:
    box = filled(100)
    for _ in range(3):
        box.own()
        box.put_data(0, 1, b"x" * 500, 500)
    room = box.room
    box.put_data(0, 1, bytes(room), room)
    [whole] = joined(box.take_full())
    assert len(whole) == LIMIT
    assert [each.length for each in parse(whole)] == [100, 500, 500, 500, room]


@given(
    writes=st.lists(st.tuples(st.integers(1, 3 * LIMIT), st.booleans(), st.booleans()), max_size=12),
    limit=st.sampled_from([LIMIT, 2048, 64]),
)
def test_pieces_of_any_size_fill_batches(writes: list[tuple[int, bool, bool]], limit: int) -> None:
    box = Outbox(limit)
    batches: list[bytes] = []
    sent = bytearray()
    for size, own, take in writes:
        body = PATTERN[len(sent) % 251 :][:size]
        sent += body
        while body:
            piece = body[: box.room]
            box.put_data(0, 1, piece, len(piece))
            body = body[len(piece) :]
        if own:
            box.own()
        if take:
            batches += joined(box.take_full())
    batches += joined(box.take())
    assert b"".join(each.body for each in parse(b"".join(batches))) == sent
    assert all(len(batch) <= limit for batch in batches)
    least = limit - HEADER_BYTES - MIN_PIECE_BYTES
    assert all(len(batch) > least for batch in batches[:-1]), "a batch was left half empty"


def test_a_session_tells_the_room_and_keeps_what_does_not_fill() -> None:
    session = responder(batch_bytes=LIMIT)
    stream = outgoing(session)
    assert session.room == MOST
    session.send(stream, bytes(100))
    assert session.room == MOST - 100 - HEADER_BYTES
    session.send(stream, bytes(session.room))
    session.send(stream, b"rest")
    assert [len(each) for each in joined(session.full_output())] == [LIMIT]
    assert session.own_queued()
    [rest] = joined(session.output())
    assert [each.body for each in parse(rest)] == [b"rest"]
    assert not session.own_queued()
