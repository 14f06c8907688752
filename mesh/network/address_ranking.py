"""In which order and how far apart a peer's addresses are tried (go-libp2p's dial ranking; RFC 8305).

Private and public addresses are two queues that start together. In each QUIC goes first and TCP, which costs a handshake
more, waits a step behind the last of them. Within a transport the first address of the preferred family starts at once,
the first one of the other family a step later, all others another step later, lowest port first: it is more likely the
one the peer listens on. Relayed addresses wait half a second while a public one is tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mesh.multiformats.ip_ranges import is_public
from mesh.multiformats.multiaddr import Multiaddr

PUBLIC_STEP_S = 0.25
PRIVATE_STEP_S = 0.03
RELAY_DELAY_S = 0.5


def rank(addresses: Iterable[Multiaddr]) -> list[tuple[float, Multiaddr]]:
    """Delay in seconds and address, soonest first; duplicates fall out."""
    private: list[Multiaddr] = []
    public: list[Multiaddr] = []
    relayed: list[Multiaddr] = []
    for address in dict.fromkeys(addresses):
        group = relayed if address.has("p2p-circuit") else public if is_public(address) else private
        group.append(address)
    ranked = [
        *_stagger(private, PRIVATE_STEP_S, 0.0),
        *_stagger(public, PUBLIC_STEP_S, 0.0),
        *_stagger(relayed, PUBLIC_STEP_S, RELAY_DELAY_S if public else 0.0),
    ]
    return sorted(ranked, key=lambda each: each[0])


def _stagger(addresses: Sequence[Multiaddr], step_s: float, start_s: float) -> list[tuple[float, Multiaddr]]:
    ranked: list[tuple[float, Multiaddr]] = []
    quic = [each for each in addresses if each.has("quic-v1")]
    others = [each for each in addresses if not each.has("quic-v1")]
    for transport in (quic, others):
        delay = start_s
        for delay, address in _by_family(transport, step_s, start_s):
            ranked.append((delay, address))
        if transport:
            start_s = delay + step_s
    return ranked


def _by_family(
    addresses: Sequence[Multiaddr], step_s: float, start_s: float
) -> list[tuple[float, Multiaddr]]:
    new = sorted((each for each in addresses if _is_v6(each)), key=_port)
    old = sorted((each for each in addresses if not _is_v6(each)), key=_port)
    first, second = (new, old) if new else (old, [])
    order = [*first[:1], *second[:1], *first[1:], *second[1:]]
    rest = 2 if second else 1
    return [(start_s + step_s * min(place, rest), address) for place, address in enumerate(order)]


def _is_v6(address: Multiaddr) -> bool:
    return address.has("ip6") or address.has("dns6")


def _port(address: Multiaddr) -> int:
    return int(address.value("udp") or address.value("tcp") or 0)
