"""Reading messages as nearly all are written: each field once, in number order, with an 8-byte sequence number, a 64-byte
signature and no key. What lies around the data is then the same from one message of a topic to the next but for its
values, so two comparisons tell as much as reading field by field, in a third of the time."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from mesh.codecs.gossip import Message
from mesh.codecs.wire import encode_varint

_SEQNO_BYTES = 8
_SIGNATURE_BYTES = 64
_SEQNO = bytes((0x1A, _SEQNO_BYTES))
_SIGNATURE = bytes((0x2A, _SIGNATURE_BYTES))
_SIGNATURE_FIELD_BYTES = len(_SIGNATURE) + _SIGNATURE_BYTES
_ONE_BYTE_LENGTH = 128
MOST_BYTES = 256 * 1024
"""Of the data; longer messages are read field by field."""


class Layout:
    """Knows the layout of the message it read last, and reads those of the same topic and author's kind by it."""

    __slots__ = ("_behind", "_behind_bytes", "_front", "_front_bytes", "_topic", "_topic_field")

    def __init__(self) -> None:
        self._learn(0, "")
        self._front_bytes = Message.MAX_BYTES

    def read(self, wire: bytes) -> tuple[Message, int]:
        """A message, and how many of its bytes, from the first on, are signed; 0 when that is left to
        `signing.signed_part`. Raises DecodeError."""
        front, end = self._front_bytes, len(wire) - self._behind_bytes
        if end > front:
            head = _data_head(end - front)
            seqno_tag, seqno, topic_field, signature = self._behind.unpack_from(wire, end)
            if (
                head
                and topic_field == self._topic_field
                and seqno_tag == _SEQNO
                and wire.startswith(self._front)
                and wire.startswith(head, front)
            ):
                message = Message(wire[2:front], wire[front + len(head) : end], seqno, self._topic, signature)
                return message, len(wire) - _SIGNATURE_FIELD_BYTES
        message = Message.decode(wire)
        sender, topic = message.sender, message.topic
        if sender and topic and len(sender) < _ONE_BYTE_LENGTH and len(topic.encode()) < _ONE_BYTE_LENGTH:
            self._learn(len(sender), topic)
        return message, 0

    def _learn(self, sender_bytes: int, topic: str) -> None:
        encoded = topic.encode()
        self._front = bytes((0x0A, sender_bytes))
        self._front_bytes = len(self._front) + sender_bytes
        self._topic = topic
        self._topic_field = bytes((0x22, len(encoded))) + encoded + _SIGNATURE
        self._behind = _behind(len(self._topic_field))
        self._behind_bytes = self._behind.size


@lru_cache(maxsize=_ONE_BYTE_LENGTH)
def _behind(topic_field_bytes: int) -> Struct:
    """What lies behind the data: tag of the sequence number, that number, topic and tag of the signature, signature."""
    return Struct(f"{len(_SEQNO)}s{_SEQNO_BYTES}s{topic_field_bytes}s{_SIGNATURE_BYTES}s")


@lru_cache(maxsize=4096)
def _data_head(size: int) -> bytes:
    """Tag and length of the data, which take so many bytes with it; b"" when no data do, or that many are seldom."""
    for length_bytes in (1, 2, 3):
        length = size - 1 - length_bytes
        if 0 <= length <= MOST_BYTES and len(encoded := encode_varint(length)) == length_bytes:
            return b"\x12" + encoded
    return b""
