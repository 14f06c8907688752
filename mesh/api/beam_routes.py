"""Beam's network at `/v1`: services, names, tunnels, figures (Beam digest, section 10)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query

from mesh.api import beam_shapes as shapes
from mesh.api.beam_answers import BeamRoute
from mesh.api.desk import AtDesk, Desk
from mesh.api.problem import NotAvailable
from mesh.api.targets import address_of, peer_of
from mesh.apps.beam.beam import Beam
from mesh.apps.beam.directory import Told
from mesh.apps.beam.exposures import Exposure
from mesh.apps.beam.finding import Found
from mesh.apps.beam.ownership import Claimed
from mesh.apps.beam.registry import Registered, Wanted
from mesh.apps.beam.standing import concerns_of, contribution_of, peers_of, standing_of
from mesh.errors import RecordNotFound, UsageError
from mesh.protocols.beam.history import PERIODS
from mesh.protocols.beam.name_record import NameRecord

router = APIRouter(tags=["beam"], route_class=BeamRoute)

Answer = dict[str, Any]
Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
CONTEXTS = "^(local|webhook|api)$"
PERIOD = f"^({'|'.join(PERIODS)})$"


# --- services -------------------------------------------------------------------------------------------------------


@router.get("/services")
async def list_services(desk: AtDesk, limit: Limit = 50, offset: Offset = 0) -> Answer:
    """What this node offers and has heard of, by service; nobody is asked."""
    beam = _beam(desk)
    found = [
        each.record.document(each.last_seen_s) | {"own": each.record.peer_id == beam.node.peer_id}
        for each in beam.table.offered(time.time())
    ]
    return _page("services", found, limit, offset)


@router.post("/services", status_code=201)
async def register_service(desk: AtDesk, asked: shapes.ServiceAsked) -> Answer:
    """Offer a service under a name; answers once a majority of the closest peers holds it, or none can."""
    beam = _beam(desk)
    exposed = asked.expose

    def wanted(service_id: str) -> Wanted:
        exposure = None
        if exposed is not None:
            allowed = frozenset(peer_of(each) for each in exposed.allow)
            exposure = Exposure(service_id, exposed.host, exposed.port, exposed.public, allowed)
        return Wanted(
            service_id,
            asked.service_type,
            asked.metadata,
            tuple(address_of(each) for each in asked.endpoints),
            asked.ttl or beam.settings.service_ttl_s,
            exposure,
        )

    claimed, done = await beam.register(asked.name, wanted, description=asked.description, tags=asked.tags)
    return _registered(done) | {"name": None if claimed is None else _claimed(claimed)}


@router.get("/services/{service}/resolve")
async def resolve_service(desk: AtDesk, service: str, fresh: bool = False) -> Answer:
    """Who provides a service, looked for where it is not known: what was found lately, what was heard, the DHT, a
    question to everybody."""
    beam = _beam(desk)
    return _found(beam, await beam.find(service, fresh=fresh))


@router.delete("/services/{service}")
async def withdraw_service(desk: AtDesk, service: str) -> Answer:
    """Offer a service no more."""
    beam = _beam(desk)
    service_id = beam.target(service).service_id
    return {"service_id": service_id} | _told(await beam.registry.withdraw(service_id))


# --- names ----------------------------------------------------------------------------------------------------------


@router.get("/names")
async def list_names(desk: AtDesk, limit: Limit = 50, offset: Offset = 0) -> Answer:
    """Every name that is known here, by whom it is claimed, and whom this node trusts with it."""
    beam = _beam(desk)
    names = sorted({*beam.book.names(), *beam.book.own, *(name for name, _ in beam.book.pins)})
    found = [_name_row(beam, each) for each in names]
    return _page("names", found, limit, offset)


@router.post("/names", status_code=201)
async def claim_name(desk: AtDesk, asked: shapes.NameAsked) -> Answer:
    """Have a name."""
    beam = _beam(desk)
    target = _named(beam, asked.name)
    return _claimed(
        await beam.names.claim(
            target, beam.target(asked.name).service_id, description=asked.description, tags=tuple(asked.tags)
        )
    )


@router.post("/names/accept", status_code=201)
async def accept_name(desk: AtDesk, asked: shapes.TokenAsked) -> Answer:
    """Take over a name that its owner gave to this node."""
    return _claimed(await _beam(desk).names.accept(asked.token))


@router.get("/names/{name}")
async def show_name(desk: AtDesk, name: str) -> Answer:
    """The record of a name that is to be gone by, looked for in the DHT."""
    beam = _beam(desk)
    label = _named(beam, name)
    if beam.directory.on:
        await beam.directory.name(label)
    return _record(beam, label, await beam.book.look(label))


@router.patch("/names/{name}")
async def update_name(desk: AtDesk, name: str, asked: shapes.NameChanged) -> Answer:
    """Change what the record of a name of this node says; what is not given stays."""
    beam = _beam(desk)
    tags = None if asked.tags is None else tuple(asked.tags)
    return _claimed(
        await beam.names.update(_named(beam, name), ttl_s=asked.ttl, description=asked.description, tags=tags)
    )


@router.get("/names/{name}/resolve")
async def resolve_name(
    desk: AtDesk, name: str, context: Annotated[str, Query(pattern=CONTEXTS)] = "local", fresh: bool = False
) -> Answer:
    """Where a name leads: a target for each address of each provider, the best provider first."""
    beam = _beam(desk)
    found = await beam.find(name, fresh=fresh)
    return {"name": name, "context": context, "targets": _targets(beam, found)} | _found(beam, found)


@router.post("/names/{name}/allow")
async def allow_provider(desk: AtDesk, name: str, asked: shapes.AllowAsked) -> Answer:
    """Let another peer serve a name of this node, or not any more."""
    beam = _beam(desk)
    return _claimed(await beam.names.allow(_named(beam, name), peer_of(asked.peer), allowed=asked.allowed))


@router.post("/names/{name}/transfer")
async def transfer_name(desk: AtDesk, name: str, asked: shapes.TransferAsked) -> Answer:
    """Give a name away; the token is what its new owner takes it over with."""
    beam = _beam(desk)
    label, to = _named(beam, name), peer_of(asked.to)
    return {"name": label, "to": str(to), "token": await beam.names.transfer(label, to)}


@router.post("/names/{name}/trust")
async def trust_owner(desk: AtDesk, name: str, asked: shapes.TrustAsked) -> Answer:
    """Go by this owner of a name; without one, by whoever is seen first."""
    beam = _beam(desk)
    label = _named(beam, name)
    if asked.peer is None:
        await beam.book.forget(label)
    else:
        await beam.book.trust(label, peer_of(asked.peer))
    beam.finder.forget()
    return _name_row(beam, label)


@router.delete("/names/{name}")
async def revoke_name(desk: AtDesk, name: str) -> Answer:
    """Give a name up: anybody may have it."""
    beam = _beam(desk)
    label = _named(beam, name)
    return {"name": label} | _told(await beam.names.revoke(label))


# --- tunnels --------------------------------------------------------------------------------------------------------


@router.get("/tunnels")
async def list_tunnels(desk: AtDesk) -> Answer:
    """Local ports that lead to services."""
    return {"tunnels": [each.document() for each in _beam(desk).tunnels]}


@router.post("/tunnels", status_code=201)
async def open_tunnel(desk: AtDesk, asked: shapes.TunnelAsked) -> Answer:
    """Have a local port lead to a service."""
    return (await _beam(desk).open(asked.name, asked.local_port)).document()


@router.get("/tunnels/{number}")
async def show_tunnel(desk: AtDesk, number: int) -> Answer:
    """One tunnel, and how its providers do."""
    beam = _beam(desk)
    tunnel = next((each for each in beam.tunnels if each.number == number), None)
    if tunnel is None:
        raise RecordNotFound(f"no tunnel {number} is open")
    return tunnel.document() | {"providers": _found(beam, await beam.find(tunnel.target))["providers"]}


@router.delete("/tunnels/{number}")
async def close_tunnel(desk: AtDesk, number: int) -> Answer:
    """End a tunnel with its connections."""
    await _beam(desk).close_tunnel(number)
    return {"id": number}


# --- figures --------------------------------------------------------------------------------------------------------


@router.get("/metrics/system")
async def show_system(desk: AtDesk) -> Answer:
    """Peers, the DHT's health, latency, bandwidth, processor, memory, names, hits of the cache."""
    return standing_of(_beam(desk))


@router.get("/metrics/history")
async def show_history(desk: AtDesk, period: Annotated[str, Query(pattern=PERIOD)] = "1h") -> Answer:
    """Means over a period, and how they stand to the day's; what grows is told by the minute."""
    beam = _beam(desk)
    return {"period": period, "figures": beam.history.stats(PERIODS[period], time.monotonic())}


@router.get("/peers")
async def list_beam_peers(desk: AtDesk, limit: Limit = 50, offset: Offset = 0) -> Answer:
    """The connected peers: how they are reached, how they do, and what speaks for and against them."""
    return _page("peers", peers_of(_beam(desk)), limit, offset)


@router.get("/health")
async def show_wellbeing(desk: AtDesk) -> Answer:
    """How this node does, how others say that they do, who is called down by several, and what alerts have in common."""
    return _beam(desk).wellbeing.document()


@router.get("/network")
async def show_network(desk: AtDesk) -> Answer:
    """What stands between this node and a working network, and what it does for others."""
    beam = _beam(desk)
    return {"concerns": concerns_of(beam), "contribution": contribution_of(beam)}


@router.get("/routes")
async def list_routes(desk: AtDesk) -> Answer:
    """The paths to providers in use, as measured and by both formulas; when another was taken, and why."""
    routing = _beam(desk).routing
    return {
        "routes": routing.documents(),
        "changes": routing.changes(),
        "links_known": len(routing.table),
        "forwarded": routing.chains.forwarded,
        "forwarded_bytes": routing.chains.passing.bytes,
    }


@router.get("/alerts")
async def list_alerts(desk: AtDesk) -> Answer:
    """What peers did too much of in the last 24 hours, the latest first."""
    beam, now = _beam(desk), time.monotonic()
    return {
        "alerts": [
            {
                "id": each.id,
                "type": each.detector,
                "severity": each.severity,
                "peer": str(each.peer),
                "score": round(beam.abuse.score(each.peer, now), 3),
                "age_s": round(now - each.at_s, 1),
                "description": each.description,
            }
            for each in beam.abuse.alerts(now)
        ]
    }


@router.get("/outbox")
async def list_outbox(desk: AtDesk) -> Answer:
    """Registrations that reached no majority yet."""
    return {"operations": [each.document() for each in _beam(desk).outbox.waiting]}


@router.delete("/cache")
async def clear_cache(desk: AtDesk) -> Answer:
    """Remember nothing of what was found."""
    finder = _beam(desk).finder
    entries = finder.remembered
    finder.forget()
    return {"cleared": entries}


# --- within ---------------------------------------------------------------------------------------------------------


def _beam(desk: Desk) -> Beam:
    if desk.beam is None:
        raise NotAvailable(
            "this daemon takes no part in Beam's network: set beam.enabled, or start it with --beam"
        )
    return desk.beam


def _named(beam: Beam, text: str) -> str:
    target = beam.target(text)
    if not target.name or target.provider is not None:
        raise UsageError(f"{text!r} is a service and no name")
    return target.name


def _page(key: str, found: list[Answer], limit: int, offset: int) -> Answer:
    return {key: found[offset : offset + limit], "total": len(found), "limit": limit, "offset": offset}


def _told(told: Told) -> Answer:
    return {"asked": told.asked, "accepted": told.accepted, "reached": told.reached}


def _registered(done: Registered) -> Answer:
    return (
        {"service": done.record.document(time.time())}
        | _told(done.told)
        | {"queued": done.queued, "took_ms": round(done.took_s * 1000, 3)}
    )


def _claimed(claimed: Claimed) -> Answer:
    return claimed.record.document() | {"own": claimed.own, "queued": claimed.queued} | _told(claimed.told)


def _record(beam: Beam, label: str, record: NameRecord | None) -> Answer:
    if record is None:
        raise RecordNotFound(f"nobody who was asked knows the name {label}")
    return record.document() | {"own": record.owner == beam.node.peer_id}


def _name_row(beam: Beam, name: str) -> Answer:
    pinned = beam.book.pins.owner(name)
    claims: Mapping[str, NameRecord] = {str(each.owner): each for each in beam.book.known(name)}
    return {
        "name": name,
        "own": name in beam.book.own,
        "trusted": None if pinned is None else str(pinned),
        "claims": sorted(claims),
        "service_id": next((each.tunnel_id for each in claims.values()), None),
        "expires_at": max((round(each.expires_s * 1000) for each in claims.values()), default=None),
    }


def _found(beam: Beam, found: Found) -> Answer:
    providers = []
    ranked = beam.watchman.ranked(found.service_id, [each.record.peer_id for each in found.providers])
    for each in sorted(found.providers, key=lambda provider: ranked.index(provider.record.peer_id)):
        peer = each.record.peer_id
        health = beam.watchman.health(found.service_id, peer)
        providers.append(
            each.document()
            | {
                "own": peer == beam.node.peer_id,
                "path": beam.paths.describe(peer),
                "health": {
                    "status": health.status,
                    "consecutive_failures": health.consecutive_failures,
                    "response_ms": None if health.response_s is None else round(health.response_s * 1000, 3),
                    "cause": health.cause,
                },
            }
        )
    return {
        "service_id": found.service_id,
        "owner": None if found.owner is None else str(found.owner.owner),
        "providers": providers,
        "left_out": [str(each) for each in found.left_out],
        "source": found.source,
        "took_ms": round(found.took_s * 1000, 3),
    }


def _targets(beam: Beam, found: Found) -> list[Answer]:
    """Beam's targets: a lower priority is better, weights share between equals."""
    ranked = beam.watchman.ranked(found.service_id, [each.record.peer_id for each in found.providers])
    providers = {each.record.peer_id: each for each in found.providers}
    return [
        {"type": "p2p", "address": str(address), "priority": 10 * (place + 1), "weight": 100}
        for place, peer in enumerate(ranked)
        for address in dict.fromkeys((*providers[peer].record.endpoints, *providers[peer].addresses))
    ]
