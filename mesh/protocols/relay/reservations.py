"""A relay's books: who holds a reservation until when, and who takes part in how many circuits.

When all places are taken, whoever comes from a network with fewer of them gets one of the network that has most, where
that has at least two more: so a few addresses that hoard, each within its limit, keep nobody out.

Times are seconds of any one clock. A reservation ends with its time or with the peer's last connection (`release`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from mesh.identity.peer_id import PeerId
from mesh.protocols.relay.decisions import (
    CONNECT_RULES,
    FULL,
    RESERVE_RULES,
    ConnectFacts,
    Refusal,
    ReserveFacts,
    decide,
)
from mesh.protocols.relay.settings import Settings

_HOST_BITS6: Final = 128 - 56


@dataclass(frozen=True, slots=True)
class Circuit:
    """A place taken by one circuit; `Reservations.end` gives it back."""

    source: PeerId
    target: PeerId


@dataclass(slots=True)
class _Reservation:
    network: int | None
    expires_at: float


class Reservations:
    """The books of the relay ``own``. Each call first lets go of what has expired. ``displaced`` are peers whose
    reservation gave way to another's, for who keeps the books to take."""

    __slots__ = ("_circuits", "_networks", "_own", "_reserved", "closing", "displaced", "settings")

    def __init__(self, own: PeerId, settings: Settings) -> None:
        self._own = own
        self.settings = settings
        self._reserved: dict[PeerId, _Reservation] = {}
        self._networks: Counter[int] = Counter()
        self._circuits: Counter[PeerId] = Counter()
        self.displaced: list[PeerId] = []
        self.closing = False
        """Whether everything is refused from now on."""

    def __len__(self) -> int:
        return len(self._reserved)

    @property
    def circuits(self) -> int:
        """Circuits now."""
        return self._circuits.total() // 2

    def expires_at(self, peer: PeerId, now: float) -> float | None:
        """Until when a peer's reservation lasts; None when there is none."""
        held = self._reserved.get(peer)
        return held.expires_at if held is not None and held.expires_at > now else None

    def reserve(self, peer: PeerId, ip: str | None, now: float, *, relayed: bool = False) -> float | Refusal:
        """Grant or renew: the instant it expires, or why not. A refused renewal leaves what is held as it was.

        ``ip`` is the address the peer is connected from, ``relayed`` that its connection is a circuit itself.
        """
        self.expire(now)
        held, network = self._reserved.get(peer), _network(ip)
        of_ip = self._networks[network] if network is not None else 0
        if held is not None and held.network == network and network is not None:
            of_ip -= 1
        facts = ReserveFacts(relayed, self.closing, len(self._reserved) - (held is not None), of_ip)
        refusal = decide(RESERVE_RULES, facts, self.settings)
        if refusal is not None and refusal.reason == FULL and of_ip < self.settings.max_reservations_per_ip:
            refusal = None if self._make_room(network) else refusal
        if refusal is not None:
            return refusal
        self.release(peer)
        expires_at = now + self.settings.reservation_s
        self._reserved[peer] = _Reservation(network, expires_at)
        if network is not None:
            self._networks[network] += 1
        return expires_at

    def _make_room(self, network: int | None) -> bool:
        """End the newest reservation of the network that has most, of a peer without circuits if there is one; whether
        it has so many more than ``network`` that this is fair."""
        if network is None or not self._networks:
            return False
        most, count = self._networks.most_common(1)[0]
        if count < self._networks[network] + 2:
            return False
        of_most = [peer for peer, held in self._reserved.items() if held.network == most]
        idle = [peer for peer in of_most if not self._circuits[peer]]
        chosen = (idle or of_most)[-1]
        self.release(chosen)
        self.displaced.append(chosen)
        return True

    def release(self, peer: PeerId) -> bool:
        """The peer has gone; whether it held a reservation. Its circuits end by themselves."""
        held = self._reserved.pop(peer, None)
        if held is None:
            return False
        network = held.network
        if network is not None:
            self._networks[network] -= 1
            if not self._networks[network]:
                del self._networks[network]
        return True

    def expire(self, now: float) -> list[PeerId]:
        """Let go of what is over; whose that was. Renewed ones stand at the end, so the oldest come first."""
        over = []
        for peer, held in self._reserved.items():
            if held.expires_at > now:
                break
            over.append(peer)
        for peer in over:
            self.release(peer)
        return over

    def deadline(self) -> float | None:
        """When the next reservation expires."""
        return next((each.expires_at for each in self._reserved.values()), None)

    def connect(
        self, source: PeerId, target: PeerId, now: float, *, relayed: bool = False
    ) -> Circuit | Refusal:
        """A place for a circuit from ``source`` to ``target``, or why there is none."""
        self.expire(now)
        facts = ConnectFacts(
            relayed=relayed,
            closing=self.closing,
            own=target in (source, self._own),
            reserved=target in self._reserved,
            circuits_of_source=self._circuits[source],
            circuits_of_target=self._circuits[target],
        )
        refusal = decide(CONNECT_RULES, facts, self.settings)
        if refusal is not None:
            return refusal
        self._circuits[source] += 1
        self._circuits[target] += 1
        return Circuit(source, target)

    def end(self, circuit: Circuit) -> None:
        """A circuit that `connect` granted is over; to be called once."""
        for peer in (circuit.source, circuit.target):
            self._circuits[peer] -= 1
            if not self._circuits[peer]:
                del self._circuits[peer]


def _network(ip: str | None) -> int | None:
    """What reservations are counted by: an IPv4 address, also mapped into IPv6, or a /56. IPv6 ones are negative."""
    if ip is None:
        return None
    address = ip_address(ip)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return int(address.ipv4_mapped)
        return -1 - (int(address) >> _HOST_BITS6)
    return int(address)
