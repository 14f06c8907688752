"""What goes in and out of pubsub's routes, as models."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from mesh.api.shapes import MAX_COUNT, MAX_INTERVAL_MS, Asked

MAX_TOPIC = 4096
MAX_MESSAGES = 1024
MIN_INTERVAL_MS = 10

TopicText = Annotated[str, Field(min_length=1, max_length=MAX_TOPIC)]


class TopicAsked(Asked):
    topic: Annotated[TopicText, Field(description="Name of the topic, at most 4096 bytes.")]


class PublishAsked(TopicAsked):
    data: Annotated[str, Field(description="The message in base64.")]


class PublishManyAsked(TopicAsked):
    messages: Annotated[
        list[str], Field(min_length=1, max_length=MAX_MESSAGES, description="Messages in base64.")
    ]


class SubscribeAsked(TopicAsked):
    own: Annotated[bool, Field(description="Messages of this node itself too.")] = True


class RatesAsked(Asked):
    interval_ms: Annotated[float, Field(ge=MIN_INTERVAL_MS, le=MAX_INTERVAL_MS, allow_inf_nan=False)] = 1000
    count: Annotated[int, Field(ge=0, le=MAX_COUNT, description="0 goes on until the caller leaves.")] = 0


class Published(BaseModel):
    """A message was sent; ``peers`` counts those it was sent to, ``size`` its bytes before encoding."""

    topic: str
    peers: int
    size: int


class TopicShown(BaseModel):
    """A topic this node is in: connected peers in it, those of the mesh, and who reads it through this API."""

    topic: str
    peers: int
    mesh: int
    readers: int


class TopicsShown(BaseModel):
    topics: list[TopicShown]


class PubsubPeers(BaseModel):
    topic: str | None
    peers: list[str]


class MeshShown(BaseModel):
    topic: str
    peers: list[str]


class MeshesShown(BaseModel):
    meshes: list[MeshShown]


class TopicScore(BaseModel):
    """A peer's counters in a topic: P1 ``time_in_mesh_s``, P2 ``first_deliveries``, P3 lacks of ``mesh_deliveries``, P3b
    ``mesh_failure``, P4 ``invalid``; ``score`` is what they come to, weighted."""

    topic: str
    score: float
    in_mesh: bool
    time_in_mesh_s: float
    first_deliveries: float
    mesh_deliveries: float
    mesh_deliveries_active: bool
    mesh_failure: float
    invalid: float


class PeerScore(BaseModel):
    """``score`` is the sum of ``topics_score`` (P1 to P4), ``application_score`` (P5), ``ip_colocation_score`` (P6) and
    ``behaviour_score`` (P7, of the counter ``behaviour``)."""

    peer: str
    score: float
    topics_score: float
    application_score: float
    ip_colocation_score: float
    behaviour_score: float
    behaviour: float
    topics: list[TopicScore]


class ScoresShown(BaseModel):
    peers: list[PeerScore]


class PubsubStats(BaseModel):
    topics: int
    peers: int
    mesh_peers: int
    counts: dict[str, int]
