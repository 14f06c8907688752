"""From what a node sees of the way to a peer to why it is relayed, or none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.protocols.diagnosis import (
    Attempt,
    Fault,
    NatEvidence,
    PathEvidence,
    RouteSeen,
    Where,
    diagnose_path,
)
from mesh.protocols.diagnosis.path_rules import PATH_RULES

PEER = "12D3KooWPeer"
RELAY = "/ip4/11.1.1.2/tcp/4001/p2p/12D3KooWRelay"
OWN = NatEvidence(
    listens_beyond=True,
    hosts=("192.168.1.10",),
    port=4001,
    transports=("tcp", "quic"),
    inside="192.168.1.10",
    peers=2,
    outside=("11.3.1.2",),
    mapping="same",
    observers=2,
    punching=True,
)
RELAYED = PathEvidence(
    peer=PEER,
    path="relayed",
    own=OWN,
    relay=RELAY,
    peer_punches=True,
    offered=(("quic", "11.4.1.2", 4001),),
    peer_hosts=("11.4.1.2",),
    punches=("attempt 1: nothing came",),
    own_families=("ip4",),
)
WALL = RouteSeen("11.1.1.2", ((1, "192.168.1.1", True),), False, 0)
NARROW = RouteSeen("11.1.1.2", ((1, "192.168.1.1", True), (2, "11.3.1.1", False)), True, 1100)
TCP_ANSWERS = (Attempt(f"/ip4/11.1.1.2/tcp/4001/p2p/{PEER}", "tcp", "ip4", Fault.NONE),)


def none(*faults: Fault, transport: str = "tcp", family: str = "ip4", found: str = "") -> PathEvidence:
    attempts = tuple(
        Attempt(f"/ip4/11.4.1.2/{transport}/4001", transport, family, each, f"connect: {each.value}", found)
        for each in faults
    )
    return PathEvidence(peer=PEER, path="none", own=OWN, attempts=attempts, own_families=("ip4",))


def unrouted() -> PathEvidence:
    return replace(none(Fault.NO_ROUTE), own=replace(OWN, peers=0), own_families=())


CASES = {
    "healthy": replace(RELAYED, path="direct"),
    "same-nat": replace(RELAYED, peer_hosts=("11.3.1.2",), near=("/ip4/192.168.1.11/tcp/4001/p2p/x",)),
    "own-punching-off": replace(RELAYED, own=replace(OWN, punching=False)),
    "peer-punching-off": replace(RELAYED, peer_punches=False),
    "no-route": unrouted(),
    "no-common-ip": replace(RELAYED, own_families=("ip6",)),
    "own-symmetric-nat": replace(RELAYED, own=replace(OWN, mapping="different")),
    "peer-symmetric-nat": replace(RELAYED, offered=(("quic", "11.4.1.2", 4001), ("quic", "11.4.1.2", 61000))),
    "punch-failed": RELAYED,
    "own-limit": none(Fault.OWN_LIMIT, found="network.max_connections"),
    "wrong-peer-id": none(Fault.WRONG_PEER, found="12D3KooWFound"),
    "clock": none(Fault.EXPIRED),
    "no-reservation": none(Fault.NO_RESERVATION, transport="circuit"),
    "circuits-full": none(Fault.CIRCUITS_FULL, transport="circuit"),
    "not-a-relay": none(Fault.NOT_A_RELAY, transport="circuit"),
    "relay-down": none(Fault.RELAY_UNREACHED, transport="circuit"),
    "udp-blocked": replace(
        none(Fault.SILENT, transport="quic"), own=replace(OWN, route=WALL), beside=TCP_ANSWERS
    ),
    "mtu": replace(none(Fault.SILENT, transport="quic"), own=replace(OWN, route=NARROW), beside=TCP_ANSWERS),
    "dns-failure": none(Fault.NO_ADDRESS),
    "peer-offline": none(Fault.REFUSED, Fault.SILENT),
    "peer-filtered": none(Fault.SILENT),
    "no-bootstrap": replace(none(), own=replace(OWN, peers=0)),
}


@pytest.mark.parametrize("cause", CASES)
def test_each_cause_has_its_evidence(cause: str) -> None:
    verdict = diagnose_path(CASES[cause])
    assert verdict.cause == cause
    assert verdict.evidence
    assert bool(verdict.remedy) is (cause != "healthy")


def test_every_rule_is_tried_here() -> None:
    assert {rule.cause for rule in PATH_RULES} == set(CASES)


def test_tcp_that_answers_beside_silent_quic_will_do_where_routers_say_nothing() -> None:
    found = replace(none(Fault.SILENT, transport="quic"), beside=TCP_ANSWERS)
    verdict = diagnose_path(found)
    assert (verdict.cause, verdict.confidence) == ("udp-blocked", 1)
    assert verdict.remedy[0].command == f"mesh swarm connect {TCP_ANSWERS[0].address}"


def test_a_lost_family_is_no_lost_network() -> None:
    """The peer has IPv6 alone, this node IPv4: that nothing leads there is no fault of this machine."""
    assert diagnose_path(none(Fault.NO_ROUTE, family="ip6")).cause == "no-common-ip"


def test_packets_are_to_be_as_long_as_what_came_through() -> None:
    shorten, dial = diagnose_path(CASES["mtu"]).remedy
    assert (shorten.where, shorten.command) == (Where.MACHINE, "ip link set dev <interface> mtu 1100")
    assert dial.command == f"mesh swarm connect {TCP_ANSWERS[0].address}"


def test_the_peer_is_to_be_at_the_relay_that_was_asked() -> None:
    steps = diagnose_path(replace(CASES["no-reservation"], relay=RELAY)).remedy
    assert [each.where for each in steps] == [Where.PEER, Where.PEER, Where.HERE]
    assert steps[0].command == f"mesh config set relay.relays '[\"{RELAY}\"]'"
    assert steps[2].command == f"mesh swarm connect {RELAY}/p2p-circuit/p2p/{PEER}"


def test_who_answered_instead_is_named() -> None:
    (step,) = diagnose_path(CASES["wrong-peer-id"]).remedy
    assert step.command == "mesh swarm connect /ip4/11.4.1.2/tcp/4001/p2p/12D3KooWFound"


@pytest.mark.parametrize(
    ("key", "command"),
    [("network.max_connections", "mesh config set network.max_connections '4096'"), ("conns_inbound", "")],
)
def test_the_limit_is_named(key: str, command: str) -> None:
    (step,) = diagnose_path(none(Fault.OWN_LIMIT, found=key)).remedy
    assert step.command == command
    assert command or key in step.text


def test_nothing_said_of_a_relayed_path_is_unknown() -> None:
    verdict = diagnose_path(replace(RELAYED, punches=()))
    assert (verdict.cause, verdict.remedy[0].command) == ("unknown", "mesh diag punches")
