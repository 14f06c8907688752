"""Pings, their answers, round trips and deadlines."""

from __future__ import annotations

import pytest

from mesh.errors import TimedOut
from mesh.protocols.yamux import Ended
from tests.protocols.yamux.frames import (
    ACK,
    PING,
    SYN,
    Frame,
    initiator,
    outgoing,
    ping,
    responder,
    sent,
)


def test_a_ping_leaves_at_once_and_every_thirty_seconds() -> None:
    session = initiator()
    now = 0.0
    for value in (1, 2, 3):
        assert session.deadline() == now
        session.wake(now)
        assert sent(session) == [Frame(PING, SYN, 0, value)]
        assert session.deadline() == now + 10.0
        session.receive(ping(value, ACK), now + 0.1)
        now += 30.0
    assert session.deadline() == now


def test_waking_early_does_nothing() -> None:
    session = initiator()
    session.wake(0.0)
    session.output()
    session.wake(9.99)
    session.receive(ping(1, ACK), 9.99)
    session.wake(29.99)
    assert sent(session) == []
    session.wake(30.0)
    assert sent(session) == [Frame(PING, SYN, 0, 2)]


def test_an_unanswered_ping_ends_the_session() -> None:
    session = initiator(keepalive_s=5, keepalive_timeout_s=2)
    stream = outgoing(session)
    session.wake(0.0)
    session.receive(ping(77, ACK) + ping(5), 1.0)
    session.wake(2.0)
    (event,) = session.events()
    assert isinstance(event, Ended)
    assert isinstance(event.error, TimedOut)
    assert "2 s" in str(event.error)
    assert stream.dead
    assert session.deadline() is None


def test_round_trips_are_smoothed() -> None:
    session = initiator()
    assert session.rtt_s is None
    session.wake(0.0)
    session.receive(ping(1, ACK), 0.5)
    assert session.rtt_s == 0.5
    session.wake(30.0)
    session.receive(ping(2, ACK), 30.1)
    assert session.rtt_s == pytest.approx(0.3)


@pytest.mark.parametrize("value", [0, 1, 2, 2**32 - 1])
def test_an_unasked_pong_is_ignored(value: int) -> None:
    session = initiator()
    session.receive(ping(value, ACK), 0.0)
    session.wake(0.0)
    session.receive(ping(1, ACK) * 2, 0.2)
    session.receive(ping(1, ACK), 7.0)
    assert session.rtt_s == 0.2
    assert session.ended is None


def test_the_ping_value_wraps() -> None:
    session = initiator()
    session._liveness._value = 2**32 - 1
    session.wake(0.0)
    assert sent(session) == [Frame(PING, SYN, 0, 0)]


def test_a_flood_gets_32_answers_per_output() -> None:
    session = responder()
    for _ in range(3):
        session.receive(b"".join(ping(value) for value in range(500)), 0.0)
        assert sent(session) == [Frame(PING, ACK, 0, value) for value in range(32)]
    assert session.queued_bytes == 0


def test_answers_are_given_once_and_before_what_comes_later() -> None:
    session = responder()
    stream = outgoing(session)
    session.receive(ping(1) + ping(1), 0.0)
    session.send(stream, b"x")
    session.receive(ping(2, SYN | ACK), 0.0)
    kinds = [(each.kind, each.length) for each in sent(session)]
    assert kinds == [(PING, 1), (PING, 1), (0, 1), (PING, 2)]
