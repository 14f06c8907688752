"""The exchange before a hole punch (libp2p specs, relay/DCUtR.md; digest, section 17).

Who accepted the relayed connection starts. Each end tells the addresses that others see it at; the starter takes the time
from its CONNECT to the answer as the round trip, sends SYNC, and dials half of it later, when SYNC arrives at the other
end, which then dials, too. Each of the three attempts is an exchange of its own.

Who is the initiator of what comes of it is settled beforehand: the answering end, always. The starter is the responder,
but on its last attempt an initiator, too, as go does it: that finds a peer whose listener takes the dial first.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mesh.codecs.dcutr import MAX_MESSAGE_BYTES, HolePunch, PunchType
from mesh.errors import DecodeError, Malformed, UsageError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.machine import Buffer, Role

PROTOCOL: Final = "/libp2p/dcutr"
ATTEMPTS: Final = 3
EXCHANGE_S: Final = 60.0
MAX_ADDRESSES: Final = 8
"""Told and dialled at most: what a peer names may be anybody's."""

__all__ = ["ATTEMPTS", "EXCHANGE_S", "MAX_ADDRESSES", "MAX_MESSAGE_BYTES", "PROTOCOL"]


@dataclass(frozen=True, slots=True)
class Punch:
    """Dial ``addresses`` at the instant ``at``, as ``role`` of the upgrade; ``round_trip_s`` is known to the starter."""

    addresses: tuple[Multiaddr, ...]
    role: Role
    at: float
    round_trip_s: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The exchange came to nothing."""

    cause: str


class Exchange:
    """What both ends share. ``outcome`` is set when it has ended; ``usable`` says whether an address may be dialled."""

    __slots__ = ("_deadline", "_output", "_own", "_usable", "outcome")

    def __init__(self, own: Iterable[Multiaddr], usable: Callable[[Multiaddr], bool], now: float) -> None:
        self._own = [each.to_bytes() for each in own][:MAX_ADDRESSES]
        if not self._own:
            raise UsageError("a hole punch needs an address that others see this node at")
        self._usable = usable
        self._output: list[Buffer] = []
        self._deadline = now + EXCHANGE_S
        self.outcome: Punch | Failed | None = None

    def output(self) -> list[Buffer]:
        """Messages that must leave now, each whole; empty after they were taken."""
        taken, self._output = self._output, []
        return taken

    def receive(self, data: Buffer, now: float) -> None:
        """One message of the peer."""
        if self.outcome is not None:
            raise UsageError("the exchange has ended")
        try:
            self._take(HolePunch.decode(bytes(data)), now)
        except DecodeError as error:
            self.outcome = Failed(str(error))

    def deadline(self) -> float | None:
        """When it is given up."""
        return None if self.outcome is not None else self._deadline

    def wake(self, now: float) -> None:
        """Time has passed."""
        if self.outcome is None and now >= self._deadline:
            self.outcome = Failed(f"the peer did not finish the exchange within {EXCHANGE_S:g} s")

    @abstractmethod
    def _take(self, message: HolePunch, now: float) -> None:
        """A message of the peer came."""

    def _say(self, kind: PunchType, addresses: Sequence[bytes] = ()) -> None:
        self._output.append(HolePunch(kind, list(addresses)).encode())

    def _addresses(self, message: HolePunch, expected: PunchType) -> tuple[Multiaddr, ...]:
        """What the peer offers. Raises `Malformed` for another message, or when there is nothing to dial in it."""
        if message.type is not expected:
            raise Malformed("HolePunch.type", None, f"{message.type.name} where {expected.name} was due")
        found = usable_addresses(message.obs_addrs, self._usable)
        if not found:
            offered = len(message.obs_addrs)
            raise Malformed("HolePunch.obs_addrs", None, f"none of {offered} addresses can be dialled")
        return found


class Starter(Exchange):
    """The end that accepted the relayed connection; ``attempt`` counts from 1."""

    __slots__ = ("_attempt", "_begun_at")

    def __init__(
        self, own: Iterable[Multiaddr], usable: Callable[[Multiaddr], bool], now: float, attempt: int = 1
    ) -> None:
        super().__init__(own, usable, now)
        self._attempt = attempt
        self._begun_at = now
        self._say(PunchType.CONNECT, self._own)

    @property
    def role(self) -> Role:
        """What the starter is on this attempt."""
        return Role.RESPONDER if self._attempt < ATTEMPTS else Role.INITIATOR

    def _take(self, message: HolePunch, now: float) -> None:
        addresses = self._addresses(message, PunchType.CONNECT)
        round_trip = max(0.0, now - self._begun_at)
        self._say(PunchType.SYNC)
        self.outcome = Punch(addresses, self.role, now + round_trip / 2, round_trip)


class Answerer(Exchange):
    """The end that dialled the relayed connection."""

    __slots__ = ("_addresses_of_peer",)

    def __init__(self, own: Iterable[Multiaddr], usable: Callable[[Multiaddr], bool], now: float) -> None:
        super().__init__(own, usable, now)
        self._addresses_of_peer: tuple[Multiaddr, ...] = ()

    def _take(self, message: HolePunch, now: float) -> None:
        if not self._addresses_of_peer:
            self._addresses_of_peer = self._addresses(message, PunchType.CONNECT)
            self._say(PunchType.CONNECT, self._own)
            return
        if message.type is not PunchType.SYNC:
            raise Malformed("HolePunch.type", None, f"{message.type.name} where SYNC was due")
        self.outcome = Punch(self._addresses_of_peer, Role.INITIATOR, now)


def usable_addresses(encoded: Iterable[bytes], usable: Callable[[Multiaddr], bool]) -> tuple[Multiaddr, ...]:
    """The addresses that can be read and dialled, each once, without peer ids; relayed ones never can."""
    found: dict[Multiaddr, None] = {}
    for data in encoded:
        try:
            address = Multiaddr.from_bytes(data).without_peer()
        except DecodeError:
            continue
        if address and not address.has("p2p-circuit") and usable(address):
            found[address] = None
            if len(found) == MAX_ADDRESSES:
                break
    return tuple(found)


def punch_gap_s(number: int, chance: float) -> float:
    """Rest after the ``number``-th random packet of a QUIC punch, from 0: 10 to 20 ms at first, growing to 200 ms;
    ``chance`` is 0 to 1."""
    longest = min(0.2, 0.02 * (1 + number / 4))
    return 0.01 + chance * (longest - 0.01)
