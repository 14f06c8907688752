"""How qh3's core says that a connection is over, in the words of `Termination`."""

from __future__ import annotations

from typing import Any, Final

from mesh.network.quic.engine import Termination

ENDINGS: Final = frozenset({"peer_closed", "protocol_error", "connection_terminated"})
"""The kinds of event that tell of an end; more than one may come."""


def read_ending(event: tuple[Any, ...]) -> Termination:
    """What an event of these kinds says. The core has no field for idleness and resets: it is told by the rest."""
    if event[0] == "peer_closed":
        _, application, code, _, reason = event
        return Termination(code, reason.decode("utf-8", "replace"), application, by_peer=True)
    if event[0] == "protocol_error":
        return Termination(event[1], event[3], False, by_peer=False)
    _, code, frame, reason = event
    if reason == b"Idle timeout":
        return Termination(0, "nothing came from the peer for too long", False, by_peer=False, idle=True)
    if (code, frame, reason) == (0, None, b""):
        return Termination(0, "the peer no longer knows this connection", False, by_peer=True, reset=True)
    return Termination(code, reason.decode("utf-8", "replace"), False, by_peer=False)
