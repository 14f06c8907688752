"""Signed envelopes: a payload, its type, its signer's key and a signature bound to a domain (RFC 0002)."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.codecs.envelope import Envelope
from mesh.errors import Malformed
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.multiformats import varint


@dataclass(frozen=True, slots=True)
class OpenedEnvelope:
    """What a valid envelope says. The signer's key is proven; what the payload claims about it is not."""

    public_key: PublicKey
    payload_type: bytes
    payload: bytes


def seal(private_key: PrivateKey, domain: str, payload_type: bytes, payload: bytes) -> bytes:
    """The protobuf of an envelope signed by `private_key`."""
    return Envelope(
        public_key=private_key.public.to_protobuf(),
        payload_type=payload_type,
        payload=payload,
        signature=private_key.sign(_signed_bytes(domain, payload_type, payload)),
    ).encode()


def open_envelope(data: bytes, domain: str, payload_type: bytes | None = None) -> OpenedEnvelope:
    """Decodes and verifies; `payload_type`, when given, must be the envelope's.

    Raises DecodeError: for bytes that are no envelope, another payload type, an unusable key, or a signature
    that is not the key's over this payload in this domain.
    """
    envelope = Envelope.decode(data)
    if payload_type is not None and envelope.payload_type != payload_type:
        raise Malformed(
            "Envelope.payload_type", None, f"{envelope.payload_type.hex()} instead of {payload_type.hex()}"
        )
    public_key = PublicKey.from_protobuf(envelope.public_key)
    signed = _signed_bytes(domain, envelope.payload_type, envelope.payload)
    if not public_key.verify(signed, envelope.signature):
        raise Malformed("Envelope.signature", None, f"not the signer's, or not for the domain {domain!r}")
    return OpenedEnvelope(public_key, envelope.payload_type, envelope.payload)


def _signed_bytes(domain: str, payload_type: bytes, payload: bytes) -> bytes:
    parts = (domain.encode(), payload_type, payload)
    return b"".join([varint.encode(len(part)) + part for part in parts])
