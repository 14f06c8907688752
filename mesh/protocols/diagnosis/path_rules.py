"""Why the path to a peer is relayed, or there is none: the rows in the order in which they decide."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from mesh.protocols.diagnosis import remedies
from mesh.protocols.diagnosis.evidence import FULL_BYTES, Attempt, Fault, PathEvidence
from mesh.protocols.diagnosis.verdict import Rule, Step, Verdict, Where, decide

_PUNCHES: Final = (Step(Where.HERE, "run", "see each attempt and its cause", "mesh diag punches"),)


def diagnose_path(evidence: PathEvidence) -> Verdict:
    """The verdict on the path to one peer."""
    return decide(PATH_RULES, evidence, _PUNCHES)


def _direct(path: PathEvidence) -> Sequence[str]:
    return ["a direct connection stands"] if path.path == "direct" else []


# --- a relay stands between ---------------------------------------------------------------------------------------------


def _same_nat(path: PathEvidence) -> Iterator[str]:
    outer = {host for _, host, _ in path.offered} | set(path.peer_hosts)
    common = outer & set(path.own.outside) - set(path.own.hosts)
    if path.path == "relayed" and path.own.translated and common:
        yield f"both are seen at {', '.join(sorted(common))}"
        for each in path.near:
            yield f"the peer says that it is at {each}, too"


def _off_here(path: PathEvidence) -> Sequence[str]:
    off = path.path == "relayed" and not path.own.punching
    return ["dcutr.enabled is off in this node's settings"] if off else []


def _off_there(path: PathEvidence) -> Sequence[str]:
    off = path.path == "relayed" and path.peer_punches is False
    return ["the peer has said what it speaks, and DCUtR is not among it"] if off else []


def _no_common_family(path: PathEvidence) -> Iterator[str]:
    theirs = {_family(host) for _, host, _ in path.offered} | {_family(host) for host in path.peer_hosts}
    theirs |= {each.family for each in path.attempts if each.transport != "circuit"} - {""}
    own = set(path.own_families)
    if path.path != "direct" and own and theirs and not own & theirs:
        yield f"this node has public or translated addresses of {_shown(own)} alone, the peer of {_shown(theirs)}"


def _own_ports_differ(path: PathEvidence) -> Iterator[str]:
    if path.path == "relayed" and path.own.mapping == "different":
        yield f"{path.own.observers} observers saw one socket of this node at different ports"
        yield from path.punches[:3]


def _peer_ports_differ(path: PathEvidence) -> Iterator[str]:
    ports: dict[tuple[str, str], set[int]] = defaultdict(set)
    for transport, host, port in path.offered:
        ports[transport, host].add(port)
    for (transport, host), several in ports.items():
        if path.path == "relayed" and len(several) > 1:
            shown = ", ".join(map(str, sorted(several)))
            yield f"the peer was seen at {len(several)} ports of {host} over {transport}: {shown}"
    if path.path == "relayed" and any(len(several) > 1 for several in ports.values()):
        yield from path.punches[:3]


def _punch_failed(path: PathEvidence) -> Iterator[str]:
    if path.path == "relayed":
        yield from path.punches[:3]


# --- there is no path ---------------------------------------------------------------------------------------------------


def _failing(*faults: Fault) -> Callable[[PathEvidence], Iterator[str]]:
    """Whether an address failed so."""

    def why(path: PathEvidence) -> Iterator[str]:
        if path.path == "none":
            yield from _said(each for each in path.attempts if each.fault in faults)

    return why


def _no_way_out(path: PathEvidence) -> Iterator[str]:
    if path.path == "none" and not path.own.peers and not path.own_families:
        yield from _said(each for each in path.attempts if each.fault is Fault.NO_ROUTE)


def _knows_nobody(path: PathEvidence) -> Sequence[str]:
    if path.path != "none" or path.attempts or path.own.peers:
        return []
    return ["no address of the peer is known", "no peer is connected that could be asked for it"]


def _no_udp(path: PathEvidence) -> Iterator[str]:
    if path.path == "none" and _quic_is_silent(path) and path.own.route.udp_blocked:
        distance, router, _ = path.own.route.routers[-1]
        yield from _said(path.attempts)
        yield f"datagrams towards {path.own.route.target} end at {router}, {distance} away"
        yield from _answers_beside(path)


def _short_packets(path: PathEvidence) -> Iterator[str]:
    route = path.own.route
    if path.path == "none" and _quic_is_silent(path) and 0 < route.longest_bytes < FULL_BYTES:
        yield from _said(path.attempts)
        yield f"datagrams above {route.longest_bytes} bytes towards {route.target} are lost without a word"
        yield from _answers_beside(path)


def _quic_answers_not(path: PathEvidence) -> Iterator[str]:
    """Without a word of the routers: TCP at the same place does answer."""
    if path.path == "none" and _quic_is_silent(path) and not path.own.route.beyond:
        beside = list(_answers_beside(path))
        if beside:
            yield from _said(path.attempts)
            yield from beside


def _quic_is_silent(path: PathEvidence) -> bool:
    tried = [each for each in path.attempts if each.transport == "quic"]
    return bool(tried) and all(each.fault is Fault.SILENT for each in tried)


def _answers_beside(path: PathEvidence) -> Iterator[str]:
    for each in path.beside:
        if each.fault is Fault.NONE:
            yield f"{each.address} does answer"


def _said(attempts: Iterator[Attempt] | Sequence[Attempt]) -> Iterator[str]:
    for each in list(attempts)[:8]:
        yield f"{each.address}: {each.said or each.fault.value}"


def _family(host: str) -> str:
    return "ip6" if ":" in host else "ip4"


def _shown(families: set[str]) -> str:
    return " and ".join({"ip4": "IPv4", "ip6": "IPv6"}.get(each, each) for each in sorted(families))


PATH_RULES: Final[tuple[Rule[PathEvidence], ...]] = (
    Rule("healthy", "the path is direct", 3, _direct, remedies.nothing),
    Rule(
        "same-nat",
        "both are behind one NAT that does not serve its own hosts",
        3,
        _same_nat,
        remedies.dial_near,
    ),
    Rule("own-punching-off", "hole punching is off at this node", 3, _off_here, remedies.punch_here),
    Rule("peer-punching-off", "hole punching is off at the peer", 3, _off_there, remedies.punch_there),
    Rule("no-route", "this machine has no way out", 3, _no_way_out, remedies.own_route),
    Rule(
        "no-common-ip", "the two ends have no IP version in common", 2, _no_common_family, remedies.dual_stack
    ),
    Rule(
        "own-symmetric-nat",
        "the NAT before this node gives each peer another port",
        2,
        _own_ports_differ,
        remedies.mend_own,
    ),
    Rule(
        "peer-symmetric-nat",
        "the NAT before the peer gives each of its peers another port",
        2,
        _peer_ports_differ,
        remedies.mend_own,
    ),
    Rule("punch-failed", "hole punching failed", 1, _punch_failed, remedies.try_again),
    Rule("own-limit", "a limit of this node refused it", 3, _failing(Fault.OWN_LIMIT), remedies.raise_limit),
    Rule(
        "wrong-peer-id",
        "another peer than the one asked for answers there",
        3,
        _failing(Fault.WRONG_PEER),
        remedies.dial_found,
    ),
    Rule(
        "clock",
        "this machine's clock is wrong, or the peer's",
        2,
        _failing(Fault.EXPIRED),
        remedies.own_clock,
    ),
    Rule(
        "no-reservation",
        "the peer holds no reservation at that relay",
        3,
        _failing(Fault.NO_RESERVATION),
        remedies.reserve_there,
    ),
    Rule(
        "circuits-full",
        "the relay passes no further circuit to that peer",
        3,
        _failing(Fault.CIRCUITS_FULL),
        remedies.more_circuits,
    ),
    Rule(
        "not-a-relay",
        "the peer asked for a circuit relays for nobody",
        3,
        _failing(Fault.NOT_A_RELAY),
        remedies.reserve_there,
    ),
    Rule(
        "relay-down", "the relay was not reached", 3, _failing(Fault.RELAY_UNREACHED), remedies.reserve_there
    ),
    Rule("udp-blocked", "no UDP leaves, so that QUIC cannot be used", 3, _no_udp, remedies.dial_tcp),
    Rule("mtu", "large packets are lost on the way", 3, _short_packets, remedies.shorten_packets),
    Rule("udp-blocked", "UDP does not get there, TCP does", 1, _quic_answers_not, remedies.dial_tcp),
    Rule(
        "dns-failure",
        "the name in the peer's address leads nowhere",
        3,
        _failing(Fault.NO_ADDRESS),
        remedies.mend_peer_name,
    ),
    Rule(
        "peer-offline",
        "nobody listens at the peer's address",
        3,
        _failing(Fault.REFUSED),
        remedies.start_peer,
    ),
    Rule(
        "peer-filtered",
        "the peer's NAT or firewall drops what comes, or its machine is off",
        2,
        _failing(Fault.SILENT),
        remedies.reserve_there,
    ),
    Rule("no-route", "no network leads there", 2, _failing(Fault.NO_ROUTE), remedies.own_route),
    Rule("no-bootstrap", "this node knows nobody to ask", 3, _knows_nobody, remedies.own_bootstrap),
)
