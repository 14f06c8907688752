"""Signed peer records: the addresses a peer claims, under its own signature (libp2p digest, section 13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mesh.codecs import peer_record as codec
from mesh.errors import DecodeError, Malformed, UsageError
from mesh.identity import envelope
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr

DOMAIN: Final = "libp2p-peer-record"
PAYLOAD_TYPE: Final = b"\x03\x01"


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """`seq` orders the records of one peer, the greatest is the newest; Go takes nanoseconds of Unix time."""

    peer_id: PeerId
    seq: int
    addresses: tuple[Multiaddr, ...]

    def seal(self, private_key: PrivateKey) -> bytes:
        """The envelope that carries this record. Raises UsageError when `private_key` is not the peer's."""
        if not self.peer_id.matches(private_key.public):
            raise UsageError(f"a record about {self.peer_id} has to be signed by that peer")
        payload = codec.PeerRecord(
            peer_id=self.peer_id.to_bytes(),
            seq=self.seq,
            addresses=[codec.AddressInfo(multiaddr=address.to_bytes()) for address in self.addresses],
        ).encode()
        return envelope.seal(private_key, DOMAIN, PAYLOAD_TYPE, payload)


def open_peer_record(data: bytes) -> PeerRecord:
    """Verifies an envelope and reads its record; addresses that cannot be parsed are left out.

    Raises DecodeError, also when the signer is not the peer the record is about.
    """
    opened = envelope.open_envelope(data, DOMAIN, PAYLOAD_TYPE)
    message = codec.PeerRecord.decode(opened.payload)
    peer_id = PeerId.from_bytes(message.peer_id)
    if not peer_id.matches(opened.public_key):
        raise Malformed("PeerRecord.peer_id", None, f"signed by {PeerId.from_public_key(opened.public_key)}")
    addresses: list[Multiaddr] = []
    for info in message.addresses:
        try:
            addresses.append(Multiaddr.from_bytes(info.multiaddr))
        except DecodeError:
            continue
    return PeerRecord(peer_id, message.seq, tuple(addresses))
