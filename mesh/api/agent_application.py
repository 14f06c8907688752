"""The routes of the agent API put together: one FastAPI application for one agent, behind its guard."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from mesh import __version__
from mesh.api import (
    agent_directory_routes,
    agent_event_routes,
    agent_message_routes,
    agent_page,
    agent_peer_routes,
    agent_sending_routes,
    agent_shapes,
    agent_state_routes,
    agent_wake_routes,
)
from mesh.api.agent_answers import install
from mesh.api.agent_desk import AgentDesk

_FAULTS: dict[int | str, dict[str, Any]] = {
    400: {"model": agent_shapes.Fault, "description": "The request is not what this operation takes."},
    503: {"model": agent_shapes.Fault, "description": "The store does not take what is written."},
}


def make_agent_application(desk: AgentDesk) -> FastAPI:
    """All routes of an agent, without the guard."""
    app = FastAPI(
        title="mesh agent API",
        version=__version__,
        description='Messages between agents, their directory, the address book. Errors are `{"error": text}`.',
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.agent_desk = desk
    install(app)
    scheme = HTTPBearer(auto_error=False, description="The token of the data folder's agent.token.")
    for each in (
        agent_state_routes,
        agent_peer_routes,
        agent_directory_routes,
        agent_message_routes,
        agent_sending_routes,
        agent_wake_routes,
    ):
        app.include_router(each.router, dependencies=[Security(scheme)], responses=_FAULTS)
    app.include_router(agent_event_routes.router)
    app.include_router(agent_page.router)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
