"""Who the node is, how it does, and what happens to it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from mesh import __version__
from mesh.api import shapes
from mesh.api.desk import AtDesk
from mesh.api.watch import MAX_SUBSCRIBERS, Watch
from mesh.errors import LimitError
from mesh.telemetry.metrics import CONTENT_TYPE

HEARTBEAT_S = 15.0

health_router = APIRouter(tags=["state"])
router = APIRouter(tags=["state"])


@health_router.get("/health")
async def show_health() -> shapes.Health:
    """Whether the node answers; needs no token."""
    return shapes.Health(status="ok", version=__version__)


@router.get("/id")
async def show_id(desk: AtDesk) -> shapes.Identity:
    """Who this node is."""
    node = desk.node
    settings = node.config.identify
    return shapes.Identity(
        peer_id=str(node.peer_id),
        agent_version=settings.agent_version or f"mesh/{__version__}",
        protocol_version=settings.protocol_version,
        addrs=[str(address) for address in node.listen_addrs],
        protocols=node.protocols,
    )


@router.get("/stats")
async def show_stats(desk: AtDesk) -> shapes.Stats:
    """Connections, streams, bytes held, lateness of the loop and all counters."""
    node, watch = desk.node, desk.watch
    connections, memory = node.connections, node.swarm.memory
    inbound = sum(each.inbound for each in connections)
    return shapes.Stats(
        uptime_s=round(time.monotonic() - watch.started_at, 1),
        peers=len(node.swarm.peers),
        connections=len(connections),
        inbound=inbound,
        outbound=len(connections) - inbound,
        streams=desk.streams,
        held_bytes=memory.used_bytes,
        held_peak_bytes=memory.peak_bytes,
        held_limit_bytes=memory.limit_bytes,
        loop_lag=shapes.LoopLagShown(
            p99_ms=round(watch.lag.p99_s * 1000, 3), max_ms=round(watch.lag.max_s * 1000, 3)
        ),
        counters=node.counters.snapshot(),
    )


@router.get("/metrics", response_class=Response)
async def show_metrics(desk: AtDesk) -> Response:
    """Figures in Prometheus' text format."""
    return Response(desk.metrics.text(), media_type=CONTENT_TYPE)


@router.get("/events", response_class=StreamingResponse)
async def stream_events(desk: AtDesk) -> StreamingResponse:
    """Server-sent events: `connected`, `disconnected`, `identified`; `lost` counts what a slow reader missed."""
    if desk.watch.subscribers >= MAX_SUBSCRIBERS:
        raise LimitError("api", "event streams", MAX_SUBSCRIBERS, "nothing; close another one")
    headers = {"cache-control": "no-store"}
    return StreamingResponse(_events(desk.watch), media_type="text/event-stream", headers=headers)


async def _events(watch: Watch) -> AsyncGenerator[str, None]:
    async with aclosing(watch.listen(HEARTBEAT_S)) as events:
        yield ": listening\n\n"
        async for event in events:
            if event is None:
                yield ": still here\n\n"
            else:
                data = json.dumps(event.data, separators=(",", ":"))
                yield f"id: {event.number}\nevent: {event.name}\ndata: {data}\n\n"
