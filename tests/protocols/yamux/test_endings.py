"""Half close, reset, go away, the end of a session; frames for streams that are no more."""

from __future__ import annotations

import pytest

from mesh.codecs.yamux import GoAwayCode
from mesh.errors import Closed, PeerError
from mesh.protocols.yamux import Ended, ResetCode
from tests.protocols.yamux.frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    UPDATE,
    Frame,
    data,
    drain,
    frame,
    go_away,
    incoming,
    initiator,
    opened,
    outgoing,
    ping,
    responder,
    sent,
    update,
)


@pytest.mark.parametrize("fin", [update(1, flags=FIN), data(1, b"", FIN), update(1, 9, FIN)])
def test_half_close_by_the_peer(fin: bytes) -> None:
    session = responder()
    stream = incoming(session)
    session.receive(data(1, b"request") + fin, 0.0)
    assert stream.read_closed
    assert not stream.dead
    assert drain(session, stream) == b"request"
    session.send(stream, b"answer")
    session.close_write(stream)
    assert sent(session) == [Frame(DATA, 0, 1, 6, b"answer"), Frame(UPDATE, FIN, 1)]
    assert stream.dead
    assert stream.reset_code is None
    assert not session.streams


def test_half_close_by_us() -> None:
    session = responder()
    stream = incoming(session)
    session.close_write(stream)
    session.close_write(stream)
    assert sent(session) == [Frame(UPDATE, FIN, 1)]
    session.receive(data(1, b"still ") + data(1, b"here", FIN), 0.0)
    assert drain(session, stream) == b"still here"
    assert not session.streams
    assert session.inbound_streams == 0


def test_syn_data_and_fin_in_one_frame() -> None:
    session = responder()
    session.receive(data(1, b"all", SYN | FIN), 0.0)
    (stream,) = opened(session)
    assert stream.read_closed
    assert drain(session, stream) == b"all"


def test_fin_of_a_frame_counts_when_its_body_is_there() -> None:
    session = responder()
    stream = incoming(session)
    whole = data(1, b"abc", FIN)
    session.receive(whole[:-1], 0.0)
    assert not stream.read_closed
    session.receive(whole[-1:], 0.0)
    assert stream.read_closed


def test_fin_twice_is_ignored() -> None:
    session = responder()
    stream = incoming(session)
    session.receive(update(1, flags=FIN) * 2 + data(1, b"", FIN) + data(1, b""), 0.0)
    assert stream.reset_code is None
    assert session.streams == {1: stream}


@pytest.mark.parametrize("late", [data(1, b"late"), data(1, b"late", FIN), data(1, b"late")[:12]])
def test_data_after_fin_resets_the_stream_alone(late: bytes) -> None:
    session = responder()
    stream, other = incoming(session), incoming(session, 3)
    session.receive(update(1, flags=FIN) + late, 0.0)
    session.receive(b"late"[: 16 - len(late)] + data(3, b"fine"), 0.0)
    assert sent(session) == [Frame(UPDATE, RST, 1, ResetCode.PROTOCOL_VIOLATION)]
    assert stream.reset_code == ResetCode.PROTOCOL_VIOLATION
    assert not stream.reset_by_peer
    assert stream.queued_bytes == 0
    assert drain(session, other) == b"fine"


@pytest.mark.parametrize(
    ("reset", "code"), [(update(1, 0x1234, RST), 0x1234), (update(1, 0, RST), 0), (frame(DATA, RST, 1, 0), 0)]
)
def test_reset_by_the_peer(reset: bytes, code: int) -> None:
    session = responder()
    stream = incoming(session)
    session.receive(data(1, b"unread") + reset, 0.0)
    assert (stream.reset_code, stream.reset_by_peer) == (code, True)
    assert session.held_bytes == 0
    assert session.take(stream, 10) == b""
    assert stream in session.ready
    session.receive(data(1, b"ignored") + ping(1), 0.0)
    session.reset(stream)
    session.close_write(stream)
    assert sent(session) == [Frame(PING, ACK, 0, 1)]


def test_the_body_of_a_reset_frame_is_skipped() -> None:
    session = responder()
    stream = incoming(session)
    session.receive(data(1, b"body", RST) + ping(1), 0.0)
    assert stream.reset_code == 0
    assert sent(session) == [Frame(PING, ACK, 0, 1)]


def test_reset_after_fin_leaves_what_was_finished() -> None:
    session = responder()
    stream = incoming(session)
    session.receive(data(1, b"complete", FIN) + update(1, 3, RST), 0.0)
    assert stream.reset_code == 3
    assert drain(session, stream) == b"complete"
    assert session.held_bytes == 0


@pytest.mark.parametrize("code", [0, *ResetCode, 0x12345678])
def test_reset_by_us(code: int) -> None:
    session = responder()
    stream = incoming(session)
    session.receive(data(1, b"unread"), 0.0)
    session.reset(stream, code)
    session.reset(stream, 99)
    assert sent(session) == [Frame(UPDATE, RST, 1, code)]
    assert (stream.reset_code, stream.reset_by_peer) == (code, False)
    assert session.held_bytes == 0
    assert not session.streams


def test_reset_in_the_middle_of_a_body() -> None:
    session = responder()
    stream, other = incoming(session), incoming(session, 3)
    session.receive(data(1, b"0123456789")[:17], 0.0)
    session.reset(stream)
    session.receive(b"56789" + data(3, b"next"), 0.0)
    assert session.held_bytes == 4
    assert drain(session, other) == b"next"


@pytest.mark.parametrize("flags", [0, ACK, FIN, RST])
@pytest.mark.parametrize("stream_id", [0, 1, 2, 0xFFFFFFFF])
def test_frames_for_unknown_streams_are_ignored(flags: int, stream_id: int) -> None:
    session = responder()
    session.receive(data(stream_id, b"lost", flags) + update(stream_id, 2**32 - 1, flags), 0.0)
    assert session.ended is None
    assert session.events() == []
    assert sent(session) == []


def test_go_away_0_lets_streams_finish() -> None:
    session = responder()
    stream = incoming(session)
    session.receive(go_away(0) + data(1, b"last", FIN), 0.0)
    assert session.remote_gone
    assert session.ended is None
    session.send(stream, b"answer")
    session.close_write(stream)
    assert drain(session, stream) == b"last"
    assert not session.streams


@pytest.mark.parametrize("code", [1, 2, 3, 77, 2**32 - 1])
def test_other_go_aways_end_the_session(code: int) -> None:
    session = initiator()
    stream = outgoing(session)
    session.receive(go_away(code) + update(2, flags=SYN), 0.0)
    (event,) = session.events()
    assert isinstance(event, Ended)
    assert isinstance(event.error, PeerError)
    assert event.error.wire_code == code
    assert stream.dead
    assert not session.streams
    assert session.deadline() is None
    assert sent(session) == []


@pytest.mark.parametrize("code", GoAwayCode)
def test_our_go_away(code: GoAwayCode) -> None:
    session = responder()
    session.go_away(code)
    assert sent(session) == [Frame(GO_AWAY, 0, 0, code)]


def test_what_was_read_or_finished_survives_the_end_of_the_session() -> None:
    session = responder()
    finished, cut = incoming(session), incoming(session, 3)
    session.receive(data(1, b"complete", FIN) + data(3, b"partial"), 0.0)
    session.events()
    error = Closed("the connection closed")
    session.end(error)
    session.end(Closed("again"))
    assert session.events() == [Ended(error)]
    assert finished.dead
    assert cut.dead
    assert finished.read_closed
    assert drain(session, finished) == b"complete"
    assert drain(session, cut) == b"partial"
    assert session.held_bytes == 0
    assert sent(session) == []


def test_nothing_happens_after_the_end() -> None:
    session = responder()
    incoming(session)
    session.receive(frame(7), 0.0)
    assert sent(session) == [Frame(GO_AWAY, 0, 0, 1)]
    session.events()
    session.receive(update(3, flags=SYN) + ping(1), 1.0)
    session.receive(b"", 1.0)
    session.wake(100.0)
    session.go_away()
    session.shed()
    assert session.events() == []
    assert sent(session) == []
    assert session.deadline() is None


def test_what_followed_a_violation_in_one_record_is_not_read() -> None:
    session = responder()
    session.receive(frame(7) + update(1, flags=SYN), 0.0)
    assert [type(event) for event in session.events()] == [Ended]
