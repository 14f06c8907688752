"""Outbox and inbox by a clock of the test's own: leases, dead letters, what is remembered and what is forgotten."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.apps.agent.delivery import history, outbox, proofs, steps, tables
from mesh.apps.agent.delivery.handover import check_receipts, keep_receipts
from mesh.apps.agent.delivery.inbox import DAY_MS, MAX_AGE_MS, MAX_PARTIAL, REMEMBERED_MS, Inbox, Stored
from mesh.apps.agent.delivery.proofs import Notary
from mesh.apps.agent.records import DeliveryState, Direction, MessageRecord
from mesh.codecs.agent_delivery import Acknowledgement, State, VerdictCode
from mesh.codecs.keys import KeyType
from mesh.errors import PeerError, UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.agent_delivery.taking import Offered, PieceCame
from mesh.protocols.openclaw.message import Envelope, read_message

KEYS = [PrivateKey.generate(KeyType.ED25519) for _ in range(2)]
ALICE, BOB = (PeerId.from_public_key(key.public) for key in KEYS)
START = 1_795_198_842_588


class Log:
    """A log that numbers what it gets."""

    def __init__(self) -> None:
        self.received_ids: list[str] = []
        self.states: dict[int, DeliveryState] = {}

    def received(self, _: sqlite3.Connection, peer_id: str, message: Envelope) -> MessageRecord:
        self.received_ids.append(message.id)
        row = len(self.received_ids)
        return MessageRecord(row, peer_id, Direction.INBOUND, message.content, message.type, START)

    def advanced(self, _: sqlite3.Connection, log_row: int, state: DeliveryState) -> None:
        self.states[log_row] = state


class Desk:
    """One agent's tables, log and clock."""

    def __init__(self, key: PrivateKey) -> None:
        self.key = key
        self.peer_id = PeerId.from_public_key(key.public)
        self.now = START
        self.wait_s = 0.0
        self.log = Log()
        self.database = sqlite3.connect(":memory:")
        for statement in tables.STATEMENTS:
            self.database.execute(statement)
        self.inbox = Inbox(Notary(key), self.log, lambda _: self.wait_s, lambda: self.now)

    def queue(self, name: str, to: PeerId = BOB, answers: str = "", size: int = 0) -> bytes:
        body = body_of(self.peer_id, name, answers, size)
        digest = hashlib.sha256(body).digest()
        outbox.add(self.database, str(to), name, len(name), body, digest, self.now, answers=answers)
        return body

    def names(self, after: int = 0) -> list[str]:
        leased = outbox.lease(self.database, str(BOB), self.now, after=after)
        return [waiting.message_id for waiting in leased]

    def state(self, name: str, peer: PeerId = BOB) -> str:
        found = outbox.find(self.database, str(peer), name)
        assert found is not None
        return found.state


def body_of(sender: PeerId, name: str, answers: str = "", size: int = 0) -> bytes:
    document = {"id": name, "type": "text", "timestamp": 1, "from": str(sender), "content": "x" * size}
    return json.dumps({**document, "replyTo": answers} if answers else document).encode()


def offer(body: bytes, queued_ms: int = START, *, large: bool = False) -> Offered:
    digest = hashlib.sha256(body).digest()
    return Offered(read_message(body).id, len(body), digest, queued_ms, None if large else body)


@pytest.fixture
def alice() -> Iterator[Desk]:
    desk = Desk(KEYS[0])
    yield desk
    desk.database.close()


@pytest.fixture
def bob() -> Iterator[Desk]:
    desk = Desk(KEYS[1])
    yield desk
    desk.database.close()


# -- outbox ----------------------------------------------------------------------------------------------------------


def test_a_lease_keeps_others_away_until_it_lapses(alice: Desk) -> None:
    alice.queue("1")
    alice.queue("2")
    assert alice.names() == ["1", "2"]
    alice.queue("3")
    assert alice.names() == [], "nothing overtakes what is under way"
    alice.now += outbox.LEASE_MS - 1
    assert alice.names() == []
    alice.now += 1
    assert alice.names() == ["1", "2", "3"]
    outbox.release(alice.database, str(BOB))
    assert alice.names() == ["1", "2", "3"]
    outbox.release_all(alice.database)
    assert alice.names(after=1) == ["2", "3"]


def test_a_lease_takes_so_many_bytes_and_at_least_one_message(alice: Desk) -> None:
    for number in range(4):
        alice.queue(str(number), size=400_000)
    alice.queue("large", size=3_000_000)
    taken = outbox.lease(alice.database, str(BOB), alice.now)
    assert [each.message_id for each in taken] == ["0", "1"]
    outbox.release(alice.database, str(BOB))
    large = outbox.lease(alice.database, str(BOB), alice.now, after=4)
    assert [each.message_id for each in large] == ["large"]


def test_an_id_is_taken_once_for_a_peer(alice: Desk) -> None:
    alice.queue("1")
    with pytest.raises(UsageError, match="already"):
        alice.queue("1")
    alice.queue("1", to=ALICE)
    assert sorted(outbox.peers_waited_for(alice.database)) == sorted([str(ALICE), str(BOB)])


def test_so_many_failures_make_a_dead_letter(alice: Desk) -> None:
    alice.queue("1")
    for number in range(1, 4):
        alice.names()
        changed = outbox.failed(alice.database, alice.log, str(BOB), "1", f"reason {number}", 3, alice.now)
        assert (changed is not None) == (number == 3)
    assert alice.state("1") == DeliveryState.DEAD
    assert alice.log.states == {1: DeliveryState.DEAD}
    assert outbox.failed(alice.database, alice.log, str(BOB), "1", "late", 3, alice.now) is None
    found = [step.what for step in steps.of(alice.database, str(BOB), "1")]
    assert found == ["attempt failed"] * 3 + ["given up"]
    assert alice.names() == []


def test_what_waits_too_long_is_dead_and_may_be_tried_again_while_it_is_remembered(alice: Desk) -> None:
    alice.queue("old")
    alice.now += 1000
    alice.queue("new")
    assert [each.message_id for each in outbox.expire(alice.database, alice.log, START + 1, alice.now)] == [
        "old"
    ]
    assert outbox.revive(alice.database, alice.log, "old", START + 1, alice.now) == []
    assert [each.state for each in outbox.revive(alice.database, alice.log, "old", START, alice.now)] == [
        "queued"
    ]
    assert alice.names() == ["new", "old"]
    alice.queue("newest")
    outbox.release(alice.database, str(BOB))
    assert alice.names() == ["new", "old", "newest"]


def test_a_message_under_lease_does_not_expire(alice: Desk) -> None:
    alice.queue("1")
    alice.names()
    assert outbox.expire(alice.database, alice.log, START + 10, alice.now) == []


def test_what_ended_long_ago_is_forgotten_with_all_that_belongs_to_it(alice: Desk) -> None:
    alice.queue("1")
    alice.queue("2")
    outbox.bury(alice.database, alice.log, str(BOB), "1", "why", alice.now)
    assert outbox.forget(alice.database, alice.now + 1) == 1
    for table in ("outbox", "steps", "receipts"):
        rows = alice.database.execute(f"SELECT count(*) FROM {table} WHERE message_id = '1'").fetchone()
        assert rows == (0,)
    assert alice.state("2") == DeliveryState.QUEUED


def test_steps_are_bounded(alice: Desk) -> None:
    for number in range(steps.MAX_STEPS + 10):
        steps.add(alice.database, "p", "m", number, "x", "d" * 1000)
    steps.add(alice.database, "p", "other", 0, "x")
    found = steps.of(alice.database, "p", "m")
    assert [found[0].at, found[-1].at, len(found)] == [10, steps.MAX_STEPS + 9, steps.MAX_STEPS]
    assert len(found[0].detail) == steps.MAX_CHARACTERS


# -- inbox -----------------------------------------------------------------------------------------------------------


def test_a_message_is_stored_once_however_often_it_is_offered(bob: Desk) -> None:
    offered = offer(body_of(ALICE, "1"))
    outcomes = [bob.inbox.offered(bob.database, ALICE, offered) for _ in range(3)]
    assert [outcome.stored is not None for outcome in outcomes] == [True, False, False]
    assert len({outcome.verdict.receipt for outcome in outcomes}) == 1
    assert bob.log.received_ids == ["1"]


def test_what_a_rate_refuses_may_come_later_and_known_messages_cost_nothing(bob: Desk) -> None:
    first, second = offer(body_of(ALICE, "1")), offer(body_of(ALICE, "2"))
    bob.inbox.offered(bob.database, ALICE, first)
    bob.wait_s = 2.5
    verdict = bob.inbox.offered(bob.database, ALICE, second).verdict
    assert (verdict.code, verdict.retry_ms) == (VerdictCode.LATER, 2501)
    assert bob.inbox.offered(bob.database, ALICE, first).verdict.code == VerdictCode.TAKEN
    bob.wait_s = 0.0
    assert bob.inbox.offered(bob.database, ALICE, second).verdict.code == VerdictCode.TAKEN


def test_nothing_comes_back_once_its_row_is_forgotten(bob: Desk) -> None:
    offered = offer(body_of(ALICE, "1"))
    bob.inbox.offered(bob.database, ALICE, offered)
    for days in range(0, 60, 5):
        bob.now = START + days * DAY_MS
        bob.inbox.forget(bob.database)
        outcome = bob.inbox.offered(bob.database, ALICE, offered)
        remembered = bob.now - START <= REMEMBERED_MS
        assert outcome.verdict.code == (VerdictCode.TAKEN if remembered else VerdictCode.REFUSED)
        assert outcome.stored is None
    assert REMEMBERED_MS > MAX_AGE_MS + 2 * DAY_MS
    assert bob.log.received_ids == ["1"]


def test_pieces_that_lie_for_a_day_go(bob: Desk) -> None:
    body = body_of(ALICE, "1", size=100)
    offered = offer(body, large=True)
    assert bob.inbox.offered(bob.database, ALICE, offered).expected
    bob.inbox.piece(bob.database, ALICE, offered, PieceCame("1", 0, body[:10], False))
    bob.now += DAY_MS
    bob.inbox.forget(bob.database)
    assert bob.inbox.offered(bob.database, ALICE, offered).verdict.offset == 10
    bob.now += 1
    bob.inbox.forget(bob.database)
    assert bob.inbox.offered(bob.database, ALICE, offered).verdict.offset == 0


def test_large_messages_of_many_peers_make_room_for_each_other(bob: Desk) -> None:
    peers = [
        PeerId.from_public_key(PrivateKey.generate(KeyType.ED25519).public) for _ in range(MAX_PARTIAL + 1)
    ]
    offers = [offer(body_of(peer, "1", size=50), large=True) for peer in peers]
    for peer, offered in zip(peers, offers, strict=True):
        bob.now += 1
        assert bob.inbox.offered(bob.database, peer, offered).expected
    assert bob.database.execute("SELECT count(*) FROM partial").fetchone() == (MAX_PARTIAL,)
    with pytest.raises(PeerError, match="made room"):
        bob.inbox.piece(bob.database, peers[0], offers[0], PieceCame("1", 0, b"x", False))
    assert bob.inbox.piece(bob.database, peers[1], offers[1], PieceCame("1", 0, b"x", False)) is None


def test_a_stock_id_may_be_used_again_after_ten_minutes(bob: Desk) -> None:
    message = read_message(body_of(ALICE, "1"))

    def take() -> Stored | None:
        return bob.inbox.stock(bob.database, ALICE, message)

    assert take() is not None
    bob.now += 599_999
    assert take() is None
    bob.now += 1
    assert take() is not None
    assert take() is None
    assert bob.log.received_ids == ["1", "1"]
    assert bob.database.execute("SELECT count(*) FROM inbox").fetchone() == (2,)
    assert bob.database.execute("SELECT count(*) FROM proofs").fetchone() == (0,)


def test_what_came_by_the_stock_protocol_is_not_stored_again_by_ours(bob: Desk) -> None:
    body = body_of(ALICE, "1")
    bob.inbox.stock(bob.database, ALICE, read_message(body))
    outcome = bob.inbox.offered(bob.database, ALICE, offer(body))
    assert (outcome.verdict.code, outcome.stored) == (VerdictCode.TAKEN, None)
    assert outcome.verdict.receipt


# -- both ------------------------------------------------------------------------------------------------------------


def carry(alice: Desk, bob: Desk, envelopes: list[bytes]) -> list[Acknowledgement]:
    """Receipts of bob's come to alice; what she acknowledges."""
    checked = check_receipts(envelopes, alice.peer_id, bob.peer_id)
    keep_receipts(alice.database, alice.log, str(BOB), checked, alice.now, lambda *_: None)
    return [Acknowledgement(message_id=each.receipt.message_id, state=each.receipt.state) for each in checked]


def test_from_queued_to_resumed(alice: Desk, bob: Desk) -> None:
    body = alice.queue("1")
    stored = bob.inbox.offered(bob.database, ALICE, offer(body)).verdict.receipt
    assert stored is not None
    acknowledged = carry(alice, bob, [stored])
    assert alice.state("1") == DeliveryState.STORED
    [delivered] = bob.inbox.acknowledged(bob.database, ALICE, acknowledged)
    assert bob.inbox.acknowledged(bob.database, ALICE, acknowledged) == [delivered]
    carry(alice, bob, [delivered])
    assert alice.state("1") == DeliveryState.DELIVERED
    bob.inbox.advance(bob.database, ALICE, "1", State.INVOKED, "hook /hooks/agent 200")
    assert bob.inbox.resumed(bob.database, ALICE, 1, "token") == ("1", 1)
    assert bob.inbox.resumed(bob.database, ALICE, 1, "token") == ("1", 2)
    assert bob.inbox.resumed(bob.database, ALICE, 9, "token") is None
    told = proofs.to_tell(bob.database, str(ALICE), bob.now)
    assert carry(alice, bob, [envelope for _, envelope in told][::-1])
    assert alice.state("1") == DeliveryState.RESUMED
    assert alice.log.states[1] == DeliveryState.RESUMED
    [there] = history.ways(alice.database, "1", str(ALICE), lambda _: ("", 0))
    assert [step.what for step in there.steps] == ["queued", "stored", "delivered", "invoked", "resumed"]
    assert there.waits_for == "a reply that names the message"
    [here] = history.ways(bob.database, "1", str(BOB), lambda _: ("", 0))
    assert "resumed again" in [step.what for step in here.steps]


def test_receipts_are_told_until_they_are_known(bob: Desk) -> None:
    bob.inbox.offered(bob.database, ALICE, offer(body_of(ALICE, "1")))
    assert proofs.to_tell(bob.database, str(ALICE), bob.now - 1) == [], "it is on its way as the verdict"
    assert len(proofs.to_tell(bob.database, str(ALICE), bob.now)) == 1
    bob.inbox.advance(bob.database, ALICE, "1", State.INVOKED, "x")
    assert len(proofs.to_tell(bob.database, str(ALICE), bob.now - 1)) == 1
    assert proofs.peers_to_tell(bob.database) == [str(ALICE)]
    for state in (State.STORED, State.DELIVERED, State.INVOKED):
        bob.inbox.acknowledged(bob.database, ALICE, [Acknowledgement(message_id="1", state=state)])
    assert proofs.peers_to_tell(bob.database) == []
    assert (
        bob.inbox.acknowledged(bob.database, ALICE, [Acknowledgement(message_id="?", state=State.STORED)])
        == []
    )


def test_an_answer_answers_on_both_sides(alice: Desk, bob: Desk) -> None:
    asked = alice.queue("ask")
    bob.inbox.offered(bob.database, ALICE, offer(asked))
    body = body_of(BOB, "reply", "ask")
    stored = alice.inbox.offered(alice.database, BOB, offer(body)).stored
    assert stored is not None
    assert stored.changed is not None
    assert stored.changed.state is DeliveryState.ANSWERED
    assert alice.state("ask") == DeliveryState.ANSWERED
    [way] = history.ways(alice.database, "ask", str(ALICE), lambda _: ("", 0))
    assert way.steps[-1].detail == "message reply"


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_lost_verdicts_and_receipts_change_nothing_in_the_end(seed: int, count: int) -> None:
    """Messages are offered in order, any answer may be lost, either side may forget what was under way."""
    rng, alice, bob = random.Random(seed), Desk(KEYS[0]), Desk(KEYS[1])
    bodies = {str(number): alice.queue(str(number)) for number in range(count)}
    for _ in range(1000):
        waiting = outbox.lease(alice.database, str(BOB), alice.now, limit=rng.randrange(1, 5))
        for each in waiting:
            verdict = bob.inbox.offered(bob.database, ALICE, offer(each.body)).verdict
            assert verdict.receipt is not None
            if rng.random() < 0.3:
                break
            for acknowledged in [carry(alice, bob, [verdict.receipt])]:
                if rng.random() < 0.7:
                    carry(alice, bob, bob.inbox.acknowledged(bob.database, ALICE, acknowledged))
        outbox.release_all(alice.database)
        told = proofs.to_tell(bob.database, str(ALICE), bob.now)
        if told and rng.random() < 0.5:
            bob.inbox.acknowledged(bob.database, ALICE, carry(alice, bob, [each for _, each in told]))
        if not outbox.peers_waited_for(alice.database) and not proofs.peers_to_tell(bob.database):
            break
    assert bob.log.received_ids == list(bodies)
    assert {alice.state(name) for name in bodies} == {DeliveryState.DELIVERED}
    for desk in (alice, bob):
        desk.database.close()
