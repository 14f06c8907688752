"""The client: whom it asks for what, and what it does when that peer does not answer."""

from __future__ import annotations

import random

import pytest

from mesh.codecs.bitswap import WantType
from mesh.ipld.block import Block
from mesh.multiformats.cid import DAG_PB, Cid
from mesh.protocols.bitswap import message
from mesh.protocols.bitswap.client import MAX_LIVE, MAX_STRANGERS, MAX_UNWANTED_BYTES, TOP_PRIORITY, Client
from mesh.protocols.bitswap.message import Received
from mesh.protocols.bitswap.supplier import LEAST_ASKED
from mesh.protocols.bitswap.version import Version
from tests.protocols.bitswap.conversation import Conversation, Side, block, peer

LARGE = [block(f"large {each}", 3000) for each in range(40)]


def asked(conversation: Conversation, side: Side, kind: WantType) -> list[Cid]:
    return [
        Cid.from_bytes(entry.block)
        for to, data in conversation.told
        if to == side.own
        for entry in message.read(data).entries
        if not entry.cancel and entry.want_type == kind
    ]


def cancelled(conversation: Conversation, side: Side) -> list[Cid]:
    told = [data for to, data in conversation.told if to == side.own]
    return [Cid.from_bytes(each.block) for data in told for each in message.read(data).entries if each.cancel]


def test_all_are_asked_first_then_one_for_the_block() -> None:
    near, far, empty = Side(delay_s=0.01), Side(delay_s=0.05), Side()
    near.add(LARGE[0])
    far.add(LARGE[0])
    conversation = Conversation(near, far, empty)
    conversation.want(LARGE[:1])
    conversation.run(10)
    assert conversation.found == LARGE[:1]
    for side in (near, far, empty):
        assert asked(conversation, side, WantType.HAVE) == [LARGE[0].cid]
    first = message.read(conversation.told[0][1])
    assert (first.full, first.entries[0].priority, first.entries[0].send_dont_have) == (
        True,
        TOP_PRIORITY,
        False,
    )
    assert asked(conversation, near, WantType.BLOCK) == [LARGE[0].cid]
    assert (near.gave, far.gave) == (1, 0)
    assert cancelled(conversation, near) == []
    assert cancelled(conversation, far) == cancelled(conversation, empty) == [LARGE[0].cid]
    assert all(not side.ledger.debtor(conversation.own).wants for side in (near, far, empty))  # type: ignore[union-attr]
    assert conversation.client.wanted == 0


def test_a_session_asks_who_gave_before() -> None:
    giver, other = Side(), Side()
    giver.add(*LARGE)
    conversation = Conversation(giver, other)
    conversation.want(LARGE[:1])
    conversation.run(5)
    conversation.want(LARGE[1:])
    conversation.run(10)
    assert len(conversation.found) == len(LARGE)
    assert asked(conversation, other, WantType.HAVE) == [LARGE[0].cid]
    assert asked(conversation, giver, WantType.HAVE) == [LARGE[0].cid]
    assert giver.gave == len(LARGE)


def test_two_that_have_all_share_the_work_and_nothing_comes_twice() -> None:
    sides = Side(), Side()
    blocks = [block(f"{each}", 3000) for each in range(500)]
    for side in sides:
        side.add(*blocks)
    conversation = Conversation(*sides)
    conversation.want(blocks)
    conversation.run(30)
    assert len(conversation.found) == len(blocks)
    assert sum(side.gave for side in sides) == len(blocks)
    assert min(side.gave for side in sides) > 100
    assert conversation.client.unwanted == 0


def test_the_quicker_of_two_gives_more() -> None:
    quick, slow = Side(delay_s=0.01), Side(delay_s=0.2)
    blocks = [block(f"{each}", 3000) for each in range(MAX_LIVE)]
    quick.add(*blocks)
    slow.add(*blocks)
    conversation = Conversation(quick, slow)
    conversation.want(blocks[:50])
    conversation.run(30)
    before = slow.gave
    conversation.want(blocks[50:200])
    conversation.run(60)
    assert len(conversation.found) == 200
    assert slow.gave - before < 50


def test_who_does_not_answer_is_passed_over() -> None:
    mute, other = Side(delay_s=0.001), Side(delay_s=0.1)
    for side in (mute, other):
        side.add(*LARGE)
    conversation = Conversation(mute, other)
    conversation.want(LARGE[:1])
    conversation.run(1, enough=1)
    mute.mute = True
    conversation.want(LARGE[1:3])
    conversation.run(60, enough=3)
    assert len(conversation.found) == 3
    assert conversation.now < 6
    supplier = conversation.client.supplier(mute.own)
    assert supplier is not None
    assert supplier.failures == 1
    assert not supplier.asked


def test_dont_have_moves_on_at_once() -> None:
    first, second = Side(), Side(delay_s=0.02)
    first.add(LARGE[0])
    second.add(*LARGE[:2])
    conversation = Conversation(first, second)
    conversation.want(LARGE[:1])
    conversation.run(1)
    conversation.want(LARGE[1:2])
    conversation.run(1.5, enough=2)
    assert len(conversation.found) == 2
    assert conversation.now < 1.2


def test_a_peer_that_leaves_is_replaced_and_one_that_comes_is_asked() -> None:
    first, second = Side(), Side()
    second.add(LARGE[0])
    conversation = Conversation(first)
    conversation.want(LARGE[:1])
    conversation.run(0.5)
    conversation.client.disconnected(first.own, conversation.now)
    conversation.sides[second.own] = second
    conversation.client.connected(second.own, Version.V1_2, conversation.now)
    conversation.run(0.9)
    assert conversation.found == LARGE[:1]


def test_a_block_that_comes_into_being_later_arrives_unasked() -> None:
    side = Side()
    conversation = Conversation(side)
    conversation.want(LARGE[:1])
    conversation.run(100)
    side.add(LARGE[0])
    conversation.run(101)
    assert conversation.found == LARGE[:1]


def test_what_nobody_has_is_sought_at_growing_intervals() -> None:
    conversation = Conversation(Side())
    conversation.want(LARGE[:1])
    conversation.run(0.9)
    assert conversation.sought == []
    conversation.run(16)
    assert len(conversation.sought) == 4
    conversation.run(600)
    assert len(conversation.sought) <= 4 + 2 + 600 // 60
    assert len(asked(conversation, next(iter(conversation.sides.values())), WantType.HAVE)) <= 600 // 30


def test_without_peers_others_are_sought() -> None:
    conversation = Conversation()
    conversation.want(LARGE[:1])
    conversation.run(1.5)
    assert conversation.sought == [LARGE[0].cid]


@pytest.mark.parametrize("version", [each for each in Version if not each.has_presences])
def test_older_peers_are_asked_for_blocks_one_after_another(version: Version) -> None:
    empty, full = Side(version=version), Side(version=version)
    full.add(LARGE[0])
    conversation = Conversation(empty, full)
    conversation.want(LARGE[:1])
    conversation.run(60, enough=1)
    assert [each.cid.multihash for each in conversation.found] == [LARGE[0].cid.multihash]
    assert not asked(conversation, empty, WantType.HAVE)
    assert not asked(conversation, full, WantType.HAVE)


def test_a_peer_that_has_it_comes_before_an_older_one_that_may() -> None:
    older, newer = Side(version=Version.V1_1, delay_s=0.001), Side(delay_s=0.05)
    newer.add(LARGE[0])
    conversation = Conversation(older, newer)
    conversation.want(LARGE[:1])
    conversation.run(1, enough=1)
    assert conversation.found == LARGE[:1]
    assert conversation.now < 0.5


def test_version_0_and_1_of_a_hash_are_one_want() -> None:
    data = Block.of(b"node".ljust(2000, b"."))
    version_0 = Cid(0, DAG_PB, data.cid.multihash)
    side = Side(version=Version.V1_0)
    side.add(Block(version_0, data.data), data)
    conversation = Conversation(side)
    conversation.client.want(1, [data.cid], 0.0)
    conversation.client.want(2, [version_0], 0.0)
    assert conversation.client.wanted == 1
    conversation.run(1, enough=1)
    assert conversation.found[0].data == data.data


def test_a_want_ends_with_its_last_session() -> None:
    side = Side()
    conversation = Conversation(side)
    conversation.want(LARGE[:2], session=1)
    conversation.want(LARGE[:2], session=2)
    conversation.run(0.5)
    conversation.client.end(1, conversation.now)
    assert conversation.client.wanted == 2
    conversation.client.forget(2, [LARGE[0].cid], conversation.now)
    conversation.client.end(2, conversation.now)
    conversation.run(1)
    assert conversation.client.wanted == 0
    assert set(cancelled(conversation, side)) == {LARGE[0].cid, LARGE[1].cid}
    assert len([to for to, _ in conversation.told]) == 2, "cancels go together"


def test_many_wants_are_sought_a_thousand_at_a_time() -> None:
    side = Side()
    blocks = [block(f"{each}", 1500) for each in range(MAX_LIVE + 500)]
    side.add(*blocks)
    conversation = Conversation(side)
    conversation.want(blocks)
    assert conversation.client.wanted == len(blocks) == len(list(conversation.client.wants()))
    conversation.run(60)
    assert len(conversation.found) == len(blocks)


def test_large_blocks_are_not_all_asked_at_once() -> None:
    side = Side()
    blocks = [block(f"{each}", 1024 * 1024) for each in range(60)]
    side.add(*blocks)
    conversation = Conversation(side)
    conversation.want(blocks[:4])
    conversation.run(1)
    conversation.want(blocks[4:])
    supplier = conversation.client.supplier(side.own)
    assert supplier is not None
    assert LEAST_ASKED <= len(supplier.asked) <= 16
    conversation.run(30)
    assert len(conversation.found) == 60


def test_strangers_are_asked_in_bounds() -> None:
    sides = [Side() for _ in range(MAX_STRANGERS + 6)]
    conversation = Conversation(*sides)
    conversation.want(LARGE[:1])
    conversation.run(0.5)
    assert sum(bool(asked(conversation, side, WantType.HAVE)) for side in sides) == MAX_STRANGERS


def test_what_nobody_asked_for_is_no_block_and_too_much_of_it_a_flood() -> None:
    client = Client()
    flooder = peer()
    client.connected(flooder, Version.V1_2, 0.0)
    big = block("big", 1024 * 1024)
    for _ in range(MAX_UNWANTED_BYTES // len(big.data)):
        assert client.receive(flooder, Received(blocks=[big]), 0.0) == []
    assert not client.floods(flooder)
    client.receive(flooder, Received(blocks=[big]), 0.0)
    assert client.floods(flooder)
    assert not client.floods(peer())


def test_a_new_stream_is_told_everything_anew() -> None:
    side = Side()
    conversation = Conversation(side)
    conversation.want(LARGE[:2])
    conversation.run(0.5)
    conversation.client.restarted(side.own, conversation.now)
    assert conversation.client.due() == [side.own]
    entries, full = conversation.client.output(side.own)
    assert full
    assert {each.block for each in entries} == {each.cid.to_bytes() for each in LARGE[:2]}
    conversation.client.restarted(peer(), conversation.now)


def test_one_seed_is_one_life() -> None:
    def life() -> list[bytes]:
        rng = random.Random(5)
        sides = [Side(own=each, delay_s=rng.uniform(0.001, 0.3)) for each in owners]
        for side in sides:
            side.add(*rng.sample(LARGE, 25))
        conversation = Conversation(*sides)
        conversation.want(LARGE)
        conversation.run(20)
        return [data for _, data in conversation.told]

    owners = [peer() for _ in range(4)]
    assert life() == life()
