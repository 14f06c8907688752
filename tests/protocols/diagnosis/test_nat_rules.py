"""From what a node sees of itself to why others do not reach it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.protocols.diagnosis import (
    AddressSeen,
    Attempt,
    Fault,
    NatEvidence,
    RelaySeen,
    RouteSeen,
    Where,
    diagnose_nat,
)
from mesh.protocols.diagnosis.nat_rules import NAT_RULES

OUTER = "/ip4/11.3.1.2/tcp/4001"
RELAY = "/ip4/11.2.1.2/tcp/4001/p2p/12D3KooWRelay"
MISSED = AddressSeen(OUTER, told=False, configured=False, reached=0, missed=2, observed=2)
REACHED = AddressSeen(OUTER, told=True, configured=False, reached=1, missed=0, observed=2)
HOME = NatEvidence(
    listens_beyond=True,
    hosts=("192.168.1.10",),
    port=4001,
    transports=("tcp", "quic"),
    inside="192.168.1.10",
    begins_with=(Attempt("/ip4/11.1.1.2/tcp/4001", "tcp", "ip4", Fault.NONE),),
    peers=2,
    addresses=(MISSED,),
    outside=("11.3.1.2",),
    mapping="same",
    observers=2,
)
"""A node behind a home router that forwards nothing."""


def failing(fault: Fault, address: str = "/ip4/11.1.1.2/udp/4001/quic-v1") -> NatEvidence:
    tried = (Attempt(address, "quic", "ip4", fault, f"said: {fault.value}"),)
    return replace(HOME, begins_with=tried, peers=0, addresses=(), outside=(), mapping="unknown")


def relays(fault: Fault) -> NatEvidence:
    return replace(
        HOME, relays=(RelaySeen("12D3KooWOther", False, fault, "what it said"),), relays_near=(RELAY,)
    )


def announcing(reached: int) -> NatEvidence:
    wrong = AddressSeen(
        "/ip4/11.99.1.2/tcp/4001", told=True, configured=True, reached=0, missed=2, observed=0
    )
    own = AddressSeen(OUTER, told=bool(reached), configured=False, reached=reached, missed=0, observed=0)
    return replace(HOME, announce=("/ip4/11.99.1.2/tcp/4001",), addresses=(wrong, own))


CARRIER = RouteSeen("11.1.1.2", ((1, "192.168.1.1", True), (2, "100.64.0.1", True)), True, 1280)
WALL = RouteSeen("11.1.1.2", ((1, "192.168.1.1", True),), False, 0)
NARROW = RouteSeen("11.1.1.2", ((1, "192.168.1.1", True), (2, "11.3.1.1", False)), True, 1100)

CASES = {
    "listens-on-loopback": NatEvidence(listens_beyond=False, hosts=("192.168.1.10",)),
    "no-route": failing(Fault.NO_ROUTE),
    "dns-failure": failing(Fault.NO_ADDRESS, "/dns4/relay.example/tcp/4001"),
    "no-bootstrap": replace(HOME, begins_with=(), peers=0, addresses=()),
    "udp-blocked": replace(failing(Fault.SILENT), route=WALL),
    "mtu": replace(failing(Fault.SILENT), route=NARROW),
    "bootstrap-unreachable": failing(Fault.REFUSED),
    "clock": relays(Fault.EXPIRED),
    "wrong-announce": announcing(0),
    "healthy": replace(HOME, addresses=(REACHED,)),
    "relay-full": relays(Fault.RELAY_FULL),
    "not-a-relay": relays(Fault.NOT_A_RELAY),
    "wrong-peer-id": relays(Fault.WRONG_PEER),
    "relay-down": relays(Fault.RELAY_UNREACHED),
    "double-nat": replace(HOME, route=CARRIER),
    "own-symmetric-nat": replace(HOME, mapping="different"),
    "inbound-filtered": replace(HOME, hosts=("11.3.1.2",), public_host=True),
    "nat-unmapped": HOME,
}


@pytest.mark.parametrize("cause", CASES)
def test_each_cause_has_its_evidence(cause: str) -> None:
    verdict = diagnose_nat(CASES[cause])
    assert verdict.cause == cause
    assert verdict.evidence
    assert 1 <= verdict.confidence <= 3
    assert bool(verdict.remedy) is (cause != "healthy")


def test_every_rule_is_tried_here() -> None:
    assert {rule.cause for rule in NAT_RULES} == set(CASES)


def test_what_points_to_nothing_is_unknown_and_not_guessed() -> None:
    verdict = diagnose_nat(replace(HOME, addresses=(), outside=(), mapping="unknown"))
    assert (verdict.cause, verdict.confidence, verdict.evidence) == ("unknown", 0, ())
    assert verdict.remedy[0].command == "mesh diag nat"


def test_a_relay_that_is_held_outweighs_one_that_is_not() -> None:
    both = (RelaySeen("12D3KooWHeld", True, Fault.NONE), RelaySeen("12D3KooWOther", False, Fault.RELAY_FULL))
    assert diagnose_nat(replace(HOME, relays=both)).cause == "nat-unmapped"


def test_a_wrong_announcement_matters_only_where_nothing_told_is_reached() -> None:
    assert diagnose_nat(announcing(reached=1)).cause == "healthy"


def test_silent_routers_are_no_evidence() -> None:
    silent = RouteSeen("11.1.1.2", (), False, 0)
    assert not silent.udp_blocked
    assert diagnose_nat(replace(failing(Fault.SILENT), route=silent)).cause == "bootstrap-unreachable"


def test_a_second_nat_shows_in_the_routers_own_outer_address_too() -> None:
    lying = replace(HOME, port_mapping="mapped", gateway="192.168.1.1", mapped_host="11.7.1.2")
    carried = replace(HOME, port_mapping="private", gateway="192.168.1.1")
    assert diagnose_nat(lying).cause == diagnose_nat(carried).cause == "double-nat"
    assert diagnose_nat(replace(lying, mapped_host="11.3.1.2")).cause == "nat-unmapped"


def test_the_remedy_of_a_nat_names_ports_and_addresses() -> None:
    forward, ask, announce = diagnose_nat(HOME).remedy
    assert (forward.where, forward.act) == (Where.ROUTER, "forward")
    assert "TCP and UDP port 4001 to 192.168.1.10 port 4001" in forward.text
    assert ask.command == "mesh config set port_mapping.protocol '\"auto\"'"
    assert announce.command == (
        "mesh config set network.append_announce "
        '\'["/ip4/11.3.1.2/tcp/4001", "/ip4/11.3.1.2/udp/4001/quic-v1"]\''
    )


def test_a_nat_no_port_of_which_is_known_is_one_all_the_same() -> None:
    """The node dials from ports that do not listen: others see its NAT, and there is nothing to ask them about."""
    hidden = replace(HOME, addresses=(), mapping="unknown", observers=0)
    verdict = diagnose_nat(hidden)
    assert verdict.cause == "nat-unmapped"
    assert "no outside port of this node is known" in verdict.evidence[-1]
    assert diagnose_nat(replace(hidden, hosts=("11.3.1.2",))).cause == "unknown"


def test_a_router_that_is_asked_already_needs_no_asking() -> None:
    asked = diagnose_nat(replace(HOME, port_mapping="silent")).remedy
    assert not any("port_mapping" in each.command for each in asked)


def test_the_remedy_of_a_lost_relay_is_one_that_is_near() -> None:
    steps = diagnose_nat(relays(Fault.RELAY_FULL)).remedy
    assert steps[0].command == f"mesh config set relay.relays '[\"{RELAY}\"]'"
    assert steps[1].command == "mesh config set dcutr.enabled 'true'"
    alone = replace(relays(Fault.RELAY_FULL), relays_near=(), punching=True)
    (only,) = diagnose_nat(alone).remedy
    assert "<address of a relay" in only.command
