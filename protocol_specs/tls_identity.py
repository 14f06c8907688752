"""The certificate extension that binds a TLS certificate to a peer's key (libp2p specs, tls/tls.md)."""

from __future__ import annotations

from protocol_specs.grammar import Der, Layout
from protocol_specs.keys import MAX_PUBLIC_DATA_BYTES
from protocol_specs.module import Module

SEQUENCE, OCTET_STRING = 0x30, 0x04

MAX_PUBLIC_KEY_BYTES = MAX_PUBLIC_DATA_BYTES + 64
MAX_SIGNATURE_BYTES = 1024
"""A signature of RSA with 8192 bits, the longest there is."""

MAX_HEADER_BYTES = 4
"""Tag and length of an element of up to 64 KiB."""

SIGNED_KEY = Layout(
    "SignedKey",
    "public_key" / Der(OCTET_STRING, MAX_PUBLIC_KEY_BYTES),
    "signature" / Der(OCTET_STRING, MAX_SIGNATURE_BYTES),
    doc="The peer's PublicKey message, and its signature over the key of the certificate.",
)

EXTENSION = Der(SEQUENCE, MAX_PUBLIC_KEY_BYTES + MAX_SIGNATURE_BYTES + 2 * MAX_HEADER_BYTES, SIGNED_KEY)

MODULE = Module(
    "tls_identity",
    "The certificate extension that binds a TLS certificate to a peer's key.",
    "libp2p/specs tls/tls.md",
    items={"signed_key": SIGNED_KEY, "extension": EXTENSION},
)
