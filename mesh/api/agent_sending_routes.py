"""Messages to other agents: texts, payments, requests and their answers.

A message is committed to the outbox first, so it is never lost; then the answer waits a moment for it to leave. 200: it
left (``state`` says how far it came). 202: its peer was not reached yet, ``state`` is queued, and it will be tried again.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from mesh.api import agent_shapes as shapes
from mesh.api.agent_answers import AgentRoute, Refused, asked, body_of
from mesh.api.agent_desk import AgentDesk, AtAgentDesk
from mesh.apps.agent.records import MAX_MESSAGE_BYTES, Accepted, DeliveryState
from mesh.errors import DecodeError, TimedOut
from mesh.identity.peer_id import PeerId

router = APIRouter(tags=["sending"], route_class=AgentRoute)
_SENT: dict[int | str, dict[str, Any]] = {
    200: {"model": shapes.Sent},
    202: {"model": shapes.Sent},
    400: {"model": shapes.Fault},
    413: {"model": shapes.Fault},
    503: {"model": shapes.Fault},
}


@router.post("/send", responses=_SENT, openapi_extra=body_of(shapes.SendAsked))
async def send(desk: AtAgentDesk, request: Request) -> JSONResponse:
    """Send a text."""
    given = await asked(request, shapes.SendAsked)
    _check_peer(given.peerId)
    _check_size(given.message)
    accepted = await desk.agent.send(
        given.peerId, given.message, multiaddr=given.multiaddr, reply_to=given.replyTo
    )
    return await _sent(desk, accepted, given.waitMs, {"success": True, "from": desk.peer_id})


@router.post("/pay", responses=_SENT, openapi_extra=body_of(shapes.PayAsked))
async def pay(desk: AtAgentDesk, request: Request) -> JSONResponse:
    """Send a payment message. It carries the transaction and moves no money."""
    given = await asked(request, shapes.PayAsked)
    _check_peer(given.peerId)
    _check_size(given.beef or "", given.memo or "")
    accepted = await desk.agent.pay(
        given.peerId,
        given.txid,
        given.amount,
        given.toAddress,
        vout=given.vout,
        beef=given.beef,
        memo=given.memo,
        multiaddr=given.multiaddr,
    )
    told = {"success": True, "txid": given.txid, "amount": given.amount, "beef": bool(given.beef)}
    return await _sent(desk, accepted, given.waitMs, told)


@router.post(
    "/request",
    responses={200: {"model": shapes.Answered}},
    openapi_extra=body_of(shapes.RequestAsked),
)
async def ask_for_service(desk: AtAgentDesk, request: Request) -> JSONResponse:
    """Ask an agent for a service and wait for its answer; one that does not come in time is no success either."""
    given = await asked(request, shapes.RequestAsked)
    _check_peer(given.peerId)
    try:
        reply = await desk.agent.request(
            given.peerId,
            given.service,
            given.params,
            timeout_s=given.timeoutMs / 1000,
            multiaddr=given.multiaddr,
        )
    except TimedOut as error:
        return JSONResponse({"success": False, "result": None, "error": str(error)})
    return JSONResponse({"success": reply.success, "result": reply.result, "error": reply.error})


@router.post("/respond", responses=_SENT, openapi_extra=body_of(shapes.RespondAsked))
async def respond(desk: AtAgentDesk, request: Request) -> JSONResponse:
    """Answer a request that came as a message: with an error if one is given, else with a result."""
    given = await asked(request, shapes.RespondAsked)
    _check_peer(given.peerId)
    accepted = await desk.agent.respond(given.peerId, given.requestId, result=given.result, error=given.error)
    return await _sent(desk, accepted, given.waitMs, {"success": True, "from": desk.peer_id})


def _check_peer(text: str) -> None:
    """Answer 400 to what is no peer id, in words that say so. Raises `Refused`."""
    try:
        PeerId.parse(text)
    except DecodeError as error:
        raise Refused(400, f"{text[:64]!r} is no peer id: {error.reason}") from None


def _check_size(*texts: str) -> None:
    """Answer 413 to what no receiver would take. Raises `Refused`."""
    if sum(len(each.encode()) for each in texts) > MAX_MESSAGE_BYTES:
        raise Refused(413, f"a message has at most {MAX_MESSAGE_BYTES} bytes")


async def _sent(desk: AgentDesk, accepted: Accepted, wait_ms: int, told: dict[str, Any]) -> JSONResponse:
    state = accepted.state
    if state is DeliveryState.QUEUED and wait_ms:
        state = await desk.feed.progress(accepted.message_id, wait_ms / 1000)
    waiting = state is DeliveryState.QUEUED
    body = {**told, "peerId": accepted.peer_id, "messageId": accepted.message_id, "state": state.value}
    return JSONResponse(body, 202 if waiting else 200)
