"""How the agent is waked, how many wakes wait, and those that were given up."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from mesh.api import agent_shapes as shapes
from mesh.api.agent_answers import AgentRoute, Refused
from mesh.api.agent_desk import AgentDesk, AtAgentDesk
from mesh.apps.agent.waking.waking import Waking

router = APIRouter(tags=["wakes"], route_class=AgentRoute)
NOBODY = "Nothing wakes the agent: set agent.gateway_url, or agent.wake_command"


@router.get("/wakes", responses={200: {"model": shapes.Wakes}, 404: {"model": shapes.Fault}})
async def show_wakes(desk: AtAgentDesk) -> JSONResponse:
    """Messages that wait for a wake, wakes that were answered or given up, and calls beyond the first of a wake."""
    waking = _waking(desk)
    state = await waking.state()
    return JSONResponse(
        {
            "channel": waking.channel,
            "waiting": state.waiting,
            "done": state.done,
            "givenUp": state.dead,
            "repeatedCalls": state.repeated,
        }
    )


@router.post("/wakes/retry", responses={200: {"model": shapes.Done}, 404: {"model": shapes.Fault}})
async def retry_wakes(desk: AtAgentDesk) -> dict[str, Any]:
    """Try again every wake that was given up."""
    return {"success": True, "retried": await _waking(desk).revive()}


def _waking(desk: AgentDesk) -> Waking:
    if desk.agent.waking is None:
        raise Refused(404, NOBODY)
    return desk.agent.waking
