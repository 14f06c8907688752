"""Messages of `/openclaw/message/1.0.0`: the envelope that all types share, read and written (section 5.1).

A stock daemon takes any object and believes its `from`. Here the sender is the peer of the connection: `check_sender`
refuses a message that names another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mesh.codecs.openclaw import MAX_MESSAGE_BYTES
from mesh.errors import DecodeError, Malformed, PeerError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.protocols.openclaw.json_text import read_object, whole, write_object
from mesh.protocols.openclaw.message_types import check_fields

PROTOCOL_ID: Final = "/openclaw/message/1.0.0"
MAX_ID_CHARACTERS: Final = 128
MAX_TYPE_CHARACTERS: Final = 128
REPLAY_WINDOW_MS: Final = 600_000
MAX_MS: Final = 2**53 - 1
ANSWERS: Final = frozenset(["response", "paid:result"])
"""Types that complete a request."""
_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_RESERVED: Final = frozenset(["id", "type", "timestamp", "from", "to"])


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message that came. ``id`` is made from a digest where the message has none of its own, ``sender`` and ``to`` are
    empty where it names nobody, ``timestamp`` is 0 where it has none that makes sense. ``document`` is the whole object,
    ``body`` the JSON it was read from."""

    id: str
    type: str
    timestamp: int
    sender: str
    to: str
    document: Mapping[str, Any]
    body: bytes

    @property
    def content(self) -> str:
        """What a log shows (section 6.2): the text, or the whole object for messages without one."""
        content = self.document.get("content")
        return content if isinstance(content, str) else write_object(self.document)

    @property
    def answers(self) -> str:
        """The id of the message that this one answers, or empty."""
        named = self.document.get("requestId" if self.type in ANSWERS else "replyTo")
        return named if isinstance(named, str) and len(named) <= MAX_ID_CHARACTERS else ""


def read_message(body: bytes) -> Envelope:
    """Raises `Malformed` for what is no JSON object or has a type longer than 128 characters."""
    document = read_object(body, "message")
    kind = document.get("type")
    if not isinstance(kind, str) or not kind:
        kind = "unknown"
    if len(kind) > MAX_TYPE_CHARACTERS:
        raise Malformed("message.type", None, f"{len(kind)} characters, at most {MAX_TYPE_CHARACTERS}")
    id = document.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= MAX_ID_CHARACTERS:
        id = f"sha256-{hashlib.sha256(body).hexdigest()[:32]}"
    named = [document.get(key) for key in ("from", "to")]
    sender, to = [each if isinstance(each, str) else "" for each in named]
    return Envelope(id, kind, _instant(document.get("timestamp")), sender, to, document, body)


def check_sender(message: Envelope, peer: PeerId) -> None:
    """Whether the message is its bearer's: names it, or nobody. Raises `PeerError`."""
    if not message.sender:
        return
    try:
        if PeerId.parse(message.sender) == peer:
            return
    except DecodeError:
        pass
    raise PeerError(
        f"{peer} sent a message in the name of {message.sender[:64]!r}", protocol=PROTOCOL_ID, clause="5.1"
    )


def write_message(
    id: str, kind: str, timestamp: int, sender: PeerId, to: PeerId, fields: Mapping[str, Any]
) -> bytes:
    """The JSON of a message; ``fields`` whose value is None are left out.

    Raises `UsageError` for fields that its type does not have so, for reserved names, for what JSON cannot say.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    if taken := _RESERVED & given.keys():
        raise UsageError(f"a message's {', '.join(sorted(taken))} is not for its sender to choose")
    if not 0 < len(kind) <= MAX_TYPE_CHARACTERS:
        raise UsageError(f"a type has 1 to {MAX_TYPE_CHARACTERS} characters, not {len(kind)}")
    check_fields(kind, given)
    head = {"id": id, "type": whole(kind), "timestamp": timestamp, "from": str(sender), "to": str(to)}
    return write_object({**head, **given}).encode()


def message_id(now_ms: int, entropy: int) -> str:
    """An id as stock daemons make them: the time, and up to 8 digits of base 36. ``entropy`` is any number."""
    digits = ""
    for _ in range(8):
        entropy, digit = divmod(entropy, 36)
        digits += _BASE36[digit]
    return f"{now_ms}-{digits}"


def repeated(first_ms: int, now_ms: int) -> bool:
    """Whether an id that a peer used before is a replay by now (section 5.3): within 10 minutes."""
    return now_ms - first_ms < REPLAY_WINDOW_MS


def _instant(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 <= value <= MAX_MS else 0


__all__ = [
    "ANSWERS",
    "MAX_ID_CHARACTERS",
    "MAX_MESSAGE_BYTES",
    "PROTOCOL_ID",
    "Envelope",
    "check_sender",
    "message_id",
    "read_message",
    "repeated",
    "write_message",
]
