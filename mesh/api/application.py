"""The routes put together: one FastAPI application for one node, behind its guard."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from mesh import __version__
from mesh.api import (
    beam_routes,
    block_routes,
    bootstrap_routes,
    crdt_routes,
    dht_routes,
    diag_routes,
    diagnosis_routes,
    keeping_routes,
    lethean_routes,
    nat_routes,
    probe_routes,
    pubsub_routes,
    rendezvous_routes,
    state_routes,
    swarm_routes,
)
from mesh.api.beam_answers import PREFIX as BEAM_PREFIX
from mesh.api.beam_answers import Gate
from mesh.api.desk import Desk
from mesh.api.problem import install
from mesh.api.pubsub_exchange import Exchange

PREFIX = "/v0"


def make_application(desk: Desk) -> FastAPI:
    """All routes of a node, without the guard."""
    app = FastAPI(
        title="mesh control API",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
    )
    app.state.desk = desk
    app.state.exchange = Exchange(desk.node)
    app.state.beam_gate = Gate()
    install(app)
    scheme = HTTPBearer(auto_error=False, description="The token of the data folder's api.token.")
    routes = APIRouter(prefix=PREFIX, dependencies=[Security(scheme)])
    for each in (
        state_routes,
        swarm_routes,
        keeping_routes,
        bootstrap_routes,
        rendezvous_routes,
        diag_routes,
        diagnosis_routes,
        dht_routes,
        pubsub_routes,
        block_routes,
        crdt_routes,
        probe_routes,
        nat_routes,
        lethean_routes,
    ):
        routes.include_router(each.router)
    app.include_router(state_routes.health_router)
    app.include_router(routes)
    app.include_router(beam_routes.router, prefix=BEAM_PREFIX, dependencies=[Security(scheme)])
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
