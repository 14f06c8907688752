"""UEPS packets to handlers by intent, behind the threat circuit breaker (section 14).

The breaker is one comparison with each packet's own score: it keeps no state and remembers no peer. Dropped packets are
counted; nothing is sent back.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, Generic, TypeVar

from mesh.codecs.ueps import THREAT_LIMIT
from mesh.errors import PeerError, UsageError
from mesh.protocols.lethean.ueps import Packet

PROTOCOL: Final = "ueps"
ResultT = TypeVar("ResultT")


class Dropped(Enum):
    """Why a packet reached no handler."""

    THREAT = "threat"
    UNKNOWN_INTENT = "unknown-intent"


class PacketDropped(PeerError):  # noqa: N818 - what became of it
    """A packet reached no handler; `cause` says why."""

    code = "packet-dropped"

    def __init__(self, message: str, cause: Dropped) -> None:
        super().__init__(message, protocol=PROTOCOL)
        self.cause = cause


class Dispatcher(Generic[ResultT]):
    """One handler for an intent; registering again replaces it. Handlers give a result or raise."""

    __slots__ = ("_handlers", "dispatched", "dropped")

    def __init__(self) -> None:
        self._handlers: dict[int, Callable[[Packet], ResultT]] = {}
        self.dispatched = 0
        self.dropped = dict.fromkeys(Dropped, 0)

    def register(self, intent: int, handler: Callable[[Packet], ResultT]) -> None:
        """From now on, packets of this intent go to `handler`. Raises UsageError for what no intent can be."""
        if not 0 <= intent <= 255:
            raise UsageError(f"an intent has 8 bits, {intent} does not fit")
        self._handlers[intent] = handler

    def dispatch(self, packet: Packet | None) -> ResultT:
        """The result of the packet's handler. Raises PacketDropped, or what the handler raises."""
        if packet is None:
            raise UsageError("nil packet")
        if packet.threat_score > THREAT_LIMIT:
            raise self._drop(
                f"packet rejected: threat score exceeds safety threshold ({THREAT_LIMIT})", Dropped.THREAT
            )
        handler = self._handlers.get(packet.intent)
        if handler is None:
            raise self._drop("packet dropped: unknown intent", Dropped.UNKNOWN_INTENT)
        self.dispatched += 1
        return handler(packet)

    def _drop(self, message: str, cause: Dropped) -> PacketDropped:
        self.dropped[cause] += 1
        return PacketDropped(message, cause)
