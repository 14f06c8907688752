"""PKCS#8 in PEM, the form in which OpenSSL and other tools hold private keys."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from mesh.codecs.keys import KeyType
from mesh.errors import Malformed
from mesh.identity.ed25519 import Ed25519Private
from mesh.identity.elliptic import EcdsaPrivate, Secp256k1Private
from mesh.identity.rsa import RsaPrivate

MAX_CHARACTERS = 16 * 1024

Private = Ed25519Private | Secp256k1Private | EcdsaPrivate | RsaPrivate


def encode(private: Private) -> str:
    """PKCS#8 without encryption."""
    if isinstance(private, Ed25519Private):
        sodium = ed25519.Ed25519PrivateKey.from_private_bytes(private.seed)
        return sodium.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return private.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def decode(text: str) -> tuple[KeyType, Private]:
    """Reads one private key. Raises Malformed, also for an encrypted one and for kinds unknown to libp2p."""
    try:
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"longer than {MAX_CHARACTERS} characters")
        key = load_pem_private_key(text.encode(), None)
    except TypeError:
        raise Malformed("PEM", None, "the key is encrypted; decrypt it first (openssl pkey)") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Malformed("PEM", None, f"not a private key: {error.args[0] if error.args else error}") from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return KeyType.ED25519, Ed25519Private.from_seed(key.private_bytes_raw())
    if isinstance(key, rsa.RSAPrivateKey):
        return KeyType.RSA, RsaPrivate.from_key(key)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name == "secp256k1":
            return KeyType.SECP256K1, Secp256k1Private.from_key(key)
        return KeyType.ECDSA, EcdsaPrivate.from_key(key)
    raise Malformed("PEM", None, "this kind of key has no libp2p form")
