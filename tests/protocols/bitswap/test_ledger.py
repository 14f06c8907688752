"""The server: what is answered, what is remembered, how much, and whose turn it is."""

from __future__ import annotations

import pytest

from mesh.codecs.bitswap import Entry, WantType
from mesh.ipld.block import Block
from mesh.multiformats.cid import DAG_PB, RAW, Cid
from mesh.multiformats.multihash import digest
from mesh.protocols.bitswap.debtor import MAX_WANTS
from mesh.protocols.bitswap.ledger import OUTSTANDING_BYTES, REPLY_BYTES, Ledger, Reply
from tests.protocols.bitswap.conversation import Side, block, peer

ALICE, BOB = peer(), peer()
SMALL, LARGE = block("small", 1024), block("large", 1025)
ABSENT = block("absent")


def want(
    of: Block | Cid, kind: WantType = WantType.BLOCK, dont_have: bool = False, priority: int = 1
) -> Entry:
    cid = of.cid if isinstance(of, Block) else of
    return Entry(cid.to_bytes(), priority, want_type=kind, send_dont_have=dont_have)


def cancel(of: Block) -> Entry:
    return Entry(of.cid.to_bytes(), cancel=True)


@pytest.fixture
def side() -> Side:
    side = Side()
    side.add(SMALL, LARGE)
    return side


def replies(ledger: Ledger) -> list[tuple[list[Cid], list[tuple[bytes, bool]]]]:
    found = []
    while (turn := ledger.next_reply()) is not None:
        ledger.sent(turn[0], turn[1], 0)
        found.append((turn[1].blocks, turn[1].presences))
    return found


@pytest.mark.parametrize(
    ("entry", "blocks", "presences"),
    [
        (want(LARGE), [LARGE.cid], []),
        (want(LARGE, WantType.HAVE), [], [(LARGE.cid.to_bytes(), True)]),
        (want(SMALL, WantType.HAVE), [SMALL.cid], []),
        (want(ABSENT, dont_have=True), [], [(ABSENT.cid.to_bytes(), False)]),
        (want(ABSENT, WantType.HAVE, dont_have=True), [], [(ABSENT.cid.to_bytes(), False)]),
    ],
    ids=["block", "have", "small block instead of have", "don't have the block", "don't have it"],
)
def test_answers(side: Side, entry: Entry, blocks: list[Cid], presences: list[tuple[bytes, bool]]) -> None:
    assert side.ledger.receive(ALICE, [entry], False)
    assert replies(side.ledger) == [(blocks, presences)]


@pytest.mark.parametrize("kind", WantType)
def test_silence_unless_asked_to_say_no(side: Side, kind: WantType) -> None:
    side.ledger.receive(ALICE, [want(ABSENT, kind)], False)
    assert replies(side.ledger) == []


def test_a_remembered_want_is_met_later_and_once(side: Side) -> None:
    other = Block.of(b"other".ljust(2000, b"."))
    side.ledger.receive(ALICE, [want(ABSENT, dont_have=True), want(other, WantType.HAVE)], False)
    assert replies(side.ledger) == [([], [(ABSENT.cid.to_bytes(), False)])]
    side.add(ABSENT, other)
    assert replies(side.ledger) == [([ABSENT.cid], [(other.cid.to_bytes(), True)])]
    side.add(ABSENT, other)
    assert replies(side.ledger) == []


def test_a_want_by_another_cid_of_the_hash_is_met(side: Side) -> None:
    asked = Cid(1, DAG_PB, ABSENT.cid.multihash)
    side.ledger.receive(ALICE, [want(asked), want(ABSENT)], False)
    side.ledger.receive(ALICE, [cancel(ABSENT)], False)
    side.add(ABSENT)
    assert replies(side.ledger) == [([asked], [])]


def test_cancelled_wants_are_forgotten(side: Side) -> None:
    side.ledger.receive(ALICE, [want(ABSENT), want(LARGE)], False)
    side.ledger.receive(ALICE, [cancel(ABSENT), cancel(LARGE), cancel(SMALL)], False)
    side.add(ABSENT)
    assert replies(side.ledger) == []
    debtor = side.ledger.debtor(ALICE)
    assert debtor is not None
    assert not debtor.wants
    assert not debtor.waiting_bytes


def test_a_full_list_replaces_what_was_wanted(side: Side) -> None:
    side.ledger.receive(ALICE, [want(ABSENT), want(LARGE)], False)
    side.ledger.receive(ALICE, [want(SMALL)], True)
    side.add(ABSENT)
    assert replies(side.ledger) == [([SMALL.cid], [])]


def test_a_want_for_the_block_stays_one(side: Side) -> None:
    side.ledger.receive(ALICE, [want(LARGE)], False)
    side.ledger.receive(ALICE, [want(LARGE, WantType.HAVE)], False)
    assert replies(side.ledger) == [([LARGE.cid], [])]


def test_who_is_gone_is_forgotten(side: Side) -> None:
    side.ledger.receive(ALICE, [want(ABSENT), want(LARGE)], False)
    side.ledger.disconnected(ALICE)
    side.add(ABSENT)
    assert replies(side.ledger) == []
    assert side.ledger.peers == ()
    side.ledger.sent(ALICE, Reply(), 0)
    side.ledger.disconnected(ALICE)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_cid_that_is_its_content_ends_the_connection(side: Side, cancelled: bool) -> None:
    content = Cid(1, RAW, digest(b"inline", "identity"))
    assert not side.ledger.receive(ALICE, [Entry(content.to_bytes(), 1, cancel=cancelled)], False)


def test_cids_that_cannot_be_met_are_passed_over(side: Side) -> None:
    entries = [Entry(bytes(169), 1), Entry(b"\x07", 1), Entry(b"\x01\x55\xff", cancel=True), want(SMALL)]
    assert side.ledger.receive(ALICE, entries, False)
    assert (side.ledger.too_long, side.ledger.unreadable) == (1, 1)
    assert replies(side.ledger) == [([SMALL.cid], [])]


def test_priority_orders_answers(side: Side) -> None:
    side.ledger.receive(ALICE, [want(LARGE, priority=1), want(SMALL, priority=9)], False)
    assert replies(side.ledger) == [([SMALL.cid, LARGE.cid], [])]


def test_wants_are_bounded_and_higher_ones_displace_lower() -> None:
    ledger = Ledger(lambda cid: None)
    blocks = [block(f"{each}") for each in range(MAX_WANTS + 20)]
    ledger.receive(ALICE, [want(each, priority=5) for each in blocks], False)
    debtor = ledger.debtor(ALICE)
    assert debtor is not None
    assert (len(debtor.wants), debtor.overflowed) == (MAX_WANTS, 20)
    late = [block(f"late {each}") for each in range(3)]
    ledger.receive(ALICE, [want(each, priority=4 + at) for at, each in enumerate(late)], False)
    assert len(debtor.wants) == MAX_WANTS
    assert [each.cid.to_bytes() in debtor.wants for each in late] == [False, False, True]
    assert blocks[MAX_WANTS - 1].cid.to_bytes() not in debtor.wants


def test_repeated_floods_leave_no_more_behind() -> None:
    ledger = Ledger(lambda cid: None)
    for turn in range(30):
        entries = [want(block(f"{turn} {each}"), priority=turn * 1000 + each) for each in range(300)]
        ledger.receive(ALICE, entries, False)
    debtor = ledger.debtor(ALICE)
    assert debtor is not None
    assert len(debtor.wants) == MAX_WANTS
    assert len(ledger._wanting) == MAX_WANTS
    assert len(debtor._by_least) <= 2 * MAX_WANTS


def test_replies_aim_at_16_kib_and_a_larger_block_goes_alone() -> None:
    side = Side()
    small = [block(f"{each}", 5000) for each in range(7)]
    large = block("large", 100_000)
    side.add(*small, large)
    side.ledger.receive(ALICE, [want(each, priority=9) for each in small] + [want(large)], False)
    pending = []
    sizes = []
    while (turn := side.ledger.next_reply()) is not None:
        sizes.append([len(side.blocks[each].data) for each in turn[1].blocks])
        pending.append(turn[1].pending_bytes)
        side.ledger.sent(*turn, 0)
    assert sizes == [[5000] * 3, [5000] * 3, [5000], [100_000]]
    assert max(map(sum, sizes[:3])) <= REPLY_BYTES
    assert pending == sorted(pending, reverse=True)
    assert pending[-1] == 0


def test_at_most_1_mib_is_on_its_way_to_one_peer() -> None:
    side = Side()
    blocks = [block(f"{each}", 256 * 1024) for each in range(8)]
    side.add(*blocks)
    side.ledger.receive(ALICE, [want(each) for each in blocks], False)
    turns = []
    while (turn := side.ledger.next_reply()) is not None:
        turns.append(turn)
    debtor = side.ledger.debtor(ALICE)
    assert debtor is not None
    assert len(turns) == 4
    assert debtor.outstanding_bytes >= OUTSTANDING_BYTES
    side.ledger.sent(*turns[0], 256 * 1024)
    assert side.ledger.next_reply() is not None
    assert debtor.sent_bytes == 256 * 1024


def test_a_peer_with_much_to_get_does_not_hold_up_another() -> None:
    side = Side()
    large = [block(f"{each}", 256 * 1024) for each in range(40)]
    small = [block(f"s{each}", 10_000) for each in range(40)]
    side.add(*large, *small)
    side.ledger.receive(ALICE, [want(each) for each in large], False)
    given = {ALICE: 0, BOB: 0}
    order = []
    while (turn := side.ledger.next_reply()) is not None:
        who, reply = turn
        given[who] += reply.cost
        order.append(who)
        side.ledger.sent(who, reply, 0)
        if len(order) == 8:
            side.ledger.receive(BOB, [want(each) for each in small], False)
    # Bob comes late, starts where Alice is, and has all of his before she has two blocks more.
    assert order[8:].index(ALICE) <= 27
    last = len(order) - 1 - order[::-1].index(BOB)
    assert order[8 : last + 1].count(ALICE) <= 2
    assert given[ALICE] > given[BOB]


def test_busy_peers_wait(side: Side) -> None:
    side.ledger.receive(ALICE, [want(SMALL)], False)
    side.ledger.receive(BOB, [want(SMALL)], False)
    turn = side.ledger.next_reply(lambda each: each == ALICE)
    assert turn is not None
    assert turn[0] == BOB
    assert side.ledger.next_reply(lambda each: each == ALICE) is None
