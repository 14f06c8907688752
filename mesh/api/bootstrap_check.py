"""Dialling the peers of a bootstrap list once, to say which answer and at what stage the others fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from mesh.errors import DialError, MeshError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.node import Node


def peer_text(address: Multiaddr) -> str | None:
    """The peer an address ends in."""
    data = address.peer_id_bytes()
    return None if data is None else str(PeerId.from_bytes(data))


async def checked(node: Node, addresses: Iterable[Multiaddr]) -> AsyncGenerator[dict[str, Any], None]:
    """One object for each address, in the order in which they answer or fail. Nothing is remembered."""
    tasks = [asyncio.create_task(_check(node, each), name="bootstrap check") for each in addresses]
    try:
        for done in asyncio.as_completed(tasks):
            yield await done
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _check(node: Node, address: Multiaddr) -> dict[str, Any]:
    began = time.monotonic()
    told: dict[str, Any] = {"type": "checked", "addr": str(address), "peer": peer_text(address)}
    told |= {"answered": False, "time_ms": None, "agent_version": "", "serves_dht": None, "failures": []}
    try:
        connection = await node.connect(address)
        told["peer"] = str(connection.peer)
        info = await node.identify(connection)
    except DialError as error:
        told["failures"] = [
            {"address": each.address, "stage": each.stage, "cause": each.cause} for each in error.failures
        ] or [_failure(address, "dial", error)]
    except MeshError as error:
        told["failures"] = [_failure(address, "identify", error)]
    else:
        told |= {"answered": True, "time_ms": round((time.monotonic() - began) * 1000, 3)}
        told["agent_version"] = info.agent_version
        if node.config.kademlia.mode != "off":
            told["serves_dht"] = node.dht.protocol in info.protocols
    return told


def _failure(address: Multiaddr, stage: str, error: MeshError) -> dict[str, str]:
    return {"address": str(address), "stage": stage, "cause": str(error)}
