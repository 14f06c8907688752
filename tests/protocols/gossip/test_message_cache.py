"""What can be told of and asked for, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import UsageError
from mesh.protocols.gossip.message_cache import ASKER_BYTES, ENTRY_BYTES, MessageCache

LARGE = 2**20


def test_a_message_is_told_of_for_three_heartbeats_and_kept_for_five() -> None:
    cache = MessageCache[int](5, 3, LARGE)
    cache.put(b"a", "t", b"wire")
    for beats in range(1, 6):
        assert cache.get(b"a") == b"wire"
        assert cache.ids("t") == ([b"a"] if beats <= 3 else [])
        cache.shift()
    assert cache.get(b"a") is None
    assert cache.asked(b"a", 1) is None
    assert (len(cache), cache.held_bytes) == (0, 0)


def test_ids_are_those_of_a_topic_latest_heartbeat_first() -> None:
    cache = MessageCache[int](5, 3, LARGE)
    cache.put(b"1", "t", b"")
    cache.put(b"2", "u", b"")
    cache.put(b"3", "t", b"")
    cache.shift()
    cache.put(b"4", "t", b"")
    assert cache.ids("t") == [b"4", b"1", b"3"]
    assert cache.ids("u") == [b"2"]
    assert cache.ids("v") == []


def test_how_often_a_peer_asked_is_counted() -> None:
    cache = MessageCache[str](5, 3, LARGE)
    cache.put(b"a", "t", b"wire")
    counts = []
    for peer in ("x", "x", "y", "x"):
        answer = cache.asked(b"a", peer)
        assert answer is not None
        assert answer[0] == b"wire"
        counts.append(answer[1])
    assert counts == [1, 2, 1, 3]


def test_a_message_put_again_stays_as_it_is() -> None:
    cache = MessageCache[int](2, 1, LARGE)
    cache.put(b"a", "t", b"one")
    held = cache.held_bytes
    cache.put(b"a", "t", b"twice")
    assert (cache.get(b"a"), cache.ids("t"), cache.held_bytes) == (b"one", [b"a"], held)
    cache.shift()
    cache.shift()
    assert (len(cache), cache.held_bytes) == (0, 0)


def test_many_at_once_are_kept_as_single_ones_are() -> None:
    one, many = MessageCache[int](3, 2, 4000), MessageCache[int](3, 2, 4000)
    wires = {bytes([number]): bytes(number * 40) for number in range(9)}
    for id, wire in wires.items():
        one.put(id, "t", wire)
    many.put_all("t", wires)
    assert 0 < len(one) < 9
    assert (many.ids("t"), many.held_bytes) == (one.ids("t"), one.held_bytes)


def test_the_oldest_go_when_there_are_too_many() -> None:
    cost = ENTRY_BYTES + 1 + 100
    cache = MessageCache[int](5, 3, 3 * cost)
    for number in range(5):
        cache.put(bytes([number]), "t", bytes(100))
    assert cache.ids("t") == [b"\x02", b"\x03", b"\x04"]
    assert cache.held_bytes == 3 * cost
    cache.put(b"x", "t", bytes(4 * cost))
    assert cache.get(b"x") is None
    assert len(cache) == 3


def test_those_who_ask_cost_something_too() -> None:
    cache = MessageCache[int](5, 3, 2 * (ENTRY_BYTES + 1) + 3 * ASKER_BYTES)
    cache.put(b"a", "t", b"")
    cache.put(b"b", "t", b"")
    for peer in range(3):
        cache.asked(b"b", peer)
    assert len(cache) == 2
    cache.asked(b"b", 3)
    assert cache.get(b"a") is None
    assert cache.get(b"b") is not None


@given(st.lists(st.integers(0, 40) | st.just(-1), max_size=120), st.integers(1, 5000))
def test_what_is_held_is_what_is_counted(steps: list[int], limit: int) -> None:
    cache = MessageCache[int](3, 2, limit)
    for step in steps:
        if step < 0:
            cache.shift()
        elif step % 3 == 0:
            cache.asked(bytes([step - 1 if step else 1]), step)
        else:
            cache.put(bytes([step]), "t", bytes(step * 10))
        assert cache.held_bytes <= limit
        assert all(cache.get(id) is not None for id in cache.ids("t"))
    for _ in range(3):
        cache.shift()
    assert (len(cache), cache.held_bytes) == (0, 0)


@pytest.mark.parametrize(("history", "gossip"), [(2, 3), (3, 0), (0, 0)])
def test_misuse(history: int, gossip: int) -> None:
    with pytest.raises(UsageError):
        MessageCache[int](history, gossip, LARGE)
