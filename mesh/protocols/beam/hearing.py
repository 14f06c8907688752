"""What of gossip is listened to: by whom it was handed on, who signed it, and how much there is of it (Beam digest,
section 4).

A neighbour may hand on `GOSSIP_PER_S` messages a second, an origin may say `ORIGIN_PER_S`, whoever hands its words on: a
flood of valid messages would otherwise be passed on by everybody, and each would take the next one for the flooder. For
the same reason nobody sends a neighbour more than `SENT_SHARE` of what that one listens to (`Pace`). An origin that goes
on saying too much loses its score, and with too little of that left nothing of it is passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mesh.errors import DecodeError
from mesh.identity.peer_id import PeerId
from mesh.protocols.allowance import Allowance
from mesh.protocols.beam.abuse import GOSSIP_BURST, GOSSIP_PER_S, AbuseWatch
from mesh.protocols.beam.gossip_message import GossipMessage, open_message

ORIGIN_PER_S: Final = 2.0
ORIGIN_BURST: Final = 100.0
MAX_ORIGINS: Final = 4096
MAX_PACED: Final = 1024
SENT_SHARE: Final = 0.8


class Judgement(Enum):
    """Of one message; the value is what it is counted as."""

    NEW = "new"
    REPEATED = "repeated"
    FLOODED = "flooded"
    FORGED = "forged"
    STALE = "stale"
    EXCESSIVE = "excessive"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Heard:
    """What was made of a message; it is there where it is new."""

    judgement: Judgement
    message: GossipMessage | None = None
    cause: str = ""


_NO_NEWS: Final = {each: Heard(each) for each in Judgement}


class Hearing:
    """Of the node ``own``. ``opener`` verifies and reads an envelope, as `open_message` does."""

    def __init__(
        self,
        own: PeerId,
        abuse: AbuseWatch,
        opener: Callable[[bytes], GossipMessage] = open_message,
    ) -> None:
        self._own = own
        self._abuse = abuse
        self._open = opener
        self._origins: dict[PeerId, Allowance] = {}

    def admits(self, peer: PeerId, now: float) -> bool:
        """Whether a neighbour is listened to at all."""
        return self._abuse.admits(peer, now)

    def admitted(self, peers: Iterable[PeerId], now: float) -> list[PeerId]:
        """Those of many that are listened to."""
        if not self._abuse.muted:
            return list(peers)
        return [each for each in peers if self._abuse.admits(each, now)]

    def room(self, peer: PeerId, size: int, now: float) -> bool:
        """Whether one more message of a neighbour, of so many bytes, is looked at."""
        return self._abuse.message(peer, size, now)

    def judge(self, peer: PeerId, envelope: bytes, known: bool, now: float, now_s: float) -> Heard:
        """A message for which there was `room`; ``known`` says that it came before. ``now_s`` is Unix time."""
        if known:
            return _NO_NEWS[Judgement.REPEATED]
        try:
            message = self._open(envelope)
        except DecodeError as error:
            self._abuse.bad_record(peer, now)
            return Heard(Judgement.FORGED, cause=str(error))
        if not message.fresh(now_s):
            return _NO_NEWS[Judgement.STALE]
        if message.origin == self._own:
            return _NO_NEWS[Judgement.OWN]
        admitted = self._abuse.admits(message.origin, now)
        if not admitted or not self._allowance(message.origin, now).take(now):
            self._abuse.unheard(message.origin, now)
            return _NO_NEWS[Judgement.EXCESSIVE]
        self._abuse.signed(message.origin, len(envelope), now)
        return Heard(Judgement.NEW, message)

    def _allowance(self, origin: PeerId, now: float) -> Allowance:
        held = self._origins.pop(origin, None)
        if held is None:
            held = Allowance(ORIGIN_PER_S, ORIGIN_BURST)
            if len(self._origins) >= MAX_ORIGINS:
                self._forget(now)
        self._origins[origin] = held
        return held

    def _forget(self, now: float) -> None:
        """Those of whom nothing is remembered, or the one heard of least lately."""
        self._origins = {peer: each for peer, each in self._origins.items() if not each.full(now)}
        if len(self._origins) >= MAX_ORIGINS:
            del self._origins[next(iter(self._origins))]


class Pace:
    """How much is sent to each neighbour."""

    def __init__(self) -> None:
        self._sent: dict[PeerId, Allowance] = {}

    def room(self, peer: PeerId, now: float) -> int:
        """Messages that may be sent to a neighbour now."""
        return int(self._of(peer).left(now))

    def take(self, peer: PeerId, count: int, now: float) -> bool:
        """Whether so many may be sent now; if so they count."""
        allowance = self._of(peer)
        if count == 1:
            return allowance.take(now)
        if allowance.left(now) < count:
            return False
        for _ in range(count):
            allowance.take(now)
        return True

    def _of(self, peer: PeerId) -> Allowance:
        held = self._sent.get(peer)
        if held is None:
            if len(self._sent) >= MAX_PACED:
                del self._sent[next(iter(self._sent))]
            held = self._sent[peer] = Allowance(GOSSIP_PER_S * SENT_SHARE, GOSSIP_BURST * SENT_SHARE)
        return held
