"""Pubsub: topics, peers, meshes and scores; publishing, reading, and how much of it there is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from mesh.api import pubsub_shapes as shapes
from mesh.api.desk import AtDesk
from mesh.api.pubsub_answers import PubsubAnswers
from mesh.api.pubsub_exchange import Exchange
from mesh.api.shapes import MAX_TEXT
from mesh.api.streaming import streamed
from mesh.errors import UsageError

router = APIRouter(prefix="/pubsub", tags=["pubsub"])

TopicQuery = Annotated[str | None, Query(min_length=1, max_length=shapes.MAX_TOPIC)]
PeerQuery = Annotated[str | None, Query(min_length=1, max_length=MAX_TEXT)]


async def _exchange_of(request: Request) -> Exchange:
    exchange = request.app.state.exchange
    if not isinstance(exchange, Exchange):
        raise UsageError("the application has no node")
    return exchange


AtExchange = Annotated[Exchange, Depends(_exchange_of)]


async def _answers_of(desk: AtDesk, exchange: AtExchange) -> PubsubAnswers:
    return PubsubAnswers(desk.node, exchange)


AtAnswers = Annotated[PubsubAnswers, Depends(_answers_of)]


@router.get("/topics")
async def list_topics(answers: AtAnswers) -> shapes.TopicsShown:
    """The topics that this node is in, with how many peers each has."""
    return shapes.TopicsShown(**answers.topics())


@router.get("/peers")
async def list_pubsub_peers(answers: AtAnswers, topic: TopicQuery = None) -> shapes.PubsubPeers:
    """Peers that speak pubsub with this node, or those of them that are in a topic."""
    return shapes.PubsubPeers(**answers.peers(topic))


@router.get("/mesh")
async def show_mesh(answers: AtAnswers, topic: TopicQuery = None) -> shapes.MeshesShown:
    """With whom this node exchanges the messages of each of its topics, or of one."""
    return shapes.MeshesShown(**answers.mesh(topic))


@router.get("/scores")
async def show_scores(answers: AtAnswers, peer: PeerQuery = None) -> shapes.ScoresShown:
    """What the score of each peer, or of one, is made of."""
    return shapes.ScoresShown(**answers.scores(peer))


@router.get("/stats")
async def show_pubsub_stats(answers: AtAnswers) -> shapes.PubsubStats:
    """Topics, peers, neighbours in all meshes together, and how often what happened since the start."""
    return shapes.PubsubStats(**answers.stats())


@router.post("/rates", response_class=StreamingResponse)
async def stream_rates(answers: AtAnswers, asked: shapes.RatesAsked) -> StreamingResponse:
    """What happens now: a line of type `rates` for each interval, with the same names as the counts of `/stats`, each per
    second."""
    return streamed(answers.rates(**asked.model_dump()))


@router.post("/publish")
async def publish(exchange: AtExchange, asked: shapes.PublishAsked) -> shapes.Published:
    """Send a message in a topic, which this node need not be in. Waits for slow peers, within
    `gossip.publish_patience_s`."""
    return shapes.Published(**await exchange.publish(**asked.model_dump()))


@router.post("/publish-many", response_class=StreamingResponse)
async def publish_many(exchange: AtExchange, asked: shapes.PublishManyAsked) -> StreamingResponse:
    """Send messages in their order: a line for each, `{"type":"published","peers":3,"size":5}`. A line of type `error`
    ends it at one that cannot be sent; those before have been."""
    return streamed(exchange.publish_many(**asked.model_dump()))


@router.post("/subscribe", response_class=StreamingResponse)
async def subscribe(exchange: AtExchange, asked: shapes.SubscribeAsked) -> StreamingResponse:
    """Messages of a topic as they come. The first line is of type `subscribed`, then lines of type `message` with topic,
    author (`from`), `received_from`, `seqno` and `id` in hexadecimal and data in base64. `lost` counts messages that a
    slow reader missed, where they are missing; `idle` comes when nothing else did for 15 seconds. The node is in the
    topic as long as somebody reads it."""
    return streamed(exchange.subscribe(**asked.model_dump()))
