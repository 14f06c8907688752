"""Opening, acknowledging, refusing; backlogs and ids."""

from __future__ import annotations

import pytest

from mesh.codecs.yamux import HEADER_BYTES, GoAwayCode
from mesh.errors import Closed, LimitError, UsageError
from mesh.protocols.yamux import ResetCode
from mesh.protocols.yamux.outbox import JOINED_BYTES
from tests.protocols.yamux.frames import (
    ACK,
    DATA,
    FIN,
    RST,
    SYN,
    UPDATE,
    Frame,
    data,
    drain,
    go_away,
    incoming,
    initiator,
    opened,
    outgoing,
    responder,
    sent,
    transfer,
    update,
)


def test_ids_of_each_end() -> None:
    assert [initiator().open().id, responder().open().id] == [1, 2]
    session = responder()
    assert [session.open().id for _ in range(3)] == [2, 4, 6]


def test_the_first_frame_carries_syn_and_only_the_first() -> None:
    session = initiator()
    first, second, third = session.open(), session.open(), session.open()
    session.send(first, b"a")
    session.send(first, b"b" * JOINED_BYTES)
    session.send(first, b"c")
    session.announce(first)
    session.close_write(second)
    session.announce(third)
    session.announce(third)
    assert sent(session) == [
        Frame(DATA, SYN, 1, 1 + JOINED_BYTES, b"a" + b"b" * JOINED_BYTES),
        Frame(DATA, 0, 1, 1, b"c"),
        Frame(UPDATE, SYN | FIN, 3),
        Frame(UPDATE, SYN, 5),
    ]


def test_first_words_join_the_frame_that_opens_or_accepts() -> None:
    """Frames of other streams may lie between; each word is joined once, and only where it fits."""
    session = initiator()
    first, second = session.open(), session.open()
    session.send(first, b"a")
    session.send(second, b"b")
    session.send(second, b"B")
    session.send(first, b"A")
    session.send(first, b"c")
    assert sent(session) == [
        Frame(DATA, SYN, 1, 2, b"aA"),
        Frame(DATA, SYN, 3, 2, b"bB"),
        Frame(DATA, 0, 1, 1, b"c"),
    ]


@pytest.mark.parametrize("own", [False, True], ids=["taken", "copied"])
def test_a_frame_that_has_left_or_was_copied_is_not_joined(own: bool) -> None:
    session = initiator()
    stream = session.open()
    session.send(stream, b"a")
    before = [] if own else sent(session)
    assert session.own_queued() is own
    session.send(stream, b"b")
    assert [*before, *sent(session)] == [Frame(DATA, SYN, 1, 1, b"a"), Frame(DATA, 0, 1, 1, b"b")]


def test_what_is_too_long_to_join_follows() -> None:
    session = initiator(batch_bytes=2048)
    first, second, third = session.open(), session.open(), session.open()
    session.send(first, b"a")
    session.send(first, bytes(JOINED_BYTES + 1))
    session.send(second, b"b")
    session.send(third, bytes(2048 - 4 * HEADER_BYTES - JOINED_BYTES - 3))
    session.send(second, b"cc")
    lengths = [(each.stream_id, each.flags, each.length) for each in sent(session)]
    assert lengths == [
        (1, SYN, 1),
        (1, 0, JOINED_BYTES + 1),
        (3, SYN, 1),
        (5, SYN, 2048 - 4 * HEADER_BYTES - JOINED_BYTES - 3),
        (3, 0, 2),
    ]


def test_a_stream_reset_before_it_was_announced() -> None:
    session = initiator()
    session.reset(session.open(), 7)
    assert sent(session) == [Frame(UPDATE, SYN | RST, 1, 7)]
    assert not session.streams


def test_ack_leaves_with_the_first_frame_back() -> None:
    session = responder()
    session.receive(data(1, b"x", SYN), 0.0)
    (stream,) = opened(session)
    session.accept(stream)
    session.accept(stream)
    session.send(stream, b"y")
    session.announce(stream)
    assert sent(session) == [Frame(DATA, ACK, 1, 1, b"y")]


def test_ack_with_credit() -> None:
    session = responder()
    session.receive(data(1, bytes(1 << 18), SYN), 0.0)
    (stream,) = opened(session)
    session.accept(stream)
    session.take(stream, 1 << 18)
    (granted,) = sent(session)
    assert (granted.kind, granted.flags) == (UPDATE, ACK)
    assert granted.length >= 1 << 18


def test_data_flows_before_ack() -> None:
    ours, theirs = initiator(), responder()
    stream = ours.open()
    ours.send(stream, b"early")
    transfer(ours, theirs)
    (inbound,) = opened(theirs)
    assert drain(theirs, inbound) == b"early"
    assert not stream.acknowledged


def test_open_waits_at_256_unacknowledged() -> None:
    session = initiator()
    streams = [session.open() for _ in range(256)]
    assert not session.can_open
    with pytest.raises(LimitError):
        session.open()
    assert len(session.streams) == 256
    session.receive(update(streams[0].id, flags=ACK), 0.0)
    session.receive(update(streams[0].id, flags=ACK), 0.0)
    assert session.open().id == 513
    assert not session.can_open


@pytest.mark.parametrize("how", ["their reset", "our reset", "both closed"])
def test_a_dead_stream_no_longer_waits_for_its_ack(how: str) -> None:
    session = initiator(accept_backlog=1)
    stream = session.open()
    if how == "their reset":
        session.receive(update(stream.id, flags=RST), 0.0)
    elif how == "our reset":
        session.reset(stream)
    else:
        session.close_write(stream)
        session.receive(update(stream.id, flags=FIN), 0.0)
    assert session.can_open
    session.open()
    assert not session.can_open


def test_257th_unaccepted_stream_is_reset() -> None:
    session = responder()
    session.receive(b"".join(update(number, flags=SYN) for number in range(1, 1201, 2)), 0.0)
    streams = opened(session)
    assert len(streams) == 256
    refused = [Frame(UPDATE, RST, number, ResetCode.RESOURCE_LIMIT) for number in range(513, 1201, 2)]
    assert sent(session) == refused
    session.accept(streams[0])
    session.receive(update(2001, flags=SYN) + update(2003, flags=SYN), 0.0)
    assert [stream.id for stream in opened(session)] == [2001]


def test_inbound_limit() -> None:
    session = responder(max_inbound_streams=2)
    first = incoming(session, 1)
    incoming(session, 3)
    session.receive(data(5, b"no", SYN), 0.0)
    assert sent(session) == [Frame(UPDATE, RST, 5, ResetCode.RESOURCE_LIMIT)]
    assert session.inbound_streams == 2
    outgoing(session)
    session.reset(first)
    assert session.inbound_streams == 1
    incoming(session, 7)


def test_accepting_a_stream_that_died_changes_no_count() -> None:
    session = responder(accept_backlog=1)
    session.receive(update(1, flags=SYN) + update(1, flags=RST), 0.0)
    (stream,) = opened(session)
    session.accept(stream)
    session.announce(stream)
    assert sent(session) == []
    session.receive(update(3, flags=SYN) + update(5, flags=SYN), 0.0)
    assert [each.id for each in opened(session)] == [3]


@pytest.mark.parametrize("command", ["reset", "close_write", "drop", "announce", "accept", "take"])
def test_a_dead_stream_cannot_touch_its_ids_next_owner(command: str) -> None:
    released: list[int] = []
    session = responder()
    session._credit._release = released.append
    old = incoming(session)
    session.receive(update(1, flags=FIN), 0.0)
    session.close_write(old)
    session.output()
    new = incoming(session)
    session.receive(data(1, b"new"), 0.0)
    getattr(session, command)(old, *([100] if command == "take" else []))
    assert session.streams == {1: new}
    assert session.inbound_streams == 1
    assert new.reset_code is None
    assert sent(session) == []
    assert released == []
    assert drain(session, new) == b"new"


def test_ids_run_out() -> None:
    session = initiator()
    session._next_id = 2**32 - 1
    assert session.open().id == 2**32 - 1
    with pytest.raises(LimitError):
        session.open()


def test_no_opening_after_the_end_or_go_away() -> None:
    ended = initiator()
    ended.end(Closed("the connection closed"))
    with pytest.raises(Closed, match="the connection closed"):
        ended.open()
    told = initiator()
    told.receive(go_away(0), 0.0)
    with pytest.raises(Closed):
        told.open()
    gone = initiator()
    gone.go_away()
    with pytest.raises(Closed):
        gone.open()


def test_syn_after_our_go_away() -> None:
    session = responder()
    stream = incoming(session)
    session.go_away(GoAwayCode.NORMAL)
    session.go_away(GoAwayCode.INTERNAL_ERROR)
    session.receive(update(3, flags=SYN) + data(1, b"on"), 0.0)
    assert sent(session) == [Frame(3, 0, 0, 0), Frame(UPDATE, RST, 3, ResetCode.SHUTDOWN)]
    assert opened(session) == []
    assert drain(session, stream) == b"on"


def test_sending_on_a_closed_stream_is_a_usage_error() -> None:
    session = initiator()
    closed, reset = session.open(), session.open()
    session.close_write(closed)
    session.reset(reset)
    for stream in (closed, reset):
        with pytest.raises(UsageError):
            session.send(stream, b"x")
