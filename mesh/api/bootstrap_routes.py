"""The bootstrap list of the running node. What is changed here holds until the node ends."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from mesh.api import shapes
from mesh.api.bootstrap_check import checked
from mesh.api.desk import AtDesk
from mesh.api.problem import UnknownPeer
from mesh.api.streaming import streamed
from mesh.api.targets import address_of
from mesh.errors import LimitError, UsageError
from mesh.node import Node
from mesh.services.bootstrap import BootstrapPeer

MAX_PEERS = 1024

router = APIRouter(prefix="/bootstrap", tags=["bootstrap"])


@router.get("")
async def list_bootstrap(desk: AtDesk) -> shapes.BootstrapList:
    """Every peer of the list and how its dialling stands."""
    node = desk.node
    return shapes.BootstrapList(peers=[shown(node, each) for each in node.bootstrap.peers.values()])


@router.post("")
async def add_bootstrap(desk: AtDesk, asked: shapes.BootstrapAsked) -> shapes.BootstrapShown:
    """Add a peer, which is dialled at once; one that is there already is tried again."""
    node, address = desk.node, address_of(asked.addr)
    if address.peer_id_bytes() == node.peer_id.to_bytes():
        raise UsageError(f"{address} is this node itself")
    known = node.bootstrap.peers
    if address not in known and len(known) >= MAX_PEERS:
        raise LimitError("api", "bootstrap peers", MAX_PEERS, "nothing; remove another one")
    node.bootstrap.add(address)
    return shown(node, known[address])


@router.delete("")
async def remove_bootstrap(
    desk: AtDesk, addr: Annotated[str, Query(min_length=1, max_length=shapes.MAX_TEXT)]
) -> shapes.BootstrapAsked:
    """Remove a peer; a connection to it stays."""
    if not desk.node.bootstrap.remove(address_of(addr)):
        raise UnknownPeer(f"{addr} is not in the bootstrap list")
    return shapes.BootstrapAsked(addr=addr)


@router.post("/check", response_class=StreamingResponse)
async def check_bootstrap(desk: AtDesk) -> StreamingResponse:
    """Dial each peer of the list now: a line of type `checked` for each as it answers or fails, with stage and cause.
    The list stays as it is."""
    return streamed(checked(desk.node, list(desk.node.bootstrap.peers)))


def shown(node: Node, peer: BootstrapPeer) -> shapes.BootstrapShown:
    """A peer of the list and how its dialling stands."""
    waiting = peer.due and peer.failures > 0
    return shapes.BootstrapShown(
        addr=str(peer.address),
        peer=None if peer.peer is None else str(peer.peer),
        connected=peer.peer is not None and node.swarm.is_connected(peer.peer),
        reached=peer.reached,
        failures=peer.failures,
        failure=peer.failure,
        next_try_s=round(max(peer.next_at - time.monotonic(), 0.0), 1) if waiting else None,
    )
