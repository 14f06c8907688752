"""The nonces a client gave out, and what a dial-back proves (libp2p autonat specification, version 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mesh.multiformats.multiaddr import Multiaddr
from mesh.multiformats.multiaddr_table import IP4, IP6

MAX_NONCES: Final = 64
_HOSTS: Final = (IP4, IP6)


@dataclass(slots=True)
class Issued:
    """One request: its addresses, and where its nonce arrived (`arrived` is empty until then)."""

    addresses: tuple[Multiaddr, ...]
    arrived: Multiaddr | None = None


class Nonces:
    """Requests under way by nonce."""

    __slots__ = ("_issued",)

    def __init__(self) -> None:
        self._issued: dict[int, Issued] = {}

    def __len__(self) -> int:
        return len(self._issued)

    def issue(self, nonce: int, addresses: Sequence[Multiaddr]) -> Issued:
        """A request with this nonce begins; the oldest is given up when too many are under way."""
        if len(self._issued) >= MAX_NONCES:
            del self._issued[next(iter(self._issued))]
        issued = self._issued[nonce] = Issued(tuple(addresses))
        return issued

    def arrive(self, nonce: int, local: Multiaddr) -> Issued | None:
        """A nonce was told on a connection whose own end is ``local``; its request, or None for a nonce that was never
        given out, has come already, or came to a socket that is none of those asked about."""
        issued = self._issued.get(nonce)
        if issued is None or issued.arrived is not None:
            return None
        if not any(is_expected(local, each) for each in issued.addresses):
            return None
        issued.arrived = local
        return issued

    def forget(self, nonce: int) -> None:
        """The request is over."""
        self._issued.pop(nonce, None)


def is_expected(local: Multiaddr, asked: Multiaddr) -> bool:
    """Whether a dial to ``asked`` can come in at ``local``: hosts and ports may differ, as behind a NAT, but not the
    transports, nor the family where both are numeric."""
    ours, theirs = local.components, asked.components
    if [each.code for each in ours[1:]] != [each.code for each in theirs[1:]]:
        return False
    if not ours or not theirs:
        return False
    return ours[0].code == theirs[0].code or theirs[0].code not in _HOSTS
