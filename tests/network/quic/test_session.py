"""Streams of a QUIC session over an engine that only records what it is asked."""

from __future__ import annotations

from collections import Counter

import pytest

from mesh.errors import Closed, LimitError
from mesh.network.quic.engine import MAX_UNSENT_BYTES
from mesh.network.quic.session import CHUNK_BYTES, MAX_IMPLIED, Session, Stream
from mesh.protocols.machine import Buffer
from mesh.protocols.yamux import ResetCode


class Recorder:
    """Stands for an engine; ``unsent`` is what it says of every stream."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.credit: Counter[int] = Counter()
        self.unsent: dict[int, int] = {}
        self.can_open = True
        self.rtt_s = None
        self._next = 0

    def open_stream(self) -> int:
        self._next += 4
        return self._next - 4

    def write(self, stream_id: int, data: Buffer, fin: bool) -> None:
        self.calls.append(("write", stream_id, bytes(data), fin))

    def unsent_bytes(self, stream_id: int) -> int:
        return self.unsent.get(stream_id, 0)

    def consumed(self, stream_id: int, size: int) -> None:
        self.credit[stream_id] += size

    def reset(self, stream_id: int, code: int) -> None:
        self.calls.append(("reset", stream_id, int(code)))

    def stop(self, stream_id: int, code: int) -> None:
        self.calls.append(("stop", stream_id, int(code)))


@pytest.fixture
def engine() -> Recorder:
    return Recorder()


@pytest.fixture
def session(engine: Recorder) -> Session:
    session = Session(dialer=True)
    session.attach(engine)  # type: ignore[arg-type]
    return session


def arrived(session: Session) -> Stream:
    stream = session.opened[-1]
    assert session.eventful
    return stream


def test_bytes_are_kept_until_they_are_read(session: Session, engine: Recorder) -> None:
    session.stream_data(1, b"abc", False)
    session.stream_data(1, b"def", True)
    stream = arrived(session)
    assert (stream.queued_bytes, session.held_bytes, stream.read_closed, stream.dead) == (6, 6, True, False)
    assert bytes(session.take(stream, 4)) == b"abcd"
    assert bytes(session.take(stream, 100)) == b"ef"
    assert session.take(stream, 100) == b""
    assert (session.held_bytes, engine.credit[1]) == (0, 6)


def test_small_pieces_are_gathered_and_large_ones_left_whole(session: Session) -> None:
    for _ in range(2000):
        session.stream_data(1, b"x" * 100, False)
    stream = arrived(session)
    assert stream.queue is not None
    assert len(stream.queue) <= 2000 * 100 // CHUNK_BYTES + 1
    large = bytes(40_000)
    session.stream_data(5, large, False)
    assert session.take(arrived(session), 65_536) is large


def test_a_taken_chunk_never_changes(session: Session) -> None:
    session.stream_data(1, b"first", False)
    stream = arrived(session)
    taken = session.take(stream, 100)
    session.stream_data(1, b"second", False)
    assert bytes(taken) == b"first"
    assert bytes(session.take(stream, 100)) == b"second"


def test_streams_come_in_any_order(session: Session) -> None:
    session.stream_data(9, b"c", False)
    session.stream_data(1, b"a", False)
    session.stream_data(5, b"b", False)
    assert [each.id for each in session.opened] == [9, 1, 5]
    session.stream_data(1, b"a", False)
    assert len(session.opened) == 3


def test_a_forgotten_stream_does_not_open_again(session: Session, engine: Recorder) -> None:
    session.stream_data(1, b"a", False)
    session.reset(arrived(session), 7)
    assert engine.calls == [("reset", 1, 7), ("stop", 1, 7)]
    session.stream_data(1, b"late", True)
    assert len(session.opened) == 1
    assert (session.held_bytes, engine.credit[1]) == (0, 5)


def test_streams_that_never_come_take_bounded_room(session: Session) -> None:
    for number in range(1, 10 * MAX_IMPLIED, 8):
        session.stream_data(number * 4 + 1, b"", True)
    assert len(session._implied) <= MAX_IMPLIED


def test_a_writer_gets_room_as_its_bytes_leave(session: Session, engine: Recorder) -> None:
    stream = session.open()
    assert session.send(stream, bytes(MAX_UNSENT_BYTES + 5)) == MAX_UNSENT_BYTES
    assert stream.send_window == 0
    assert session.send(stream, b"more") == 0
    engine.unsent[stream.id] = MAX_UNSENT_BYTES // 4
    session.note_sent()
    assert stream.send_window == MAX_UNSENT_BYTES * 3 // 4
    assert session.ready == [stream]
    assert session.unsent
    engine.unsent.clear()
    session.note_sent()
    assert stream.send_window == MAX_UNSENT_BYTES
    assert not session.unsent


def test_the_peer_reads_no_more(session: Session, engine: Recorder) -> None:
    stream = session.open()
    session.stream_stopped(stream.id, 9)
    assert (stream.stop_code, stream.write_closed, stream.read_closed) == (9, True, False)
    session.stream_data(stream.id, b"still", True)
    assert bytes(session.take(stream, 10)) == b"still"
    assert stream.id not in session.streams


def test_a_reset_of_the_peer_drops_what_is_unread(session: Session, engine: Recorder) -> None:
    gone: list[Stream] = []
    session.gone = gone.append
    session.stream_data(1, b"unread", False)
    stream = arrived(session)
    session.stream_reset(1, 5)
    assert (stream.reset_code, stream.reset_by_peer, stream.queued_bytes, session.held_bytes) == (
        5,
        True,
        0,
        0,
    )
    assert gone == [stream]
    assert ("reset", 1, 5) in engine.calls


def test_a_reset_behind_the_end_changes_nothing(session: Session) -> None:
    session.stream_data(1, b"whole", True)
    stream = arrived(session)
    session.stream_reset(1, 5)
    assert stream.reset_code is None
    assert bytes(session.take(stream, 10)) == b"whole"


def test_half_closes_from_both_sides_end_it(session: Session) -> None:
    stream = session.open()
    session.close_write(stream)
    session.close_write(stream)
    assert not stream.dead
    session.stream_data(stream.id, b"", True)
    assert stream.dead
    assert not session.streams


def test_after_go_away_new_streams_are_refused(session: Session, engine: Recorder) -> None:
    session.go_away()
    session.stream_data(1, b"x", False)
    assert not session.opened
    assert ("stop", 1, int(ResetCode.SHUTDOWN)) in engine.calls
    with pytest.raises(Closed):
        session.open()


def test_the_peers_limit(session: Session, engine: Recorder) -> None:
    engine.can_open = False
    with pytest.raises(LimitError):
        session.open()


def test_the_stream_that_holds_most_is_shed(session: Session, engine: Recorder) -> None:
    session.stream_data(1, bytes(10), False)
    session.stream_data(5, bytes(20), False)
    session.shed()
    assert engine.calls[0] == ("reset", 5, int(ResetCode.RESOURCE_LIMIT))
    assert session.held_bytes == 10


def test_the_end_of_the_connection_ends_every_stream(session: Session) -> None:
    session.stream_data(1, b"unread", False)
    stream = arrived(session)
    session.end(Closed("over"))
    assert stream.dead
    assert bytes(session.take(stream, 10)) == b"unread"
    assert not session.streams
