"""The diagnosis of a running node: evidence is gathered, some of it by asking, and judged by the rules.

Nothing of it happens unasked. What is asked dials the peers of the settings and the peer in question, and sends a few
datagrams of a short life towards one of them; the node's own connections stay as they are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from mesh.errors import Closed, DialError, LimitError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.ip_ranges import is_loopback, is_private, is_public
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.protocols.dcutr import PROTOCOL
from mesh.protocols.diagnosis import (
    Attempt,
    Condition,
    Fault,
    NatEvidence,
    PathEvidence,
    Verdict,
    conditions,
    diagnose_nat,
    diagnose_path,
)
from mesh.services.diagnosis import own
from mesh.services.diagnosis.faults import attempt_at, fault_of, read_failure
from mesh.services.diagnosis.host import Host
from mesh.services.diagnosis.probing import MakeSwarm, probe
from mesh.services.identify import PeerInfo

SETTLE_S: Final = 1.0
"""How long a node that has no peer yet is given before those it begins with are tried one by one."""
VERDICT_S: Final = 20.0
"""The longest wait for what others find when they dial back, and for what relays say."""
ASKED_S: Final = 5.0
"""Peers are asked about addresses within this, if there are any worth it."""
PUNCH_S: Final = 20.0
"""The longest wait for a hole punch under way: three attempts of five seconds, and the exchanges before them."""


@dataclass(frozen=True, slots=True)
class PathFound:
    """The verdict on a path; ``rest_s`` and the bytes are what the relay leaves of a relayed one, None for no limit."""

    peer: PeerId
    path: str
    address: str
    verdict: Verdict
    attempts: tuple[Attempt, ...]
    relay: str = ""
    rest_s: float | None = None
    rest_send_bytes: int | None = None
    rest_receive_bytes: int | None = None
    limited: bool = False


class Diagnosis:
    """Asks and judges; one question at a time. ``make`` gives swarms of strangers to probe with."""

    def __init__(self, host: Host, make: MakeSwarm) -> None:
        self._host = host
        self._make = make
        self._turn = asyncio.Lock()

    async def nat(self, wait_s: float = VERDICT_S) -> tuple[Verdict, NatEvidence]:
        """Why others reach this node or not; waits at most ``wait_s`` for the answers of others."""
        async with self._turn:
            evidence = await self._look(wait_s)
        return diagnose_nat(evidence), evidence

    def healthy(self, lag_s: float) -> list[Condition]:
        """The conditions as they are now; nobody is asked. ``lag_s`` is the loop's lateness."""
        return conditions(own.see_own(self._host), lag_s, self._host.reachability.state.value)

    async def path(
        self, peer: PeerId, addresses: Sequence[Multiaddr] = (), wait_s: float = PUNCH_S
    ) -> PathFound:
        """What the path to a peer is and why; the peer is dialled, at ``addresses`` or where it is known to be, if it is
        not connected. A hole punch under way is waited for, at most ``wait_s``."""
        async with self._turn:
            return await self._path(peer, list(addresses), wait_s)

    # -- others to this node -------------------------------------------------------------------------------------------

    async def _look(self, wait_s: float) -> NatEvidence:
        host = self._host
        if not host.reachability.asking.listens_beyond:
            return own.see_own(host)
        addresses = own.beginnings(host)
        await own.until(lambda: bool(host.swarm.connections), SETTLE_S)
        reached, rest = own.standing(host, addresses)
        tried, route, _ = await asyncio.gather(
            probe(self._make, rest),
            own.see_route([*addresses, *(each.remote for each in host.swarm.connections)]),
            self._verdicts(wait_s),
        )
        return own.see_own(host, [*reached, *tried], route)

    async def _verdicts(self, wait_s: float) -> None:
        """Wait for what can come: dial-backs only from peers that are there."""
        host = self._host
        if not await own.until(lambda: host.reachability.asking.servers > 0, min(wait_s, 3 * SETTLE_S)):
            await own.until(lambda: own.relays_answered(host), wait_s)
            return
        began = time.monotonic()

        def nothing_to_ask() -> bool:
            asking = host.reachability.asking
            late = time.monotonic() - began > ASKED_S
            return not asking.servers or (late and not asking.states.states())

        await own.until(
            lambda: (
                own.relays_answered(host)
                and (own.asked_enough(host) or _relays_fail(host) or nothing_to_ask())
            ),
            wait_s,
        )

    # -- this node to a peer -------------------------------------------------------------------------------------------

    async def _path(self, peer: PeerId, addresses: list[Multiaddr], wait_s: float) -> PathFound:
        host = self._host
        named = addresses or list(host.addresses.of(peer))
        attempts: list[Attempt] = []
        connection: Connection | None = host.swarm.connection_to(peer)
        if connection is None:
            try:
                connection = await host.connect(peer, named)
            except DialError as error:
                attempts = [read_failure(each) for each in error.failures]
            except (LimitError, Closed) as error:
                attempts = [attempt_at(each, fault_of(error)[0], str(error)) for each in named]
        if connection is not None and connection.relay is not None:
            await self._punched(connection, wait_s)
            connection = host.swarm.connection_to(peer)
        evidence = await self._see_path(peer, connection, attempts)
        return _found(peer, connection, evidence)

    async def _punched(self, relayed: Connection, wait_s: float) -> None:
        """Wait until a direct connection stands, or it is clear that none comes soon."""
        swarm, peer, punching = self._host.swarm, relayed.peer, self._host.hole_punching
        if relayed.identified is not None:
            await asyncio.wait([relayed.identified], timeout=wait_s)
        if punching is None or PROTOCOL not in (relayed.remote_protocols or ()):
            return

        def over() -> bool:
            direct = swarm.connection_to(peer, direct=True) is not None
            return direct or any(
                each.peer == peer and each.attempt and each.cause for each in punching.reports
            )

        await own.until(over, wait_s)

    async def _see_path(
        self, peer: PeerId, connection: Connection | None, attempts: list[Attempt]
    ) -> PathEvidence:
        path = "none" if connection is None else "direct" if connection.relay is None else "relayed"
        silent = [each for each in attempts if each.transport == "quic" and each.fault is Fault.SILENT]
        route, beside = await asyncio.gather(
            own.see_route([Multiaddr.parse(each.address) for each in silent]),
            probe(self._make, [_beside(each.address, peer) for each in silent]),
        )
        speaks = connection.remote_protocols if connection is not None else None
        reports = self._host.hole_punching.reports if self._host.hole_punching is not None else ()
        about = [each for each in reports if each.peer == peer]
        told = connection.remote_info if connection is not None else None
        told_hosts = list(told.listen_addrs) if isinstance(told, PeerInfo) else []
        offered = {_socket(address) for each in about if each.attempt for address in each.addresses} | {
            _socket(each) for each in told_hosts if is_public(each) and not each.has("p2p-circuit")
        }
        return PathEvidence(
            peer=str(peer),
            path=path,
            own=own.see_own(self._host, route=route),
            attempts=tuple(attempts),
            beside=tuple(beside),
            relay=_relay_of(connection, attempts),
            peer_punches=None if speaks is None else PROTOCOL in speaks,
            offered=tuple(sorted(offered)),
            peer_hosts=tuple(sorted({host for _, host, _ in offered})),
            near=tuple(_near(told_hosts, peer)),
            punches=tuple(f"attempt {each.attempt}: {each.cause}" for each in about if each.cause),
            own_families=own.routed_families(),
        )


def _relays_fail(host: Host) -> bool:
    """Whether relays are wanted and none is held: that has to be mended first."""
    seen = own.relays_seen(host)
    return bool(seen) and not any(each.held for each in seen)


def _found(peer: PeerId, connection: Connection | None, evidence: PathEvidence) -> PathFound:
    verdict = diagnose_path(evidence)
    if connection is None:
        return PathFound(peer, evidence.path, "", verdict, evidence.attempts)
    limited = connection.limited
    return PathFound(
        peer,
        evidence.path,
        str(connection.remote),
        verdict,
        evidence.attempts,
        "" if connection.relay is None else str(connection.relay),
        None if limited is None else limited.remaining_s(time.monotonic()),
        None if limited is None else limited.remaining_send_bytes,
        None if limited is None else limited.remaining_receive_bytes,
        limited is not None,
    )


def _beside(address: str, peer: PeerId) -> Multiaddr:
    """The same host and port over TCP."""
    found = Multiaddr.parse(address)
    family = "ip4" if found.has("ip4") else "ip6"
    return Multiaddr.parse(f"/{family}/{found.value(family)}/tcp/{found.value('udp')}/p2p/{peer}")


def _socket(address: Multiaddr) -> tuple[str, str, int]:
    """Transport, host and port."""
    quic = address.has("udp")
    host = address.components[0].text
    return "quic" if quic else "tcp", host, int(address.value("udp" if quic else "tcp") or 0)


def _relay_of(connection: Connection | None, attempts: Sequence[Attempt]) -> str:
    """The address of the relay that is, or was asked to be, between."""
    texts = [str(connection.remote)] if connection is not None and connection.relay is not None else []
    texts += [each.address for each in attempts if each.transport == "circuit"]
    return texts[0].partition("/p2p-circuit")[0] if texts else ""


def _near(told: Sequence[Multiaddr], peer: PeerId) -> list[str]:
    """Private addresses of the peer in a network of this machine, the likeliest first."""
    hosts = own.own_hosts()
    mine = {str(ip_address(each))[: each.rfind(".")] for each in hosts if ":" not in each}
    found = []
    for each in told:
        host = each.value("ip4")
        private = host is not None and is_private(each) and not is_loopback(each)
        if private and not each.has("p2p-circuit") and host not in hosts:
            found.append(
                (host[: host.rfind(".")] not in mine if host else True, f"{each.without_peer()}/p2p/{peer}")
            )
    return [text for _, text in sorted(found)]
