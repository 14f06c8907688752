"""Why others do not reach this node: the rows in the order in which they decide.

What keeps the node from everybody comes first, then what it takes to be reached at all, then the kinds of NAT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from mesh.protocols.diagnosis import remedies
from mesh.protocols.diagnosis.evidence import FULL_BYTES, Attempt, Fault, NatEvidence
from mesh.protocols.diagnosis.verdict import Rule, Step, Verdict, Where, decide

PRIVATE: Final = "private"
"""How port mapping stands where the router's own outer address is not public."""
_WAIT: Final = (
    Step(Where.HERE, "run", "ask again in a minute, when more peers are connected", "mesh diag nat"),
)


def diagnose_nat(evidence: NatEvidence) -> Verdict:
    """The verdict on this node's own reachability."""
    return decide(NAT_RULES, evidence, _WAIT)


def _only_here(own: NatEvidence) -> Sequence[str]:
    return [] if own.listens_beyond else ["every address it listens at is loopback"]


def _no_way_out(own: NatEvidence) -> Iterator[str]:
    if not own.hosts:
        yield "no interface but loopback has an address"
    elif _all_are(own.begins_with, Fault.NO_ROUTE) and not own.peers:
        yield from _said(own.begins_with)


def _no_names(own: NatEvidence) -> Iterator[str]:
    if not own.peers and _all_are(own.begins_with, Fault.NO_ADDRESS):
        yield from _said(own.begins_with)


def _knows_nobody(own: NatEvidence) -> Sequence[str]:
    if own.peers or own.begins_with or own.finds_peers:
        return []
    return [
        "no peer is connected",
        "network.bootstrap, network.peering and relay.relays name none, mDNS is off",
    ]


def _nobody_answers(own: NatEvidence) -> Iterator[str]:
    if not own.peers and own.begins_with and all(each.fault is not Fault.NONE for each in own.begins_with):
        yield "no peer is connected"
        yield from _said(own.begins_with)


def _no_udp(own: NatEvidence) -> Iterator[str]:
    """Only where nothing else is spoken, or nothing else is left."""
    if own.route.udp_blocked and (own.transports == ("quic",) or not own.peers):
        yield from _silent_route(own)


def _short_packets(own: NatEvidence) -> Iterator[str]:
    if 0 < own.route.longest_bytes < FULL_BYTES and (own.transports == ("quic",) or not own.peers):
        yield from _shortened(own)


def _wrong_clock(own: NatEvidence) -> Iterator[str]:
    """Reservations and certificates have dates; those of several others are not all wrong."""
    if own.held:
        return
    for relay in own.relays:
        if relay.fault is Fault.EXPIRED:
            yield f"the relay {relay.relay}: {relay.said}"
    yield from _said([each for each in own.begins_with if each.fault is Fault.EXPIRED])


def _wrong_announce(own: NatEvidence) -> Iterator[str]:
    if own.announce and not own.reached:
        for each in own.missed:
            if each.configured and each.told and not each.observed:
                yield f"{each.address} is in network.announce; {_counted(each.missed, each.address)}, nobody saw it there"


def _reachable(own: NatEvidence) -> Iterator[str]:
    for each in own.reached:
        yield f"{each.address} was reached by {each.reached} of {each.reached + each.missed} peers that were asked"


def _relay_with(fault: Fault) -> Callable[[NatEvidence], Iterator[str]]:
    def why(own: NatEvidence) -> Iterator[str]:
        if not own.held:
            for each in own.relays:
                if each.fault is fault:
                    yield f"the relay {each.relay}: {each.said or each.fault.value}"

    return why


def _second_nat(own: NatEvidence) -> Iterator[str]:
    if not own.translated or own.reached:
        return
    if own.port_mapping == PRIVATE:
        yield f"the router {own.gateway} has no public address outside"
    for address in own.route.inner:
        yield f"behind the first router there is {address}, an address of a private or carrier's network"
    if own.mapped_host and own.mapped_host not in own.outside:
        yield f"the router says that {own.mapped_host} leads here; others see {', '.join(own.outside)}"


def _each_another_port(own: NatEvidence) -> Iterator[str]:
    if own.mapping == "different":
        yield f"{own.observers} observers saw the same socket at different ports of {', '.join(own.outside)}"
        yield from _missed(own)


def _filtered(own: NatEvidence) -> Iterator[str]:
    if own.public_host and not own.translated and own.missed:
        yield "an interface has a public address"
        yield from _missed(own)


def _unmapped(own: NatEvidence) -> Iterator[str]:
    """Also where nobody could be asked about anything: behind a NAT no port of which is known."""
    unknown = not own.observers and not any(each.reached or each.missed for each in own.addresses)
    if own.translated and (own.missed or unknown):
        yield f"others see {', '.join(own.outside)}, which no interface has"
        if own.mapping == "same":
            yield f"{own.observers} observers saw the same port"
        if unknown:
            yield "no outside port of this node is known that could be asked about"
        yield from _missed(own)


# --- words ------------------------------------------------------------------------------------------------------------


def _all_are(attempts: Sequence[Attempt], fault: Fault) -> bool:
    return bool(attempts) and all(each.fault is fault for each in attempts)


def _said(attempts: Sequence[Attempt]) -> Iterator[str]:
    for each in attempts[:8]:
        yield f"{each.address}: {each.said or each.fault.value}"


def _missed(own: NatEvidence) -> Iterator[str]:
    for each in own.missed:
        yield _counted(each.missed, each.address)


def _counted(count: int, address: str) -> str:
    return f"{count} peer{'s' if count > 1 else ''} that dialled {address} did not reach it"


def _silent_route(own: NatEvidence) -> Iterator[str]:
    distance, router, _ = own.route.routers[-1]
    yield f"datagrams towards {own.route.target} end at {router}, {distance} away: nobody behind it answered one"


def _shortened(own: NatEvidence) -> Iterator[str]:
    route = own.route
    yield f"of the datagrams towards {route.target} those above {route.longest_bytes} bytes are lost without a word"


NAT_RULES: Final[tuple[Rule[NatEvidence], ...]] = (
    Rule(
        "listens-on-loopback",
        "this node listens on its own machine alone",
        3,
        _only_here,
        remedies.listen_everywhere,
    ),
    Rule("no-route", "this machine has no way out", 3, _no_way_out, remedies.restore_route),
    Rule(
        "dns-failure", "the names of the peers it begins with lead nowhere", 3, _no_names, remedies.mend_names
    ),
    Rule("no-bootstrap", "this node knows nobody to begin with", 3, _knows_nobody, remedies.add_bootstrap),
    Rule("udp-blocked", "no UDP leaves, so that QUIC cannot be used", 2, _no_udp, remedies.listen_everywhere),
    Rule("mtu", "large packets are lost on the way", 2, _short_packets, remedies.shorten_own),
    Rule("clock", "this machine's clock is wrong", 3, _wrong_clock, remedies.set_clock),
    Rule(
        "bootstrap-unreachable",
        "nobody answers at any address it begins with",
        2,
        _nobody_answers,
        remedies.add_bootstrap,
    ),
    Rule(
        "wrong-announce",
        "the settings announce an address that is not this node's",
        3,
        _wrong_announce,
        remedies.mend_announce,
    ),
    Rule("healthy", "strangers reach this node", 3, _reachable, remedies.nothing),
    Rule(
        "relay-full",
        "the relay in the settings has no room",
        3,
        _relay_with(Fault.RELAY_FULL),
        remedies.other_relay,
    ),
    Rule(
        "not-a-relay",
        "the peer named as a relay serves none",
        3,
        _relay_with(Fault.NOT_A_RELAY),
        remedies.other_relay,
    ),
    Rule(
        "wrong-peer-id",
        "another peer answers at the address of the relay",
        3,
        _relay_with(Fault.WRONG_PEER),
        remedies.other_relay,
    ),
    Rule(
        "relay-down",
        "the relay in the settings does not answer",
        3,
        _relay_with(Fault.RELAY_UNREACHED),
        remedies.other_relay,
    ),
    Rule(
        "double-nat",
        "a second NAT stands behind this node's own router",
        2,
        _second_nat,
        remedies.no_mapping_helps,
    ),
    Rule(
        "own-symmetric-nat",
        "the NAT before this node gives each peer another port",
        2,
        _each_another_port,
        remedies.forward_ports,
    ),
    Rule("inbound-filtered", "a firewall lets nothing unasked in", 2, _filtered, remedies.open_firewall),
    Rule(
        "nat-unmapped", "a NAT, and no port is forwarded to this node", 2, _unmapped, remedies.forward_ports
    ),
)
