"""TLS alerts in words (RFC 8446, section 6)."""

from __future__ import annotations

from typing import Final

from mesh.errors import PeerError

CLOSE_NOTIFY: Final = 0

NAMES: Final = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}
_MEANINGS: Final = {
    42: "it did not accept this node's certificate",
    45: "this node's certificate is outside its period of validity there: check both clocks",
    70: "it speaks no version of TLS that this node does",
    116: "it wants a certificate",
    120: "it knows none of the muxers, and no libp2p",
}


def name_of(alert: int) -> str:
    """As the specification has it."""
    return NAMES.get(alert, f"alert {alert}")


def received(alert: int) -> PeerError:
    """The peer ended the connection with this alert."""
    meaning = f": {_MEANINGS[alert]}" if alert in _MEANINGS else ""
    return PeerError(
        f"tls: the peer sent the alert {name_of(alert)}{meaning}", protocol="tls", wire_code=alert
    )


def violated(reason: str, alert: int | None) -> PeerError:
    """The peer broke the protocol; ``alert`` is what it was sent, if anything was."""
    told = "" if alert is None else f" ({name_of(alert)})"
    return PeerError(f"tls: {reason}{told}", protocol="tls", wire_code=alert, clause="RFC 8446")
