"""Who a node of the mesh is: a raw X25519 key, the id that follows from it, and the record it shows (section 2)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import ClassVar, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from mesh.errors import Malformed, UsageError
from mesh.protocols.lethean.json_record import TEXT, TIME, JsonRecord, Key, read_base64

KEY_BYTES: Final = 32
ROLES: Final = ("controller", "worker", "dual")
"""Labels without effect; unknown ones are taken as they are."""


class Identity(JsonRecord):
    """What a node says of itself; `created_at` is a time as text. Nothing in it is checked by reading it."""

    __slots__ = ("created_at", "id", "name", "public_key", "role")
    id: str
    name: str
    public_key: str
    created_at: str
    role: str
    KEYS: ClassVar = (
        Key("id", "id", TEXT),
        Key("name", "name", TEXT),
        Key("public_key", "publicKey", TEXT),
        Key("created_at", "createdAt", TIME),
        Key("role", "role", TEXT),
    )

    def matches_key(self) -> bool:
        """Whether the id is the one that follows from the public key."""
        try:
            return self.id == node_id(read_public_key(self.public_key))
        except Malformed:
            return False


class NodeKey:
    """The private key of a node. `private` is 32 bytes of any value, kept as they are."""

    __slots__ = ("_key", "id", "private", "public", "public_text")

    def __init__(self, private: bytes) -> None:
        if len(private) != KEY_BYTES:
            raise UsageError(f"a private key has {KEY_BYTES} bytes, this one {len(private)}")
        self.private = bytes(private)
        self._key = X25519PrivateKey.from_private_bytes(self.private)
        self.public = self._key.public_key().public_bytes_raw()
        self.public_text = base64.b64encode(self.public).decode()
        self.id = node_id(self.public)

    def shared_secret(self, public_text: str) -> bytes:
        """The 32 bytes that this key and the peer's share: SHA-256 of the X25519 result, the same for both ends.

        Raises Malformed for text that is no key and for a key of low order.
        """
        peer = X25519PublicKey.from_public_bytes(read_public_key(public_text))
        try:
            raw = self._key.exchange(peer)
        except ValueError:
            raise Malformed("publicKey", None, "a point of low order") from None
        return hashlib.sha256(raw).digest()

    def identity(self, name: str, created_at: str, role: str = "dual") -> Identity:
        """The record of this key."""
        return Identity(id=self.id, name=name, public_key=self.public_text, created_at=created_at, role=role)

    def __repr__(self) -> str:
        return f"NodeKey({self.id})"


def node_id(public: bytes) -> str:
    """The id of a node: 32 lower-case hex digits, the first half of SHA-256 of its public key."""
    return hashlib.sha256(public).hexdigest()[:32]


def read_public_key(text: str) -> bytes:
    """The 32 bytes of a public key's base64. Raises Malformed."""
    public = read_base64(text, "publicKey")
    if len(public) != KEY_BYTES:
        raise Malformed("publicKey", None, f"{len(public)} bytes, wants {KEY_BYTES}")
    return public


def answer_challenge(secret: bytes, challenge: bytes) -> bytes:
    """HMAC-SHA256 of a challenge under the shared secret, 32 bytes (section 4)."""
    return hmac.digest(secret, challenge, "sha256")


def verify_answer(secret: bytes, challenge: bytes, answer: bytes) -> bool:
    """Whether `answer` is the one to `challenge`; takes the same time for every wrong one."""
    return hmac.compare_digest(answer_challenge(secret, challenge), answer)
