"""What goes in and out of the routes about replicated mappings."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from mesh.api.block_shapes import MAX_BASE64
from mesh.api.pubsub_shapes import TopicText
from mesh.api.shapes import MAX_COUNT, Asked

MAX_KEY = 4096

KeyText = Annotated[str, Field(min_length=1, max_length=MAX_KEY)]


class MappingAsked(Asked):
    topic: Annotated[
        TopicText, Field(description="Topic of the mapping; this node is a replica from then on.")
    ]


class KeyAsked(MappingAsked):
    key: Annotated[KeyText, Field(description="A path; its leading slash may be left out.")]


class ValueAsked(KeyAsked):
    value: Annotated[str, Field(max_length=MAX_BASE64, description="Up to 1 MiB in base64.")]


class PrefixAsked(MappingAsked):
    prefix: Annotated[KeyText, Field(description="Entries at and below it.")] = "/"


class WatchAsked(PrefixAsked):
    count: Annotated[int, Field(ge=0, le=MAX_COUNT, description="0 goes on until the caller leaves.")] = 0


class ValueShown(BaseModel):
    topic: str
    key: str
    value: str


class EntryPut(BaseModel):
    """``changed`` is false for a value that the key had already: that makes no node."""

    topic: str
    key: str
    changed: bool


class EntryDeleted(BaseModel):
    topic: str
    key: str
    deleted: bool


class HeadShown(BaseModel):
    cid: str
    height: int


class MappingShown(BaseModel):
    """How far a replica is: ``behind`` counts nodes that it knows to be missing."""

    topic: str
    heads: list[HeadShown]
    behind: int
    peers: int
    counts: dict[str, int]
