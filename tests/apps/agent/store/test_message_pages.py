"""Pages of messages: filters, words, totals, and queries that are none."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.apps.agent.records import Direction
from mesh.apps.agent.store import AgentStore, address_book, message_pages
from mesh.apps.agent.store.message_log import add, mark_read
from mesh.apps.agent.store.message_pages import PageQuery, page
from mesh.errors import UsageError
from tests.apps.agent.store.messages import ALICE, BOB, START, message


def fill(database: sqlite3.Connection) -> None:
    address_book.set_name(database, BOB, "Bob the builder", START)
    for number in range(30):
        peer = BOB if number % 3 == 0 else ALICE
        direction = Direction.OUTBOUND if number % 2 else Direction.INBOUND
        kind = "payment" if number == 7 else "text"
        add(database, message(f"apple {number}", peer, direction, START + number, kind))


async def found(store: AgentStore, query: PageQuery) -> tuple[list[str], int]:
    result = await store.read(lambda database: page(database, query))
    return [each.content.removeprefix("apple ") for each in result.messages], result.total


async def test_pages_are_newest_first(store: AgentStore) -> None:
    await store.write(fill)
    assert await found(store, PageQuery(limit=3)) == (["29", "28", "27"], 30)
    assert await found(store, PageQuery(limit=3, offset=28)) == (["1", "0"], 30)
    assert await found(store, PageQuery(limit=0)) == ([], 30)


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        (PageQuery(peer=BOB), range(27, -1, -3)),
        (PageQuery(peer=BOB, direction=Direction.INBOUND), range(24, -1, -6)),
        (PageQuery(direction=Direction.OUTBOUND), range(29, -1, -2)),
        (PageQuery(since=START + 28), (29, 28)),
        (PageQuery(until=START + 1), (1, 0)),
        (PageQuery(since=START + 5, until=START + 5), (5,)),
        (PageQuery(message_type="payment"), (7,)),
        (PageQuery(search="7"), (7,)),
        (PageQuery(search="payment"), ()),
        (PageQuery(search="apple", message_type="payment"), (7,)),
        (PageQuery(search="apple", message_type="pay"), ()),
        (PageQuery(search="apple", message_type="-"), ()),
        (PageQuery(search="apple", message_type="a\0b", peer="c\0d"), ()),
        (PageQuery(search="peer_name: builder", since=START + 24, until=START + 26), (24,)),
        (PageQuery(search="apple", since=START + 30), ()),
        (PageQuery(search="apple NOT 29", since=START + 27), (28, 27)),
        (PageQuery(search="builder", since=START + 24), (27, 24)),
        (PageQuery(search='"apple 12" OR "apple 13"'), (13, 12)),
        (PageQuery(search="apple", peer=BOB), range(27, -1, -3)),
        (PageQuery(search="12 OR 13", peer=BOB), (12,)),
        (PageQuery(search="apple", peer="unknown"), ()),
        (PageQuery(search=BOB, direction=Direction.OUTBOUND), range(27, -1, -6)),
        (PageQuery(peer="' OR 1=1 --"), ()),
    ],
)
async def test_each_filter_narrows_page_and_total(
    store: AgentStore, query: PageQuery, numbers: range | tuple[int, ...]
) -> None:
    await store.write(fill)
    assert await found(store, query) == ([str(number) for number in numbers], len(numbers))


async def test_unread_ones_can_be_asked_for(store: AgentStore) -> None:
    await store.write(fill)
    await store.write(lambda database: mark_read(database, ALICE))
    assert await found(store, PageQuery(unread=True)) == (["24", "18", "12", "6", "0"], 5)
    assert await found(store, PageQuery(unread=True, search="12 OR 14")) == (["12"], 1)


async def test_names_that_a_peer_had_are_found(store: AgentStore) -> None:
    def work(database: sqlite3.Connection) -> None:
        fill(database)
        address_book.set_name(database, BOB, "Robert", START)

    await store.write(work)
    assert (await found(store, PageQuery(search="builder")))[1] == 10
    assert (await found(store, PageQuery(search="Robert")))[1] == 0


@pytest.mark.parametrize(
    "words",
    [
        '"',
        "(",
        "AND",
        "a AND",
        "nosuchcolumn: a",
        "a^b^",
        "*",
        "NEAR(",
        "a -b",
        "'",
        "\0",
        "x" * 1001,
        "a b)",
        "rank:",
    ],
)
async def test_words_that_are_no_query_are_the_callers_fault(store: AgentStore, words: str) -> None:
    await store.write(fill)
    with pytest.raises(UsageError):
        await store.read(lambda database: page(database, PageQuery(search=words)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(
    words=st.text(alphabet=st.sampled_from("ab\"'()*:^-+{} ANDORTE\n\u00e9;%_"), max_size=30),
    peer=st.sampled_from(["", ALICE, 'x" OR "', "'"]),
)
async def test_any_text_is_a_search_or_refused(store: AgentStore, words: str, peer: str) -> None:
    try:
        result = await store.read(lambda database: page(database, PageQuery(search=words, peer=peer)))
    except UsageError:
        return
    assert result.total == 0


async def test_matches_are_counted_up_to_a_bound(store: AgentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.write(fill)
    for bound, total, exact in ((30, 30, True), (29, 29, False)):
        monkeypatch.setattr(message_pages, "MAX_COUNTED", bound)
        result = await store.read(lambda database: page(database, PageQuery(search="apple", limit=1)))
        assert (result.total, result.exact) == (total, exact)


async def test_a_page_has_a_greatest_size(store: AgentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_pages, "MAX_PAGE_CHARACTERS", 20)
    await store.write(fill)
    assert await found(store, PageQuery()) == (["29", "28"], 30)
    await store.write(lambda database: add(database, message("x" * 100, at=START + 99)))
    assert await found(store, PageQuery()) == (["x" * 100], 31)
