"""Services: those that this agent offers, and the agents that offer some."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse

from mesh.api import agent_shapes as shapes
from mesh.api.agent_answers import AgentRoute, Refused, body_of, document_of
from mesh.api.agent_desk import AtAgentDesk
from mesh.apps.agent.records import MAX_ID_CHARACTERS, ServiceInfo
from mesh.apps.agent.service_reading import read_service
from mesh.errors import DecodeError

MAX_TEXT: Final = 256
INCOMPLETE: Final = "Service must have id, name, price, and currency"

router = APIRouter(tags=["directory"], route_class=AgentRoute)
Text = Annotated[str, Query(max_length=MAX_TEXT)]


@router.get("/discover", responses={200: {"model": shapes.Discovered}})
async def discover(
    desk: AtAgentDesk,
    service: Annotated[str, Query(max_length=MAX_TEXT, description="Id of a service, exactly.")] = "",
    peer_id: Annotated[str, Query(alias="peerId", max_length=MAX_ID_CHARACTERS)] = "",
    text: Annotated[
        str, Query(max_length=MAX_TEXT, description="Text in a service's id, name or description.")
    ] = "",
) -> JSONResponse:
    """Agents that announced themselves in the last 15 minutes."""
    found = desk.agent.discover(service, peer_id, text)
    query = {"service": service, "peerId": peer_id, "text": text}
    return JSONResponse(
        {
            "peers": [each.document() for each in found],
            "query": {name: value for name, value in query.items() if value},
            "total": len(found),
        }
    )


@router.get("/services", responses={200: {"model": shapes.Services}})
async def list_services(desk: AtAgentDesk) -> JSONResponse:
    """What this agent offers."""
    services = [each.document() for each in desk.agent.services]
    return JSONResponse({"services": services, "count": len(services)})


@router.post("/services", responses={200: {"model": shapes.Done}}, openapi_extra=body_of(shapes.ServiceAsked))
async def register(desk: AtAgentDesk, request: Request) -> JSONResponse:
    """Offer a service, in place of one with the same id, and announce it."""
    document = await document_of(request)
    await desk.agent.register(_service_of(document))
    message = "Service registered and will be announced via GossipSub"
    return JSONResponse({"success": True, "service": document, "message": message})


@router.delete("/services/{service_id:path}", responses={200: {"model": shapes.Done}})
async def unregister(
    desk: AtAgentDesk, service_id: Annotated[str, Path(max_length=MAX_ID_CHARACTERS)]
) -> dict[str, Any]:
    """Offer a service no more, and announce that."""
    await desk.agent.unregister(service_id)
    return {"success": True, "serviceId": service_id, "message": "Service unregistered"}


@router.get("/discovery/stats", responses={200: {"model": shapes.DiscoveryStats}})
async def show_discovery_stats(desk: AtAgentDesk) -> dict[str, Any]:
    """How many agents are known, how many services are offered here, whether the topics are joined."""
    return {
        "knownPeers": len(desk.agent.discover()),
        "registeredServices": len(desk.agent.services),
        "isRunning": desk.agent.discovering,
    }


def _service_of(document: dict[str, Any]) -> ServiceInfo:
    """The service of a body, also in the form of the stock daemon's README: a name is the id, a base price the price."""
    pricing = document.get("pricing")
    if "id" not in document and isinstance(pricing, dict) and "baseSatoshis" in pricing:
        extra = {"id": document.get("name"), "price": pricing["baseSatoshis"], "currency": "bsv"}
        document = {**extra, **document}
    if any(
        document.get(key) is None or document.get(key) == "" for key in ("id", "name", "price", "currency")
    ):
        raise Refused(400, INCOMPLETE)
    try:
        return read_service(document)
    except DecodeError as error:
        raise Refused(400, str(error)) from None
