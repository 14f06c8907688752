"""What the parts of the agent daemon tell each other: messages, peers, services, states, events.

Frozen values with the words of the daemon's JSON: `document` gives a record's JSON object, key order and spelling as
stock daemons write it (bsv-p2p daemon specification, sections 2.1, 4 and 6). Instants are milliseconds since 1970; 0 is
never. A peer is named by the text of its id here, since rows of stock daemons also hold texts that are no id (`unknown`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

MAX_MESSAGE_BYTES: Final = 1024 * 1024
"""Of a message's JSON, as stock daemons take it (section 5.1)."""
MAX_ID_CHARACTERS: Final = 128
"""Of the id of a message or of a service."""
MAX_NAME_CHARACTERS: Final = 256
MAX_NOTES_CHARACTERS: Final = 16 * 1024
MAX_TAGS: Final = 64
MAX_TAG_CHARACTERS: Final = 64
MAX_SERVICES: Final = 64
"""Of one peer."""
MAX_ADDRESSES: Final = 64
"""Of one peer."""
MAX_SATS: Final = 21_000_000 * 100_000_000


class Direction(StrEnum):
    """Whose message it is."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class DeliveryState(StrEnum):
    """How far a message is known to have come, in the order in which it gets there."""

    QUEUED = "queued"
    """In the outbox; it will be tried again."""
    SENT = "sent"
    """Written to a stream of a stock daemon, which proves nothing more."""
    STORED = "stored"
    """The receiver's transaction is committed."""
    DELIVERED = "delivered"
    """The receiver's receipt is durable at the sender."""
    INVOKED = "invoked"
    """The agent's hook answered 2xx, or its command exited 0."""
    RESUMED = "resumed"
    """The agent itself said that it has the message."""
    ANSWERED = "answered"
    """A reply that names the message is stored."""
    DEAD = "dead"
    """Given up after the configured number of attempts; kept as a dead letter."""


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """A message of the log (section 6.2). ``id`` is its row, ``message_id`` the id in its envelope (empty for rows of
    stock logs), ``timestamp`` when it was logged, ``sent_at`` its sender's clock (0 unknown). ``read`` is for inbound."""

    id: int
    peer_id: str
    direction: Direction
    content: str
    message_type: str
    timestamp: int
    peer_name: str | None = None
    session_id: str | None = None
    metadata: str | None = None
    message_id: str = ""
    sent_at: int = 0
    state: DeliveryState = DeliveryState.STORED
    read: bool = False

    def document(self) -> dict[str, Any]:
        """`MessageRecord` of section 2.1, and after it ours: messageId, state, read."""
        return {
            "id": self.id,
            "peerId": self.peer_id,
            "peerName": self.peer_name,
            "direction": self.direction.value,
            "content": self.content,
            "messageType": self.message_type,
            "timestamp": self.timestamp,
            "sessionId": self.session_id,
            "metadata": self.metadata,
            "messageId": self.message_id or None,
            "state": self.state.value,
            "read": self.read,
        }


@dataclass(frozen=True, slots=True)
class Conversation:
    """All messages with one peer, in short."""

    peer_id: str
    peer_name: str | None
    last_message: str
    last_timestamp: int
    message_count: int
    unread_count: int

    def document(self) -> dict[str, Any]:
        return {
            "peerId": self.peer_id,
            "peerName": self.peer_name,
            "lastMessage": self.last_message,
            "lastTimestamp": self.last_timestamp,
            "messageCount": self.message_count,
            "unreadCount": self.unread_count,
        }


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """A service that an agent offers (section 2.1). ``more`` are the keys that we do not know, passed on as they came."""

    id: str
    name: str
    price: int | float
    currency: str
    description: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        described = {} if self.description is None else {"description": self.description}
        known = {
            "id": self.id,
            "name": self.name,
            **described,
            "price": self.price,
            "currency": self.currency,
        }
        return {**known, **self.more}


@dataclass(frozen=True, slots=True)
class TrackedPeer:
    """A peer of the address book (section 6.1). ``totals`` are satoshis that payment messages named, nothing checked."""

    peer_id: str
    name: str
    first_seen: int
    last_seen: int = 0
    last_connected: int = 0
    last_disconnected: int = 0
    is_online: bool = False
    messages_sent: int = 0
    messages_received: int = 0
    payments_sent: int = 0
    payments_received: int = 0
    total_sats_sent: int = 0
    total_sats_received: int = 0
    services: tuple[str, ...] = ()
    multiaddrs: tuple[str, ...] = ()
    notes: str = ""
    tags: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        return {
            "peerId": self.peer_id,
            "name": self.name,
            "lastSeen": self.last_seen,
            "firstSeen": self.first_seen,
            "lastConnected": self.last_connected,
            "lastDisconnected": self.last_disconnected,
            "isOnline": self.is_online,
            "messagesSent": self.messages_sent,
            "messagesReceived": self.messages_received,
            "paymentsSent": self.payments_sent,
            "paymentsReceived": self.payments_received,
            "totalSatsSent": self.total_sats_sent,
            "totalSatsReceived": self.total_sats_received,
            "services": list(self.services),
            "multiaddrs": list(self.multiaddrs),
            "notes": self.notes,
            "tags": list(self.tags),
        }


@dataclass(frozen=True, slots=True)
class FoundPeer:
    """A peer of the directory: what its last announcement said (section 4.1). ``last_seen`` is by our clock.
    ``attested``: the BSV key vouches for the peer id, with a signature that holds (section 7.2). ``heard_from`` is who
    told of it, where that is hearsay (section 4.2); empty for what it said itself."""

    peer_id: str
    multiaddrs: tuple[str, ...]
    services: tuple[ServiceInfo, ...]
    bsv_identity_key: str
    last_seen: int
    attested: bool = False
    heard_from: str = ""

    def document(self) -> dict[str, Any]:
        return {
            "peerId": self.peer_id,
            "multiaddrs": list(self.multiaddrs),
            "services": [each.document() for each in self.services],
            "bsvIdentityKey": self.bsv_identity_key,
            "lastSeen": self.last_seen,
            **({"attested": True} if self.attested else {}),
            **({"heardFrom": self.heard_from} if self.heard_from else {}),
        }


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What an agent says of itself every minute (section 4.3). ``uptime`` in whole seconds."""

    peer_id: str
    name: str
    multiaddrs: tuple[str, ...]
    services: tuple[str, ...]
    version: str
    uptime: int
    connected_peers: int
    timestamp: int

    def document(self) -> dict[str, Any]:
        return {
            "peerId": self.peer_id,
            "name": self.name,
            "multiaddrs": list(self.multiaddrs),
            "services": list(self.services),
            "version": self.version,
            "uptime": self.uptime,
            "connectedPeers": self.connected_peers,
            "timestamp": self.timestamp,
        }


@dataclass(frozen=True, slots=True)
class Accepted:
    """What becomes of a message handed to `Agent.send`: its id, and how far it came before the call returned."""

    message_id: str
    peer_id: str
    state: DeliveryState


# -- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MessageLogged:
    """A message was committed to the log, inbound or outbound."""

    record: MessageRecord


@dataclass(frozen=True, slots=True)
class DeliveryChanged:
    """A message of ours came further."""

    message_id: str
    peer_id: str
    state: DeliveryState
    at: int


@dataclass(frozen=True, slots=True)
class PeerChanged:
    """A peer of the address book came, went, or was changed."""

    peer: TrackedPeer


@dataclass(frozen=True, slots=True)
class DirectoryChanged:
    """An announcement was taken, or an entry expired (``found`` is None then)."""

    peer_id: str
    found: FoundPeer | None


AgentEvent = MessageLogged | DeliveryChanged | PeerChanged | DirectoryChanged
