"""SMSG: one text message, encrypted under a password (section 5.3).

`seal` writes what the mesh writes: format v1 with `body` and `timestamp`. `open_message` reads what a Go reader takes:
formats v1 and v2, uncompressed, gzip or zstd.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar, Final

from mesh.codecs.smsg import NONCE_BYTES, Blob
from mesh.errors import DecodeError, Malformed, UsageError
from mesh.protocols.lethean import go_json, sigil
from mesh.protocols.lethean.decompression import decompress
from mesh.protocols.lethean.json_record import BINARY, INTEGER, MAP, TEXT, JsonRecord, Key, nested, records
from mesh.protocols.lethean.trix import read_container

MAGIC: Final = b"SMSG"
_HEADER: Final = b'{"algorithm":"chacha20poly1305","version":"1.0"}'
_PREFIX: Final = MAGIC + b"\x02" + len(_HEADER).to_bytes(4, "big") + _HEADER
NO_DECRYPTION: Final = "decryption failed (wrong password?)"


class Attachment(JsonRecord):
    """A file beside the body. `content` is its bytes, `size` what the sender says of their number."""

    __slots__ = ("content", "mime", "name", "size")
    name: str
    content: bytes | None
    mime: str
    size: int
    KEYS: ClassVar = (
        Key("name", "name", TEXT),
        Key("content", "content", BINARY, omit=True),
        Key("mime", "mime", TEXT, omit=True),
        Key("size", "size", INTEGER, omit=True),
    )


class ReplyKey(JsonRecord):
    """A public key to answer to; the mesh sends none."""

    __slots__ = ("algorithm", "public_key")
    public_key: str
    algorithm: str
    KEYS: ClassVar = (Key("public_key", "public_key", TEXT), Key("algorithm", "algorithm", TEXT))


class Message(JsonRecord):
    """What a container holds. On the mesh only `body` matters, and `timestamp` (Unix seconds) is set."""

    __slots__ = ("attachments", "body", "meta", "reply_key", "sender", "subject", "timestamp")
    subject: str
    body: str
    attachments: list[Attachment] | None
    reply_key: ReplyKey | None
    sender: str
    timestamp: int
    meta: dict[str, str] | None
    KEYS: ClassVar = (
        Key("subject", "subject", TEXT, omit=True),
        Key("body", "body", TEXT),
        Key("attachments", "attachments", records(Attachment), omit=True),
        Key("reply_key", "reply_key", nested(ReplyKey), omit=True),
        Key("sender", "from", TEXT, omit=True),
        Key("timestamp", "timestamp", INTEGER, omit=True),
        Key("meta", "meta", MAP, omit=True),
    )


def derive_key(password: str) -> bytes:
    """The key of a password: its SHA-256. Raises UsageError for an empty one."""
    if not password:
        raise UsageError("password is required")
    return hashlib.sha256(password.encode("utf-8", "replace")).digest()


def seal(key: bytes, body: str, nonce: bytes, unix_s: int) -> bytes:
    """The container of a body. `nonce` is 24 fresh random bytes. Raises UsageError for an empty body."""
    if not body:
        raise UsageError("message cannot be empty")
    stamp = f',"timestamp":{unix_s}' if unix_s else ""
    text = f'{{"body":{go_json.write_text(body, html=True)}{stamp}}}'
    return _PREFIX + sigil.seal(key, nonce, text.encode())


def open_body(key: bytes, data: bytes) -> str:
    """The body alone. Raises Truncated or Malformed."""
    if data[: len(_PREFIX)] != _PREFIX:
        return open_message(key, data).body
    return _read_message(_unseal(key, data[len(_PREFIX) :])).body


def open_message(key: bytes, data: bytes) -> Message:
    """The message of a container. Raises Truncated or Malformed; the reason begins as Go's does."""
    try:
        header, payload = read_container(MAGIC, data)
    except DecodeError as error:
        raise type(error)("SMSG", error.offset, f"invalid SMSG magic: {error}") from None
    text = decompress(_unseal(key, payload), header.get("compression"))
    return _read_blob(text) if header.get("format") == "v2" else _read_message(text)


def _unseal(key: bytes, box: bytes) -> bytes:
    if len(box) < NONCE_BYTES:
        raise Malformed("SMSG", None, NO_DECRYPTION)
    try:
        return sigil.unseal(key, box)
    except Malformed:
        raise Malformed("SMSG", None, NO_DECRYPTION) from None


def _read_blob(data: bytes) -> Message:
    blob = Blob.decode(data)
    found = _read_message(blob.message)
    offset = 0
    for attachment in found.attachments or ():
        stop = offset + attachment.size
        if attachment.size < 0 or stop > len(blob.attachments):
            raise Malformed("SMSG.attachments", offset, "an attachment is longer than what is there")
        attachment.content = blob.attachments[offset:stop]
        offset = stop
    return found


def _read_message(data: bytes) -> Message:
    try:
        return Message.decode(go_json.decode_utf8(data))
    except Malformed as error:
        raise Malformed("SMSG", None, f"invalid SMSG payload: invalid message format ({error})") from None
