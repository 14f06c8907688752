"""Peers: those connected now, and the address book."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse

from mesh.api import agent_shapes as shapes
from mesh.api.agent_answers import AgentRoute, Refused, asked, body_of
from mesh.api.agent_desk import AtAgentDesk
from mesh.apps.agent.records import MAX_ID_CHARACTERS, MAX_TAG_CHARACTERS
from mesh.apps.agent.store import address_book

MAX_SHOWN: Final = 10_000
MAX_TEXT: Final = 256

router = APIRouter(tags=["peers"], route_class=AgentRoute)
PeerPath = Annotated[str, Path(max_length=MAX_ID_CHARACTERS)]


@router.get("/peers", responses={200: {"model": shapes.Peers}})
async def list_connected(desk: AtAgentDesk) -> dict[str, Any]:
    """Peers with a connection, each once."""
    return {"peers": [{"peerId": each} for each in desk.agent.connected_peers]}


@router.post(
    "/peers/connect",
    responses={200: {"model": shapes.Done}, 424: {"model": shapes.Fault}},
    openapi_extra=body_of(shapes.ConnectAsked),
)
async def connect(desk: AtAgentDesk, request: Request) -> dict[str, Any]:
    """Connect to a peer at an address, or at those known of it."""
    given = await asked(request, shapes.ConnectAsked)
    connection = await desk.agent.node.connect(given.multiaddr)
    return {"success": True, "peerId": str(connection.peer), "multiaddr": str(connection.remote)}


@router.get("/peers/tracked", responses={200: {"model": shapes.TrackedPeers}})
async def list_tracked(
    desk: AtAgentDesk,
    search: Annotated[str, Query(max_length=MAX_TEXT, description="Text in name, id, notes or tags.")] = "",
    tag: Annotated[str, Query(max_length=MAX_TAG_CHARACTERS)] = "",
    online: bool = False,
    limit: Annotated[int, Query(ge=0, le=MAX_SHOWN)] = MAX_SHOWN,
    offset: Annotated[int, Query(ge=0, le=shapes.MAX_MS)] = 0,
) -> JSONResponse:
    """The address book, in the order in which peers were met."""
    found = await desk.agent.store.read(
        lambda database: address_book.peers(
            database, text=search, tag=tag, online=online, limit=limit, offset=offset
        )
    )
    return JSONResponse({"peers": [each.document() for each in found]})


@router.get(
    "/peers/tracked/{peer_id}",
    responses={200: {"model": shapes.TrackedPeerShape}, 404: {"model": shapes.Fault}},
)
async def show_tracked(desk: AtAgentDesk, peer_id: PeerPath) -> JSONResponse:
    """One peer of the address book."""
    found = await desk.agent.store.read(lambda database: address_book.get(database, peer_id))
    if found is None:
        raise Refused(404, "Peer not found")
    return JSONResponse(found.document())


@router.put(
    "/peers/tracked/{peer_id}/name",
    responses={200: {"model": shapes.Done}},
    openapi_extra=body_of(shapes.NameAsked),
)
async def name_peer(desk: AtAgentDesk, peer_id: PeerPath, request: Request) -> dict[str, Any]:
    """Call a peer by a name of ours; what it calls itself no longer shows."""
    name = (await asked(request, shapes.NameAsked)).name
    await desk.agent.store.write(lambda database: address_book.set_name(database, peer_id, name, desk.now))
    return {"success": True, "peerId": peer_id, "name": name}


@router.put(
    "/peers/tracked/{peer_id}/notes",
    responses={200: {"model": shapes.Done}},
    openapi_extra=body_of(shapes.NotesAsked),
)
async def note_peer(desk: AtAgentDesk, peer_id: PeerPath, request: Request) -> dict[str, Any]:
    """Keep notes with a peer."""
    notes = (await asked(request, shapes.NotesAsked)).notes
    await desk.agent.store.write(lambda database: address_book.set_notes(database, peer_id, notes, desk.now))
    return {"success": True, "peerId": peer_id, "notes": notes}


@router.put(
    "/peers/tracked/{peer_id}/tags",
    responses={200: {"model": shapes.Done}},
    openapi_extra=body_of(shapes.TagsAsked),
)
async def tag_peer(desk: AtAgentDesk, peer_id: PeerPath, request: Request) -> dict[str, Any]:
    """Tag a peer, in place of the tags that it had."""
    tags = (await asked(request, shapes.TagsAsked)).tags
    await desk.agent.store.write(lambda database: address_book.set_tags(database, peer_id, tags, desk.now))
    return {"success": True, "peerId": peer_id, "tags": tags}


@router.delete("/peers/tracked/{peer_id}", responses={200: {"model": shapes.Done}})
async def forget_peer(desk: AtAgentDesk, peer_id: PeerPath) -> dict[str, Any]:
    """Strike a peer out of the address book; its messages stay."""
    await desk.agent.store.write(lambda database: address_book.remove(database, peer_id))
    return {"success": True, "peerId": peer_id, "message": "Peer removed from registry"}
