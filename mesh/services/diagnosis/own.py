"""What a node sees of itself from outside: the evidence of `mesh.protocols.diagnosis.NatEvidence`."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from mesh.multiformats.ip_ranges import is_loopback, is_public
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.interfaces import interface_addresses
from mesh.network.route_probe import probe_route
from mesh.protocols.autonat.confidence import Reachability
from mesh.protocols.diagnosis import AddressSeen, Attempt, Fault, NatEvidence, RelaySeen, RouteSeen
from mesh.protocols.relay import HOP_PROTOCOL
from mesh.protocols.stun.behaviour import Mapping
from mesh.services.diagnosis.faults import attempt_at, fault_of
from mesh.services.diagnosis.host import Host
from mesh.services.identify import PeerInfo

LOOK_S: Final = 0.05
"""How often it is looked whether what is waited for has come."""
NOWHERE: Final = {"ip4": (socket.AF_INET, "192.0.2.1"), "ip6": (socket.AF_INET6, "2001:db8::1")}
"""Documentation addresses (RFC 5737, RFC 3849): asked for a route to, nothing is sent there."""


async def until(condition: Callable[[], bool], limit_s: float) -> bool:
    """Look again and again; whether it came true in time."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(LOOK_S)
    return True


def routed_families() -> tuple[str, ...]:
    """IP versions for which this machine has a way to the rest of the world."""
    found = []
    for name, (family, host) in NOWHERE.items():
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect((host, 9))
        except OSError:
            continue
        found.append(name)
    return tuple(found)


def own_hosts() -> tuple[str, ...]:
    """Addresses of the interfaces, without loopback's."""
    four, six = interface_addresses()
    return tuple(each for each in (*four, *six) if not is_loopback(_host_address(each)))


def beginnings(host: Host) -> list[Multiaddr]:
    """Every address the settings name somebody at: bootstrap peers, those kept connected, and relays."""
    found = list(host.bootstrap.peers)
    for kept in host.discovery.peering.peers.values():
        found += [each / Multiaddr.parse(f"/p2p/{kept.peer}") for each in kept.addresses]
    client = host.relaying.client if host.relaying is not None else None
    for relay, addresses in (client.named if client is not None else {}).items():
        found += [each / Multiaddr.parse(f"/p2p/{relay}") for each in addresses]
    return list(dict.fromkeys(found))


def standing(host: Host, addresses: Sequence[Multiaddr]) -> tuple[list[Attempt], list[Multiaddr]]:
    """Those whose peer is connected count as reached; the others remain to be tried."""
    connected = {each.peer.to_bytes() for each in host.swarm.connections if each.relay is None}
    reached = [attempt_at(each, Fault.NONE) for each in addresses if each.peer_id_bytes() in connected]
    return reached, [each for each in addresses if each.peer_id_bytes() not in connected]


def asked_enough(host: Host) -> bool:
    """Whether AutoNAT's answers are there: an address that others are told was reached, or every one was missed."""
    told = set(host.own_addresses)
    asking = host.reachability.asking
    states = asking.states.states()
    if any(each.successes and each.address in told for each in states):
        return True
    if not states:
        return asking.confidence.verdict is not Reachability.UNKNOWN
    return all(each.failures for each in states) and not any(each.successes for each in states)


def relays_answered(host: Host) -> bool:
    """Whether every relay of the settings said yes or no."""
    client = host.relaying.client if host.relaying is not None else None
    if client is None or host.reachability.state is Reachability.PUBLIC:
        return True
    held = client.held
    if len(held) >= host.config.relay.wanted:
        return True
    return all(each in held or each in client.failures for each in client.named)


def relays_seen(host: Host) -> list[RelaySeen]:
    """The relays of the settings and those found."""
    client = host.relaying.client if host.relaying is not None else None
    if client is None:
        return []
    held = client.held
    seen = [RelaySeen(str(each), True, Fault.NONE) for each in held]
    for relay in client.named:
        if relay not in held:
            error = client.failures.get(relay)
            fault = Fault.NONE if error is None else fault_of(error)[0]
            if fault in (Fault.SILENT, Fault.REFUSED, Fault.NO_ROUTE, Fault.OTHER):
                fault = Fault.RELAY_UNREACHED
            seen.append(
                RelaySeen(str(relay), False, fault, "" if error is None else " ".join(str(error).split()))
            )
    return seen


def relays_near(host: Host) -> Iterator[str]:
    """Connected peers that relay and are not in the settings."""
    client = host.relaying.client if host.relaying is not None else None
    named = client.named if client is not None else {}
    for each in host.swarm.connections:
        speaks = HOP_PROTOCOL in (each.remote_protocols or ())
        if speaks and each.relay is None and not each.inbound and each.peer not in named:
            yield f"{each.remote.without_peer()}/p2p/{each.peer}"


async def see_route(addresses: Sequence[Multiaddr]) -> RouteSeen:
    """The way to the first of these that is a public number."""
    target = next((each for each in map(_public_host, addresses) if each), "")
    if not target:
        return RouteSeen()
    found = await probe_route(target)
    routers = tuple(
        (distance, router, not is_public(_host_address(router))) for distance, router in found.routers.items()
    )
    return RouteSeen(target, routers, found.beyond, found.longest_bytes)


def see_own(host: Host, begins_with: Sequence[Attempt] = (), route: RouteSeen | None = None) -> NatEvidence:
    """All that is known at this moment."""
    hosts = own_hosts()
    listening = [each for each in host.swarm.listen_addresses if not is_loopback(each)]
    transports = [
        name
        for name, part in (("tcp", "tcp"), ("quic", "quic-v1"))
        if any(each.has(part) and not each.has("ws") for each in listening)
    ]
    mapping, observers, outside = _mapping(host)
    ports = host.reachability.mapping.status
    public = tuple(each for each in hosts if is_public(_host_address(each)))
    return NatEvidence(
        listens_beyond=host.reachability.asking.listens_beyond,
        hosts=hosts,
        port=next((_port(each) for each in listening), 0),
        transports=tuple(transports),
        inside=next((each for each in hosts if ":" not in each), hosts[0] if hosts else ""),
        public_host=bool(public),
        begins_with=tuple(begins_with),
        peers=len({each.peer for each in host.swarm.connections}),
        finds_peers=host.config.mdns.enabled,
        addresses=tuple(_addresses(host)),
        announce=tuple(host.config.network.announce),
        outside=outside,
        mapping=mapping,
        observers=observers,
        relays=tuple(relays_seen(host)),
        relays_near=tuple(dict.fromkeys(relays_near(host))),
        punching=host.hole_punching is not None,
        route=route or RouteSeen(),
        port_mapping=ports.state,
        gateway=ports.gateway,
        mapped_host=next((each.host for each in ports.ports if each.host is not None), ""),
    )


def _addresses(host: Host) -> Iterator[AddressSeen]:
    states = {each.address: each for each in host.reachability.asking.states.states()}
    told = set(host.own_addresses)
    configured = {Multiaddr.parse(each).without_peer() for each in host.config.network.announce}
    configured |= {Multiaddr.parse(each).without_peer() for each in host.config.network.append_announce}
    verdict = host.reachability.asking.confidence.verdict
    for each in host.reachability.addresses:
        address = each.address
        if address.has("p2p-circuit") or is_loopback(address):
            continue
        state = states.get(address)
        reached, missed = (state.successes, state.failures) if state is not None else (0, 0)
        if not reached and not missed and is_public(address):
            reached = int(verdict is Reachability.PUBLIC)
            missed = int(verdict is Reachability.PRIVATE)
        yield AddressSeen(
            str(address), address in told, address in configured, reached, missed, each.observers
        )


def _mapping(host: Host) -> tuple[str, int, tuple[str, ...]]:
    """Whether one socket is seen alike by all, by how many, and at which hosts. STUN's word goes before the peers', and
    a connection from a port that does not listen tells the host alone."""
    sockets: dict[Multiaddr, list[int]] = defaultdict(list)
    outside: dict[str, None] = {}
    for each in host.reachability.sightings:
        sockets[each.local].append(each.observers)
        outside[each.address.components[0].text] = None
    agreeing = sum(max(counts) for counts in sockets.values() if sum(counts) > 1)
    total = sum(sum(counts) for counts in sockets.values() if sum(counts) > 1)
    mapping = "unknown" if total < 2 else "same" if 2 * agreeing > total else "different"
    for connection in host.swarm.connections:
        told = connection.remote_info
        observed = told.observed_addr if isinstance(told, PeerInfo) and connection.relay is None else None
        if observed is not None and is_public(observed):
            outside[observed.components[0].text] = None
    for behaviour in host.reachability.stun.behaviours.values():
        if behaviour.outside is not None:
            outside[behaviour.outside[0]] = None
        if behaviour.mapping is not Mapping.UNKNOWN:
            mapping = "same" if behaviour.mapping is Mapping.ENDPOINT_INDEPENDENT else "different"
            total = max(total, behaviour.answered)
    return mapping, total, tuple(outside)


def _host_address(host: str) -> Multiaddr:
    return Multiaddr.parse(f"/{'ip6' if ':' in host else 'ip4'}/{host}")


def _public_host(address: Multiaddr) -> str:
    host = address.value("ip4") or address.value("ip6")
    return host if host is not None and is_public(address) else ""


def _port(address: Multiaddr) -> int:
    return int(address.value("tcp") or address.value("udp") or 0)
