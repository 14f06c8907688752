"""Asking rendezvous points for this node."""

from __future__ import annotations

from fastapi import APIRouter

from mesh.api import discovery_shapes as shapes
from mesh.api.desk import AtDesk
from mesh.api.targets import target_of
from mesh.errors import UsageError

router = APIRouter(prefix="/rendezvous", tags=["rendezvous"])


@router.post("/register")
async def register_at_point(desk: AtDesk, asked: shapes.RegisterAsked) -> shapes.Registered:
    """Have this node found under a namespace; answers with the seconds granted."""
    ttl_s = await desk.node.rendezvous.register(target_of(asked.point), asked.namespace, asked.ttl_s)
    return shapes.Registered(namespace=asked.namespace, ttl_s=ttl_s)


@router.post("/unregister")
async def unregister_at_point(desk: AtDesk, asked: shapes.UnregisterAsked) -> shapes.Unregistered:
    """Have this node found no more. The point does not say whether it did it."""
    await desk.node.rendezvous.unregister(target_of(asked.point), asked.namespace)
    return shapes.Unregistered(namespace=asked.namespace)


@router.post("/discover")
async def discover_at_point(desk: AtDesk, asked: shapes.DiscoverAsked) -> shapes.DiscoveredShown:
    """Who is registered. With the cookie of an answer, who came after it."""
    try:
        cookie = bytes.fromhex(asked.cookie)
    except ValueError:
        raise UsageError("cookie: not in hexadecimal") from None
    found = await desk.node.rendezvous.discover(target_of(asked.point), asked.namespace, asked.limit, cookie)
    return shapes.DiscoveredShown(
        peers=[
            shapes.FoundShown(
                namespace=each.namespace,
                peer=str(each.peer),
                addrs=list(map(str, each.addresses)),
                ttl_s=each.ttl_s,
            )
            for each in found.peers
        ],
        cookie=found.cookie.hex(),
    )
