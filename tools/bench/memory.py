"""What an idle connection costs in memory on each side."""

from __future__ import annotations

import asyncio

from tools.interop_peers.process import PeerProcess

FIRST = 64
"""Connections held before the first look, so that what the first ones cost once is left out."""
CONCURRENCY = 8
SETTLE_S = 1.0
HOLD_S = 300.0


async def per_connection_kib(client: PeerProcess, server: PeerProcess, count: int) -> dict[str, float]:
    """KiB of resident memory that each of ``count`` further connections adds, by side; each comes from a fresh node of
    the client process. Both processes give back what they do not use before they are looked at.

    Raises `RuntimeError` when not all connections could be made.
    """
    await _hold(client, server, FIRST)
    client_bytes, server_bytes = await _resident(client), await _resident(server)
    await _hold(client, server, count)
    added = {
        "client": await _resident(client) - client_bytes,
        "server": await _resident(server) - server_bytes,
    }
    return {side: size / count / 1024 for side, size in added.items()}


async def _hold(client: PeerProcess, server: PeerProcess, count: int) -> None:
    answer = await client.call(
        "hold", within_s=HOLD_S, addr=server.address, count=count, concurrency=CONCURRENCY
    )
    if answer["failed"]:
        raise RuntimeError(f"{answer['failed']} of {count} connections failed: {answer['first_error']}")


async def _resident(process: PeerProcess) -> int:
    await asyncio.sleep(SETTLE_S)
    return int((await process.call("settle"))["rss_bytes"])
