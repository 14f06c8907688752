"""Receipts: what the receiver of a message says became of it, signed, with the evidence by name."""

from __future__ import annotations

from typing import Final

from mesh.codecs.agent_delivery import MAX_EVIDENCE_BYTES, Receipt, State
from mesh.errors import PeerError
from mesh.identity.envelope import open_envelope, seal
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId

DOMAIN: Final = "mesh-agent-receipt"
PAYLOAD_TYPE: Final = b"/mesh/agent-receipt"


def sign_receipt(
    key: PrivateKey, sender: PeerId, message_id: str, digest: bytes, state: State, evidence: str, at_ms: int
) -> bytes:
    """The receipt of who has ``key`` for a message of ``sender``, in its envelope; ``evidence`` is cut to 512 bytes."""
    receipt = Receipt(
        message_id=message_id,
        digest=digest,
        sender=sender.to_bytes(),
        receiver=PeerId.from_public_key(key.public).to_bytes(),
        state=state,
        evidence=evidence.encode()[:MAX_EVIDENCE_BYTES].decode("utf-8", "ignore"),
        at_ms=at_ms,
    )
    return seal(key, DOMAIN, PAYLOAD_TYPE, receipt.encode())


def open_receipt(envelope: bytes, sender: PeerId, receiver: PeerId) -> Receipt:
    """A receipt that ``receiver`` signed for a message of ``sender``.

    Raises `DecodeError` for what is no receipt or has a bad signature, `PeerError` for one of others.
    """
    opened = open_envelope(envelope, DOMAIN, PAYLOAD_TYPE)
    receipt = Receipt.decode(opened.payload)
    signer = PeerId.from_public_key(opened.public_key)
    if signer != receiver or receipt.receiver != receiver.to_bytes() or receipt.sender != sender.to_bytes():
        raise PeerError(f"a receipt that {signer} signed is not {receiver}'s for {sender}", clause="receipts")
    return receipt
