"""Rendezvous: what a point accepts, and how its answers go on (libp2p specs, rendezvous/README.md). Only rules here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mesh.codecs.rendezvous import MAX_NAMESPACE_BYTES, MAX_RECORD_BYTES, MAX_REGISTRATIONS, Status
from mesh.errors import DecodeError, PeerError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.identity.peer_record import PeerRecord, open_peer_record

PROTOCOL_ID: Final = "/rendezvous/1.0.0"
DEFAULT_TTL_S: Final = 2 * 3600
LEAST_TTL_S: Final = 2 * 3600
LONGEST_TTL_S: Final = 72 * 3600
MAX_ANSWER_BYTES: Final = 900_000
"""Of registrations in one answer; with the rest it stays below what anybody reads."""
_SEQ_BYTES: Final = 8


class Refusal(PeerError):  # noqa: N818 - a condition, as the code names it
    """The point refuses; ``wire_code`` is the `Status` to answer with, or that was answered."""

    code = "rendezvous-refused"

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text, protocol=PROTOCOL_ID, wire_code=int(status))


@dataclass(frozen=True, slots=True)
class Registration:
    """A peer under a namespace. ``expires_at`` is in Unix seconds; ``seq`` grows with every registration of a point."""

    namespace: str
    peer: PeerId
    envelope: bytes
    expires_at: float
    seq: int

    @property
    def size(self) -> int:
        """Bytes it takes in an answer, nearly."""
        return len(self.envelope) + len(self.namespace.encode()) + 24


def check_namespace(namespace: str, *, all_of_them: bool = False) -> str:
    """The namespace. Raises `Refusal` when it is empty (unless ``all_of_them``) or longer than 255 bytes."""
    if not namespace and not all_of_them:
        raise Refusal(Status.INVALID_NAMESPACE, "no namespace is given")
    if (size := len(namespace.encode())) > MAX_NAMESPACE_BYTES:
        raise Refusal(
            Status.INVALID_NAMESPACE, f"the namespace has {size} bytes, more than {MAX_NAMESPACE_BYTES}"
        )
    return namespace


def granted_ttl(wanted_s: int | None) -> int:
    """Seconds a registration lasts: 2 hours unless said otherwise. Raises `Refusal` below 2 or above 72 hours."""
    if not wanted_s:
        return DEFAULT_TTL_S
    if not LEAST_TTL_S <= wanted_s <= LONGEST_TTL_S:
        raise Refusal(
            Status.INVALID_TTL, f"{wanted_s} s is not between {LEAST_TTL_S} and {LONGEST_TTL_S} seconds"
        )
    return wanted_s


def check_record(envelope: bytes | None, sender: PeerId) -> PeerRecord:
    """The record inside. Raises `Refusal` when its signature is wrong or it is not about the sender."""
    if not envelope or len(envelope) > MAX_RECORD_BYTES:
        raise Refusal(Status.INVALID_SIGNED_PEER_RECORD, "no signed peer record is given")
    try:
        record = open_peer_record(envelope)
    except DecodeError as error:
        raise Refusal(Status.INVALID_SIGNED_PEER_RECORD, str(error)) from None
    if record.peer_id != sender:
        raise Refusal(Status.NOT_AUTHORIZED, f"the record is about {record.peer_id}, not about the sender")
    if not record.addresses:
        raise Refusal(Status.INVALID_SIGNED_PEER_RECORD, "the record has no address")
    return record


def answer_limit(wanted: int | None) -> int:
    """Registrations in one answer at most."""
    return min(wanted or MAX_REGISTRATIONS, MAX_REGISTRATIONS)


def make_cookie(seq: int, namespace: str) -> bytes:
    """What resumes after the registration with this number."""
    return seq.to_bytes(_SEQ_BYTES, "big") + namespace.encode()


def read_cookie(cookie: bytes | None, namespace: str, newest: int) -> int:
    """The number after which to go on; 0 without a cookie. Raises `Refusal` for one of another namespace, or that this
    point cannot have given, since its newest registration is ``newest``."""
    if not cookie:
        return 0
    seq = int.from_bytes(cookie[:_SEQ_BYTES], "big")
    if len(cookie) < _SEQ_BYTES or cookie[_SEQ_BYTES:] != namespace.encode() or seq > newest:
        raise Refusal(Status.INVALID_COOKIE, "the cookie is not one of this point for this namespace")
    return seq


def fitting(registrations: Iterable[Registration], limit: int) -> list[Registration]:
    """The first ones, as many as one answer takes."""
    found: list[Registration] = []
    size = 0
    for each in registrations:
        size += each.size
        if len(found) >= limit or size > MAX_ANSWER_BYTES:
            break
        found.append(each)
    return found


def check_usage(namespace: str, ttl_s: int | None = None, *, all_of_them: bool = False) -> None:
    """What a point would refuse, refused before it is asked. Raises `UsageError`."""
    try:
        check_namespace(namespace, all_of_them=all_of_them)
        granted_ttl(ttl_s)
    except Refusal as refusal:
        raise UsageError(str(refusal)) from None
