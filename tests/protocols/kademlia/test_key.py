"""Keys, distances and bucket numbers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.kademlia import (
    bucket_index,
    candidate_of,
    common_prefix_length,
    distance,
    key_of,
)
from tests.vectors import cases

KEYS = st.integers(0, 2**256 - 1)


@pytest.mark.parametrize("case", cases("kad_distance"), ids=lambda case: case["b"][:12])
def test_recorded_distances(case: dict[str, Any]) -> None:
    a, b = key_of(bytes.fromhex(case["a"])), key_of(bytes.fromhex(case["b"]))
    assert a == int(case["sha256_a"], 16)
    assert b == int(case["sha256_b"], 16)
    assert distance(a, b) == int(case["xor_distance"], 16)
    assert common_prefix_length(a, b) == case["common_prefix_length"]


@given(KEYS, KEYS, KEYS)
def test_distance_is_a_metric(a: int, b: int, c: int) -> None:
    assert distance(a, a) == 0
    assert distance(a, b) == distance(b, a)
    assert distance(a, c) <= distance(a, b) + distance(b, c)


@given(KEYS, KEYS)
def test_prefix_length_counts_equal_bits(a: int, b: int) -> None:
    left, right = f"{a:0256b}", f"{b:0256b}"
    count = next((at for at in range(256) if left[at] != right[at]), 256)
    assert common_prefix_length(a, b) == count


def test_buckets_are_numbered_as_beam_does() -> None:
    assert [bucket_index(0, far) for far in (0, 1, 2, 3, 4, 7, 8)] == [0, 0, 1, 1, 2, 2, 3]
    assert bucket_index(0, 2**255) == 255
    assert bucket_index(5, 5) == 0
    assert common_prefix_length(5, 5) == 256
    assert bucket_index(0, 2**200) == 255 - common_prefix_length(0, 2**200)


def test_a_candidate_of_the_network() -> None:
    peer = PeerId.from_bytes(bytes.fromhex(cases("kad_distance")[0]["a"]))
    found = candidate_of(peer, [Multiaddr.parse("/ip4/8.8.4.4/tcp/1")])
    assert found == (peer, key_of(peer.to_bytes()), (b"\x08\x08",))
    assert candidate_of(peer).groups is None
