"""Votes on this node's address: whose count, when they are believed, and what they say of the NAT."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.observed_addresses import (
    BELIEVED_FROM,
    KEPT_S,
    MAX_PER_SOCKET,
    MAX_VOTES,
    NatKind,
    Observation,
    ObservedAddresses,
    announced_forms,
    observer_of,
    read_observation,
)


def ma(text: str) -> Multiaddr:
    return Multiaddr.parse(text)


LISTENING = [ma("/ip4/0.0.0.0/udp/4001/quic-v1"), ma("/ip4/192.168.1.4/tcp/4001"), ma("/ip6/::/tcp/4001")]
LOCAL = ma("/ip4/192.168.1.4/udp/4001/quic-v1")
RELAY = "12D3KooWEZXjE41uU4EL2gpkAQeDXYok6wghN7wwNVPF5bwkaNfS"
SOCKET = ma("/ip4/192.168.1.4/udp/4001")


def observe(
    observed: str,
    local: str = str(LOCAL),
    remote: str = "/ip4/11.2.1.2/udp/9/quic-v1",
    anywhere: bool = False,
) -> Observation | None:
    return read_observation(ma(local), ma(remote), ma(observed), LISTENING, anywhere=anywhere)


def seen(outside: int, observer: int) -> Observation:
    return Observation(SOCKET, ma(f"/ip4/11.3.1.2/udp/{outside}"), bytes([11, 0, 0, observer]))


def test_a_vote_is_read() -> None:
    assert observe("/ip4/11.3.1.2/udp/50001/quic-v1") == Observation(
        SOCKET, ma("/ip4/11.3.1.2/udp/50001"), bytes([11, 2, 1, 2])
    )
    assert observe("/ip4/11.3.1.2/udp/50001") is not None


@pytest.mark.parametrize(
    "case",
    [
        {"observed": "/ip4/192.168.1.4/udp/4001/quic-v1"},
        {"observed": "/ip4/127.0.0.1/udp/4001/quic-v1"},
        {"observed": "/ip4/11.3.1.2/tcp/4001"},
        {"observed": "/ip6/2001:4860::1/udp/4001/quic-v1"},
        {"observed": "/ip4/11.3.1.2/udp/1/quic"},
        {"observed": "/dns4/example.com/udp/4001/quic-v1"},
        {"observed": f"/ip4/11.3.1.2/udp/1/quic-v1/p2p/{RELAY}/p2p-circuit"},
        {"observed": "/ip4/11.3.1.2/udp/1/quic-v1", "local": "/ip4/192.168.1.4/udp/50000/quic-v1"},
        {"observed": "/ip4/11.3.1.2/tcp/1", "local": "/ip4/192.168.1.5/tcp/4001"},
        {"observed": "/ip4/11.3.1.2/udp/1/quic-v1", "remote": "/ip4/192.168.1.9/udp/1/quic-v1"},
        {"observed": "/ip4/11.3.1.2/udp/1/quic-v1", "remote": "/memory/5"},
        {"observed": "/memory/5"},
    ],
    ids=lambda case: " ".join(case.values())[:60],
)
def test_what_counts_for_nothing(case: dict[str, Any]) -> None:
    assert observe(**case) is None


def test_closed_networks_may_believe_private_addresses() -> None:
    assert observe("/ip4/10.0.0.7/udp/1/quic-v1", remote="/ip4/10.0.0.9/udp/1/quic-v1", anywhere=True)


def test_observers_are_counted_by_network() -> None:
    assert observer_of(ma("/ip4/1.2.3.4/tcp/1")) == bytes([1, 2, 3, 4])
    near, same, far = (
        observer_of(ma(f"/ip6/2001:4860:0:{group}::1/tcp/1")) for group in ("1200", "12ff", "1300")
    )
    assert near == same != far


def test_four_observers_are_believed_and_one_is_usable() -> None:
    votes = ObservedAddresses()
    for number in range(BELIEVED_FROM):
        votes.vote(number, seen(4001, number), 0.0)
        [outside] = votes.outside(0.0)
        assert outside.believed == (number == BELIEVED_FROM - 1)
    for copy in range(10):
        votes.vote(("again", copy), seen(4001, 0), 0.0)
    assert votes.outside(0.0)[0].observers == BELIEVED_FROM


def test_a_connection_has_one_vote_and_it_ends_half_an_hour_after_it() -> None:
    votes = ObservedAddresses()
    votes.vote("c", seen(1, 1), 0.0)
    votes.vote("c", seen(2, 1), 1.0)
    assert [str(each.address) for each in votes.outside(1.0)] == ["/ip4/11.3.1.2/udp/2"]
    votes.close("c", 10.0)
    assert votes.deadline() == 10.0 + KEPT_S
    assert votes.outside(9.9 + KEPT_S)
    assert votes.outside(10.0 + KEPT_S) == []
    votes.close("never there", 0.0)


def test_the_kind_of_nat_is_judged_anew_when_an_observer_disagrees() -> None:
    votes = ObservedAddresses()
    for number in range(3):
        votes.vote(number, seen(4001, number), 0.0)
    assert votes.nat_kind("udp", 0.0) == (NatKind.UNKNOWN, 3)
    votes.vote(3, seen(4001, 3), 0.0)
    assert votes.nat_kind("udp", 0.0) == (NatKind.CONE, 4)
    assert votes.nat_kind("tcp", 0.0) == (NatKind.UNKNOWN, 0)
    for number in range(4, 8):
        votes.vote(number, seen(15762 + number, number), 0.0)
    assert votes.nat_kind("udp", 0.0) == (NatKind.SYMMETRIC, 8)


def test_one_observer_cannot_make_a_nat_symmetric() -> None:
    votes = ObservedAddresses()
    for number in range(4):
        votes.vote(number, seen(4001, number), 0.0)
    for port in range(100):
        votes.vote(("liar", port), seen(port + 1, 200), 0.0)
    assert votes.nat_kind("udp", 0.0)[0] is NatKind.CONE


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 30), st.integers(1, 6), st.integers(0, 9), st.booleans(), st.floats(0, 4000)
        ),
        max_size=80,
    )
)
def test_sums_are_those_of_the_votes_that_stand(events: list[tuple[int, int, int, bool, float]]) -> None:
    votes, now = ObservedAddresses(), 0.0
    standing: dict[int, tuple[int, int, float | None]] = {}
    for connection, port, observer, closes, pause in events:
        now += pause
        standing = {key: each for key, each in standing.items() if each[2] is None or each[2] > now}
        if closes:
            votes.close(connection, now)
            if connection in standing and standing[connection][2] is None:
                standing[connection] = (*standing[connection][:2], now + KEPT_S)
        else:
            votes.vote(connection, seen(port, observer), now)
            standing[connection] = (port, observer, None)
        expected: dict[str, set[int]] = {}
        for each in standing.values():
            expected.setdefault(f"/ip4/11.3.1.2/udp/{each[0]}", set()).add(each[1])
        outside = votes.outside(now)
        assert len(outside) == min(len(expected), MAX_PER_SOCKET)
        counts = [each.observers for each in outside]
        assert counts == sorted(map(len, expected.values()), reverse=True)[:MAX_PER_SOCKET]
        assert all(each.observers == len(expected[str(each.address)]) for each in outside)
        assert len(votes) == len(standing)
        assert votes.nat_kind("udp", now)[1] == len({each[1] for each in standing.values()})


def test_the_oldest_vote_goes_when_there_are_too_many() -> None:
    votes = ObservedAddresses()
    for number in range(MAX_VOTES + 5):
        votes.vote(number, seen(1, number % 250), 0.0)
    assert len(votes) == MAX_VOTES


def test_an_outside_address_is_offered_for_every_listener_on_its_socket() -> None:
    votes = ObservedAddresses()
    votes.vote(1, seen(50001, 1), 0.0)
    [outside] = votes.outside(0.0)
    assert [str(each) for each in announced_forms(outside, LISTENING)] == ["/ip4/11.3.1.2/udp/50001/quic-v1"]
