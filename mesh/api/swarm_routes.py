"""Connections, addresses, limits and rules."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from mesh.api import shapes
from mesh.api.desk import AtDesk, Desk
from mesh.api.problem import NotAvailable, UnknownPeer, UnknownRule
from mesh.api.targets import peer_of, target_of
from mesh.api.watch import direction_of, transport_of
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.resource_limits import UNLIMITED
from mesh.network.resource_usage import Standing
from mesh.services.identify import PeerInfo

MAX_KNOWN = 10_000

router = APIRouter(prefix="/swarm", tags=["swarm"])

RuleQuery = Annotated[str, Query(min_length=1, max_length=shapes.MAX_TEXT)]


@router.get("/peers")
async def list_peers(desk: AtDesk) -> shapes.ConnectedPeers:
    """Every established connection."""
    return shapes.ConnectedPeers(peers=[_connected_peer(each) for each in desk.node.connections])


@router.post("/connect")
async def connect(desk: AtDesk, asked: shapes.AddressAsked) -> shapes.Connected:
    """Connect to a peer, or answer with the connection that is there."""
    connection = await desk.node.connect(target_of(asked.addr))
    return shapes.Connected(
        peer=str(connection.peer), addr=str(connection.remote), dir=direction_of(connection)
    )


@router.post("/disconnect")
async def disconnect(desk: AtDesk, asked: shapes.PeerAsked) -> shapes.Disconnected:
    """Close every connection to a peer, in order."""
    peer = peer_of(asked.peer)
    found = [each for each in desk.node.connections if each.peer == peer]
    if not found:
        raise UnknownPeer(f"there is no connection to {peer}")
    await _close(found)
    return shapes.Disconnected(peer=str(peer), connections=len(found))


@router.get("/addrs")
async def list_addresses(desk: AtDesk) -> shapes.Addresses:
    """Own addresses, and those known of other peers."""
    node = desk.node
    known = [(peer, node.addresses.of(peer)) for peer in _known_peers(desk)]
    return shapes.Addresses(
        own=[str(address) for address in node.listen_addrs],
        listening=[str(address) for address in node.swarm.listen_addresses],
        known=[
            shapes.KnownPeer(peer=str(peer), addrs=[str(address) for address in addresses])
            for peer, addresses in known
            if addresses
        ],
    )


@router.get("/limits")
async def show_limits(desk: AtDesk, peers: bool = False) -> shapes.LimitsShown:
    """What each resource scope holds and may hold, and what was refused."""
    resources = desk.resources
    if resources is None:
        raise NotAvailable("this node keeps no resource scopes")
    scopes = [_limited(name, standing) for name, standing in resources.snapshot(peers).items()]
    refusals = [
        shapes.Refusals(
            scope=scope, resource=resource, count=count, limit=resources.refused_at[scope, resource]
        )
        for (scope, resource), count in sorted(resources.refusals.items())
    ]
    return shapes.LimitsShown(scopes=scopes, refusals=refusals)


@router.get("/deny")
async def list_denied(desk: AtDesk) -> shapes.RulesShown:
    """The rules that deny."""
    return _rules(desk, False)


@router.post("/deny")
async def deny(desk: AtDesk, asked: shapes.DenialAsked) -> shapes.RuleMade:
    """Deny a peer, an address or a network; connections it now forbids are closed."""
    gater = desk.gater
    gater.deny(asked.rule, asked.reason)
    found = [each for each in desk.node.connections if gater.refusal(each.peer, each.remote) is not None]
    await _close(found)
    return shapes.RuleMade(rule=asked.rule, closed_connections=len(found))


@router.get("/allow")
async def list_allowed(desk: AtDesk) -> shapes.RulesShown:
    """The rules that allow."""
    return _rules(desk, True)


@router.post("/allow")
async def allow(desk: AtDesk, asked: shapes.RuleAsked) -> shapes.RuleMade:
    """Allow a peer, an address or a network against wider rules."""
    desk.gater.allow(asked.rule)
    return shapes.RuleMade(rule=asked.rule)


@router.delete("/deny")
async def drop_denied(desk: AtDesk, rule: RuleQuery) -> shapes.RuleMade:
    """Take a rule that denies back."""
    return _drop(desk, rule)


@router.delete("/allow")
async def drop_allowed(desk: AtDesk, rule: RuleQuery) -> shapes.RuleMade:
    """Take a rule that allows back."""
    return _drop(desk, rule)


def _drop(desk: Desk, rule: str) -> shapes.RuleMade:
    if not desk.gater.drop(rule):
        raise UnknownRule(f"there is no rule about {rule}")
    return shapes.RuleMade(rule=rule)


def _rules(desk: Desk, allowed: bool) -> shapes.RulesShown:
    chosen = [each for each in desk.gater.rules() if each.allowed is allowed]
    rows = [shapes.RuleShown(rule=each.text, allowed=allowed, reason=each.reason) for each in chosen]
    return shapes.RulesShown(rules=rows)


async def _close(connections: Iterable[Connection]) -> None:
    await asyncio.gather(*(each.close() for each in connections))


def _connected_peer(connection: Connection) -> shapes.ConnectedPeer:
    info, rtt_s = connection.remote_info, connection.rtt_s
    return shapes.ConnectedPeer(
        peer=str(connection.peer),
        addr=str(connection.remote),
        dir=direction_of(connection),
        transport=transport_of(connection),
        security=connection.security,
        muxer=connection.muxer,
        streams=connection.stream_count,
        rtt_ms=None if rtt_s is None else round(rtt_s * 1000, 3),
        age_s=round(time.monotonic() - connection.opened_at, 1),
        agent_version=info.agent_version if isinstance(info, PeerInfo) else "",
    )


def _known_peers(desk: Desk) -> list[PeerId]:
    """Peers with addresses, at most `MAX_KNOWN`."""
    return desk.node.addresses.peers()[:MAX_KNOWN]


def _limited(name: str, standing: Standing) -> shapes.LimitedScope:
    used = {key: value for key, value in asdict(standing).items() if isinstance(value, int)}
    limit = {key: value for key, value in asdict(standing.limit).items() if value < UNLIMITED}
    return shapes.LimitedScope(scope=name, used=used, limit=limit)
