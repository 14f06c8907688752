"""Public and private keys (libp2p specs, peer-ids/peer-ids.md)."""

from __future__ import annotations

from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_PUBLIC_DATA_BYTES = 2048
"""RSA of 8192 bits takes 1,062 bytes as SubjectPublicKeyInfo."""

MAX_PRIVATE_DATA_BYTES = 8192
"""RSA of 8192 bits takes about 4,700 bytes as PKCS#1."""

KEY_TYPE = Enum(
    "KeyType",
    {"RSA": 0, "ED25519": 1, "SECP256K1": 2, "ECDSA": 3},
    doc="The kinds of keys; others are refused.",
)

PUBLIC_KEY = Message(
    "PublicKey",
    field(1, "type", KEY_TYPE, presence="required"),
    field(2, "data", "bytes", presence="required", max_bytes=MAX_PUBLIC_DATA_BYTES),
    max_bytes=MAX_PUBLIC_DATA_BYTES + 64,
    doc="A public key. `data` is 32 raw bytes for Ed25519, a point of 33 for secp256k1, DER otherwise.",
)

PRIVATE_KEY = Message(
    "PrivateKey",
    field(1, "type", KEY_TYPE, presence="required"),
    field(2, "data", "bytes", presence="required", max_bytes=MAX_PRIVATE_DATA_BYTES),
    max_bytes=MAX_PRIVATE_DATA_BYTES + 64,
    doc="A private key. `data` is seed and public key for Ed25519, a scalar for secp256k1, else DER.",
)

MODULE = Module(
    "keys",
    "Public and private keys as protobufs.",
    "libp2p/specs peer-ids/peer-ids.md",
    items={"public_key": PUBLIC_KEY, "private_key": PRIVATE_KEY},
)
