"""Sessions: bytes arrive whole and once whatever happens to their paths; what a peer may not say ends them."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.codecs.beam_session import MAX_SEGMENT_BYTES, SessionFrame
from mesh.errors import UsageError
from mesh.protocols.beam.session import KEEPALIVE_S, MAX_PATHS, ORPHANED_S, PathLost, Session
from mesh.protocols.beam.session_incoming import WINDOW_BYTES, Incoming
from mesh.protocols.beam.session_outgoing import MAX_HELD_BYTES, MAX_SEGMENTS, Outgoing

STEP_S = 0.01


class Pair:
    """An opener and its other end, joined by paths that keep the order of their frames, in bytes on the wire."""

    def __init__(self, paths: int = 2, seed: int = 1) -> None:
        self.now = 0.0
        self.chance = random.Random(seed)
        self.ends = Session(True, 0.0), Session(False, 0.0)
        self.wires: dict[int, tuple[deque[bytes], deque[bytes]]] = {}
        self.silent: set[int] = set()
        self.read: tuple[bytearray, bytearray] = bytearray(), bytearray()
        self.carried: dict[int, int] = {}
        self._numbers = 0
        for _ in range(paths):
            self.join()

    def join(self) -> int:
        self._numbers += 1
        for each in self.ends:
            each.add_path(self._numbers, self.now)
        self.wires[self._numbers] = deque(), deque()
        return self._numbers

    def cut(self, path: int) -> None:
        """Both ends learn that a path is gone; what was under way on it is lost."""
        del self.wires[path]
        for each in self.ends:
            each.lose_path(path, "closed", self.now)

    def step(self, *, read: bool = True) -> None:
        """Every path may send a frame and deliver one each way, in an order by chance."""
        self.now += STEP_S
        order = [(path, way) for path in self.wires for way in (0, 1)]
        self.chance.shuffle(order)
        for path, way in order:
            self.send(path, way)
            if self.chance.random() < 0.7:
                self.deliver(path, way)
        for end, into in zip(self.ends, self.read, strict=True):
            end.wake(self.now)
            while read and (chunk := end.read(10_000)):
                into += chunk

    def send(self, path: int, way: int) -> None:
        frame = self.ends[way].next_frame(path, self.now)
        if frame is not None:
            self.carried[path] = self.carried.get(path, 0) + len(frame.data)
            self.wires[path][way].append(frame.encode())

    def deliver(self, path: int, way: int) -> None:
        queue = self.wires[path][way]
        if queue:
            data = queue.popleft()
            if path not in self.silent:
                self.ends[1 - way].receive(path, SessionFrame.decode(data), self.now)

    def run(self, steps: int = 20_000) -> None:
        """Until both ends have ended."""
        for _ in range(steps):
            if all(each.ended for each in self.ends):
                return
            self.step()
        raise AssertionError("the session did not end")


def lost(session: Session) -> list[PathLost]:
    return [each for each in session.events() if isinstance(each, PathLost)]


def pour(pair: Pair, way: int, data: bytes) -> None:
    """Write everything, with steps between."""
    left = memoryview(data)
    while left:
        left = left[pair.ends[way].write(left) :]
        pair.step()
    pair.ends[way].finish()


def test_bytes_go_both_ways_and_both_ends_come_to_an_end() -> None:
    pair, there, back = Pair(), random.Random(1).randbytes(300_000), random.Random(2).randbytes(100)
    pour(pair, 0, there)
    pour(pair, 1, back)
    pair.run()
    assert [bytes(each) for each in pair.read] == [back, there]
    assert [each.ended and each.ended.reason for each in pair.ends] == ["", ""]
    assert pair.ends[0].outgoing.resent == 0
    assert all(share > 0 for share in pair.carried.values())


def test_only_the_path_of_choice_carries() -> None:
    pair = Pair()
    pair.ends[0].carry_by({2})
    for _ in range(10):
        pair.step()
    assert pair.ends[1].carriers == (2,)
    pour(pair, 1, bytes(200_000))
    pair.ends[0].finish()
    pair.run()
    assert pair.carried[1] == 0


def test_the_end_of_the_path_of_choice_needs_no_word_of_the_other_end() -> None:
    pair = Pair(3)
    pair.ends[0].carry_by({2})
    for _ in range(10):
        pair.step()
    data = random.Random(3).randbytes(500_000)
    assert pair.ends[1].write(data) == len(data)
    for _ in range(5):
        pair.step()
    pair.cut(2)
    for each in pair.ends:
        assert [(event.path, event.reason) for event in lost(each)] == [(2, "closed")]
        assert len(each.carriers) == 1
        each.finish()
    pair.run()
    assert bytes(pair.read[0]) == data
    assert pair.ends[1].outgoing.resent > 0


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 200_000),
    st.integers(0, 50_000),
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["cut", "silence", "join"])), max_size=6),
)
def test_any_loss_at_any_time_changes_no_byte(
    seed: int, there: int, back: int, events: list[tuple[int, str]]
) -> None:
    pair = Pair(2, seed)
    sent = pair.chance.randbytes(there), pair.chance.randbytes(back)
    for end, data in zip(pair.ends, sent, strict=True):
        assert end.write(data) == len(data)
        end.finish()
    for steps, event in events:
        for _ in range(steps):
            pair.step()
        if any(each.ended for each in pair.ends):
            break
        if event == "join":
            if len(pair.wires) < MAX_PATHS:
                pair.join()
        elif pair.wires and event == "cut":
            pair.cut(pair.chance.choice(sorted(pair.wires)))
        elif pair.wires:
            pair.silent.add(pair.chance.choice(sorted(pair.wires)))
    while not all(each.ended for each in pair.ends):
        for path in set(pair.wires) - (set(pair.ends[0].paths) & set(pair.ends[1].paths)):
            pair.cut(path)
        if not set(pair.wires) - pair.silent and not any(each.ended for each in pair.ends):
            pair.join()
        pair.step()
    assert bytes(pair.read[1]) == sent[0]
    assert bytes(pair.read[0]) == sent[1]


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_cut_at_any_byte_of_the_wire(data: st.DataObject) -> None:
    """A path ends in the midst of a frame: what came whole counts, the rest is sent again."""
    sender, receiver = Session(True, 0.0), Session(False, 0.0)
    for each in (sender, receiver):
        each.add_path(1, 0.0)
    text = bytes(range(256)) * 300
    assert sender.write(text) == len(text)
    sender.finish()
    wire = []
    while (frame := sender.next_frame(1, 0.0)) is not None:
        wire.append(frame.encode())
    cut = data.draw(st.integers(0, sum(map(len, wire))))
    for encoded in wire:
        cut -= len(encoded)
        if cut < 0:
            break
        receiver.receive(1, SessionFrame.decode(encoded), 0.0)
    for each in (sender, receiver):
        each.lose_path(1, "closed", 0.0)
        each.add_path(2, 0.0)
    while (frame := sender.next_frame(2, 0.0)) is not None:
        receiver.receive(2, SessionFrame.decode(frame.encode()), 0.0)
    read = bytearray()
    while chunk := receiver.read(1000):
        read += chunk
    assert bytes(read) == text
    assert receiver.incoming.ended


def test_a_silent_path_is_given_up_and_within_five_seconds() -> None:
    pair = Pair()
    for _ in range(500):
        pair.step()
    assert lost(pair.ends[0]) == []
    pair.silent.add(1)
    began = pair.now
    while not (found := lost(pair.ends[0])):
        pair.step()
    assert found[0].path == 1
    assert "silent for" in found[0].reason
    assert KEEPALIVE_S < pair.now - began <= 2 * KEEPALIVE_S + 2 * STEP_S < 5
    assert pair.ends[0].paths == (2,)
    assert pair.ends[0].round_trip_s(2) is not None
    assert pair.ends[0].round_trip_s(1) is None


def test_a_session_without_a_path_ends_after_a_while_and_not_before() -> None:
    session = Session(True, 0.0)
    assert session.deadline() == ORPHANED_S
    session.add_path(1, 1.0)
    assert session.deadline() == 1.0 + KEEPALIVE_S
    session.lose_path(1, "closed", 2.0)
    session.lose_path(1, "closed", 2.0)
    assert session.deadline() == 2.0 + ORPHANED_S
    session.wake(2.0 + ORPHANED_S - 0.1)
    assert session.ended is None
    session.wake(2.0 + ORPHANED_S)
    assert session.ended is not None
    assert "no path" in session.ended.reason
    assert session.deadline() is None
    assert session.write(b"x") == 0
    with pytest.raises(UsageError):
        session.add_path(2, 40.0)


def test_the_writer_waits_for_a_reader_who_does_not_read() -> None:
    pair = Pair()
    written = 0
    for _ in range(2000):
        written += pair.ends[0].write(bytes(100_000))
        pair.step(read=False)
    assert WINDOW_BYTES <= written <= WINDOW_BYTES + MAX_HELD_BYTES + MAX_SEGMENT_BYTES
    assert pair.ends[1].incoming.received <= WINDOW_BYTES
    pair.ends[0].finish()
    pair.ends[1].finish()
    pair.run()
    assert len(pair.read[1]) == written


def test_many_small_writes_fill_few_segments_and_no_more_than_may_be() -> None:
    outgoing = Outgoing()
    for _ in range(1000):
        assert outgoing.write(b"xy") == 2
    assert outgoing.take(1) is not None
    assert outgoing.take(1) is None
    while outgoing.write(b"x"):
        outgoing.acknowledge(0, WINDOW_BYTES)
        outgoing.take(1)
    assert outgoing.end == 2000 + MAX_SEGMENTS - 2
    outgoing.finish()
    with pytest.raises(UsageError):
        outgoing.write(b"x")


@pytest.mark.parametrize(
    "frames",
    [
        [SessionFrame(received=1, window=10)],
        [SessionFrame(offset=WINDOW_BYTES, data=b"x")],
        [SessionFrame(offset=3, data=b"x", final=True), SessionFrame(offset=9, data=b"y")],
        [SessionFrame(offset=3, data=b"x"), SessionFrame(offset=2, final=True)],
        [SessionFrame(data=b"abc"), SessionFrame(offset=2, final=True)],
        [SessionFrame(data=b"abc", final=True), SessionFrame(offset=2, final=True)],
        [SessionFrame(data=b"abc", final=True), SessionFrame(offset=3, data=b"d")],
        [SessionFrame(offset=2 * number + 1, data=b"x") for number in range(4097)],
        [SessionFrame(offset=number + 1, data=bytes(MAX_SEGMENT_BYTES)) for number in range(129)],
    ],
    ids=["ack", "window", "after-end", "end-before", "end-behind", "two-ends", "beyond", "pieces", "overlap"],
)
def test_what_a_peer_may_not_say_ends_the_session(frames: list[SessionFrame]) -> None:
    session = Session(False, 0.0)
    session.add_path(1, 0.0)
    for frame in frames[:-1]:
        session.receive(1, frame, 0.0)
        assert session.ended is None
    session.receive(1, frames[-1], 0.0)
    assert session.ended is not None
    assert session.ended.reason
    told = session.next_frame(1, 0.0)
    assert told is not None
    assert told.reset
    assert session.next_frame(1, 0.0) is None


def test_a_reset_reaches_the_other_end() -> None:
    pair = Pair()
    pair.ends[0].reset("given up")
    pair.step()
    pair.step()
    assert pair.ends[1].ended is not None
    pair.ends[1].receive(1, SessionFrame(data=b"late"), pair.now)
    assert not pair.ends[1].incoming.readable


@given(st.lists(st.tuples(st.integers(0, 60), st.binary(max_size=20)), max_size=30))
def test_pieces_that_overlap_are_joined_once(pieces: list[tuple[int, bytes]]) -> None:
    text = bytes(range(100))
    incoming, read = Incoming(), bytearray()
    for offset, piece in [*pieces, (0, text)]:
        incoming.add(offset, text[offset : offset + len(piece)], False)
        while chunk := incoming.take(7):
            read += chunk
    incoming.add(100, b"", True)
    assert bytes(read) == text
    assert incoming.ended


def test_too_many_paths_are_refused() -> None:
    session = Session(True, 0.0)
    for path in range(MAX_PATHS):
        session.add_path(path, 0.0)
    with pytest.raises(UsageError):
        session.add_path(MAX_PATHS, 0.0)
    with pytest.raises(UsageError):
        session.add_path(0, 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_life_twice(seed: int) -> None:
    def life() -> Any:
        pair = Pair(3, seed)
        pair.ends[0].write(pair.chance.randbytes(100_000))
        pair.ends[0].finish()
        pair.ends[1].finish()
        pair.step()
        pair.cut(2)
        pair.run()
        return bytes(pair.read[1]), pair.carried, pair.now

    assert life() == life()
