"""What hop and stop messages mean, and how they are written (circuit-v2; libp2p digest, section 16).

Reading never raises: what cannot be read is a `Refusal` with the status to answer. go takes a hop message without a type
as RESERVE; here that is malformed, like a STATUS as request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mesh.codecs.relay import HopMessage, HopType, Peer, Reservation, Status, StopMessage, StopType
from mesh.errors import DecodeError, Malformed
from mesh.identity.peer_id import PeerId
from mesh.protocols.relay.decisions import Refusal
from mesh.protocols.relay.limit import Limit, limit_of

HOP_PROTOCOL: Final = "/libp2p/circuit/relay/0.2.0/hop"
STOP_PROTOCOL: Final = "/libp2p/circuit/relay/0.2.0/stop"
MALFORMED: Final = Refusal(Status.MALFORMED_MESSAGE, "malformed")


@dataclass(frozen=True, slots=True)
class Reserve:
    """A peer wants to be reached here."""


@dataclass(frozen=True, slots=True)
class Connect:
    """A peer wants to be connected to another."""

    target: PeerId


@dataclass(frozen=True, slots=True)
class Incoming:
    """A relay has somebody for us; ``limit`` is None when there is none."""

    source: PeerId
    limit: Limit | None


# --- towards a relay ------------------------------------------------------------------------------------------------

RESERVE: Final = HopMessage(type=HopType.RESERVE).encode()
"""The request for a reservation."""


def ask_connect(target: PeerId) -> bytes:
    """The request for a circuit."""
    return HopMessage(type=HopType.CONNECT, peer=Peer(id=target.to_bytes())).encode()


def read_hop(data: bytes) -> Reserve | Connect | Refusal:
    """What is asked of a relay."""
    try:
        message = HopMessage.decode(data)
        if message.type is HopType.RESERVE:
            return Reserve()
        if message.type is HopType.CONNECT:
            return Connect(_peer(message.peer))
    except DecodeError:
        return MALFORMED
    return Refusal(Status.MALFORMED_MESSAGE, "unexpected")


def answer_hop(status: Status, reservation: Reservation | None = None, limit: Limit | None = None) -> bytes:
    """A relay's answer."""
    return HopMessage(
        type=HopType.STATUS,
        status=status,
        reservation=reservation,
        limit=None if limit is None else limit.to_message(),
    ).encode()


def read_status(data: bytes) -> tuple[int, HopMessage]:
    """The status a relay answered, and all of it. Raises `DecodeError` for what is no answer."""
    message = HopMessage.decode(data)
    if message.type is not HopType.STATUS:
        raise Malformed("HopMessage.type", None, f"{message.type!r} where an answer was due")
    return int(message.status or Status.UNUSED), message


# --- from a relay to who reserved -----------------------------------------------------------------------------------


def ask_stop(source: PeerId, limit: Limit) -> bytes:
    """The announcement of a circuit to its target."""
    peer = Peer(id=source.to_bytes())
    return StopMessage(type=StopType.CONNECT, peer=peer, limit=limit.to_message()).encode()


def read_stop(data: bytes) -> Incoming | Refusal:
    """What a relay announces."""
    try:
        message = StopMessage.decode(data)
        if message.type is not StopType.CONNECT:
            return Refusal(Status.UNEXPECTED_MESSAGE, "unexpected")
        return Incoming(_peer(message.peer), limit_of(message.limit))
    except DecodeError:
        return MALFORMED


def answer_stop(status: Status) -> bytes:
    """The answer to an announcement."""
    return StopMessage(type=StopType.STATUS, status=status).encode()


def read_stop_status(data: bytes) -> int:
    """The status the target of a circuit answered. Raises `DecodeError` for what is no answer."""
    message = StopMessage.decode(data)
    if message.type is not StopType.STATUS:
        raise Malformed("StopMessage.type", None, f"{message.type!r} where an answer was due")
    return int(message.status or Status.UNUSED)


def status_name(status: int) -> str:
    """`NO_RESERVATION (204)`, or the number of one that is not known."""
    try:
        return f"{Status(status).name} ({status})"
    except ValueError:
        return f"status {status}"


def _peer(peer: Peer | None) -> PeerId:
    if peer is None or peer.id is None:
        raise Malformed("Peer.id", None, "missing")
    return PeerId.from_bytes(peer.id)
