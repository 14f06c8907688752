"""Why an address could not be used, in words that say what it probably means and what to do."""

from __future__ import annotations

import errno
import os
from typing import Final

from mesh.errors import LimitError, MeshError, TimedOut, TurnedAway

OWN_LIMIT: Final = "own limit"
"""The stage of an attempt that this node refused itself."""
CONNECT: Final = "connect"
"""The stage before anything has shown that somebody is there."""
_SILENT_STREAM: Final = "it accepted the connection and sent nothing"
_SILENT_DATAGRAMS: Final = "no datagram came back: nobody listens there, or UDP is barred on the way"
_TURNED_AWAY: Final = "it had sent nothing: possibly its connection limit, so try again later"
_HINTS: Final = {
    errno.ECONNREFUSED: "nobody listens there",
    errno.ECONNRESET: _TURNED_AWAY,
    errno.ECONNABORTED: _TURNED_AWAY,
    errno.EPIPE: _TURNED_AWAY,
    errno.ENOTCONN: _TURNED_AWAY,
    errno.EMFILE: "raise the descriptor limit of this process (ulimit -n)",
    errno.ENFILE: "raise the descriptor limit of this machine",
    errno.EADDRNOTAVAIL: "no local port is free for it, or this machine has no such address",
}


def failed_connect(error: OSError) -> str:
    """The cause when there was no connection at all."""
    text = error.strerror or str(error) or type(error).__name__
    if error.errno and text.startswith("Connect call failed"):
        text = os.strerror(error.errno)
    hint = _HINTS.get(error.errno or 0)
    return f"{text}; {hint}" if hint and text == os.strerror(error.errno or 0) else text


def failed_upgrade(stage: str, error: MeshError, received_bytes: int) -> tuple[str, str]:
    """Stage and cause when the connection stood and its upgrade failed at ``stage``."""
    if isinstance(error, LimitError):
        return OWN_LIMIT, str(error)
    if isinstance(error, TurnedAway):
        return stage, f"{error}; {_TURNED_AWAY}"
    cause = str(error).removeprefix(f"{stage}: ")
    if isinstance(error, TimedOut) and not received_bytes:
        return stage, f"{cause}; {_SILENT_DATAGRAMS if stage == CONNECT else _SILENT_STREAM}"
    return stage, cause
