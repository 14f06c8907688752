"""Reservation vouchers: a relay's signed word that a peer can be reached through it (circuit-v2, vouchers)."""

from __future__ import annotations

from typing import Final

from mesh.codecs.relay import Voucher
from mesh.errors import Malformed
from mesh.identity import envelope
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId

DOMAIN: Final = "libp2p-relay-rsvp"
PAYLOAD_TYPE: Final = b"\x03\x02"


def make_voucher(key: PrivateKey, peer: PeerId, expires_at: int) -> bytes:
    """The envelope of a voucher for ``peer`` by the relay of ``key``; ``expires_at`` in seconds of Unix time."""
    relay = PeerId.from_public_key(key.public)
    payload = Voucher(relay=relay.to_bytes(), peer=peer.to_bytes(), expiration=expires_at).encode()
    return envelope.seal(key, DOMAIN, PAYLOAD_TYPE, payload)


def check_voucher(data: bytes, relay: PeerId, peer: PeerId, expires_at: int) -> None:
    """Raises `DecodeError` unless ``relay`` signed that ``peer`` holds a reservation up to ``expires_at``."""
    opened = envelope.open_envelope(data, DOMAIN, PAYLOAD_TYPE)
    voucher = Voucher.decode(opened.payload)
    if not relay.matches(opened.public_key):
        signer = PeerId.from_public_key(opened.public_key)
        raise Malformed("Voucher", None, f"signed by {signer}, not by the relay {relay}")
    for name, said, due in (
        ("relay", voucher.relay, relay.to_bytes()),
        ("peer", voucher.peer, peer.to_bytes()),
        ("expiration", voucher.expiration, expires_at),
    ):
        if said != due:
            raise Malformed(f"Voucher.{name}", None, "not what the reservation says")
