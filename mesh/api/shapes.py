"""What goes in and out of the control API, as models: they check requests and make the OpenAPI document."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mesh.services.perf import MAX_TRANSFER_BYTES

MAX_TEXT = 2048
MAX_COUNT = 1_000_000
MAX_INTERVAL_MS = 3_600_000

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


class Asked(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class AddressAsked(Asked):
    addr: Annotated[Text, Field(description="Multiaddr, or the peer id of a known peer.")]


class PeerAsked(Asked):
    peer: Annotated[Text, Field(description="Peer id.")]


class TargetAsked(Asked):
    target: Annotated[Text, Field(description="Multiaddr or peer id.")]


class BootstrapAsked(Asked):
    addr: Annotated[Text, Field(description="Multiaddr, best with the peer id at its end.")]


class RuleAsked(Asked):
    rule: Annotated[Text, Field(description="Peer id, IP address, network or *.")]


class DenialAsked(RuleAsked):
    reason: Annotated[str, Field(max_length=256, description="Why, to be listed with the rule.")] = ""


class PingAsked(TargetAsked):
    count: Annotated[int, Field(ge=0, le=MAX_COUNT, description="0 goes on until the caller leaves.")] = 4
    interval_ms: Annotated[float, Field(ge=0, le=MAX_INTERVAL_MS, allow_inf_nan=False)] = 1000


class PerfAsked(TargetAsked):
    upload_bytes: Annotated[int, Field(ge=0, le=MAX_TRANSFER_BYTES)] = 0
    download_bytes: Annotated[int, Field(ge=0, le=MAX_TRANSFER_BYTES)] = 0


class Identity(BaseModel):
    peer_id: str
    agent_version: str
    protocol_version: str
    addrs: list[str]
    protocols: list[str]


class ConnectedPeer(BaseModel):
    """One connection."""

    peer: str
    addr: str
    dir: str
    transport: str
    security: str
    muxer: str
    streams: int
    rtt_ms: float | None
    age_s: float
    agent_version: str


class ConnectedPeers(BaseModel):
    peers: list[ConnectedPeer]


class Connected(BaseModel):
    peer: str
    addr: str
    dir: str


class Disconnected(BaseModel):
    peer: str
    connections: int


class KnownPeer(BaseModel):
    peer: str
    addrs: list[str]


class Addresses(BaseModel):
    own: list[str]
    listening: list[str]
    known: list[KnownPeer]


class LimitedScope(BaseModel):
    """What a scope holds and may hold; a limit that is absent does not apply."""

    scope: str
    used: dict[str, int]
    limit: dict[str, int]


class Refusals(BaseModel):
    """How often a limit refused, and its value at the latest of them."""

    scope: str
    resource: str
    count: int
    limit: int


class LimitsShown(BaseModel):
    scopes: list[LimitedScope]
    refusals: list[Refusals]


class RuleShown(BaseModel):
    rule: str
    allowed: bool
    reason: str = ""


class RulesShown(BaseModel):
    rules: list[RuleShown]


class RuleMade(BaseModel):
    rule: str
    closed_connections: int = 0


class BootstrapShown(BaseModel):
    """A peer of the list; ``failures`` counts those in a row, ``failure`` says why the last one failed."""

    addr: str
    peer: str | None
    connected: bool
    reached: bool
    failures: int
    failure: str
    next_try_s: float | None


class BootstrapList(BaseModel):
    peers: list[BootstrapShown]


class PeerTold(BaseModel):
    """What a peer said of itself."""

    peer_id: str
    protocol_version: str
    agent_version: str
    observed_addr: str | None
    listen_addrs: list[str]
    protocols: list[str]
    signed_record: bool


class LoopLagShown(BaseModel):
    p99_ms: float
    max_ms: float


class Stats(BaseModel):
    uptime_s: float
    peers: int
    connections: int
    inbound: int
    outbound: int
    streams: int
    held_bytes: int
    held_peak_bytes: int
    held_limit_bytes: int
    loop_lag: LoopLagShown
    counters: dict[str, int]


class Health(BaseModel):
    status: str
    version: str
