"""The message log: rows, conversations, read marks, figures, and what is forgotten."""

from __future__ import annotations

import sqlite3

from mesh.apps.agent.records import DeliveryState, Direction
from mesh.apps.agent.store import AgentStore, address_book, message_log, retention
from mesh.apps.agent.store.message_log import add
from tests.apps.agent.store.messages import ALICE, BOB, DAY, START, message


async def test_a_record_comes_back_as_it_was_stored(store: AgentStore) -> None:
    given = message("hello", message_id="1795198653600-4ln2kfxo", state=DeliveryState.DELIVERED)
    stored = await store.write(lambda database: add(database, given))
    assert await store.read(lambda database: message_log.get(database, stored.id)) == stored
    assert await store.read(lambda database: message_log.named(database, given.message_id)) == [stored]
    assert await store.read(lambda database: message_log.named(database, "")) == []
    assert stored.document()["state"] == "delivered"


async def test_a_message_is_logged_under_its_peers_name(store: AgentStore) -> None:
    def work(database: sqlite3.Connection) -> list[str | None]:
        names = [add(database, message("a stranger")).peer_name]
        address_book.met(database, ALICE, START)
        names.append(add(database, message("met")).peer_name)
        address_book.set_name(database, ALICE, "Alice", START)
        return [*names, add(database, message("named")).peer_name]

    assert await store.write(work) == [None, "12D3KooW...", "Alice"]
    assert await store.read(lambda database: message_log.peer_name(database, ALICE)) == "Alice"
    assert await store.read(lambda database: message_log.peer_name(database, BOB)) is None


async def test_conversations_tell_the_last_message_and_what_is_unread(store: AgentStore) -> None:
    def work(database: sqlite3.Connection) -> None:
        add(database, message("one", at=START))
        add(database, message("two", at=START + 1))
        add(database, message("three", BOB, at=START + 2))
        add(database, message("four", direction=Direction.OUTBOUND, at=START + 3))

    await store.write(work)
    first, second = await store.read(message_log.conversations)
    assert (first.peer_id, first.last_message, first.message_count, first.unread_count) == (
        ALICE,
        "four",
        3,
        2,
    )
    assert (second.peer_id, second.last_message, second.unread_count) == (BOB, "three", 1)

    assert await store.write(lambda database: message_log.mark_read(database, ALICE, 1)) == 1
    assert (await store.read(message_log.conversations))[0].unread_count == 1
    assert await store.write(lambda database: message_log.mark_read(database, ALICE)) == 1
    assert await store.write(lambda database: message_log.mark_read(database, ALICE)) == 0
    assert (await store.read(message_log.conversations))[0].unread_count == 0
    assert await store.write(lambda database: message_log.mark_read(database, ALICE, 2, read=False)) == 2
    assert (await store.read(message_log.figures)).unread == 3


async def test_figures_count_by_direction_peer_and_day(store: AgentStore) -> None:
    def work(database: sqlite3.Connection) -> None:
        for number in range(12):
            add(database, message("x", f"peer {number:02}", at=START))
        add(database, message("y", "peer 07", Direction.OUTBOUND, at=START + DAY))

    await store.write(work)
    document = (await store.read(message_log.figures)).document()
    assert document["totalMessages"] == 13
    assert (document["totalInbound"], document["totalOutbound"], document["uniquePeers"]) == (12, 1, 12)
    assert document["messagesByPeer"][0] == {"peerId": "peer 07", "peerName": None, "count": 2}
    assert len(document["messagesByPeer"]) == 10
    assert document["messagesByDay"] == [
        {"date": "2026-11-21", "count": 1},
        {"date": "2026-11-20", "count": 12},
    ]


async def test_the_last_messages_are_told_oldest_first(store: AgentStore) -> None:
    def work(database: sqlite3.Connection) -> list[str]:
        for number in range(20):
            add(database, message(str(number), at=START + number))
            add(database, message("other", BOB, at=START + number))
        return [each.content for each in message_log.last(database, ALICE, 3)]

    assert await store.write(work) == ["17", "18", "19"]


async def test_nothing_is_forgotten_unless_the_settings_say_so(store: AgentStore) -> None:
    await store.write(lambda database: add(database, message("old", at=1)))
    assert await store.write(lambda database: retention.forget(database, START, 0, 0)) == 0


async def test_old_messages_are_forgotten_with_all_that_counted_them(store: AgentStore) -> None:
    def work(database: sqlite3.Connection) -> None:
        for number in range(1200):
            add(database, message(f"old {number}", at=START - 3 * DAY))
        add(database, message("on its way", BOB, at=START - 3 * DAY, state=DeliveryState.QUEUED))
        add(database, message("new", at=START))

    await store.write(work)
    gone: list[int] = []
    while not gone or gone[-1]:
        gone.append(await store.write(lambda database: retention.forget(database, START, 2, 0)))
    assert gone == [500, 500, 200, 0]
    left = await store.read(message_log.conversations)
    assert [(each.peer_id, each.message_count) for each in left] == [(ALICE, 1), (BOB, 1)]
    assert (await store.read(message_log.figures)).by_day == (("2026-11-20", 1), ("2026-11-17", 1))
    words = "SELECT count(*) FROM message_words WHERE message_words MATCH 'old'"
    assert await store.read(lambda database: database.execute(words).fetchone()[0]) == 0
    check = "INSERT INTO message_words (message_words) VALUES ('integrity-check')"
    await store.write(lambda database: database.execute(check))


async def test_the_oldest_go_when_there_are_too_many(store: AgentStore) -> None:
    def work(database: sqlite3.Connection) -> list[str]:
        for number in range(10):
            add(database, message(str(number), at=START + number))
        assert retention.forget(database, START + 10, 0, 4) == 6
        return [each.content for each in message_log.last(database, ALICE, 10)]

    assert await store.write(work) == ["6", "7", "8", "9"]


async def test_a_conversation_whose_newest_message_goes_has_the_one_before(store: AgentStore) -> None:
    def work(database: sqlite3.Connection) -> str:
        add(database, message("stays", at=START))
        newest = add(database, message("goes", at=START + 1))
        database.execute("DELETE FROM messages WHERE id = ?", (newest.id,))
        (conversation,) = message_log.conversations(database)
        return conversation.last_message

    assert await store.write(work) == "stays"
