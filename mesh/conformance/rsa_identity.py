"""An RSA identity too small to be made by `mesh.identity`."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mesh.codecs.keys import KeyType
from mesh.codecs.keys import PublicKey as KeyMessage

BITS = 1024


def small_rsa(signed: bytes) -> tuple[bytes, bytes]:
    """The protobuf of a new public key of 1024 bits, and its signature over ``signed``."""
    key = rsa.generate_private_key(65537, BITS)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signature = key.sign(signed, padding.PKCS1v15(), SHA256())
    return KeyMessage(type=KeyType.RSA, data=public).encode(), signature
