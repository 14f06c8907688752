"""`/openclaw/ping/1.0.0`: one frame there, one back on the same stream (section 5.2)."""

from __future__ import annotations

from typing import Any, Final

from mesh.errors import DecodeError, Malformed, PeerError
from mesh.identity.peer_id import PeerId
from mesh.protocols.openclaw.json_text import read_object, write_object

PROTOCOL_ID: Final = "/openclaw/ping/1.0.0"
MAX_PING_BYTES: Final = 64 * 1024
"""Ours: a stock daemon reads 4 MiB, and answers with as much."""


def write_ping(ts: int) -> bytes:
    """The question; ``ts`` comes back."""
    return write_object({"type": "ping", "ts": ts}).encode()


def answer(ping: bytes, own: PeerId, now_ms: int) -> bytes:
    """What is answered: the `ts` of the question, else its `timestamp`, comes back. Raises `Malformed` for no object."""
    asked = read_object(ping, "ping")
    echoed: Any = asked.get("ts")
    if echoed is None:
        echoed = asked.get("timestamp")
    pong = {"type": "pong", "timestamp": now_ms, "from": str(own)}
    return write_object(pong if echoed is None else {**pong, "inResponseTo": echoed}).encode()


def check_pong(pong: bytes, ts: int, peer: PeerId) -> None:
    """Whether it answers the question asked with ``ts``. Raises `PeerError`."""
    try:
        found = read_object(pong, "pong")
        if found.get("type") != "pong" or found.get("inResponseTo") != ts:
            raise Malformed("pong", None, "not the answer to this ping")
    except DecodeError as error:
        raise PeerError(f"{peer} answered the ping wrongly: {error}", protocol=PROTOCOL_ID) from None
