"""What the end of a QUIC connection means, both ways: codes to errors, and errors to codes.

Codes of the application are libp2p's (error codes specification), those of the transport RFC 9000 section 20.1; 0x100 and
up carry a TLS alert (RFC 9001 section 4.8).
"""

from __future__ import annotations

import os
from typing import Final

from mesh.errors import Closed, LimitError, MeshError, NetworkError, PeerError, TimedOut, TurnedAway
from mesh.network.gater import Denied
from mesh.network.quic.engine import Termination

NONE: Final = 0
RESOURCE_LIMIT: Final = 0x1001
PROTOCOL_VIOLATION: Final = 0x1003
SHUTDOWN: Final = 0x1006
GATED: Final = 0x1007
CONNECTION_REFUSED: Final = 0x2
APPLICATION_ERROR: Final = 0xC
"""What an application's code becomes before its packets can be read (RFC 9000 section 10.2.3)."""
FIRST_ALERT: Final = 0x100
BAD_CERTIFICATE: Final = 42

_APPLICATION: Final = {
    NONE: "",
    0x1000: "protocol negotiation failed",
    RESOURCE_LIMIT: "resource limit",
    0x1002: "rate limited",
    PROTOCOL_VIOLATION: "protocol violation",
    0x1004: "supplanted by another connection",
    0x1005: "garbage collected",
    SHUTDOWN: "shutting down",
    GATED: "gated",
}
_TRANSPORT: Final = {
    0x0: "no error",
    0x1: "internal error",
    CONNECTION_REFUSED: "connection refused",
    0x3: "flow control error",
    0x4: "stream limit error",
    0x5: "stream state error",
    0x6: "final size error",
    0x7: "frame encoding error",
    0x8: "transport parameter error",
    0x9: "connection id limit error",
    0xA: "protocol violation",
    0xB: "invalid token",
    APPLICATION_ERROR: "application error",
    0xD: "crypto buffer exceeded",
    0xE: "key update error",
    0xF: "AEAD limit reached",
    0x10: "no viable path",
    FIRST_ALERT + 10: "TLS alert: unexpected message",
    FIRST_ALERT + 40: "TLS alert: handshake failure",
    FIRST_ALERT + BAD_CERTIFICATE: "TLS alert: bad certificate",
    FIRST_ALERT + 43: "TLS alert: unsupported certificate",
    FIRST_ALERT + 45: "TLS alert: certificate expired",
    FIRST_ALERT + 46: "TLS alert: certificate unknown",
    FIRST_ALERT + 47: "TLS alert: illegal parameter",
    FIRST_ALERT + 48: "TLS alert: unknown authority",
    FIRST_ALERT + 50: "TLS alert: decode error",
    FIRST_ALERT + 51: "TLS alert: decrypt error",
    FIRST_ALERT + 70: "TLS alert: protocol version",
    FIRST_ALERT + 80: "TLS alert: internal error",
    FIRST_ALERT + 109: "TLS alert: missing extension",
    FIRST_ALERT + 116: "TLS alert: certificate required",
    FIRST_ALERT + 120: "TLS alert: no application protocol in common",
}
_TURNS_AWAY: Final = frozenset((RESOURCE_LIMIT, 0x1002, SHUTDOWN, GATED))


def error_of(how: Termination, stage: str) -> MeshError:
    """The error that tells how a connection ended while it was at ``stage``."""
    during = "" if stage == "established" else f" during {stage}"
    if how.idle:
        return TimedOut(f"quic: the peer was silent for too long{during}")
    if how.reset:
        return Closed("quic: the peer no longer knows this connection (stateless reset)")
    table = _APPLICATION if how.application else _TRANSPORT
    meaning = table.get(how.code, "")
    said = ", ".join(each for each in (meaning, how.reason) if each)
    text = f" with code {how.code:#x} ({said})" if how.code else f" ({said})" if how.reason else ""
    if how.application and how.by_peer:
        if during and how.code in _TURNS_AWAY:
            return TurnedAway(f"the peer closed the connection{during}{text}")
        return Closed(f"the peer closed the connection{during}{text}")
    if how.by_peer and not how.application and how.code in (CONNECTION_REFUSED, APPLICATION_ERROR):
        return TurnedAway(f"the peer refused the connection{during}")
    who = "the peer" if how.by_peer else "this side"
    return PeerError(
        f"quic: {who} ended the connection{during}{text}",
        protocol="quic-v1",
        wire_code=how.code,
        clause="RFC 9000",
    )


def error_of_network(error: OSError) -> NetworkError:
    """What an ICMP error about the peer's address means."""
    text = os.strerror(error.errno) if error.errno else str(error)
    failure = NetworkError(f"{text}; nobody listens there, or the way is barred")
    failure.__cause__ = error
    return failure


def close_code(error: MeshError) -> int:
    """The application's code to close with because of ``error``."""
    if isinstance(error, LimitError):
        return RESOURCE_LIMIT
    if isinstance(error, Denied):
        return GATED
    if isinstance(error, PeerError):
        return PROTOCOL_VIOLATION
    return NONE
