"""What a snapshot is: all rows of a replica in the order of their keys, with a statement that its sender signs.

Who takes one believes its signer that merging the nodes below its heads gives just these rows; nothing else in it is
believed: rows are checked one by one, the digest over all of them is signed for this topic and this request. Rows are the
same whatever order nodes were merged in, so whoever has all the nodes can find out whether the signer lied.
"""

from __future__ import annotations

import hashlib
from typing import Final

from mesh.codecs.crdt_snapshot import Statement
from mesh.errors import DecodeError, Malformed, StorageError
from mesh.identity.envelope import open_envelope, seal
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.crdt.layout import KNOWN, UNKNOWN, Shown, multihash_of, read_element, read_number

PROTOCOL_ID: Final = "/mesh/crdt-snapshot/1.0.0"
DOMAIN: Final = "mesh-crdt-snapshot"
PAYLOAD_TYPE: Final = b"/mesh/crdt-snapshot"
KINDS: Final = ("b", "e", "h", "k", "t")
"""Rows that are sent, in their order; what a replica wants is its own business, `f` follows from `t`."""


class Digest:
    """Of rows in the order of their keys. ``rows`` counts them."""

    __slots__ = ("_hash", "_last", "rows", "size_bytes")

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._last = b""
        self.rows = self.size_bytes = 0

    def add(self, key: bytes, value: bytes) -> None:
        """Raises Malformed for a key that is not above the last."""
        if key <= self._last:
            raise Malformed("snapshot", None, f"row {self.rows} is out of order")
        self._last = key
        self._hash.update(len(key).to_bytes(4, "big") + key + len(value).to_bytes(4, "big") + value)
        self.rows += 1
        self.size_bytes += len(key) + len(value)

    def value(self) -> bytes:
        return self._hash.digest()


def vouch(key: PrivateKey, topic: str, nonce: bytes, digest: Digest) -> bytes:
    """The signed statement about these rows."""
    statement = Statement(topic=topic, nonce=nonce, rows=digest.rows, digest=digest.value())
    return seal(key, DOMAIN, PAYLOAD_TYPE, statement.encode())


def check_statement(data: bytes, signer: PeerId, topic: str, nonce: bytes, digest: Digest) -> None:
    """Whether this peer vouches for just these rows, now. Raises DecodeError."""
    opened = open_envelope(data, DOMAIN, PAYLOAD_TYPE)
    if PeerId.from_public_key(opened.public_key) != signer:
        raise Malformed("snapshot", None, "somebody else signed it")
    said = Statement.decode(opened.payload)
    if (said.topic, said.nonce) != (topic, nonce):
        raise Malformed("snapshot", None, "it is about something else")
    if (said.rows, said.digest) != (digest.rows, digest.value()):
        raise Malformed("snapshot", None, "its rows are not those that were signed")


def check_row(key: bytes, value: bytes) -> None:
    """Whether a replica could have written a row, its key being below the namespace. Raises DecodeError."""
    try:
        if not _is_row(key.decode(), value):
            raise Malformed("snapshot", None, f"{key[:64]!r} is no row")
    except (StorageError, DecodeError, ValueError):
        raise Malformed("snapshot", None, f"{key[:64]!r} is no row") from None


def _is_row(key: str, value: bytes) -> bool:
    kind, name = key[:1], key[1:]
    if kind not in KINDS or not name.startswith("/"):
        return False
    if kind in "bh":
        multihash_of(name)
        return not value if kind == "b" else read_number(value) >= 0
    if kind == "k":
        shown = Shown.read(value)
        return not shown.block if shown.visible is None else bool(shown.block)
    mapping_key, _, block = name.rpartition("\0")
    if kind == "t":
        return value in (KNOWN, UNKNOWN) and bool(mapping_key)
    return read_element(mapping_key, value) is not None and block.startswith("/")
