"""The agent's events as they come: server-sent events, or a WebSocket at the same path.

Each is `{"event": NAME, "id": NUMBER, ...}`; a message from another agent is `message` with from, type, content and
timestamp. What a listener missed for a while it gets by the number it had last (`Last-Event-ID`, or `after`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, WebSocket
from fastapi.responses import StreamingResponse
from starlette.websockets import WebSocketDisconnect, WebSocketState

from mesh.api.agent_answers import AgentRoute, Refused
from mesh.api.agent_desk import AtAgentDesk, desk_of
from mesh.api.agent_feed import MAX_LISTENERS, NAMES, FeedEvent
from mesh.errors import LimitError

HEARTBEAT_S: Final = 15.0
MAX_HEARD: Final = 16
"""Frames that a listener may send before it is cut off: nobody has anything to say here."""
_GOING_AWAY: Final = 1001
_REFUSED: Final = 1008
_TRY_LATER: Final = 1013

router = APIRouter(tags=["events"], route_class=AgentRoute)
Events = Annotated[
    str,
    Query(max_length=128, description=f"Names with commas between them; all by default: {', '.join(NAMES)}."),
]
After = Annotated[str, Query(max_length=20, description="Number of the last event that the listener has.")]


@router.get("/events", response_class=StreamingResponse)
async def stream_events(
    desk: AtAgentDesk, request: Request, events: Events = "", after: After = ""
) -> StreamingResponse:
    """Server-sent events from now on, or from behind a number."""
    if desk.feed.listeners >= MAX_LISTENERS:
        raise Refused(429, f"{MAX_LISTENERS} listen already")
    last = request.headers.get("last-event-id", after)
    feed = desk.feed.listen(_names(events), _number(last), HEARTBEAT_S)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_lines(feed), media_type="text/event-stream", headers=headers)


async def _lines(feed: AsyncGenerator[FeedEvent | None, None]) -> AsyncGenerator[str, None]:
    yield ": mesh agent\n\n"
    async with aclosing(feed):
        async for event in feed:
            if event is None:
                yield ": nothing new\n\n"
            else:
                yield f"id: {event.number}\nevent: {event.name}\ndata: {json.dumps(_object(event))}\n\n"


@router.websocket("/events")
async def socket_events(socket: WebSocket, events: Events = "", after: After = "") -> None:
    """The same as WebSocket messages; what the listener sends is ignored, and has to be little."""
    desk = await desk_of(socket)
    try:
        feed = desk.feed.listen(_names(events), _number(after), HEARTBEAT_S)
    except Refused as error:
        await socket.close(_REFUSED, str(error))
        return
    await socket.accept()
    hearing = asyncio.create_task(_hear(socket), name="listener's frames")
    try:
        async with aclosing(feed):
            async for event in feed:
                if hearing.done():
                    break
                if event is not None:
                    await socket.send_text(json.dumps(_object(event), ensure_ascii=False))
    except LimitError as error:
        await socket.close(_TRY_LATER, str(error)[:120])
    except WebSocketDisconnect:
        pass
    finally:
        hearing.cancel()
        await asyncio.wait([hearing])
    if (
        socket.application_state is WebSocketState.CONNECTED
        and socket.client_state is WebSocketState.CONNECTED
    ):
        await socket.close(_GOING_AWAY)


async def _hear(socket: WebSocket) -> None:
    """Returns when the listener went, or talks."""
    for _ in range(MAX_HEARD):
        if (await socket.receive())["type"] == "websocket.disconnect":
            return


def _object(event: FeedEvent) -> dict[str, Any]:
    return {"event": event.name, **event.data, "number": event.number}


def _names(text: str) -> frozenset[str]:
    names = frozenset(each.strip() for each in text.split(",") if each.strip())
    if not names <= set(NAMES):
        raise Refused(400, f"there are the events {', '.join(NAMES)}")
    return names


def _number(text: str) -> int | None:
    """What a listener had last; what is no number tells nothing."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None
