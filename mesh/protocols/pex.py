"""Peer exchange: who agreed to be passed on, and who may ask how often. Only rules here, times are arguments.

A peer agrees by sending its own signed record along with a question. The table is bounded, in all and for each network
that peers come from, so that one network cannot be the whole answer; a flood pushes nobody out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mesh.codecs.pex import MAX_RECORDS
from mesh.identity.peer_id import PeerId
from mesh.protocols.allowance import Allowance

PROTOCOL_ID: Final = "/beam/pex/1.0.0"
AGREED_S: Final = 3600.0
MAX_PEERS: Final = 1000
PEERS_OF_NETWORK: Final = 32
ASK_EVERY_S: Final = 30.0
ASK_AT_ONCE: Final = 2.0
ANSWERS_PER_S: Final = 20.0
ANSWERS_AT_ONCE: Final = 60.0
MAX_TRACKED: Final = 4096

Choose = Callable[[Sequence[bytes], int], list[bytes]]


@dataclass(frozen=True, slots=True)
class _Agreed:
    envelope: bytes
    network: str
    until: float


class Acquaintances:
    """The peers that agreed. ``choose`` picks so many of a sequence at random, as `random.sample` does."""

    __slots__ = ("_agreed", "_askers", "_choose", "_everybody", "_networks")

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._agreed: dict[PeerId, _Agreed] = {}
        self._networks: dict[str, int] = {}
        self._askers: dict[PeerId, Allowance] = {}
        self._everybody = Allowance(ANSWERS_PER_S, ANSWERS_AT_ONCE)

    def __len__(self) -> int:
        return len(self._agreed)

    def may_ask(self, peer: PeerId, now: float) -> bool:
        """Whether a question is to be answered; if so it counts."""
        asker = self._askers.get(peer)
        if asker is None:
            if len(self._askers) >= MAX_TRACKED:
                self._askers = {each: kept for each, kept in self._askers.items() if not kept.full(now)}
            if len(self._askers) >= MAX_TRACKED:
                return False
            asker = self._askers[peer] = Allowance(1.0 / ASK_EVERY_S, ASK_AT_ONCE)
        return asker.take(now) and self._everybody.take(now)

    def agree(self, peer: PeerId, envelope: bytes, network: str, now: float) -> bool:
        """A peer agreed for an hour from now, with a record that has been verified. Whether there was room. An empty
        ``network`` (this machine) is not limited."""
        self.withdraw(peer)
        if len(self._agreed) >= MAX_PEERS:
            for each in [each for each, kept in self._agreed.items() if kept.until <= now]:
                self.withdraw(each)
        if len(self._agreed) >= MAX_PEERS or (network and self._networks.get(network, 0) >= PEERS_OF_NETWORK):
            return False
        self._agreed[peer] = _Agreed(envelope, network, now + AGREED_S)
        self._networks[network] = self._networks.get(network, 0) + 1
        return True

    def withdraw(self, peer: PeerId) -> None:
        """A peer agrees no more, or cannot be reached; nothing happens for an unknown one."""
        gone = self._agreed.pop(peer, None)
        if gone is not None:
            self._networks[gone.network] -= 1
            if not self._networks[gone.network]:
                del self._networks[gone.network]

    def sample(self, asker: PeerId, limit: int | None, now: float) -> list[bytes]:
        """Records for a peer that asks, at most 50, never its own."""
        known = [each.envelope for peer, each in self._agreed.items() if peer != asker and each.until > now]
        return self._choose(known, min(limit or MAX_RECORDS, MAX_RECORDS, len(known)))
