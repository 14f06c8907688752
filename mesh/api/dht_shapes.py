"""What goes in and out of the DHT's routes, as models."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from mesh.api.shapes import Asked, Text

MAX_PROVIDERS = 10_000
MAX_QUORUM = 1000

Hex = Annotated[bool, Field(description="The key is given in hexadecimal, byte by byte.")]


class ContentAsked(Asked):
    key: Annotated[Text, Field(description="CID, or multihash in hexadecimal or base58.")]


class ProvidersAsked(ContentAsked):
    count: Annotated[int, Field(ge=0, le=MAX_PROVIDERS, description="At most this many; 0 is all.")] = 20


class LookupAsked(Asked):
    key: Annotated[Text, Field(description="Peer id, CID, multihash, or /namespace/rest.")]
    hex: Hex = False


class ValueAsked(Asked):
    key: Annotated[Text, Field(description="/namespace/rest; a peer id or name behind /pk/ and /ipns/.")]
    hex: Hex = False


class GetAsked(ValueAsked):
    quorum: Annotated[
        int, Field(ge=0, le=MAX_QUORUM, description="End after this many further values; 0 asks everybody.")
    ] = 0


class PutAsked(ValueAsked):
    value: Annotated[str, Field(description="The value in base64.")]


class PeerWhere(BaseModel):
    """Where a peer is; ``connected`` says that it was reached."""

    peer: str
    addrs: list[str]
    connected: bool


class NearPeer(BaseModel):
    """A peer that answered; ``prefix_length`` is how many leading bits its key shares with the one looked up."""

    peer: str
    prefix_length: int
    addrs: list[str]


class ClosestPeers(BaseModel):
    key: str
    peers: list[NearPeer]


class Refusal(BaseModel):
    peer: str
    cause: str


class Written(BaseModel):
    """Who took it when the answer was given; ``reached`` says that a majority of those asked did."""

    key: str
    asked: int
    accepted: list[str]
    refused: list[Refusal]
    reached: bool


class Withdrawn(BaseModel):
    key: str


class ValueGot(BaseModel):
    """A value; ``encoding`` is always base64, ``size`` counts bytes before encoding."""

    key: str
    value: str
    encoding: str
    size: int


class TableEntry(BaseModel):
    """A member; ``useful_age_s`` is the time since it last answered a request, null before the first answer."""

    peer: str
    addrs: list[str]
    connected: bool
    age_s: float
    useful_age_s: float | None
    failures: int


class Bucket(BaseModel):
    """Members that share ``prefix_length`` leading bits with this node; ``number`` is 255 less that."""

    prefix_length: int
    number: int
    failing: int
    stale: int
    entries: list[TableEntry]
    replacements: list[str]


class TableShown(BaseModel):
    size: int
    buckets: list[Bucket]


class Held(BaseModel):
    """Entries in a store, and what others have of them."""

    held: int
    of_others: int
    bytes_of_others: int


class DhtStatus(BaseModel):
    """``mode`` is what the node is now, ``setting`` what was configured."""

    mode: str
    setting: str
    protocol: str
    addresses: str
    table_size: int
    buckets: int
    network_rtt_ms: float | None
    values: Held
    providers: Held


class Refreshed(BaseModel):
    table_size: int
