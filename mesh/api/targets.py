"""How text that names a peer becomes what the node takes."""

from __future__ import annotations

from mesh.errors import DecodeError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr


def target_of(text: str) -> Multiaddr | PeerId:
    """Peer or address in a request. Raises `UsageError`."""
    try:
        return Multiaddr.parse(text) if text.startswith("/") else PeerId.parse(text)
    except DecodeError as error:
        kind = "a multiaddr" if text.startswith("/") else "a peer id or multiaddr"
        raise UsageError(f"{text!r} is not {kind}: {error}") from None


def address_of(text: str) -> Multiaddr:
    """Address in a request. Raises `UsageError`."""
    try:
        return Multiaddr.parse(text)
    except DecodeError as error:
        raise UsageError(f"{text!r} is not a multiaddr: {error}") from None


def peer_of(text: str) -> PeerId:
    """Peer in a request, by its id or an address that ends in it. Raises `UsageError`."""
    target = target_of(text)
    if isinstance(target, PeerId):
        return target
    data = target.peer_id_bytes()
    if data is None:
        raise UsageError(f"{text!r} names no peer")
    return PeerId.from_bytes(data)
