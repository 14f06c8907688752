"""What agents say in the topics: announcements and node status (sections 4.1 and 4.3), written and read.

The sender of either is the author of the pubsub message, whose signature pubsub has checked; one in another's name is
forged. A stock daemon does not look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mesh.errors import DecodeError, Malformed, PeerError
from mesh.identity.peer_id import PeerId
from mesh.protocols.openclaw.json_text import read_object, write_object

ANNOUNCE_TOPIC: Final = "/openclaw/announce/1.0.0"
STATUS_TOPIC: Final = "/openclaw/node-status/1.0.0"
README_ANNOUNCE_TOPIC: Final = "/bsv-p2p/announcements"
README_STATUS_TOPIC: Final = "node_status"
"""What the README of the stock daemon calls them; no stock daemon is there."""
MAX_SAID_BYTES: Final = 64 * 1024
MAX_SERVICES: Final = 64
MAX_ADDRESSES: Final = 64
MAX_ADDRESS_CHARACTERS: Final = 1024
MAX_ID_CHARACTERS: Final = 128
MAX_TEXT_CHARACTERS: Final = 4096
MAX_MS: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Announcement:
    """Who offers what where. ``services`` are objects as they came, each with an id and a name. ``attestation`` is the
    compact form, unchecked, or empty."""

    peer_id: str
    bsv_identity_key: str
    services: tuple[Mapping[str, Any], ...]
    multiaddrs: tuple[str, ...]
    timestamp: int
    attestation: str = ""

    def encode(self) -> bytes:
        """The JSON, keys in the order of stock daemons; `signature` is always empty there."""
        document: dict[str, Any] = {
            "peerId": self.peer_id,
            "bsvIdentityKey": self.bsv_identity_key,
            "services": [dict(each) for each in self.services],
            "multiaddrs": list(self.multiaddrs),
            "timestamp": self.timestamp,
            "signature": "",
        }
        if self.attestation:
            document["attestation"] = self.attestation
        return write_object(document).encode()


@dataclass(frozen=True, slots=True)
class Status:
    """What a node says of itself every minute. ``uptime`` in whole seconds."""

    peer_id: str
    name: str
    multiaddrs: tuple[str, ...]
    services: tuple[str, ...]
    version: str
    uptime: int
    connected_peers: int
    timestamp: int

    def encode(self) -> bytes:
        """The JSON, keys in the order of stock daemons."""
        document = {
            "peerId": self.peer_id,
            "name": self.name,
            "multiaddrs": list(self.multiaddrs),
            "services": list(self.services),
            "version": self.version,
            "uptime": self.uptime,
            "connectedPeers": self.connected_peers,
            "timestamp": self.timestamp,
        }
        return write_object(document).encode()


def read_announcement(data: bytes, author: PeerId | None) -> Announcement:
    """Raises `Malformed` for what is no announcement, `PeerError` for one in another's name than its ``author``'s."""
    found = _read(data, "announcement", author)
    services = found.get("services")
    if not isinstance(services, list) or len(services) > MAX_SERVICES:
        raise Malformed("announcement.services", None, f"not an array of at most {MAX_SERVICES}")
    for each in services:
        check_service(each)
    return Announcement(
        str(author),
        _text(found, "bsvIdentityKey", MAX_ID_CHARACTERS),
        tuple(services),
        addresses_in(found),
        number_in(found, "timestamp"),
        _text(found, "attestation", MAX_TEXT_CHARACTERS),
    )


def read_status(data: bytes, author: PeerId | None) -> Status:
    """Raises `Malformed` for what is no node status, `PeerError` for one in another's name than its ``author``'s."""
    found = _read(data, "node status", author)
    return Status(
        str(author),
        _text(found, "name", MAX_TEXT_CHARACTERS)[:256],
        addresses_in(found),
        _texts(found, "services", MAX_SERVICES, MAX_ID_CHARACTERS),
        _text(found, "version", MAX_ID_CHARACTERS),
        number_in(found, "uptime"),
        number_in(found, "connectedPeers"),
        number_in(found, "timestamp"),
    )


def _read(data: bytes, what: str, author: PeerId | None) -> dict[str, Any]:
    if len(data) > MAX_SAID_BYTES:
        raise Malformed(what, None, f"{len(data)} bytes, at most {MAX_SAID_BYTES}")
    found = read_object(data, what)
    named = found.get("peerId")
    try:
        peer = PeerId.parse(named) if isinstance(named, str) else None
    except DecodeError:
        peer = None
    if peer is None:
        raise Malformed(f"{what}.peerId", None, "no peer id")
    if peer != author:
        raise PeerError(f"{author or 'nobody'} sent a {what} in the name of {peer}", clause="4.1")
    return found


def check_service(value: Any) -> None:
    """Whether it is an object with an id and a name. Raises `Malformed`."""
    if not isinstance(value, dict):
        raise Malformed("announcement.services", None, "no object")
    for name, most in (("id", MAX_ID_CHARACTERS), ("name", MAX_TEXT_CHARACTERS)):
        text = value.get(name)
        if not isinstance(text, str) or not 0 < len(text) <= most:
            raise Malformed(f"announcement.services.{name}", None, f"not a text of 1 to {most} characters")


def addresses_in(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Its `multiaddrs`, at most 64. Raises `Malformed`."""
    return _texts(found, "multiaddrs", MAX_ADDRESSES, MAX_ADDRESS_CHARACTERS)


def _texts(found: Mapping[str, Any], name: str, most: int, characters: int) -> tuple[str, ...]:
    values: Sequence[Any] = found.get(name) or ()
    fits = isinstance(values, list | tuple) and len(values) <= most
    if not fits or any(not isinstance(each, str) or len(each) > characters for each in values):
        raise Malformed(name, None, f"not an array of at most {most} texts")
    return tuple(values)


def _text(found: Mapping[str, Any], name: str, most: int) -> str:
    value = found.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > most:
        raise Malformed(name, None, f"not a text of at most {most} characters")
    return value


def number_in(found: Mapping[str, Any], name: str) -> int:
    """A whole number of 0 or more, a fraction cut off. Raises `Malformed`."""
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_MS:
        raise Malformed(name, None, "no number of 0 or more")
    return int(value)
