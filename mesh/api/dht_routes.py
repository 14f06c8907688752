"""The DHT: peers, providers, values, the routing table, a lookup step by step."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from mesh.api import dht_shapes as shapes
from mesh.api.desk import AtDesk
from mesh.api.dht_answers import DhtAnswers
from mesh.api.shapes import PeerAsked
from mesh.api.streaming import streamed

router = APIRouter(prefix="/dht", tags=["dht"])


@router.get("/status")
async def show_dht_status(desk: AtDesk) -> shapes.DhtStatus:
    """What this node is to the network, how many peers it knows there, and what it holds for others."""
    return shapes.DhtStatus(**DhtAnswers(desk.node).status())


@router.get("/table")
async def show_table(desk: AtDesk) -> shapes.TableShown:
    """The routing table by bucket."""
    return shapes.TableShown(**DhtAnswers(desk.node).table())


@router.post("/refresh")
async def refresh_table(desk: AtDesk) -> shapes.Refreshed:
    """Look up the own neighbourhood and every bucket now; answers when that is done."""
    return shapes.Refreshed(**await DhtAnswers(desk.node).refresh())


@router.post("/find-peer")
async def find_peer(desk: AtDesk, asked: PeerAsked) -> shapes.PeerWhere:
    """Where a peer is. It is dialled as soon as somebody names it."""
    return shapes.PeerWhere(**await DhtAnswers(desk.node).find_peer(**asked.model_dump()))


@router.post("/closest")
async def find_closest(desk: AtDesk, asked: shapes.LookupAsked) -> shapes.ClosestPeers:
    """Up to 20 peers nearest to a key that answered, nearest first."""
    return shapes.ClosestPeers(**await DhtAnswers(desk.node).closest(**asked.model_dump()))


@router.post("/find-providers", response_class=StreamingResponse)
async def find_providers(desk: AtDesk, asked: shapes.ProvidersAsked) -> StreamingResponse:
    """Who has some content: a line for each provider as it is found,
    `{"type":"provider","peer":"...","addrs":[...]}`. A line of type `error` ends a search that cannot go on."""
    return streamed(DhtAnswers(desk.node).find_providers(**asked.model_dump()))


@router.post("/provide")
async def provide(desk: AtDesk, asked: shapes.ContentAsked) -> shapes.Written:
    """Announce this node as a provider, now and every 22 hours; answers once a majority was told."""
    return shapes.Written(**await DhtAnswers(desk.node).provide(**asked.model_dump()))


@router.post("/withdraw")
async def withdraw(desk: AtDesk, asked: shapes.ContentAsked) -> shapes.Withdrawn:
    """Announce some content no more; what others hold of it expires."""
    return shapes.Withdrawn(**await DhtAnswers(desk.node).withdraw(**asked.model_dump()))


@router.post("/get")
async def get_value(desk: AtDesk, asked: shapes.GetAsked) -> shapes.ValueGot:
    """The best value of a key that the network holds, in base64."""
    return shapes.ValueGot(**await DhtAnswers(desk.node).get(**asked.model_dump()))


@router.post("/put")
async def put_value(desk: AtDesk, asked: shapes.PutAsked) -> shapes.Written:
    """Keep a value, given in base64, here and at the closest peers; answers once a majority holds it."""
    return shapes.Written(**await DhtAnswers(desk.node).put(**asked.model_dump()))


@router.post("/query", response_class=StreamingResponse)
async def trace_query(desk: AtDesk, asked: shapes.LookupAsked) -> StreamingResponse:
    """A lookup step by step: lines of type `asked`, `answered`, `overdue` and `failed` with hop, peer and shared prefix,
    then `ended` with the reason and `result` with the closest peers, or `error` when it cannot go on."""
    return streamed(DhtAnswers(desk.node).query(**asked.model_dump()))
