"""What goes in and out of the routes about blocks, pins and files."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from mesh.api.shapes import Asked, Text

MAX_BASE64 = 1_398_104
"""1 MiB in base64."""
LONGEST_S = 3600.0

Limit = Annotated[
    float, Field(gt=0, le=LONGEST_S, allow_inf_nan=False, description="How long peers are asked, in seconds.")
]


class CidAsked(Asked):
    cid: Annotated[Text, Field(description="Version 0 or 1, in any multibase.")]


class FetchAsked(CidAsked):
    limit_s: Limit = 60.0


class BlockAsked(Asked):
    data: Annotated[str, Field(max_length=MAX_BASE64, description="Up to 1 MiB in base64.")]
    codec: Literal["raw", "dag-pb", "dag-cbor"] = "raw"


class PinAsked(FetchAsked):
    recursive: bool = True
    name: Annotated[str, Field(max_length=255)] = ""


class PathAsked(Asked):
    path: Annotated[Text, Field(description="`CID`, or `CID/name/name`, with or without `/ipfs/` before it.")]
    limit_s: Limit = 3600.0


class BlockShown(BaseModel):
    cid: str
    size: int
    pinned: bool


class BlockPut(BaseModel):
    cid: str
    size: int


class BlockGot(BaseModel):
    cid: str
    data: str


class Removed(BaseModel):
    cid: str
    removed: bool


class PinShown(BaseModel):
    cid: str
    recursive: bool
    name: str


class PinsShown(BaseModel):
    pins: list[PinShown]


class PinPut(BaseModel):
    cid: str
    recursive: bool


class ExchangedShown(BaseModel):
    """What went between this node and a peer."""

    peer: str
    version: str
    received_blocks: int
    received_bytes: int
    sent_bytes: int
    wants: int
    latency_ms: float


class RepoShown(BaseModel):
    blocks: int
    bytes: int
    max_bytes: int
    pins: int
    exchange: bool
    seeking: list[str]
    peers: list[ExchangedShown]


class CollectedShown(BaseModel):
    removed: int
    removed_bytes: int
    kept: int
    missing: int


class EntryShown(BaseModel):
    name: str
    cid: str
    total_bytes: int


class EntriesShown(BaseModel):
    cid: str
    entries: list[EntryShown]
