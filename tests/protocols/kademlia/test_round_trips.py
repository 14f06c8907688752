"""How long to wait for whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocols.kademlia import RoundTrips, RoundTripSettings


def test_before_and_after_the_first_answer() -> None:
    trips: RoundTrips[str] = RoundTrips()
    assert trips.timeout_s("a") == 2.0
    assert trips.rtt_s("a") is None
    assert trips.network_rtt_s is None
    trips.observed("a", 0.3)
    assert trips.rtt_s("a") == trips.network_rtt_s == 0.3
    assert trips.timeout_s("a") == pytest.approx(1.2)
    assert trips.timeout_s("stranger") == pytest.approx(1.2)


def test_a_peer_has_its_own_estimate() -> None:
    trips: RoundTrips[str] = RoundTrips()
    for _ in range(50):
        trips.observed("slow", 1.0)
        trips.observed("quick", 0.01)
    assert trips.timeout_s("slow") == pytest.approx(4.0)
    assert trips.timeout_s("quick") == 0.5
    assert 0.5 < trips.timeout_s("stranger") < 10
    trips.forget("slow")
    trips.forget("nobody")
    assert trips.rtt_s("slow") is None


def test_unsteady_answers_get_more_time() -> None:
    trips: RoundTrips[str] = RoundTrips()
    for number in range(200):
        trips.observed("a", 0.1 if number % 10 else 3.0)
    assert trips.timeout_s("a") > 4 * (trips.rtt_s("a") or 0)


def test_the_longest_unmeasured_is_forgotten() -> None:
    trips: RoundTrips[int] = RoundTrips(RoundTripSettings(max_peers=3))
    for peer in (1, 2, 3, 1, 4):
        trips.observed(peer, 0.1)
    assert [trips.rtt_s(peer) is not None for peer in (1, 2, 3, 4)] == [True, False, True, True]


@given(st.lists(st.floats(-1, 1e9), max_size=30))
def test_timeouts_stay_in_bounds(samples: list[float]) -> None:
    trips: RoundTrips[str] = RoundTrips()
    for sample in samples:
        trips.observed("a", sample)
    assert 0.5 <= trips.timeout_s("a") <= 10.0
