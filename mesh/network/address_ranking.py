"""In which order and how far apart a peer's addresses are tried (go-libp2p's dial ranking; RFC 8305).

Private and loopback addresses go at once. Public ones start a quarter of a second apart, QUIC before TCP and IPv6 before
IPv4, so that the better path wins when both work. Relayed addresses wait another half second behind everything direct.
"""

from __future__ import annotations

from collections.abc import Iterable

from mesh.multiformats.ip_ranges import is_public
from mesh.multiformats.multiaddr import Multiaddr

STEP_S = 0.25
RELAY_DELAY_S = 0.5


def rank(addresses: Iterable[Multiaddr]) -> list[tuple[float, Multiaddr]]:
    """Delay in seconds and address, soonest first; duplicates fall out."""
    near: list[Multiaddr] = []
    public: list[Multiaddr] = []
    relayed: list[Multiaddr] = []
    for address in dict.fromkeys(addresses):
        kind = relayed if address.has("p2p-circuit") else public if is_public(address) else near
        kind.append(address)
    ranked = [(0.0, address) for address in sorted(near, key=_preference)]
    ranked += [(STEP_S * place, address) for place, address in enumerate(sorted(public, key=_preference))]
    behind = (ranked[-1][0] + RELAY_DELAY_S) if ranked else 0.0
    ranked += [(behind + STEP_S * place, address) for place, address in enumerate(relayed)]
    return ranked


def _preference(address: Multiaddr) -> tuple[bool, bool]:
    return not address.has("quic-v1"), not (address.has("ip6") or address.has("dns6"))
