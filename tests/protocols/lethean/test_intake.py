"""What happens to messages after the handshake: limits, duplicates, routes, answers, silence."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import LimitError, PeerError, UsageError
from mesh.protocols.lethean.compat import COMPAT
from mesh.protocols.lethean.correlation import CALLS, Requests, read_answer
from mesh.protocols.lethean.dedup import WINDOW_S, SeenMessages
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.intake import Drop, Intake
from mesh.protocols.lethean.keepalive import Due, Keepalive
from mesh.protocols.lethean.messages import DeployAck, ErrorReply, MinerAck, Pong, Stats
from mesh.protocols.lethean.rate_limit import TokenBucket
from mesh.protocols.lethean.routing import Route, broadcast_targets, route, stays
from mesh.protocols.lethean.session import Session
from tests.protocols.lethean.vectors import TS, group

SECRET = Session(bytes(32))


def sealed(id: str = "i", sender: str = "peer", type: str = "ping") -> bytes:
    return SECRET.seal(Envelope(id, type, sender, "me", TS), bytes(24), 1)


def intake(**changes: Any) -> Intake:
    given: dict[str, Any] = {"seen": SeenMessages(), "bucket": TokenBucket(0.0)} | changes
    return Intake(SECRET, "me", **given)


@pytest.mark.parametrize("case", group("rate_limit"))
def test_tokens(case: dict[str, Any]) -> None:
    bucket = TokenBucket(0.0)
    assert [bucket.take(0.0) for _ in range(150)].count(True) == 100
    if "elapsed_ms" in case:
        now = case["elapsed_ms"] / 1000
        assert [bucket.take(now) for _ in range(200)].count(True) == case["allowed"]


def test_the_refill_clock_moves_by_use_alone() -> None:
    bucket = TokenBucket(0.0)
    for _ in range(100):
        bucket.take(0.0)
    assert not bucket.take(0.9)
    assert bucket.take(1.8)
    assert [bucket.take(2.7) for _ in range(60)].count(True) == 49
    assert [bucket.take(2.9) for _ in range(60)].count(True) == 50


def test_a_message_is_taken_once() -> None:
    machine = intake()
    assert not machine.proven
    found = machine.receive(sealed(), 0.0, 100.0)
    assert found is not None
    assert found.type == "ping"
    assert machine.proven
    assert machine.receive(sealed(), 0.0, 399.9) is None
    assert machine.receive(sealed(), 0.0, 400.0) is not None
    assert machine.dropped[Drop.DUPLICATE] == 1


def test_one_table_serves_all_connections() -> None:
    seen = SeenMessages()
    assert intake(seen=seen).receive(sealed(""), 0.0, 0.0) is not None
    assert intake(seen=seen).receive(sealed(""), 0.0, 0.0) is None


def test_what_cannot_be_read_is_dropped_and_proves_nothing() -> None:
    machine = intake()
    for data in (b"", b"hello", sealed()[:-1], bytes(1000)):
        assert machine.receive(data, 0.0, 0.0) is None
    assert machine.dropped[Drop.UNREADABLE] == 4
    assert not machine.proven


def test_our_own_messages_come_back_to_nobody() -> None:
    machine = intake()
    assert machine.receive(sealed(sender="me"), 0.0, 0.0) is None
    assert machine.dropped[Drop.REFLECTED] == 1
    assert not machine.proven
    assert intake(strictness=COMPAT).receive(sealed(sender="me"), 0.0, 0.0) is not None


def test_beyond_the_rate_nothing_is_decrypted() -> None:
    machine = intake()
    for number in range(150):
        machine.receive(sealed(str(number)), 0.0, 0.0)
    assert machine.taken == 100
    assert machine.dropped[Drop.RATE_LIMITED] == 50


def test_the_table_of_ids_is_bounded_and_can_be_kept() -> None:
    seen = SeenMessages(max_ids=3)
    assert all(seen.note(name, when) for when, name in enumerate("abcd"))
    assert len(seen) == 3
    assert seen.forgotten_early == 1
    again = SeenMessages()
    again.restore([*seen.snapshot(), ("future", 99.0), ("old", 3 - WINDOW_S)], 3.0)
    assert again.snapshot() == [("b", 1.0), ("c", 2.0), ("d", 3.0)]
    assert not again.note("c", 3.0)
    again.expire(2.0 + WINDOW_S)
    assert again.snapshot() == [("d", 3.0)]


def test_long_ids_take_the_room_of_a_digest() -> None:
    seen = SeenMessages()
    assert seen.note("x" * 10**6, 0.0)
    assert not seen.note("x" * 10**6, 0.0)
    assert len(seen.snapshot()[0][0]) == 64


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 200)), max_size=60))
def test_ids_are_new_exactly_after_the_window(events: list[tuple[str, int]]) -> None:
    seen = SeenMessages()
    entered: dict[str, int] = {}
    now = 0
    for name, step in events:
        now += step
        new = name not in entered or now - entered[name] >= WINDOW_S
        assert seen.note(name, now) is new
        if new:
            entered[name] = now
        if step % 3 == 0:
            seen.expire(now)


def test_routes() -> None:
    def of(type: str, reply_to: str = "") -> Route:
        return route(Envelope("i", type, "a", "b", TS, reply_to=reply_to))

    assert of("ping") is Route.COMMAND
    assert of("pong", "q") is Route.ANSWER
    assert of("ping", "q") is Route.ANSWER
    assert {of(type) for type in ("pong", "handshake", "disconnect", "stats", "unknown", "")} == {
        Route.NOBODY
    }
    assert broadcast_targets(Envelope("i", "ping", "a", "", TS), ["a", "b", "c"]) == ["b", "c"]


def test_both_ends_keep_the_same_of_two_connections() -> None:
    assert stays("a", "b", dialled_by_us=True) == stays("b", "a", dialled_by_us=False) is True
    assert stays("a", "b", dialled_by_us=False) == stays("b", "a", dialled_by_us=True) is False


def answer(type: str, payload: Any, reply_to: str = "q") -> Envelope:
    return Envelope.of(payload, id="r", type=type, sender="p", receiver="m", ts=TS, reply_to=reply_to)


def test_an_answer_comes_from_where_the_request_went() -> None:
    requests: Requests[str] = Requests()
    requests.open("q", CALLS["ping"], "first", 0.0)
    pong = answer("pong", Pong(sent_at_ms=1, received_at_ms=2))
    assert requests.take(pong, "second") is None
    assert requests.take(pong, "first") == ("q", CALLS["ping"])
    assert requests.take(pong, "first") is None
    assert requests.stray == 2
    anywhere: Requests[str] = Requests(COMPAT)
    anywhere.open("q", CALLS["ping"], "first", 0.0)
    assert anywhere.take(pong, "second") == ("q", CALLS["ping"])


def test_requests_time_out_or_lose_their_connection() -> None:
    requests: Requests[str] = Requests()
    requests.open("a", CALLS["ping"], "c", 0.0)
    requests.open("b", CALLS["start_miner"], "d", 0.0)
    with pytest.raises(UsageError):
        requests.open("a", CALLS["ping"], "c", 0.0)
    assert requests.deadline() == 5.0
    assert requests.wake(4.9) == []
    assert requests.wake(5.0) == ["a"]
    assert requests.lose("c") == []
    assert requests.lose("d") == ["b"]
    assert len(requests) == 0
    assert requests.deadline() is None


def test_requests_are_bounded() -> None:
    requests: Requests[str] = Requests(max_waiting=2)
    requests.open("a", CALLS["ping"], "c", 0.0)
    requests.open("b", CALLS["ping"], "c", 0.0)
    with pytest.raises(LimitError):
        requests.open("d", CALLS["ping"], "c", 0.0)
    requests.close("a")
    requests.open("d", CALLS["ping"], "c", 0.0)


def test_answers_are_checked_as_go_checks_them() -> None:
    assert read_answer(CALLS["ping"], answer("pong", Pong(sent_at_ms=1, received_at_ms=2))) == Pong(
        sent_at_ms=1, received_at_ms=2
    )
    with pytest.raises(PeerError, match=r"remote error \(1002\): no rights") as refusal:
        read_answer(CALLS["get_stats"], answer("error", ErrorReply(code=1002, message="no rights")))
    assert refusal.value.wire_code == 1002
    with pytest.raises(PeerError, match="unexpected response type: expected logs, got stats"):
        read_answer(CALLS["get_logs"], answer("stats", Stats()))
    for call, refusing in (("stop_miner", MinerAck(error="gone")), ("deploy", DeployAck(error="gone"))):
        with pytest.raises(PeerError, match="gone"):
            read_answer(CALLS[call], answer(CALLS[call].answer, refusing))
    with pytest.raises(PeerError, match="malformed"):
        read_answer(CALLS["ping"], Envelope("r", "pong", "p", "m", TS, '{"sentAt":"x"}', "q"))


def test_a_silent_peer_is_pinged_once_and_then_gone() -> None:
    life = Keepalive(0.0, 1.0, 1.0)
    assert life.deadline() == 1.0
    assert life.wake(0.9) is None
    assert life.wake(1.0) is Due.PING
    assert life.deadline() == 2.0
    assert life.wake(1.9) is None
    assert life.wake(2.0) is Due.CLOSE


def test_any_message_keeps_a_connection() -> None:
    life = Keepalive(0.0)
    for second in range(0, 400, 20):
        life.note_message(float(second))
        assert life.wake(float(second)) in (None, Due.PING)
    assert life.deadline() <= 380 + 40
