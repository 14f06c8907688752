"""The address book: names, notes, tags, counts, who is forgotten."""

from __future__ import annotations

import sqlite3

from mesh.apps.agent.records import Direction, NodeStatus, TrackedPeer
from mesh.apps.agent.store import AgentStore, address_book
from tests.apps.agent.store.messages import ALICE, BOB, START


def status(name: str) -> NodeStatus:
    return NodeStatus(ALICE, name, ("/ip4/127.0.0.1/tcp/4001",), ("poem",), "0.1.0", 62, 3, START)


async def test_a_new_peer_has_the_shape_that_stock_daemons_show(store: AgentStore) -> None:
    peer = await store.write(lambda database: address_book.connected(database, ALICE, START))
    assert peer.document() == {
        "peerId": ALICE,
        "name": "12D3KooW...",
        "lastSeen": START,
        "firstSeen": START,
        "lastConnected": START,
        "lastDisconnected": 0,
        "isOnline": True,
        "messagesSent": 0,
        "messagesReceived": 0,
        "paymentsSent": 0,
        "paymentsReceived": 0,
        "totalSatsSent": 0,
        "totalSatsReceived": 0,
        "services": [],
        "multiaddrs": [],
        "notes": "",
        "tags": [],
    }


async def test_a_name_given_here_outlives_what_the_peer_calls_itself(store: AgentStore) -> None:
    def work(database: sqlite3.Connection) -> list[str]:
        names = [address_book.told_status(database, status("12D3KooW"), START).name]
        names.append(address_book.told_status(database, status("Alice"), START).name)
        names.append(address_book.set_name(database, ALICE, "My Alice", START).name)
        names.append(address_book.told_status(database, status("Mallory"), START).name)
        names.append(address_book.set_name(database, ALICE, "", START).name)
        return names

    assert await store.write(work) == ["12D3KooW...", "Alice", "My Alice", "My Alice", "Mallory"]


async def test_a_status_alone_connects_nobody(store: AgentStore) -> None:
    peer = await store.write(lambda database: address_book.told_status(database, status("Alice"), START))
    assert not peer.is_online
    assert peer.services == ("poem",)


async def test_messages_and_payments_are_counted_each_way(store: AgentStore) -> None:
    def work(database: sqlite3.Connection) -> TrackedPeer:
        address_book.exchanged(database, ALICE, Direction.OUTBOUND, START)
        address_book.exchanged(database, ALICE, Direction.OUTBOUND, START, sats=1000)
        address_book.exchanged(database, ALICE, Direction.INBOUND, START + 5, sats=0)
        for _ in range(10):
            peer = address_book.exchanged(database, ALICE, Direction.INBOUND, START + 6, sats=2**62)
        return peer

    peer = await store.write(work)
    assert (peer.messages_sent, peer.payments_sent, peer.total_sats_sent) == (2, 1, 1000)
    assert (peer.messages_received, peer.payments_received) == (11, 11)
    assert peer.total_sats_received == 2**53 - 1
    assert peer.last_seen == START + 6


async def test_peers_are_found_by_text_tag_and_presence(store: AgentStore) -> None:
    def work(database: sqlite3.Connection) -> None:
        address_book.set_tags(database, ALICE, ["friend", "poet"], START)
        address_book.set_notes(database, BOB, "Owes me a 100% REVIEW", START + 1)
        address_book.connected(database, BOB, START + 2)

    await store.write(work)

    async def ids(**which: object) -> list[str]:
        found = await store.read(lambda database: address_book.peers(database, **which))  # type: ignore[arg-type]
        return [each.peer_id for each in found]

    assert await ids() == [ALICE, BOB]
    assert await ids(text="review") == [BOB]
    assert await ids(text="100%") == [BOB]
    assert await ids(text="POET") == [ALICE]
    assert await ids(tag="friend") == [ALICE]
    assert await ids(tag="fri") == []
    assert await ids(online=True) == [BOB]
    await store.write(address_book.all_offline)
    assert await ids(online=True) == []


async def test_a_removed_peer_is_gone_and_comes_back_as_new(store: AgentStore) -> None:
    await store.write(lambda database: address_book.set_name(database, ALICE, "Alice", START))
    assert await store.write(lambda database: address_book.remove(database, ALICE))
    assert not await store.write(lambda database: address_book.remove(database, ALICE))
    assert await store.read(lambda database: address_book.get(database, ALICE)) is None
    peer = await store.write(lambda database: address_book.connected(database, ALICE, START + 1))
    assert peer.first_seen == START + 1


async def test_strangers_are_forgotten_and_nobody_that_was_named(store: AgentStore) -> None:
    def work(database: sqlite3.Connection) -> list[str]:
        for number in range(10):
            address_book.met(database, f"stranger {number}", START + number)
        address_book.set_name(database, "stranger 0", "Zero", START)
        address_book.set_notes(database, "stranger 1", "met in town", START)
        address_book.set_tags(database, "stranger 2", ["kin"], START)
        address_book.connected(database, "stranger 3", START)
        assert address_book.forget_strangers(database, 20) == 0
        assert address_book.forget_strangers(database, 6) == 4
        assert address_book.forget_strangers(database, 1) == 2
        return [each.peer_id[-1] for each in address_book.peers(database)]

    assert await store.write(work) == ["0", "1", "2", "3"]
