"""Asking peers something: ping, identify, perf."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from mesh.api import shapes
from mesh.api.desk import AtDesk
from mesh.api.streaming import streamed
from mesh.api.targets import target_of
from mesh.network.connection import Connection
from mesh.node import Node
from mesh.services import perf

router = APIRouter(tags=["probes"])


@router.post("/ping", response_class=StreamingResponse)
async def ping(desk: AtDesk, asked: shapes.PingAsked) -> StreamingResponse:
    """Ping a peer: a line for the peer, then one for each ping, `{"type":"ping","seq":0,"rtt_us":123.4}`; lost ones have
    no round trip. A line of type `error` ends a stream that cannot go on."""
    connection = await desk.node.connect(target_of(asked.target))
    return streamed(_pings(desk.node, connection, asked))


@router.post("/identify")
async def identify(desk: AtDesk, asked: shapes.TargetAsked) -> shapes.PeerTold:
    """Ask a peer who it is."""
    info = await desk.node.identify(target_of(asked.target))
    return shapes.PeerTold(
        peer_id=str(info.peer),
        protocol_version=info.protocol_version,
        agent_version=info.agent_version,
        observed_addr=None if info.observed_addr is None else str(info.observed_addr),
        listen_addrs=[str(address) for address in info.listen_addrs],
        protocols=list(info.protocols),
        signed_record=info.signed_record,
    )


@router.post("/perf", response_class=StreamingResponse)
async def measure_perf(desk: AtDesk, asked: shapes.PerfAsked) -> StreamingResponse:
    """Upload to a peer, then download: a line of type `intermediary` each second and `final` at the end, as libp2p's
    performance harness defines them, and before it `transfer` with the times of both ways. A line of type `error` ends a
    measurement that failed."""
    report = perf.Report()
    connection = await desk.node.connect(target_of(asked.target))
    return streamed(_perf(connection, asked, report))


async def _pings(
    node: Node, connection: Connection, asked: shapes.PingAsked
) -> AsyncGenerator[dict[str, Any], None]:
    yield {"type": "peer", "peer": str(connection.peer)}
    async with aclosing(node.ping(connection, asked.count or None, asked.interval_ms / 1000)) as pings:
        number = 0
        async for time_s in pings:
            rtt_us = None if time_s is None else round(time_s * 1e6, 1)
            yield {"type": "ping", "seq": number, "rtt_us": rtt_us}
            number += 1


async def _perf(
    connection: Connection, asked: shapes.PerfAsked, report: perf.Report
) -> AsyncGenerator[dict[str, Any], None]:
    lines = perf.reported(
        lambda: connection.open([perf.PROTOCOL_ID]), asked.upload_bytes, asked.download_bytes, report
    )
    async with aclosing(lines):
        async for line in lines:
            yield dict(line)
