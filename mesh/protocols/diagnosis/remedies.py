"""What to do about each cause, as commands with this node's own addresses in them where it knows them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mesh.protocols.diagnosis.evidence import Fault, NatEvidence, PathEvidence
from mesh.protocols.diagnosis.verdict import Step, Where

A_PEER = "<address of a peer, ending in /p2p/ and its id>"
A_RELAY = "<address of a relay, ending in /p2p/ and its id>"
EVERYWHERE = (
    "/ip4/0.0.0.0/tcp/4001",
    "/ip4/0.0.0.0/udp/4001/quic-v1",
    "/ip6/::/tcp/4001",
    "/ip6/::/udp/4001/quic-v1",
)


def setting(where: Where, key: str, value: object, text: str) -> Step:
    """A value for the settings; lists are TOML."""
    shown = json.dumps(value)
    return Step(where, "set", f"{text}, then restart the daemon", f"mesh config set {key} '{shown}'")


def nothing(_evidence: object) -> tuple[Step, ...]:
    """Nothing is to be done."""
    return ()


# --- for others to reach this node ------------------------------------------------------------------------------------


def listen_everywhere(_own: NatEvidence) -> Iterable[Step]:
    yield setting(Where.HERE, "network.listen", EVERYWHERE, "listen on all interfaces")


def restore_route(own: NatEvidence) -> Iterable[Step]:
    known = f" (its addresses: {', '.join(own.hosts)})" if own.hosts else ""
    text = f"bring this machine's interface up and give it a default route{known}: ip link; ip route"
    yield Step(Where.MACHINE, "mend", text)


def mend_names(own: NatEvidence) -> Iterable[Step]:
    names = dict.fromkeys(each.address.split("/")[2] for each in own.begins_with)
    text = f"have this machine look up {', '.join(names)} (its nameserver or hosts file), or name the peers by number"
    yield Step(Where.MACHINE, "mend", text)


def add_bootstrap(_own: NatEvidence) -> Iterable[Step]:
    text = "name a peer of the network that is running, also in network.bootstrap for the next start"
    yield Step(Where.HERE, "run", text, f"mesh bootstrap add {A_PEER}")


def set_clock(_own: NatEvidence) -> Iterable[Step]:
    yield Step(Where.MACHINE, "mend", "set this machine's clock, best by NTP: timedatectl set-ntp true")


def mend_announce(_own: NatEvidence) -> Iterable[Step]:
    yield setting(Where.HERE, "network.announce", [], "announce what is found instead of the addresses named")


def other_relay(own: NatEvidence) -> Iterable[Step]:
    """A connected peer that relays, else a place to fill in."""
    near = list(own.relays_near[:1])
    text = "be reached through this relay, a connected peer," if near else "name a relay that is running"
    yield setting(Where.HERE, "relay.relays", near or [A_RELAY], text)
    if not own.punching:
        yield setting(Where.HERE, "dcutr.enabled", True, "turn hole punching on")


def forward_ports(own: NatEvidence) -> Iterable[Step]:
    """A port of the router for this node, and its outer address for others."""
    names = " and ".join({"tcp": "TCP", "quic": "UDP"}[each] for each in own.transports) or "TCP and UDP"
    yield Step(
        Where.ROUTER,
        "forward",
        f"forward {names} port {own.port} to {own.inside} port {own.port} in the router",
    )
    if own.port_mapping == "off":
        yield setting(
            Where.HERE, "port_mapping.protocol", "auto", "or let this node ask the router, if it takes orders"
        )
    ends = {"tcp": f"tcp/{own.port}", "quic": f"udp/{own.port}/quic-v1"}
    told = [
        f"/{'ip6' if ':' in host else 'ip4'}/{host}/{ends[each]}"
        for host in own.outside[:1]
        for each in own.transports
    ]
    if told:
        yield setting(Where.HERE, "network.append_announce", told, "tell others of it")


def open_firewall(own: NatEvidence) -> Iterable[Step]:
    text = f"let TCP and UDP port {own.port} in, in this machine's firewall and in the router's"
    yield Step(Where.MACHINE, "allow", text)


def shorten_own(own: NatEvidence) -> Iterable[Step]:
    longest = max(own.route.longest_bytes, 576)
    text = "tell the interface how long packets may be (its name: ip link)"
    yield Step(Where.MACHINE, "run", text, f"ip link set dev <interface> mtu {longest}")


def no_mapping_helps(own: NatEvidence) -> Iterable[Step]:
    """Behind a carrier's NAT no port of one's own can be forwarded."""
    if not own.held:
        yield from other_relay(own)
    text = "no port of your router leads here: be reached through relays, ask the carrier for an address, or use IPv6"
    yield Step(Where.HERE, "mend", text)


# --- for this node to reach a peer -----------------------------------------------------------------------------------


def mend_own(path: PathEvidence) -> Iterable[Step]:
    yield from forward_ports(path.own)


def own_route(path: PathEvidence) -> Iterable[Step]:
    yield from restore_route(path.own)


def own_clock(path: PathEvidence) -> Iterable[Step]:
    yield from set_clock(path.own)


def own_bootstrap(path: PathEvidence) -> Iterable[Step]:
    yield from add_bootstrap(path.own)


def mend_peer_name(path: PathEvidence) -> Iterable[Step]:
    names = dict.fromkeys(each.address.split("/")[2] for each in path.attempts)
    text = f"have this machine look up {', '.join(names)} (its nameserver or hosts file), or name the peer by number"
    yield Step(Where.MACHINE, "mend", text)


def punch_here(_path: PathEvidence) -> Iterable[Step]:
    yield setting(Where.HERE, "dcutr.enabled", True, "turn hole punching on")


def punch_there(path: PathEvidence) -> Iterable[Step]:
    yield setting(Where.PEER, "dcutr.enabled", True, f"at {path.peer}: turn hole punching on")


def dial_near(path: PathEvidence) -> Iterable[Step]:
    for each in path.near[:4]:
        yield Step(Where.HERE, "run", "dial the peer inside your own network", f"mesh swarm connect {each}")
    yield setting(Where.HERE, "mdns.enabled", True, "find peers of your own network by yourself")


def dial_found(path: PathEvidence) -> Iterable[Step]:
    for each in path.attempts:
        if each.found:
            text = f"ask the peer's owner whether its id is {each.found} now, then dial that"
            address = each.address.partition("/p2p/")[0]
            yield Step(Where.HERE, "run", text, f"mesh swarm connect {address}/p2p/{each.found}")


def raise_limit(path: PathEvidence) -> Iterable[Step]:
    keys = dict.fromkeys(each.found for each in path.attempts if each.found)
    for key in keys:
        if key == "network.max_connections":
            yield setting(Where.HERE, key, 4096, "allow more connections")
        else:
            yield Step(Where.HERE, "mend", f"raise {key} in the settings")


def reserve_there(path: PathEvidence) -> Iterable[Step]:
    """The peer has to be at a relay that this node reaches."""
    relay = path.relay or next(iter(path.own.relays_near), "") or A_RELAY
    yield setting(Where.PEER, "relay.relays", [relay], f"at {path.peer}: be reached through a relay")
    yield setting(Where.PEER, "dcutr.enabled", True, f"at {path.peer}: turn hole punching on")
    yield Step(
        Where.HERE,
        "run",
        "then dial the peer through the relay",
        f"mesh swarm connect {relay}/p2p-circuit/p2p/{path.peer}",
    )


def more_circuits(_path: PathEvidence) -> Iterable[Step]:
    yield setting(
        Where.RELAY, "relay.max_circuits_per_peer", 64, "at the relay: allow more circuits for a peer"
    )
    yield Step(
        Where.HERE,
        "mend",
        "or wait until another circuit to the peer ends, or use another relay of the peer's",
    )


def start_peer(path: PathEvidence) -> Iterable[Step]:
    yield Step(
        Where.PEER,
        "mend",
        f"start the node {path.peer}: its machine answers, and nothing listens at its port",
    )


def dial_tcp(path: PathEvidence) -> Iterable[Step]:
    for each in path.beside:
        if each.transport == "tcp" and each.fault is Fault.NONE:
            yield Step(
                Where.HERE, "run", "dial over TCP, which answers there", f"mesh swarm connect {each.address}"
            )
            return
    yield Step(Where.PEER, "mend", "have the peer listen on TCP as well, and dial it there")


def shorten_packets(path: PathEvidence) -> Iterable[Step]:
    yield from shorten_own(path.own)
    yield from dial_tcp(path)


def dual_stack(_path: PathEvidence) -> Iterable[Step]:
    text = (
        "one of both ends needs the other's IP version; until then the relay, which has both, stands between"
    )
    yield Step(Where.MACHINE, "mend", text)


def try_again(_path: PathEvidence) -> Iterable[Step]:
    yield Step(Where.HERE, "run", "see each attempt and its cause", "mesh diag punches")
