"""The envelope around every message of the mesh (section 6.1).

The payload stays JSON text until `payload` is called with the record it should be: what does not parse there fails for
whoever wants it, as in Go. Text in Go's own order is read by one match; every other order, letter case and spacing by
the same rules as any record.
"""

from __future__ import annotations

import re
from typing import Any, Final, Self, TypeVar

from mesh.errors import Malformed
from mesh.protocols.lethean import go_json
from mesh.protocols.lethean.json_record import RAW, TEXT, TIME, JsonRecord, Key
from mesh.protocols.lethean.timestamp import ZERO, read_timestamp

RecordT = TypeVar("RecordT", bound=JsonRecord)

_PLAIN: Final = r'"([^"\\\x00-\x1f]*)"'
_HEAD: Final = re.compile(
    rf'\{{"id":{_PLAIN},"type":{_PLAIN},"from":{_PLAIN},"to":{_PLAIN},"ts":{_PLAIN},"payload":'
)
_TAIL: Final = re.compile(rf'(?:,"replyTo":{_PLAIN})?\}}')
_UNREAD: Final = object()


class _Fields(JsonRecord):
    """The envelope as a plain record, for text in any other order."""

    __slots__ = ("id", "payload", "receiver", "reply_to", "sender", "ts", "type")
    LABEL = "Envelope"
    KEYS = (
        Key("id", "id", TEXT),
        Key("type", "type", TEXT),
        Key("sender", "from", TEXT),
        Key("receiver", "to", TEXT),
        Key("ts", "ts", TIME),
        Key("payload", "payload", RAW),
        Key("reply_to", "replyTo", TEXT, omit=True),
    )
    id: str
    type: str
    sender: str
    receiver: str
    ts: str
    payload: str | None
    reply_to: str


class Envelope:
    """One message. `sender` and `receiver` are the keys `from` and `to`, `ts` a time as text, `raw` the payload as JSON
    text (None when the key was missing), `reply_to` empty for what answers nothing."""

    __slots__ = ("_compact", "_value", "id", "raw", "receiver", "reply_to", "sender", "ts", "type")

    def __init__(
        self,
        id: str,
        type: str,
        sender: str,
        receiver: str,
        ts: str = ZERO,
        raw: str | None = "null",
        reply_to: str = "",
    ) -> None:
        self.id = id
        self.type = type
        self.sender = sender
        self.receiver = receiver
        self.ts = ts
        self.raw = raw
        self.reply_to = reply_to
        self._value: Any = _UNREAD
        self._compact = False

    @classmethod
    def decode(cls, data: bytes | str) -> Self:
        """The message of its text or UTF-8. Raises Malformed."""
        text = go_json.whole_surrogates(data if isinstance(data, str) else go_json.decode_utf8(data))
        head = _HEAD.match(text)
        if head is not None:
            value, end = go_json.read_at(text, head.end(), "Envelope.payload")
            tail = _TAIL.fullmatch(text, end)
            if tail is not None:
                id, type, sender, receiver, ts = head.groups()
                ts = read_timestamp(ts, "Envelope.ts")
                found = cls(id, type, sender, receiver, ts, text[head.end() : end].lstrip(), tail[1] or "")
                found._value = value
                return found
        fields = _Fields.decode(text)
        return cls(
            fields.id, fields.type, fields.sender, fields.receiver, fields.ts, fields.payload, fields.reply_to
        )

    def encode(self) -> str:
        """The JSON text. Raises UsageError when `raw` is no JSON."""
        raw = "null" if self.raw is None else self.raw
        return self._assemble(raw if self._compact else go_json.write_raw(raw))

    @classmethod
    def of(
        cls,
        payload: JsonRecord | None,
        *,
        id: str,
        type: str,
        sender: str,
        receiver: str,
        ts: str,
        reply_to: str = "",
    ) -> Self:
        """A message of ours; None for a payload that is `null`. Raises UsageError for values of wrong types."""
        raw = "null" if payload is None else payload.encode()
        found = cls(id, type, sender, receiver, ts, raw, reply_to)
        found._compact = True
        return found

    def reply(self, payload: JsonRecord | None, *, id: str, type: str, ts: str) -> Self:
        """The answer to this message: sender and receiver exchanged as they are, `replyTo` its id."""
        return self.of(
            payload, id=id, type=type, sender=self.receiver, receiver=self.sender, ts=ts, reply_to=self.id
        )

    def payload(self, record: type[RecordT]) -> RecordT:
        """The payload as `record`; missing and `null` give one of zero values. Raises Malformed."""
        if self.raw is None:
            return record()
        if self._value is _UNREAD:
            self._value = go_json.read(self.raw, record.__name__)
        return record.read(self._value, self.raw)

    def _assemble(self, payload: str) -> str:
        write = go_json.write_text
        answer = f',"replyTo":{write(self.reply_to)}' if self.reply_to else ""
        return (
            f'{{"id":{write(self.id)},"type":{write(self.type)},"from":{write(self.sender)},'
            f'"to":{write(self.receiver)},"ts":{write(self.ts)},"payload":{payload}{answer}}}'
        )

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._key() == other._key()

    __hash__ = None  # type: ignore[assignment]

    def _key(self) -> tuple[str | None, ...]:
        return (self.id, self.type, self.sender, self.receiver, self.ts, self.raw, self.reply_to)

    def __repr__(self) -> str:
        return (
            f"Envelope(id={self.id!r}, type={self.type!r}, sender={self.sender!r}, receiver={self.receiver!r}, "
            f"ts={self.ts!r}, raw={self.raw!r}, reply_to={self.reply_to!r})"
        )


def require_payload(envelope: Envelope, type: str) -> None:
    """Raises Malformed unless the message is of `type`."""
    if envelope.type != type:
        raise Malformed("Envelope.type", None, f"expected {type}, got {envelope.type[:40]}")
