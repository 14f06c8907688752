"""What is looked up when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import UsageError
from mesh.protocols.kademlia import Refresh, RefreshSettings, common_prefix_length, key_of
from mesh.protocols.kademlia.refresh import (
    BucketRefresh,
    OwnNeighbourhood,
    Refill,
    key_in_bucket,
    target_in_bucket,
)

LOCAL = key_of(b"local")


def schedule() -> Refresh:
    return Refresh(LOCAL, RefreshSettings(), 0.0)


def joined() -> Refresh:
    refresh = schedule()
    refresh.done(OwnNeighbourhood(), 0.0)
    for length in range(4):
        refresh.done(BucketRefresh(length), 0.0)
    return refresh


def test_joining_looks_the_own_key_up_first() -> None:
    refresh = schedule()
    assert refresh.due(0.0, 0, -1) == []
    assert refresh.due(1.0, 12, 3) == [OwnNeighbourhood()]
    assert refresh.deadline(12, 3) <= 1.0
    refresh.done(OwnNeighbourhood(), 1.0)
    assert refresh.due(1.0, 12, 2) == [BucketRefresh(0), BucketRefresh(1), BucketRefresh(2)]


def test_everything_again_after_ten_minutes() -> None:
    refresh = joined()
    assert refresh.due(599.0, 20, 3) == []
    assert refresh.deadline(20, 3) == 600.0
    assert refresh.due(600.0, 20, 1) == [OwnNeighbourhood(), BucketRefresh(0), BucketRefresh(1)]


def test_only_buckets_up_to_fifteen() -> None:
    refresh = schedule()
    refresh.done(OwnNeighbourhood(), 0.0)
    assert refresh.due(0.0, 50, 40)[-1] == BucketRefresh(15)
    assert refresh.due(0.0, 50, -1) == []


def test_other_lookups_count() -> None:
    refresh = joined()
    refresh.looked_up(key_in_bucket(LOCAL, 1, bytes(32)), 300.0)
    refresh.looked_up(LOCAL, 300.0)
    assert refresh.due(600.0, 20, 2) == [OwnNeighbourhood(), BucketRefresh(0), BucketRefresh(2)]


def test_few_peers_are_refilled() -> None:
    refresh = joined()
    assert refresh.deadline(9, 3) == 120.0
    assert refresh.deadline(0, -1) == 120.0
    assert refresh.due(119.0, 9, 3) == []
    assert refresh.due(120.0, 9, 3) == [Refill()]
    assert refresh.due(120.0, 10, 3) == []
    refresh.done(Refill(), 120.0)
    assert refresh.due(200.0, 0, -1) == []
    assert refresh.due(240.0, 0, -1) == [Refill()]


def test_hurry() -> None:
    refresh = joined()
    refresh.hurry()
    assert refresh.due(1.0, 20, 1) == [OwnNeighbourhood()]
    refresh.done(OwnNeighbourhood(), 1.0)
    assert len(refresh.due(1.0, 20, 1)) == 2


@given(st.integers(0, 2**256 - 1), st.integers(0, 255), st.binary(min_size=32, max_size=32))
def test_keys_fall_into_their_bucket(local: int, length: int, entropy: bytes) -> None:
    assert common_prefix_length(key_in_bucket(local, length, entropy), local) == length


@given(st.integers(0, 2**256 - 1), st.integers(0, 7), st.binary(min_size=32, max_size=32))
def test_targets_hash_into_their_bucket(local: int, length: int, entropy: bytes) -> None:
    target = target_in_bucket(local, length, entropy)
    assert target is not None
    assert common_prefix_length(key_of(target), local) == length
    assert len(target) == 34
    assert target == target_in_bucket(local, length, entropy)


def test_impossible_targets() -> None:
    for length, entropy in ((-1, bytes(32)), (256, bytes(32)), (0, b"")):
        with pytest.raises(UsageError):
            key_in_bucket(LOCAL, length, entropy)
        with pytest.raises(UsageError):
            target_in_bucket(LOCAL, length, entropy)
