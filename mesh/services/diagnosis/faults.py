"""What an error of this process means for a diagnosis."""

from __future__ import annotations

import errno
from typing import Final

from mesh.codecs.relay import Status
from mesh.errors import (
    DialError,
    DialFailure,
    LimitError,
    Malformed,
    PeerError,
    ProtocolNotSupported,
    RelayRefused,
    TurnedAway,
    WrongPeer,
)
from mesh.identity.certificate import Alert
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.circuit.addresses import is_relayed
from mesh.network.quic.endings import FIRST_ALERT
from mesh.protocols.diagnosis import Attempt, Fault

_STATUSES: Final[dict[int, Fault]] = {
    Status.RESERVATION_REFUSED: Fault.RELAY_FULL,
    Status.RESOURCE_LIMIT_EXCEEDED: Fault.CIRCUITS_FULL,
    Status.NO_RESERVATION: Fault.NO_RESERVATION,
}
_NUMBERS: Final = {
    errno.ECONNREFUSED: Fault.REFUSED,
    errno.ENETUNREACH: Fault.NO_ROUTE,
    errno.ENETDOWN: Fault.NO_ROUTE,
    errno.EADDRNOTAVAIL: Fault.NO_ROUTE,
    errno.EHOSTUNREACH: Fault.SILENT,
    errno.EHOSTDOWN: Fault.SILENT,
    errno.ETIMEDOUT: Fault.SILENT,
    errno.EPERM: Fault.OTHER,
}
_EXPIRED_CODES: Final = {
    "tls": (Alert.CERTIFICATE_EXPIRED,),
    "quic-v1": (Alert.CERTIFICATE_EXPIRED, FIRST_ALERT + Alert.CERTIFICATE_EXPIRED),
}
EXPIRED_FIELD: Final = "Reservation.expire"
MAX_SAID: Final = 300


def fault_of(error: BaseException | None) -> tuple[Fault, str]:
    """The fault, and what was found instead: a peer's id, or the setting of a limit."""
    while error is not None:
        if isinstance(error, WrongPeer):
            return Fault.WRONG_PEER, error.found
        if isinstance(error, LimitError):
            return Fault.OWN_LIMIT, error.key
        if isinstance(error, RelayRefused):
            return _STATUSES.get(error.wire_code or 0, Fault.OTHER), ""
        if isinstance(error, ProtocolNotSupported):
            return Fault.NOT_A_RELAY, ""
        if _is_out_of_time(error):
            return Fault.EXPIRED, ""
        if isinstance(error, DialError):
            return _fault_of_relay(error)
        if isinstance(error, OSError) and error.errno in _NUMBERS:
            return _NUMBERS[error.errno], ""
        if isinstance(error, TurnedAway):
            return Fault.OTHER, ""
        if isinstance(error, TimeoutError):
            return Fault.SILENT, ""
        error = error.__cause__
    return Fault.OTHER, ""


def _is_out_of_time(error: BaseException) -> bool:
    """Whether the clocks of both ends disagree: over a reservation, or over a certificate, whoever says so."""
    if isinstance(error, Malformed):
        return error.field == EXPIRED_FIELD
    return isinstance(error, PeerError) and error.wire_code in _EXPIRED_CODES.get(error.protocol, ())


def _fault_of_relay(error: DialError) -> tuple[Fault, str]:
    """The relay itself was dialled in vain."""
    inner = [fault_of(each.error) for each in error.failures]
    telling = (Fault.WRONG_PEER, Fault.OWN_LIMIT, Fault.EXPIRED)
    wrong = [each for each in inner if each[0] in telling]
    if wrong:
        return wrong[0]
    return Fault.RELAY_UNREACHED, ""


def read_failure(failure: DialFailure) -> Attempt:
    """A failed dial of one address."""
    fault, found = fault_of(failure.error)
    if failure.stage == "resolve":
        fault = Fault.NO_ADDRESS
    elif failure.error is None and failure.stage in ("connect", "waiting for its turn"):
        fault = Fault.SILENT
    said = f"{failure.stage}: {failure.cause}".replace("\n", " ")[:MAX_SAID]
    return attempt_at(Multiaddr.parse(failure.address), fault, said, found)


def attempt_at(address: Multiaddr, fault: Fault, said: str = "", found: str = "") -> Attempt:
    """An attempt at an address."""
    transport = (
        "circuit"
        if is_relayed(address)
        else "quic"
        if address.has("quic-v1")
        else "tcp"
        if address.has("tcp")
        else ""
    )
    family = next((each for each in ("ip4", "ip6") if address.has(each)), "")
    return Attempt(str(address), transport, family, fault, said, found)
