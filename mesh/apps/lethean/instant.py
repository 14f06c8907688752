"""The clocks and the randomness of a live node, in the forms that the mesh's machines take."""

from __future__ import annotations

import secrets
import time
import uuid

from mesh.protocols.lethean.timestamp import format_timestamp

NONCE_BYTES = 24


def stamp() -> str:
    """The time now as the text of a message."""
    return format_timestamp(time.time_ns())


def unix_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def message_id() -> str:
    """A fresh UUID of version 4."""
    return str(uuid.uuid4())


def nonce() -> bytes:
    """24 random bytes for one encryption."""
    return secrets.token_bytes(NONCE_BYTES)
