"""Public and private keys of the four libp2p types, and their protobuf form (libp2p digest, section 2).

Ed25519 needs libsodium alone; the modules of the other types load OpenSSL's bindings, and are imported when
the first key of such a type appears.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from mesh.codecs import keys as codec
from mesh.codecs.keys import KeyType
from mesh.identity.ed25519 import SEED_BYTES, Ed25519Private, Ed25519Public

if TYPE_CHECKING:
    from mesh.identity.pem import Private

__all__ = ["KeyType", "PrivateKey", "PublicKey"]


class _Verifier(Protocol):
    @property
    def raw(self) -> bytes: ...

    def verify(self, message: bytes, signature: bytes) -> bool: ...


class PublicKey:
    """An immutable public key; equal when type and canonical bytes are.

    `raw` is the Data field of the protobuf in its canonical form, whatever form was read: 32 bytes (Ed25519),
    a 33-byte point (Secp256k1) or DER SubjectPublicKeyInfo (RSA, ECDSA).
    """

    __slots__ = ("_encoded", "_type", "_verifier")

    def __init__(self, key_type: KeyType, raw: bytes) -> None:
        """Raises Malformed when `raw` is not a key of this type, or one outside its limits."""
        self._encoded: bytes | None = None
        self._type = key_type
        self._verifier = _load_public(key_type, raw)

    @classmethod
    def from_protobuf(cls, data: bytes) -> PublicKey:
        """Reads the protobuf form, fields in any order. Raises DecodeError."""
        message = codec.PublicKey.decode(data)
        return cls(message.type, message.data)

    def to_protobuf(self) -> bytes:
        """The canonical protobuf: what peer ids are made of."""
        if self._encoded is None:
            self._encoded = codec.PublicKey(type=self._type, data=self._verifier.raw).encode()
        return self._encoded

    @property
    def type(self) -> KeyType:
        return self._type

    @property
    def raw(self) -> bytes:
        return self._verifier.raw

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `message`; never raises for what they contain."""
        return self._verifier.verify(message, signature)

    def verify_beside(self, message: bytes, signature: bytes) -> bool:
        """`verify` that lets other threads work meanwhile, if the kind of key can; it takes a little longer."""
        verifier = self._verifier
        verify = verifier.verify_beside if isinstance(verifier, Ed25519Public) else verifier.verify
        return verify(message, signature)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PublicKey):
            return NotImplemented
        return self._type == other._type and self.raw == other.raw

    def __hash__(self) -> int:
        return hash((self._type, self.raw))

    def __repr__(self) -> str:
        return f"<{self._type.name} public key {self.raw[-6:].hex()}>"

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return PublicKey.from_protobuf, (self.to_protobuf(),)


class PrivateKey:
    """An immutable private key. Its `repr` shows only the public half, and it cannot be pickled."""

    __slots__ = ("_public", "_signer", "_type")

    def __init__(self, key_type: KeyType, raw: bytes) -> None:
        """`raw` is the Data field of the protobuf. Raises Malformed when it is not a key of this type."""
        self._set(key_type, _load_private(key_type, raw))

    def _set(self, key_type: KeyType, signer: Private) -> None:
        self._type = key_type
        self._signer = signer
        self._public = PublicKey(key_type, signer.public.raw)

    @classmethod
    def _from_signer(cls, key_type: KeyType, signer: Private) -> PrivateKey:
        key = cls.__new__(cls)
        key._set(key_type, signer)
        return key

    @classmethod
    def generate(cls, key_type: KeyType = KeyType.ED25519, bits: int = 2048) -> PrivateKey:
        """A new key from the system's randomness; `bits` is for RSA, which is slow. ECDSA keys are P-256."""
        signer: Private
        if key_type == KeyType.ED25519:
            signer = Ed25519Private.from_seed(os.urandom(SEED_BYTES))
        elif key_type == KeyType.RSA:
            from mesh.identity.rsa import RsaPrivate

            signer = RsaPrivate.generate(bits)
        else:
            from mesh.identity.elliptic import EcdsaPrivate, Secp256k1Private

            signer = (Secp256k1Private if key_type == KeyType.SECP256K1 else EcdsaPrivate).generate()
        return cls._from_signer(key_type, signer)

    @classmethod
    def from_seed(cls, seed: bytes) -> PrivateKey:
        """The Ed25519 key of a 32-byte seed. Raises Malformed for another length."""
        return cls._from_signer(KeyType.ED25519, Ed25519Private.from_seed(seed))

    @classmethod
    def from_protobuf(cls, data: bytes) -> PrivateKey:
        """Reads the protobuf form, also the legacy 96-byte Ed25519 one. Raises DecodeError."""
        message = codec.PrivateKey.decode(data)
        return cls(message.type, message.data)

    def to_protobuf(self) -> bytes:
        """The canonical protobuf: a secret."""
        return codec.PrivateKey(type=self._type, data=self._signer.raw).encode()

    @classmethod
    def from_pem(cls, text: str) -> PrivateKey:
        """Reads unencrypted PKCS#8 (or SEC1, PKCS#1) in PEM. Raises Malformed."""
        from mesh.identity import pem

        return cls._from_signer(*pem.decode(text))

    def to_pem(self) -> str:
        """PKCS#8 in PEM, not encrypted: a secret."""
        from mesh.identity import pem

        return pem.encode(self._signer)

    @property
    def type(self) -> KeyType:
        return self._type

    @property
    def public(self) -> PublicKey:
        return self._public

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`, the same each time."""
        return self._signer.sign(message)

    def __eq__(self, other: object) -> bool:
        return self._public == other._public if isinstance(other, PrivateKey) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._public)

    def __repr__(self) -> str:
        return f"<private half of {self._public!r}>"

    def __reduce__(self) -> str:
        raise TypeError("private keys are not pickled; pass to_protobuf() on purpose")


def _load_public(key_type: KeyType, raw: bytes) -> _Verifier:
    if key_type == KeyType.ED25519:
        return Ed25519Public(raw)
    if key_type == KeyType.RSA:
        from mesh.identity.rsa import RsaPublic

        return RsaPublic(raw)
    from mesh.identity.elliptic import EcdsaPublic, Secp256k1Public

    return Secp256k1Public(raw) if key_type == KeyType.SECP256K1 else EcdsaPublic(raw)


def _load_private(key_type: KeyType, raw: bytes) -> Private:
    if key_type == KeyType.ED25519:
        return Ed25519Private(raw)
    if key_type == KeyType.RSA:
        from mesh.identity.rsa import RsaPrivate

        return RsaPrivate(raw)
    from mesh.identity.elliptic import EcdsaPrivate, Secp256k1Private

    return Secp256k1Private(raw) if key_type == KeyType.SECP256K1 else EcdsaPrivate(raw)
