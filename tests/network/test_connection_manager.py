"""Trimming in virtual time: who is spared, who goes first, and how often."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mesh.errors import UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.network import connection_manager
from mesh.network.connection_manager import ConnectionManager, PeerStanding, Settings


def peer(number: int) -> PeerId:
    return PeerId.from_public_key(PrivateKey.from_seed(number.to_bytes(32, "big")).public)


PEERS = [peer(number) for number in range(200)]


@dataclass(eq=False)
class Link:
    peer: PeerId
    stream_count: int = 0


def filled(count: int, settings: Settings | None = None) -> tuple[ConnectionManager[Link], list[Link]]:
    """Connection ``n`` came at second ``n``."""
    manager = ConnectionManager[Link](settings)
    links = [Link(PEERS[number]) for number in range(count)]
    for second, link in enumerate(links):
        manager.note_connected(link, float(second))
    return manager, links


def test_nothing_up_to_the_high_mark() -> None:
    manager, _ = filled(192)
    assert manager.trim(1e6) == []
    assert manager.deadline() is None


def test_down_to_the_low_mark_oldest_first() -> None:
    manager, links = filled(193)
    assert manager.deadline() == float("-inf")
    assert manager.trim(1e6) == links[:33]
    assert manager.trimmed == 33


def test_at_most_one_trim_in_ten_seconds() -> None:
    manager, links = filled(193)
    manager.trim(1000.0)
    assert manager.deadline() == 1010.0
    assert manager.trim(1009.9) == []
    assert manager.trim(1010.0) == links[:33]
    for link in links[:33]:
        manager.note_disconnected(link)
        manager.note_disconnected(link)
    assert manager.count == 160
    assert manager.trim(1020.0) == []
    assert manager.deadline() is None


def test_grace() -> None:
    manager, links = filled(20, Settings(low=2, high=4, grace_s=10.0))
    assert manager.trim(14.5) == links[:5]
    assert manager.trim(24.5) == links[:15]
    assert manager.trim(100.0) == links[:18]


def test_value_then_streams_then_age() -> None:
    manager, links = filled(8, Settings(low=3, high=4, grace_s=1.0))
    manager.tag(PEERS[0], "dht", 5)
    manager.tag(PEERS[1], "mesh", 20)
    manager.tag(PEERS[7], "spam", -1)
    links[2].stream_count = 3
    order = [links[7], links[3], links[4], links[5], links[6]]
    assert manager.trim(100.0) == order
    assert manager.trim(200.0, force=True) == order
    manager.untag(PEERS[7], "spam")
    assert manager.trim(300.0) == [links[3], links[4], links[5], links[6], links[7]]


def test_protected_peers_stay_even_above_the_mark() -> None:
    manager, links = filled(6, Settings(low=1, high=2, grace_s=0.0))
    for number in range(5):
        manager.protect(PEERS[number], "mesh")
    manager.protect(PEERS[0], "relay")
    assert manager.trim(100.0) == [links[5]]
    assert manager.unprotect(PEERS[0], "mesh")
    assert manager.is_protected(PEERS[0], "relay")
    assert not manager.is_protected(PEERS[0], "mesh")
    assert manager.trim(200.0) == [links[5]]
    assert not manager.unprotect(PEERS[0], "relay")
    assert not manager.unprotect(PEERS[150], "relay")
    assert manager.trim(300.0) == [links[0], links[5]]


def test_force_ignores_the_high_mark_and_the_interval() -> None:
    manager, links = filled(5, Settings(low=3, high=100, grace_s=0.0))
    assert manager.trim(100.0) == []
    assert manager.trim(100.0, force=True) == links[:2]
    assert manager.trim(100.0, force=True) == links[:2]


def test_info() -> None:
    manager, links = filled(1)
    assert manager.info(PEERS[5]) is None
    assert manager.info(PEERS[0]) == PeerStanding(0, {}, frozenset(), (0.0,))
    manager.note_connected(Link(PEERS[0]), 7.0)
    manager.tag(PEERS[0], "dht", 5)
    manager.upsert_tag(PEERS[0], "uses", lambda before: before + 1)
    manager.upsert_tag(PEERS[0], "uses", lambda before: before + 1)
    manager.protect(PEERS[0], "mesh")
    assert manager.info(PEERS[0]) == PeerStanding(7, {"dht": 5, "uses": 2}, frozenset({"mesh"}), (0.0, 7.0))
    manager.note_disconnected(links[0])
    manager.untag(PEERS[0], "dht")
    standing = manager.info(PEERS[0])
    assert standing is not None
    assert (standing.value, standing.connected_at) == (2, (7.0,))


def test_records_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_manager, "MAX_ABSENT_PEERS", 20)
    manager, _ = filled(2)
    manager.tag(PEERS[0], "connected", 1)
    manager.protect(PEERS[100], "kept")
    for number in range(2, 100):
        manager.tag(PEERS[number], "seen", number)
    assert manager.info(PEERS[2]) is None
    assert manager.info(PEERS[99]) is not None
    assert manager.is_protected(PEERS[100])
    standing = manager.info(PEERS[0])
    assert standing is not None
    assert standing.value == 1
    for number in range(63):
        manager.tag(PEERS[0], str(number), 1)
    with pytest.raises(UsageError, match="64 tags already"):
        manager.tag(PEERS[0], "more", 1)


def test_marks_have_to_be_in_order() -> None:
    with pytest.raises(UsageError, match="low mark"):
        Settings(low=5, high=4)
