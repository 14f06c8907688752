"""A relay's books and the tables of its decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs.relay import Status
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.relay import Circuit, Refusal, Reservations, Settings
from mesh.protocols.relay.decisions import CONNECT_RULES, RESERVE_RULES

PEERS = [PeerId.from_public_key(PrivateKey.generate().public) for _ in range(6)]
RELAY, A, B, C, D, E = PEERS
IP = "192.0.2.7"
SMALL = Settings(max_reservations=3, reservation_s=100.0, max_reservations_per_ip=2, max_circuits_per_peer=2)


def books(**changes: Any) -> Reservations:
    return Reservations(RELAY, replace(SMALL, **changes))


def status(found: object) -> Status:
    assert isinstance(found, Refusal), found
    return found.status


def test_the_order_and_the_status_of_every_refusal() -> None:
    assert [(each.reason, int(each.status)) for each in RESERVE_RULES] == [
        ("relayed", 202),
        ("closing", 202),
        ("full", 200),
        ("address", 200),
    ]
    assert [(each.reason, int(each.status)) for each in CONNECT_RULES] == [
        ("relayed", 202),
        ("closing", 202),
        ("loop", 204),
        ("unreserved", 204),
        ("source", 201),
        ("target", 201),
    ]


def test_a_reservation_lasts_its_time() -> None:
    held = books()
    assert held.reserve(A, IP, 5.0) == 105.0
    assert held.expires_at(A, 104.0) == 105.0
    assert held.deadline() == 105.0
    assert held.expires_at(A, 105.0) is None
    assert held.expire(105.0) == [A]
    assert (len(held), held.deadline()) == (0, None)


def test_asking_again_renews_even_when_nothing_is_free() -> None:
    held = books(max_reservations=1, max_reservations_per_ip=1)
    held.reserve(A, IP, 0.0)
    assert held.reserve(A, IP, 50.0) == 150.0
    assert len(held) == 1
    assert status(held.reserve(B, IP, 50.0)) is Status.RESERVATION_REFUSED


def test_a_refused_renewal_leaves_what_is_held() -> None:
    held = books(max_reservations_per_ip=1)
    held.reserve(A, "192.0.2.1", 0.0)
    held.reserve(B, "192.0.2.2", 0.0)
    assert status(held.reserve(A, "192.0.2.2", 10.0)) is Status.RESERVATION_REFUSED
    assert held.expires_at(A, 10.0) == 100.0


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:100::1", "2001:db8:0:1ff::2", True),
        ("2001:db8:0:100::1", "2001:db8:0:200::1", False),
        ("::1", "0.0.0.0", False),
    ],
)
def test_reservations_are_counted_by_network(first: str, second: str, together: bool) -> None:
    held = books(max_reservations_per_ip=1)
    held.reserve(A, first, 0.0)
    assert isinstance(held.reserve(B, second, 0.0), Refusal) is together


def test_who_has_no_ip_is_counted_by_nothing_but_the_total() -> None:
    held = books(max_reservations_per_ip=1)
    for peer in (A, B, C):
        assert held.reserve(peer, None, 0.0) == 100.0
    assert status(held.reserve(D, None, 0.0)) is Status.RESERVATION_REFUSED


def test_relayed_and_late_requests_are_denied() -> None:
    held = books()
    held.reserve(B, IP, 0.0)
    assert status(held.reserve(A, IP, 0.0, relayed=True)) is Status.PERMISSION_DENIED
    assert status(held.connect(A, B, 0.0, relayed=True)) is Status.PERMISSION_DENIED
    held.closing = True
    assert status(held.reserve(A, IP, 0.0)) is Status.PERMISSION_DENIED
    assert status(held.connect(A, B, 0.0)) is Status.PERMISSION_DENIED


def test_circuits_lead_to_who_reserved_and_in_no_loop() -> None:
    held = books()
    held.reserve(A, IP, 0.0)
    assert status(held.connect(A, B, 0.0)) is Status.NO_RESERVATION
    assert status(held.connect(A, A, 0.0)) is Status.NO_RESERVATION
    assert status(held.connect(A, RELAY, 0.0)) is Status.NO_RESERVATION
    assert held.connect(B, A, 0.0) == Circuit(B, A)
    assert status(held.connect(B, A, 100.0)) is Status.NO_RESERVATION
    assert held.release(A) is False


def test_circuits_count_at_both_ends() -> None:
    held = books()
    held.reserve(A, IP, 0.0)
    held.reserve(B, IP, 0.0)
    circuits = [held.connect(C, A, 0.0), held.connect(D, A, 0.0)]
    assert held.circuits == 2
    assert status(held.connect(E, A, 0.0)) is Status.RESOURCE_LIMIT_EXCEEDED
    assert status(held.connect(A, B, 0.0)) is Status.RESOURCE_LIMIT_EXCEEDED
    for each in circuits:
        assert isinstance(each, Circuit)
        held.end(each)
    assert held.circuits == 0
    assert held.connect(A, B, 0.0) == Circuit(A, B)


steps = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "release", "connect", "end", "wait"]),
        st.sampled_from(PEERS),
        st.sampled_from(PEERS),
        st.sampled_from([IP, "192.0.2.8", "2001:db8::1", None]),
        st.booleans(),
    ),
    max_size=60,
)


@given(steps=steps)
def test_no_sequence_breaks_a_limit_or_the_books(
    steps: list[tuple[str, PeerId, PeerId, str | None, bool]],
) -> None:
    held, now = books(), 0.0
    networks: dict[PeerId, tuple[str | None, float]] = {}
    circuits: list[Circuit] = []
    for what, one, other, ip, flag in steps:
        if what == "reserve":
            found = held.reserve(one, ip, now, relayed=flag)
            if not isinstance(found, Refusal):
                networks[one] = (ip, found)
                assert not flag
        elif what == "release":
            assert held.release(one) is (networks.pop(one, None) is not None)
        elif what == "connect":
            made = held.connect(one, other, now, relayed=flag)
            if isinstance(made, Circuit):
                circuits.append(made)
                assert other in networks
        elif what == "end" and circuits:
            held.end(circuits.pop(0))
        elif what == "wait":
            now += 40.0
        networks = {peer: each for peer, each in networks.items() if each[1] > now}
        held.expire(now)
        assert len(held) == len(networks) <= SMALL.max_reservations
        for place in {each for each, _ in networks.values()} - {None}:
            assert sum(each == place for each, _ in networks.values()) <= SMALL.max_reservations_per_ip
        assert held.circuits == len(circuits)
        for peer in PEERS:
            taken = sum((each.source == peer) + (each.target == peer) for each in circuits)
            assert taken <= SMALL.max_circuits_per_peer
        expiries = [expires for _, expires in networks.values()]
        assert held.deadline() == min(expiries, default=None)


def test_addresses_that_hoard_give_way_to_others() -> None:
    held = books(max_reservations=4, max_reservations_per_ip=3)
    for number, peer in enumerate((A, B, C)):
        held.reserve(peer, "192.0.2.1", float(number))
    held.reserve(D, "192.0.2.2", 3.0)
    circuit = held.connect(D, C, 4.0)
    assert isinstance(circuit, Circuit)
    assert held.reserve(E, "192.0.2.3", 5.0) == 105.0
    assert held.displaced == [B], "the newest without a circuit"
    assert (len(held), held.expires_at(B, 5.0), held.expires_at(C, 5.0)) == (4, None, 102.0)
    assert status(held.reserve(B, "192.0.2.1", 6.0)) is Status.RESERVATION_REFUSED
    assert status(held.reserve(B, "192.0.2.2", 6.0)) is Status.RESERVATION_REFUSED, "it has one, others two"
    assert status(held.reserve(B, None, 6.0)) is Status.RESERVATION_REFUSED
    assert held.displaced == [B]
    assert held.expire(102.0) == [A, C]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), max_size=40))
def test_nobody_loses_a_place_to_who_has_as_many(asked: list[tuple[int, int]]) -> None:
    held = books(max_reservations=3, max_reservations_per_ip=3)
    for now, (peer, host) in enumerate(asked):
        before = dict(held._networks)
        found = held.reserve(PEERS[peer], f"192.0.2.{host}", now / 100)
        assert len(held) <= 3
        if held.displaced:
            assert not isinstance(found, Refusal)
            gaining = {each for each, count in held._networks.items() if count > before.get(each, 0)}
            losing = {each for each, count in before.items() if count > held._networks[each]}
            assert all(before[one] > before.get(other, 0) for one in losing for other in gaining)
            held.displaced.clear()
