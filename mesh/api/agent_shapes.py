"""What goes in and out of the agent API, as models: they check requests and make the OpenAPI document.

Names and spelling are those of the stock daemon (section 2.1); what it does not have stands behind.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from mesh.api.agent_answers import AgentAsked
from mesh.apps.agent.records import (
    MAX_ID_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_NOTES_CHARACTERS,
    MAX_SATS,
    MAX_TAG_CHARACTERS,
    MAX_TAGS,
)

MAX_ADDRESS_CHARACTERS = 1024
MAX_MS = 2**53 - 1
DEFAULT_WAIT_MS = 3000
MAX_WAIT_MS = 60_000

Address = Annotated[
    str, Field(max_length=MAX_ADDRESS_CHARACTERS, description="Multiaddr that is dialled first.")
]
PeerText = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS, description="Peer id.")]
Wait = Annotated[
    int,
    Field(
        ge=0, le=MAX_WAIT_MS, description="How long to wait for the message to leave before answering 202."
    ),
]


class NameAsked(AgentAsked):
    refusal: ClassVar[str] = "Missing name field"
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]


class NotesAsked(AgentAsked):
    refusal: ClassVar[str] = "Missing notes field"
    notes: Annotated[str, Field(max_length=MAX_NOTES_CHARACTERS)]


class TagsAsked(AgentAsked):
    refusal: ClassVar[str] = "Tags must be an array"
    tags: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_TAG_CHARACTERS)]], Field(max_length=MAX_TAGS)
    ]


class SendAsked(AgentAsked):
    refusal: ClassVar[str] = "Missing peerId or message"
    peerId: PeerText
    message: Annotated[str, Field(min_length=1)]
    multiaddr: Address | None = None
    replyTo: Annotated[str, Field(max_length=MAX_ID_CHARACTERS)] | None = None
    waitMs: Wait = DEFAULT_WAIT_MS


class PayAsked(AgentAsked):
    refusal: ClassVar[str] = "Missing required fields: peerId, txid, amount, toAddress"
    peerId: PeerText
    txid: Annotated[str, Field(min_length=1, max_length=128)]
    amount: Annotated[int, Field(ge=0, le=MAX_SATS, description="Satoshis.")]
    toAddress: Annotated[str, Field(min_length=1, max_length=128)]
    vout: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    beef: str | None = None
    memo: str | None = None
    multiaddr: Address | None = None
    waitMs: Wait = DEFAULT_WAIT_MS


class RequestAsked(AgentAsked):
    refusal: ClassVar[str] = "Missing peerId or service"
    peerId: PeerText
    service: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]
    params: dict[str, Any] = Field(default_factory=dict)
    timeoutMs: Annotated[int, Field(ge=1, le=600_000)] = 30_000
    multiaddr: Address | None = None


class RespondAsked(AgentAsked):
    refusal: ClassVar[str] = "Missing peerId or requestId"
    peerId: PeerText
    requestId: Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]
    result: Any = None
    error: Annotated[str, Field(min_length=1)] | None = None
    waitMs: Wait = DEFAULT_WAIT_MS


class ConnectAsked(AgentAsked):
    refusal: ClassVar[str] = "Missing multiaddr"
    multiaddr: Annotated[
        str,
        Field(
            min_length=1, max_length=MAX_ADDRESS_CHARACTERS, description="Multiaddr, or a known peer's id."
        ),
    ]


class ReadAsked(AgentAsked):
    upTo: (
        Annotated[int, Field(ge=-MAX_MS, le=MAX_MS, description="Row of the last message to mark.")] | None
    ) = None
    read: bool = True


class ResumedAsked(AgentAsked):
    refusal: ClassVar[str] = "Missing token"
    token: Annotated[str, Field(min_length=1, max_length=512)]


class ServiceAsked(BaseModel):
    """What the stock daemon takes, or what its README shows: name and `pricing.baseSatoshis` without an id."""

    model_config = ConfigDict(extra="allow")
    id: Annotated[str, Field(max_length=MAX_ID_CHARACTERS)] | None = None
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]
    description: str | None = None
    price: Annotated[float, Field(ge=0, le=MAX_SATS, description="Satoshis.")] | None = None
    currency: Annotated[str, Field(min_length=1, max_length=32)] | None = None


# -- answers ---------------------------------------------------------------------------------------------------------


class Fault(BaseModel):
    error: str


class Status(BaseModel):
    peerId: str
    relayAddress: str | None
    isHealthy: bool
    connectedPeers: int
    relayConnected: bool
    relayReservation: bool
    uptime: int
    startTime: int
    name: str
    version: str


class HealthShape(BaseModel):
    isHealthy: bool
    peerId: str
    relayConnected: bool
    relayReservationActive: bool
    relayAddress: str | None
    connectedPeers: int
    uptime: int
    lastCheck: str
    errors: list[str]


class Name(BaseModel):
    name: str


class Done(BaseModel):
    """Something was done; further fields repeat what was asked."""

    model_config = ConfigDict(extra="allow")
    success: Literal[True]


class PeerOnly(BaseModel):
    peerId: str


class Peers(BaseModel):
    peers: list[PeerOnly]


class TrackedPeerShape(BaseModel):
    peerId: str
    name: str
    lastSeen: int
    firstSeen: int
    lastConnected: int
    lastDisconnected: int
    isOnline: bool
    messagesSent: int
    messagesReceived: int
    paymentsSent: int
    paymentsReceived: int
    totalSatsSent: int
    totalSatsReceived: int
    services: list[str]
    multiaddrs: list[str]
    notes: str
    tags: list[str]


class TrackedPeers(BaseModel):
    peers: list[TrackedPeerShape]


class ServiceShape(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: str
    name: str
    price: float
    currency: str
    description: str | None = None


class Services(BaseModel):
    services: list[ServiceShape]
    count: int


class FoundPeerShape(BaseModel):
    peerId: str
    multiaddrs: list[str]
    services: list[ServiceShape]
    bsvIdentityKey: str
    lastSeen: int
    attested: bool = False
    heardFrom: str = ""


class Discovered(BaseModel):
    peers: list[FoundPeerShape]
    query: dict[str, str]
    total: int


class Wakes(BaseModel):
    channel: str
    waiting: int
    done: int
    givenUp: int
    repeatedCalls: int


class DiscoveryStats(BaseModel):
    knownPeers: int
    registeredServices: int
    isRunning: bool


class NodeStatusShape(BaseModel):
    peerId: str
    name: str
    multiaddrs: list[str]
    services: list[str]
    version: str
    uptime: int
    connectedPeers: int
    timestamp: int


class NetworkStatusShape(BaseModel):
    self: NodeStatusShape
    peers: list[NodeStatusShape]
    lastBroadcast: int | None


class Sent(BaseModel):
    """``state`` is queued in a 202: the peer was not reached yet, and will be tried again."""

    model_config = ConfigDict(extra="allow")
    success: Literal[True]
    messageId: str
    state: str


class Answered(BaseModel):
    success: bool
    result: Any
    error: str | None


class MessageShape(BaseModel):
    id: int
    peerId: str
    peerName: str | None
    direction: Literal["inbound", "outbound"]
    content: str
    messageType: str
    timestamp: int
    sessionId: str | None
    metadata: str | None
    messageId: str | None
    state: str
    read: bool


class Messages(BaseModel):
    """``total`` is at least that much unless ``totalExact``."""

    messages: list[MessageShape]
    total: int
    limit: int
    offset: int
    totalExact: bool


class PeerMessages(BaseModel):
    messages: list[MessageShape]
    total: int
    peerId: str
    peerName: str | None


class ConversationShape(BaseModel):
    peerId: str
    peerName: str | None
    lastMessage: str
    lastTimestamp: int
    messageCount: int
    unreadCount: int


class Conversations(BaseModel):
    conversations: list[ConversationShape]


class PeerCount(BaseModel):
    peerId: str
    peerName: str | None
    count: int


class DayCount(BaseModel):
    date: str
    count: int


class MessageStats(BaseModel):
    totalMessages: int
    totalInbound: int
    totalOutbound: int
    uniquePeers: int
    messagesByPeer: list[PeerCount]
    messagesByDay: list[DayCount]
    totalUnread: int


class StepShape(BaseModel):
    at: int
    what: str
    detail: str
    signedBy: str | None


class WayShape(BaseModel):
    messageId: str
    peerId: str
    direction: Literal["inbound", "outbound"]
    state: str
    size: int
    attempts: int
    nextTry: int | None
    waitsFor: str | None
    steps: list[StepShape]


class Ways(BaseModel):
    messageId: str
    ways: list[WayShape]
