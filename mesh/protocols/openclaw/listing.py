"""Directories that agents tell each other (section 4.2): what one heard from others, in its own name.

No stock daemon is in the topic; the form is the one that its plan names. The publisher vouches for nobody: a listing is
signed by who tells it, not by those it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mesh.errors import DecodeError, Malformed, PeerError
from mesh.identity.peer_id import PeerId
from mesh.protocols.openclaw.announcement import (
    MAX_SAID_BYTES,
    MAX_SERVICES,
    addresses_in,
    check_service,
    number_in,
)
from mesh.protocols.openclaw.json_text import read_object, write_object

README_DIRECTORY_TOPIC: Final = "/bsv-p2p/directory"
MAX_LISTED: Final = 50
"""Peers of one listing."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A peer as another heard of it; ``last_seen`` by that one's clock."""

    peer_id: str
    multiaddrs: tuple[str, ...]
    services: tuple[Mapping[str, Any], ...]
    last_seen: int


def write_listing(peers: Iterable[Listed]) -> bytes:
    """The JSON of as many as fit: 50, and 64 KiB."""
    size, texts = len(b'{"peers":[]}'), list[bytes]()
    for each in peers:
        text = write_object(
            {
                "peerId": each.peer_id,
                "multiaddrs": list(each.multiaddrs),
                "services": [dict(one) for one in each.services],
                "lastSeen": each.last_seen,
            }
        ).encode()
        if len(texts) == MAX_LISTED:
            break
        if size + len(text) + 1 <= MAX_SAID_BYTES:
            size += len(text) + 1
            texts.append(text)
    return b'{"peers":[' + b",".join(texts) + b"]}"


def read_listing(data: bytes, author: PeerId | None) -> tuple[Listed, ...]:
    """Raises `Malformed` for what is no listing, `PeerError` for one that nobody signed."""
    if author is None:
        raise PeerError("nobody signed a listing", clause="4.2")
    if len(data) > MAX_SAID_BYTES:
        raise Malformed("listing", None, f"{len(data)} bytes, at most {MAX_SAID_BYTES}")
    peers = read_object(data, "listing").get("peers")
    if not isinstance(peers, list) or len(peers) > MAX_LISTED:
        raise Malformed("listing.peers", None, f"not an array of at most {MAX_LISTED}")
    return tuple(map(_listed, peers))


def _listed(value: Any) -> Listed:
    if not isinstance(value, dict):
        raise Malformed("listing.peers", None, "no object")
    services = value.get("services")
    if not isinstance(services, list) or len(services) > MAX_SERVICES:
        raise Malformed("listing.peers.services", None, f"not an array of at most {MAX_SERVICES}")
    for each in services:
        check_service(each)
    named = value.get("peerId")
    try:
        peer = PeerId.parse(named) if isinstance(named, str) else None
    except DecodeError:
        peer = None
    if peer is None:
        raise Malformed("listing.peers.peerId", None, "no peer id")
    return Listed(str(peer), addresses_in(value), tuple(services), number_in(value, "lastSeen"))
