"""What a relay granted, checked (circuit-v2, reservation)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mesh.codecs.relay import HopMessage, Status
from mesh.errors import DecodeError, Malformed, RelayRefused
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.relay.limit import Limit, limit_of
from mesh.protocols.relay.requests import HOP_PROTOCOL, read_status, status_name
from mesh.protocols.relay.vouchers import check_voucher

MAX_RESERVATION_S: Final = 7 * 86400
"""A reservation is not believed to last longer, whatever the relay says."""
MAX_ADDRESSES: Final = 16


@dataclass(frozen=True, slots=True)
class Grant:
    """A reservation: ``expires_at`` in seconds of Unix time, ``addresses`` of the relay without its id, its own choice;
    ``limit`` of connections through it, None when there is none."""

    expires_at: int
    addresses: tuple[Multiaddr, ...]
    limit: Limit | None


def read_grant(data: bytes, relay: PeerId, own: PeerId, now: float) -> Grant:
    """A relay's answer to RESERVE; ``now`` is Unix time.

    Raises `RelayRefused` with the status of a refusal, `DecodeError` for an answer that is none, lacks the reservation,
    has expired, or holds a voucher that is not this relay's for us.
    """
    status, message = read_status(data)
    if status != Status.OK:
        raise RelayRefused(
            f"{relay} refused a reservation: {status_name(status)}", protocol=HOP_PROTOCOL, wire_code=status
        )
    reservation = message.reservation
    if reservation is None or reservation.expire is None:
        raise Malformed("HopMessage.reservation", None, "missing in a grant")
    if reservation.expire <= now:
        raise Malformed("Reservation.expire", None, "has passed")
    if reservation.voucher is not None:
        check_voucher(reservation.voucher, relay, own, reservation.expire)
    expires_at = min(reservation.expire, int(now) + MAX_RESERVATION_S)
    return Grant(expires_at, _addresses(message, relay), limit_of(message.limit))


def _addresses(message: HopMessage, relay: PeerId) -> tuple[Multiaddr, ...]:
    """The direct addresses of that relay; others are left out."""
    found: dict[Multiaddr, None] = {}
    assert message.reservation is not None
    for data in message.reservation.addrs:
        try:
            address = Multiaddr.from_bytes(data)
        except DecodeError:
            continue
        named = address.peer_id_bytes()
        bare = address.without_peer()
        if named in (None, relay.to_bytes()) and bare and not bare.has("p2p-circuit"):
            found[bare] = None
    return tuple(found)[:MAX_ADDRESSES]
