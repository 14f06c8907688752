"""Why peers are found, or not: what mDNS heard and said, what configured addresses resolve to."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import Final

from fastapi import APIRouter

from mesh.api import discovery_shapes as shapes
from mesh.api.bootstrap_routes import shown
from mesh.api.desk import AtDesk
from mesh.api.shapes import BootstrapShown
from mesh.errors import MeshError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.node import Node
from mesh.services.peering import PeeringPeer

RESOLVED_AT_ONCE: Final = 32

router = APIRouter(prefix="/diag", tags=["diag"])


@router.get("/mdns")
async def diagnose_mdns(desk: AtDesk) -> shapes.MdnsShown:
    """What was heard and said on each interface, which are left out and why, and who is said to be near."""
    node, mdns = desk.node, desk.node.discovery.mdns
    if mdns is None:
        service = f"{node.config.mdns.service}.local"
        return shapes.MdnsShown(enabled=False, service=service, instance="", links=[], skipped={}, peers=[])
    now = time.monotonic()
    return shapes.MdnsShown(
        enabled=True,
        service=mdns.service,
        instance=mdns.instance,
        links=[
            shapes.LinkShown(
                interface=name,
                families=list(link.families),
                failures=dict(link.failures),
                **asdict(mdns.counts(name)),
            )
            for name, link in mdns.links.items()
        ],
        skipped=dict(mdns.skipped),
        peers=[
            shapes.HeardShown(
                peer=str(each.peer),
                addrs=list(map(str, each.addresses)),
                interface=each.link,
                heard_s=round(now - each.heard_at, 1),
                connected=node.swarm.is_connected(each.peer),
            )
            for each in mdns.peers
        ],
    )


@router.get("/bootstrap")
async def diagnose_bootstrap(desk: AtDesk) -> shapes.EntriesShown:
    """Every peer of `network.bootstrap` and `network.peering`: what its address resolves to at this moment, and how
    dialling it went. Names are looked up; nobody is dialled."""
    node = desk.node
    told = [("bootstrap", each.address, shown(node, each)) for each in node.bootstrap.peers.values()]
    for kept in node.discovery.peering.peers.values():
        suffix = Multiaddr.parse(f"/p2p/{kept.peer}")
        addresses = [each / suffix for each in kept.addresses] or [suffix]
        told += [("peering", address, _kept(kept, address)) for address in addresses]
    gate = asyncio.Semaphore(RESOLVED_AT_ONCE)
    entries = await asyncio.gather(*(_entry(node, gate, *each) for each in told))
    return shapes.EntriesShown(entries=entries)


async def _entry(
    node: Node, gate: asyncio.Semaphore, kind: str, address: Multiaddr, standing: BootstrapShown
) -> shapes.EntryShown:
    resolved: list[str] = []
    failure = ""
    try:
        async with gate:
            if address.without_peer():
                resolved = list(map(str, await node.swarm.resolver.resolve(address)))
    except MeshError as error:
        failure = str(error)
    return shapes.EntryShown(kind=kind, resolved=resolved, resolve_failure=failure, **standing.model_dump())


def _kept(peer: PeeringPeer, address: Multiaddr) -> BootstrapShown:
    waiting = peer.due and peer.failures > 0
    return BootstrapShown(
        addr=str(address),
        peer=str(peer.peer),
        connected=peer.connected,
        reached=peer.connected_at > 0,
        failures=peer.failures,
        failure=peer.failure,
        next_try_s=round(max(peer.next_at - time.monotonic(), 0.0), 1) if waiting else None,
    )
