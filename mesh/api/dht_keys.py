"""Keys of the DHT as people write them, and the bytes that are looked up.

Content is named by a CID or its multihash, a value by `/namespace/rest`; in `/pk/` and `/ipns/` the rest is a peer id or
name, which stands in the key as bytes.
"""

from __future__ import annotations

from mesh.errors import DecodeError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.cid import Cid
from mesh.multiformats.multihash import Multihash
from mesh.multiformats.positional import b58decode
from mesh.protocols.kademlia.record_key import MAX_KEY_BYTES

NAMESPACES_OF_PEERS = ("pk", "ipns")
_HEX = frozenset("0123456789abcdefABCDEF")


def content_key(text: str) -> bytes:
    """The multihash that a CID, or a multihash in hexadecimal or base58, stands for. Raises `UsageError`."""
    if len(text) % 2 == 0 and _HEX.issuperset(text):
        try:
            return Multihash.from_bytes(bytes.fromhex(text)).to_bytes()
        except DecodeError as error:
            raise UsageError(f"{text!r} is no multihash in hexadecimal: {error}") from None
    try:
        return Cid.parse(text).multihash.to_bytes()
    except DecodeError as error:
        reason = error
    try:
        return Multihash.from_bytes(b58decode(text)).to_bytes()
    except DecodeError:
        raise UsageError(
            f"{text!r} is neither a CID nor a multihash in hexadecimal or base58: {reason}"
        ) from None


def value_key(text: str, raw: bool = False) -> bytes:
    """The key of a value: `/namespace/rest`, or its bytes in hexadecimal when ``raw``. Raises `UsageError`."""
    key = _raw(text) if raw else _named(text)
    if len(key) > MAX_KEY_BYTES:
        raise UsageError(f"a key of {len(key)} bytes, at most {MAX_KEY_BYTES}")
    return key


def any_key(text: str, raw: bool = False) -> bytes:
    """What a lookup may aim at: content, a value, or a peer, whose id is a multihash too. Raises `UsageError`."""
    return value_key(text, raw) if raw or text.startswith("/") else content_key(text)


def _named(text: str) -> bytes:
    start, namespace, slash, rest = text[:1], *text[1:].partition("/")
    if start != "/" or not namespace or not slash or not rest:
        raise UsageError(
            f"{text!r} is not a key of the form /namespace/rest (--hex takes the bytes of any key)"
        )
    if namespace not in NAMESPACES_OF_PEERS:
        return text.encode("utf-8", "surrogateescape")
    try:
        return f"/{namespace}/".encode() + PeerId.parse(rest).to_bytes()
    except DecodeError as error:
        raise UsageError(f"{text!r}: the part behind /{namespace}/ is no peer id: {error}") from None


def _raw(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise UsageError(f"{text!r} is not hexadecimal") from None
    if not key:
        raise UsageError("the key is empty")
    return key
