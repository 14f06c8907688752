"""The routing table against naive models, and its rules one by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.protocols.kademlia import (
    Admission,
    Candidate,
    RoutingTable,
    TableSettings,
    common_prefix_length,
    key_of,
)
from mesh.protocols.kademlia.refresh import key_in_bucket
from mesh.protocols.kademlia.table import MAX_EVENTS, PeerAdded, PeerRemoved

LOCAL = b"local"
LOCAL_KEY = key_of(LOCAL)
PLAIN = TableSettings(diverse=False)
KEYS = st.integers(0, 2**256 - 1)


def near(length: int, number: int, groups: tuple[bytes, ...] | None = ()) -> Candidate[str]:
    """Peer `number` of the bucket of a prefix length."""
    key = key_in_bucket(LOCAL_KEY, length, number.to_bytes(32, "big"))
    return Candidate(f"{length}/{number}", key, groups)


def full(settings: TableSettings = PLAIN, length: int = 0) -> RoutingTable[str]:
    """A table with one full bucket, admitted at 0."""
    table: RoutingTable[str] = RoutingTable(LOCAL, settings)
    for number in range(settings.bucket_size):
        assert table.admit(near(length, number), 0.0) is Admission.ADDED
    return table


def members(table: RoutingTable[str]) -> set[str]:
    return {entry.peer for entry in table}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(KEYS | st.integers(0, 300) | st.integers(0, 300).map(LOCAL_KEY.__xor__), max_size=120),
    st.lists(KEYS | st.integers(0, 300), min_size=1, max_size=5),
    st.integers(0, 45),
    st.sampled_from([2, 20, 1000]),
    st.data(),
)
def test_closest_is_what_sorting_gives(
    keys: list[int], targets: list[int], count: int, bucket_size: int, data: st.DataObject
) -> None:
    table: RoutingTable[int] = RoutingTable(LOCAL, TableSettings(bucket_size=bucket_size, diverse=False))
    for key in keys:
        table.admit(Candidate(key, key), 0.0)
    for key in data.draw(st.lists(st.sampled_from(keys), max_size=20)) if keys else []:
        table.remove(key, 0.0)
    held = [entry.key for entry in table]
    assert held == sorted(set(held))
    exclude = data.draw(st.lists(st.sampled_from(held), max_size=5)) if held else []
    for target in [*targets, *held[:3]]:
        expected = sorted(held, key=target.__xor__)
        assert [entry.key for entry in table.closest(target, count)] == expected[:count]
        left = [key for key in expected if key not in exclude]
        assert [entry.key for entry in table.closest(target, count, exclude)] == left[:count]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(KEYS | st.integers(0, 300), min_size=1, max_size=80, unique=True),
    KEYS | st.integers(0, 300),
    st.integers(0, 25),
    st.data(),
)
def test_payloads_are_those_of_the_closest(
    keys: list[int], target: int, count: int, data: st.DataObject
) -> None:
    table: RoutingTable[int] = RoutingTable(LOCAL, TableSettings(bucket_size=1000, diverse=False))
    for key in keys:
        table.admit(Candidate(key, key), 0.0, payload=f"{key}")
    table.payloads(target, count)
    for key in data.draw(st.lists(st.sampled_from(keys), max_size=5)):
        table.describe(key, f"{key} again")
    for key in data.draw(st.lists(st.sampled_from(keys), max_size=5)):
        table.remove(key, 0.0)
    table.describe(-1, "a stranger")
    without = data.draw(st.sampled_from([None, *keys]))
    left = [entry for entry in table.closest(target, len(keys)) if entry.peer != without]
    assert table.payloads(target, count, without) == [entry.payload for entry in left[:count]]


class Model:
    """A table without a sorted list or counters: everything is computed anew."""

    def __init__(self, settings: TableSettings) -> None:
        self.settings = settings
        self.members: dict[int, Candidate[int]] = {}

    def check(self, table: RoutingTable[int]) -> None:
        held = list(table)
        assert len(table) == len(held) == len({entry.key for entry in held})
        for row in table.rows(0.0):
            assert len(row.entries) <= self.settings.bucket_size
            assert len(row.replacements) <= self.settings.max_replacements
            assert not set(row.replacements) & {entry.peer for entry in held}
            assert all(
                common_prefix_length(entry.key, LOCAL_KEY) == row.prefix_length for entry in row.entries
            )
            for group in {group for entry in row.entries for group in entry.candidate.groups or ()}:
                inside = sum(group in (entry.candidate.groups or ()) for entry in row.entries)
                assert inside <= self.settings.max_per_group_in_bucket
        for group in {group for entry in held for group in entry.candidate.groups or ()}:
            inside = sum(group in (entry.candidate.groups or ()) for entry in held)
            assert inside <= self.settings.max_per_group
        changed = {entry.key for entry in held}
        came_and_went = dict.fromkeys(self.members, True)
        for event in table.events():
            came_and_went[event.peer] = isinstance(event, PeerAdded)
        assert {key for key, there in came_and_went.items() if there} == changed
        self.members = {entry.key: entry.candidate for entry in held}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "admit", "admit", "failed", "useful", "remove", "late"]),
        st.integers(0, 40),
        st.sampled_from([(), (b"a",), (b"b",), (b"a", b"b")]),
    ),
    max_size=80,
)


def live(steps: list[tuple[str, int, tuple[bytes, ...]]], limits: TableSettings) -> list[Any]:
    """A table's life; returns all that could be seen of it."""
    table: RoutingTable[int] = RoutingTable(LOCAL, limits)
    model = Model(limits)
    seen: list[Any] = []
    now = 0.0
    for verb, number, groups in steps:
        now += 3000.0 if verb == "late" else 1.0
        key = key_in_bucket(LOCAL_KEY, number % 3, number.to_bytes(32, "big"))
        if verb == "admit":
            seen.append(table.admit(Candidate(key, key, groups), now))
        elif verb == "failed":
            seen.append(table.failed(key, now))
        elif verb == "useful":
            table.useful(key, now)
        elif verb == "remove":
            assert table.remove(key, now) == (key in model.members)
        model.check(table)
        seen += [entry.peer for entry in table.due_for_check(now)]
        seen.append(table.rows(now).__repr__())
    return seen


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_a_life_keeps_the_rules_and_replays(steps: list[tuple[str, int, tuple[bytes, ...]]]) -> None:
    limits = TableSettings(bucket_size=3, max_replacements=2)
    assert live(steps, limits) == live(steps, limits)


def test_a_full_bucket_keeps_its_live_members() -> None:
    table = full()
    before = members(table)
    for number in range(20, 60):
        assert table.admit(near(0, number), 10.0) is Admission.WAITING
    assert members(table) == before
    [row] = table.rows(10.0)
    assert row.replacements == tuple(f"0/{number}" for number in range(50, 60))
    assert (row.number, row.prefix_length, row.failing, row.stale) == (255, 0, 0, 0)
    assert table.admit(near(1, 0), 10.0) is Admission.ADDED


def test_a_member_that_failed_gives_way() -> None:
    table = full()
    table.admit(near(0, 30), 1.0)
    table.admit(near(0, 31), 1.0)
    assert table.failed("0/4", 2.0)
    assert "0/4" not in table
    assert "0/31" in table
    assert table.rows(2.0)[0].replacements == ("0/30",)


def test_without_replacement_a_second_failure_is_the_end() -> None:
    table = full()
    assert not table.failed("0/4", 1.0)
    assert table.rows(1.0)[0].failing == 1
    table.useful("0/4", 2.0)
    assert not table.failed("0/4", 3.0)
    assert table.failed("0/4", 4.0)
    assert len(table) == 19
    assert not table.failed("0/4", 5.0)
    table.useful("0/4", 5.0)


def test_a_newcomer_displaces_the_failing_then_the_stale() -> None:
    table = full()
    table.useful("0/3", 1000.0)
    table.failed("0/7", 1000.0)
    assert table.admit(near(0, 30), 1001.0) is Admission.REPLACED
    assert "0/7" not in table
    assert table.admit(near(0, 31), 1001.0) is Admission.WAITING
    assert table.admit(near(0, 31), 2600.0) is Admission.REPLACED
    assert "0/3" in table
    assert {"0/30", "0/31"} < members(table)
    assert table.rows(2600.0)[0].replacements == ()


def test_whoever_is_known_stays() -> None:
    table = full()
    assert table.admit(near(0, 1), 5.0, useful=True, payload=b"blob") is Admission.KNOWN
    entry = table.get("0/1")
    assert entry is not None
    assert (entry.useful_at, entry.payload, entry.added_at, entry.seen_at) == (5.0, b"blob", 0.0, 5.0)
    table.admit(near(0, 1), 6.0)
    assert (entry.useful_at, entry.payload) == (5.0, b"blob")
    assert table.closest(entry.key, 1) == [entry]
    assert table.get("nobody") is None


def test_who_is_refused() -> None:
    table: RoutingTable[str] = RoutingTable(LOCAL)
    assert table.deepest == -1
    assert table.admit(Candidate("me", LOCAL_KEY), 0.0) is Admission.IS_LOCAL
    assert table.admit(near(0, 1, None), 0.0) is Admission.NO_NETWORK
    assert table.admit(near(0, 2, ()), 0.0) is Admission.ADDED
    for number, length, outcome in (
        (3, 0, Admission.ADDED),
        (4, 0, Admission.ADDED),
        (5, 0, Admission.NOT_DIVERSE),
        (6, 7, Admission.ADDED),
        (7, 2, Admission.NOT_DIVERSE),
    ):
        assert table.admit(near(length, number, (b"x",)), 0.0) is outcome
        assert outcome.admitted is (near(length, number).peer in table)
    assert table.deepest == 7
    plain: RoutingTable[str] = RoutingTable(LOCAL, PLAIN)
    assert plain.admit(near(0, 1, None), 0.0) is Admission.ADDED


def test_replacements_are_diverse_too() -> None:
    table = full(TableSettings())
    outcomes = [table.admit(near(0, 30 + number, (b"x",)), 0.0) for number in range(4)]
    assert outcomes == [Admission.WAITING] * 2 + [Admission.NOT_DIVERSE] * 2
    assert table.admit(near(0, 40, (b"y",)), 0.0) is Admission.WAITING


def test_a_replacement_that_is_not_diverse_any_more_waits_on() -> None:
    table = full(TableSettings())
    table.admit(near(0, 30, (b"y",)), 0.0)
    table.admit(near(0, 31, (b"x",)), 0.0)
    for length in (1, 2, 3):
        table.admit(near(length, 0, (b"x",)), 0.0)
    table.failed("0/1", 1.0)
    assert "0/30" in table
    assert table.rows(1.0)[0].replacements == ("0/31",)
    assert not table.failed("0/2", 1.0)


def test_removal() -> None:
    table = full()
    table.admit(near(0, 30), 0.0)
    table.admit(near(0, 31), 0.0)
    assert not table.remove("0/31", 1.0)
    assert table.remove("0/1", 1.0)
    assert "0/30" in table
    assert not table.remove("nobody", 1.0)
    lone: RoutingTable[str] = RoutingTable(LOCAL, PLAIN)
    lone.admit(near(5, 1), 0.0)
    assert lone.remove("5/1", 0.0)
    assert lone.rows(0.0) == []
    assert lone.events() == [PeerAdded("5/1"), PeerRemoved("5/1")]
    assert lone.events() == []


def test_who_is_due_for_a_check() -> None:
    table = full()
    table.useful("0/5", 100.0)
    table.failed("0/6", 100.0)
    assert table.due_for_check(159.0) == []
    assert [entry.peer for entry in table.due_for_check(160.0)] == ["0/6"]
    due = [entry.peer for entry in table.due_for_check(2600.0, 30)]
    assert len(due) == 19
    assert "0/5" not in due
    assert len(table.due_for_check(2700.0, 4)) == 4
    assert table.due_for_check(2700.0)[-1].peer == "0/5"


def test_changes_that_nobody_takes_are_bounded() -> None:
    table: RoutingTable[str] = RoutingTable(LOCAL, PLAIN)
    for _ in range(MAX_EVENTS):
        table.admit(near(0, 1), 0.0)
        table.remove("0/1", 0.0)
    assert len(table.events()) == MAX_EVENTS


@pytest.mark.parametrize("length", [0, 10, 255])
def test_bucket_numbers(length: int) -> None:
    table: RoutingTable[str] = RoutingTable(LOCAL, PLAIN)
    table.admit(near(length, 1), 0.0)
    assert [(row.prefix_length, row.number) for row in table.rows(0.0)] == [(length, 255 - length)]
