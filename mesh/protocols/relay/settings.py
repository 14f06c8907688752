"""Limits of a relay; but for the number of reservations the defaults are go's (libp2p digest, section 16)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mesh.protocols.relay.limit import Limit

CIRCUIT: Final = Limit(120, 128 * 1024)


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds. A peer has one reservation; asking again renews it. IPv6 networks are counted by /56."""

    max_reservations: int = 100
    reservation_s: float = 3600.0
    max_reservations_per_ip: int = 8
    max_circuits_per_peer: int = 16
    """Whichever end of them the peer is."""
    circuit: Limit = CIRCUIT
    """Of each circuit."""
