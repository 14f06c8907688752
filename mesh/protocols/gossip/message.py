"""A message on its way through the router."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from mesh.codecs.gossip import Message

PeerT = TypeVar("PeerT")

MessageIdFunction = Callable[[Message], bytes]
"""Must be the same at every peer of a topic, and give an id for whatever message without raising."""


class Verdict(Enum):
    """What validation says of a message."""

    ACCEPT = "accept"
    IGNORE = "ignore"
    """Not passed on; its sender did nothing wrong."""
    REJECT = "reject"
    """Not passed on, and counted against its sender (P4)."""


class PartSupport(Enum):
    """What a node does with parts of messages in a topic (1.3, partial messages)."""

    NONE = "none"
    SENDS = "sends"
    """Sends parts to who asks for them, and wants whole messages itself."""
    WANTS = "wants"
    """Wants parts instead of whole messages, and sends them."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one peer is sent of a group: ``message`` are parts, only for a peer that asked for them, ``metadata`` says
    what the sender has and wants. Empty is nothing."""

    message: bytes = b""
    metadata: bytes = b""


@dataclass(slots=True, eq=False)
class Incoming(Generic[PeerT]):
    """A message as it came: ``wire`` is the encoded `Message`, which is passed on unchanged."""

    source: PeerT
    """Who sent it here, not who wrote it."""
    message: Message
    wire: bytes
    id: bytes
    author: PeerT | None = None
    """Who wrote it, when that is somebody the router's owner knows."""
    copies: dict[PeerT, None] | None = None
    """Other peers that sent the same bytes while it was being verified."""
    signed_bytes: int = 0
    """How many bytes of ``wire``, from the first on, are signed; 0 when that has to be found out."""


def default_id(message: Message) -> bytes:
    """Author and sequence number: the specification's default. Useless where messages have neither (NO_SIGN)."""
    return (message.sender or b"") + (message.seqno or b"")
