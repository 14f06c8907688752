"""How the agent does: status, health, name, and what nodes last said of themselves."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from mesh import __version__
from mesh.api import agent_shapes as shapes
from mesh.api.agent_answers import AgentRoute, asked, body_of
from mesh.api.agent_desk import AtAgentDesk
from mesh.api.agent_feed import iso

router = APIRouter(tags=["state"], route_class=AgentRoute)


@router.get("/status", responses={200: {"model": shapes.Status}})
async def show_status(desk: AtAgentDesk) -> JSONResponse:
    """Who this agent is and how it does; uptime in seconds, startTime in milliseconds since 1970."""
    health = desk.health()
    return JSONResponse(
        {
            "peerId": desk.peer_id,
            "relayAddress": health.facts.relay_address,
            "isHealthy": health.is_healthy,
            "connectedPeers": health.facts.connected_peers,
            "relayConnected": health.facts.relay_connected,
            "relayReservation": health.facts.relay_address is not None,
            "uptime": desk.uptime_s,
            "startTime": desk.agent.started_at,
            "name": desk.agent.name,
            "version": __version__,
        }
    )


@router.get("/health", responses={200: {"model": shapes.HealthShape}, 503: {"model": shapes.HealthShape}})
async def show_health(desk: AtAgentDesk) -> JSONResponse:
    """200 when all is well, else 503 with what is not."""
    health = desk.health()
    state = health.document()
    body = {
        "isHealthy": state.pop("isHealthy"),
        "peerId": desk.peer_id,
        **state,
        "uptime": desk.uptime_s,
        "lastCheck": iso(health.checked_at),
    }
    return JSONResponse(body, 200 if health.is_healthy else 503)


@router.get("/config/name", responses={200: {"model": shapes.Name}})
async def show_name(desk: AtAgentDesk) -> dict[str, str]:
    """The name that this agent goes by."""
    return {"name": desk.agent.name}


@router.put("/config/name", responses={200: {"model": shapes.Done}}, openapi_extra=body_of(shapes.NameAsked))
async def set_name(desk: AtAgentDesk, request: Request) -> dict[str, Any]:
    """Go by another name."""
    given = await asked(request, shapes.NameAsked)
    await desk.agent.set_name(given.name)
    return {"success": True, "name": given.name}


@router.get("/status/network", responses={200: {"model": shapes.NetworkStatusShape}})
async def show_network(desk: AtAgentDesk) -> JSONResponse:
    """What this node and others last said of themselves."""
    found = desk.agent.network_status()
    return JSONResponse(
        {
            "self": found.own.document(),
            "peers": [each.document() for each in found.peers],
            "lastBroadcast": found.last_broadcast or None,
        }
    )


@router.post("/status/broadcast", responses={200: {"model": shapes.Done}})
async def broadcast_status(desk: AtAgentDesk) -> dict[str, Any]:
    """Tell others this node's status now."""
    await desk.agent.broadcast_status()
    return {"success": True, "message": "Status broadcast triggered"}
