"""Who wrote a message: signature policies, sealing own messages, and what of an encoded one is signed.

The author signs `libp2p-pubsub:` and the message without signature and key, fields in number order (libp2p specs pubsub,
"Message Signing"; that the key is left out too is what go and rust do). A message arrives encoded, and is passed on as
it came, so the signed bytes have to be made from those received. In the usual layout they are its beginning. Any other
layout is written anew from the fields that count, each field's last occurrence, with unknown fields behind them as
they stand: what is verified is always what is used, and what go signs or accepts is accepted here.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache

from mesh.codecs.gossip import Message
from mesh.codecs.wire import encode_varint, read_tag, read_varint, skip_field
from mesh.errors import DecodeError, Malformed, PeerError, UsageError
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multihash import IDENTITY, Multihash

PREFIX = b"libp2p-pubsub:"

CACHED_KEYS = 4096
"""Authors whose keys, inside their ids, are kept at hand: about 2 MiB."""

CACHED_ATTACHED_KEYS = 1024
"""The same for keys that are attached, which may have 4 KiB: at most about 10 MiB."""

_SENDER, _DATA, _SEQNO, _TOPIC, _SIGNATURE, _KEY = 0x0A, 0x12, 0x1A, 0x22, 0x2A, 0x32  # tags
_SIGNED = (_SENDER, _DATA, _SEQNO, _TOPIC)


class Policy(StrEnum):
    """Whether own messages are signed, and what others' must have. Strict ones demand it, lax ones take either; a
    signature that is there is verified in any case."""

    STRICT_SIGN = "strict-sign"
    STRICT_NO_SIGN = "strict-no-sign"
    LAX_SIGN = "lax-sign"
    LAX_NO_SIGN = "lax-no-sign"


_STRICT_SIGN, _STRICT_NO_SIGN, _LAX_SIGN = Policy.STRICT_SIGN, Policy.STRICT_NO_SIGN, Policy.LAX_SIGN


# --- own messages --------------------------------------------------------------------------------------


def seal(
    topic: str, data: bytes, sender: bytes, seqno: bytes, key: PrivateKey | None, policy: Policy
) -> tuple[Message, bytes]:
    """A message to publish, and its encoding.

    ``sender`` is the author's peer id as bytes, ``seqno`` 8 bytes, big-endian and increasing. With STRICT_NO_SIGN
    neither is written. Raises UsageError without a key to sign with, for a key that is not the sender's, and for what
    is over the codec's limits.
    """
    if policy is _STRICT_NO_SIGN:
        message = Message(data=data, topic=topic)
        return message, message.encode()
    message = Message(sender, data, seqno, topic)
    wire = message.encode()
    if policy is not _STRICT_SIGN and policy is not _LAX_SIGN:
        return message, wire
    if key is None:
        raise UsageError(f"the policy {policy} needs a key to sign with")
    attached = message.key = _attached_key(sender, key.public)
    signature = message.signature = key.sign(PREFIX + wire)
    wire = b"".join((wire, b"\x2a", encode_varint(len(signature)), signature))
    if attached is not None:
        wire = b"".join((wire, b"\x32", encode_varint(len(attached)), attached))
    if len(wire) > Message.MAX_BYTES:
        raise UsageError(f"a message of {len(wire)} bytes, at most {Message.MAX_BYTES}")
    return message, wire


@lru_cache(maxsize=16)
def _attached_key(sender: bytes, public: PublicKey) -> bytes | None:
    """The key field of what ``sender`` signs: None when the id contains the key."""
    if PeerId.from_public_key(public).to_bytes() != sender:
        raise UsageError("the key to sign with is not the sender's")
    return None if sender[0] == IDENTITY else public.to_protobuf()


# --- others' messages ----------------------------------------------------------------------------------


def check_shape(message: Message, policy: Policy) -> str | None:
    """Why the policy refuses a message as it stands, in words; None if it does not. Signatures are not verified.

    Strict signing does not demand a sequence number: go forwards messages without.
    """
    if policy is _STRICT_SIGN:
        if message.signature is None:
            return "no signature"
        if not message.sender:
            return "no sender"
    elif policy is _STRICT_NO_SIGN:
        if message.signature is not None:
            return "a signature"
        if message.sender is not None or message.seqno is not None or message.key is not None:
            return "a sender, sequence number or key"
    return None


def verify(message: Message, wire: bytes) -> bool:
    """Whether the message decoded from ``wire`` bears its author's signature; False when it bears none.

    Where a policy lets unsigned messages pass, the caller asks only for those that have a signature.
    """
    claimed = claim(message, wire)
    if claimed is None:
        return False
    key, signed, signature = claimed
    return key.verify(signed, signature)


def claim(message: Message, wire: bytes, signed_bytes: int = 0) -> tuple[PublicKey, bytes, bytes] | None:
    """Whose key is to have signed which bytes with which signature; None for a message that cannot be verified.

    ``signed_bytes`` is how many bytes from the first on are signed, where that is known.
    """
    signature = message.signature
    if signature is None:
        return None
    try:
        key = _inlined_key(message.sender or b"") if message.key is None else author_key(message)
        return key, PREFIX + wire[:signed_bytes] if signed_bytes else signed_part(message, wire), signature
    except (DecodeError, PeerError):
        return None


def author_key(message: Message) -> PublicKey:
    """The author's key: the one attached, which must be that of the sender's id, else the one inside the id.

    Raises DecodeError for an id or key that is none, PeerError when they do not match or there is no key.
    """
    sender = message.sender or b""
    return _inlined_key(sender) if message.key is None else _matching_key(sender, message.key)


@lru_cache(maxsize=CACHED_ATTACHED_KEYS)
def _matching_key(sender: bytes, attached: bytes) -> PublicKey:
    key = PublicKey.from_protobuf(attached)
    if not PeerId(sender).matches(key):
        raise PeerError("the attached key is not the sender's", clause="pubsub: Message Signing")
    return key


@lru_cache(maxsize=CACHED_KEYS)
def _inlined_key(sender: bytes) -> PublicKey:
    """Like go, takes an id whose key is not in its canonical form: who has such an id signs for no other."""
    multihash = Multihash.from_bytes(sender)
    if multihash.code != IDENTITY:
        raise PeerError("the sender's id does not contain its key", clause="pubsub: Message Signing")
    return PublicKey.from_protobuf(multihash.digest)


def signed_part(message: Message, wire: bytes) -> bytes:
    """What the author signs of the message decoded from ``wire``.

    Raises Malformed for a known field of another wire type: go ends the stream on which one comes.
    """
    # The fields of the message, each once and in the shortest form, would take exactly `size` bytes, and anything
    # more in the wire would make it longer. So when the wire has that size and each field begins where its turn is,
    # there is nothing else in it, and it is what an encoder would write.
    signed = 0
    last = len(wire) - 1
    value = message.sender
    if value is not None:
        if wire[0] != _SENDER:
            return _written_anew(wire)
        length = len(value)
        signed = length + 2 if length < 128 else length + 3
    value = message.data
    if value is not None:
        if signed > last or wire[signed] != _DATA:
            return _written_anew(wire)
        length = len(value)
        signed += length + 2 if length < 128 else length + 3 if length < 16384 else length + 4
    value = message.seqno
    if value is not None:
        if signed > last or wire[signed] != _SEQNO:
            return _written_anew(wire)
        signed += len(value) + 2
    topic = message.topic
    if topic:
        if signed > last or wire[signed] != _TOPIC:
            return _written_anew(wire)
        length = len(topic) if topic.isascii() else len(topic.encode())
        signed += length + 2 if length < 128 else length + 3
    size = signed
    value = message.signature
    if value is not None:
        if size > last or wire[size] != _SIGNATURE:
            return _written_anew(wire)
        length = len(value)
        size += length + 2 if length < 128 else length + 3
    value = message.key
    if value is not None:
        if size > last or wire[size] != _KEY:
            return _written_anew(wire)
        length = len(value)
        size += length + 2 if length < 128 else length + 3
    return PREFIX + wire[:signed] if size == last + 1 else _written_anew(wire)


def _written_anew(wire: bytes) -> bytes:
    """The signed part of a message in any layout, as go would marshal it."""
    found: dict[int, bytes] = {}
    unknown: list[bytes] = []
    offset, end = 0, len(wire)
    while offset < end:
        start = offset
        tag, offset = read_tag(wire, offset, end, "Message")
        if tag in (*_SIGNED, _SIGNATURE, _KEY):
            length, offset = read_varint(wire, offset, end, "Message")
            found[tag] = wire[offset : offset + length]
            offset += length
            continue
        if tag >> 3 <= _KEY >> 3:
            raise Malformed("Message", start, f"field {tag >> 3} with wire type {tag & 7}")
        offset = skip_field(wire, tag, offset, end, "Message")
        unknown.append(wire[start:offset])
    parts = [PREFIX]
    for tag in _SIGNED:
        if tag in found:
            parts += (bytes((tag,)), encode_varint(len(found[tag])), found[tag])
    return b"".join((*parts, *unknown))
