"""Addresses of circuits: `<address of a relay>/p2p/<relay>/p2p-circuit`, and `/p2p/<target>` behind it."""

from __future__ import annotations

from mesh.errors import DecodeError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr

CIRCUIT = Multiaddr.parse("/p2p-circuit")


def is_relayed(address: Multiaddr) -> bool:
    """Whether it leads through a relay."""
    return address.has("p2p-circuit")


def split_circuit(address: Multiaddr) -> tuple[PeerId, Multiaddr] | None:
    """The relay and its own address (empty where only its id is given); None for what leads through no relay, or through
    more than one."""
    parts = address.without_peer().components
    if not parts or parts[-1].name != "p2p-circuit" or sum(each.name == "p2p-circuit" for each in parts) > 1:
        return None
    front = address.decapsulate("p2p-circuit")
    data = front.peer_id_bytes()
    if data is None or front.components[-1].name != "p2p":
        return None
    try:
        return PeerId.from_bytes(data), front.without_peer()
    except DecodeError:
        return None


def circuit_address(relay: PeerId, address: Multiaddr) -> Multiaddr:
    """Where peers are reached through a relay that is at ``address``."""
    return address.without_peer() / f"/p2p/{relay}" / CIRCUIT
