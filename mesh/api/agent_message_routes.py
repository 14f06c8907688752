"""The message log: pages, search, conversations, figures, read marks, and what became of one message."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse

from mesh.api import agent_shapes as shapes
from mesh.api.agent_answers import AgentRoute, Refused, asked, body_of
from mesh.api.agent_desk import AtAgentDesk
from mesh.api.agent_peer_routes import PeerPath
from mesh.apps.agent.records import MAX_ID_CHARACTERS, Direction
from mesh.apps.agent.store import message_log, message_pages
from mesh.apps.agent.store.message_pages import MAX_LIMIT, MAX_SEARCH_CHARACTERS, PageQuery
from mesh.errors import UsageError

DEFAULT_LIMIT: Final = 50
MAX_CONVERSATIONS: Final = 1000

router = APIRouter(tags=["messages"], route_class=AgentRoute)
Whole = Annotated[
    str,
    Query(
        max_length=32,
        json_schema_extra={"type": "integer", "minimum": 0},
        description="Not a number: the default.",
    ),
]
Instant = Annotated[
    int | None, Query(ge=-shapes.MAX_MS, le=shapes.MAX_MS, description="Milliseconds since 1970, inclusive.")
]
MessagePath = Annotated[str, Path(max_length=MAX_ID_CHARACTERS)]


@router.get("/messages", responses={200: {"model": shapes.Messages}, 400: {"model": shapes.Fault}})
async def list_messages(
    desk: AtAgentDesk,
    peer: Annotated[str, Query(max_length=MAX_ID_CHARACTERS)] = "",
    direction: Direction | None = None,
    since: Instant = None,
    until: Instant = None,
    limit: Whole = "",
    offset: Whole = "",
    search: Annotated[
        str, Query(max_length=MAX_SEARCH_CHARACTERS, description="Query of SQLite's FTS5.")
    ] = "",
    type: Annotated[str, Query(max_length=MAX_ID_CHARACTERS)] = "",
    unread: bool = False,
) -> JSONResponse:
    """Messages newest first. ``total`` counts matches of a search up to 10,000."""
    query = PageQuery(
        peer=peer,
        direction=direction,
        since=since,
        until=until,
        message_type=type,
        search=search,
        unread=unread,
        limit=_whole(limit, DEFAULT_LIMIT, MAX_LIMIT),
        offset=_whole(offset, 0, shapes.MAX_MS),
    )
    page = await desk.agent.store.read(lambda database: message_pages.page(database, query))
    return JSONResponse(
        {
            "messages": [each.document() for each in page.messages],
            "total": page.total,
            "limit": query.limit,
            "offset": query.offset,
            "totalExact": page.exact,
        }
    )


@router.get("/messages/conversations", responses={200: {"model": shapes.Conversations}})
async def list_conversations(
    desk: AtAgentDesk,
    limit: Annotated[int, Query(ge=0, le=MAX_CONVERSATIONS)] = MAX_CONVERSATIONS,
    offset: Annotated[int, Query(ge=0, le=shapes.MAX_MS)] = 0,
) -> JSONResponse:
    """Peers with messages, those with the newest first; of a long last message the beginning."""
    found = await desk.agent.store.read(lambda database: message_log.conversations(database, limit, offset))
    return JSONResponse({"conversations": [each.document() for each in found]})


@router.get("/messages/stats", responses={200: {"model": shapes.MessageStats}})
async def show_message_stats(desk: AtAgentDesk) -> JSONResponse:
    """Totals, the busiest peers, the last days (UTC)."""
    return JSONResponse((await desk.agent.store.read(message_log.figures)).document())


@router.get("/messages/{peer_id}", responses={200: {"model": shapes.PeerMessages}})
async def list_with_peer(
    desk: AtAgentDesk, peer_id: PeerPath, limit: Whole = "", offset: Whole = ""
) -> JSONResponse:
    """Messages with one peer, newest first."""
    query = PageQuery(
        peer=peer_id,
        limit=_whole(limit, DEFAULT_LIMIT, MAX_LIMIT),
        offset=_whole(offset, 0, shapes.MAX_MS),
    )
    page, name = await desk.agent.store.read(
        lambda database: (message_pages.page(database, query), message_log.peer_name(database, peer_id))
    )
    return JSONResponse(
        {
            "messages": [each.document() for each in page.messages],
            "total": page.total,
            "peerId": peer_id,
            "peerName": name,
        }
    )


@router.post(
    "/messages/{peer_id}/read",
    responses={200: {"model": shapes.Done}},
    openapi_extra=body_of(shapes.ReadAsked),
)
async def mark_read(desk: AtAgentDesk, peer_id: PeerPath, request: Request) -> dict[str, Any]:
    """Mark a peer's messages read: all, or those up to a row; with ``read`` false unread."""
    given = await asked(request, shapes.ReadAsked) if await request.body() else shapes.ReadAsked()
    changed = await desk.agent.store.write(
        lambda database: message_log.mark_read(database, peer_id, given.upTo, read=given.read)
    )
    return {"success": True, "peerId": peer_id, "changed": changed}


@router.get(
    "/messages/{message_id}/why", responses={200: {"model": shapes.Ways}, 404: {"model": shapes.Fault}}
)
async def show_way(desk: AtAgentDesk, message_id: MessagePath) -> JSONResponse:
    """What became of a message, step by step; several ways where peers chose the same id."""
    ways = await desk.agent.why(message_id)
    if not ways:
        raise Refused(404, "Message not found")
    return JSONResponse({"messageId": message_id, "ways": [each.document() for each in ways]})


@router.post(
    "/messages/{message_id}/resumed",
    responses={200: {"model": shapes.Done}, 403: {"model": shapes.Fault}},
    openapi_extra=body_of(shapes.ResumedAsked),
)
async def confirm_resumed(desk: AtAgentDesk, message_id: MessagePath, request: Request) -> dict[str, Any]:
    """The woken agent says that it has the message, with the token of its wake; again changes nothing but the count."""
    given = await asked(request, shapes.ResumedAsked)
    try:
        found = await desk.agent.resumed(message_id, given.token)
    except UsageError as error:
        raise Refused(403, str(error)) from None
    return {"success": True, "messageId": message_id, "peerId": found.peer_id, "calls": found.calls}


@router.post("/messages/{message_id}/retry", responses={200: {"model": shapes.Done}})
async def retry(desk: AtAgentDesk, message_id: MessagePath) -> dict[str, Any]:
    """Try a dead letter again."""
    return {"success": True, "messageId": message_id, "retried": await desk.agent.retry(message_id)}


def _whole(text: str, default: int, most: int) -> int:
    """A number that fits, as the stock daemon reads it: what is none is the default."""
    return min(int(text), most) if text.isascii() and text.isdigit() else default
