"""Whose a name is: one signed record, and a transfer signed by the owner before (Beam digest, section 3.2).

A record takes another's place by right alone: it is a newer one of the same owner, or of somebody to whom a chain of
transfers leads from that owner. Whoever comes later without such a right never wins over what is held, until the held
record expires or is revoked. A client that has seen an owner stays with it (`OwnerPins`); `NAME.PEER` needs no
record at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mesh.codecs import beam as codec
from mesh.codecs.beam import MAX_PROVIDERS, MAX_RECORD_BYTES, MAX_TRANSFERS, MAX_TTL_S
from mesh.codecs.envelope import Envelope
from mesh.errors import DecodeError, Malformed, UsageError
from mesh.identity.envelope import open_envelope, seal
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.beam.record_keys import check_name
from mesh.protocols.beam.service_record import MAX_SKEW_S, read_addresses

DOMAIN: Final = "beam-name-record"
PAYLOAD_TYPE: Final = b"/beam/name-record"
TRANSFER_DOMAIN: Final = "beam-name-transfer"
TRANSFER_TYPE: Final = b"/beam/name-transfer"
TTL_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class NameTransfer:
    """``previous_owner`` gave a name to ``new_owner``."""

    name: str
    previous_owner: PeerId
    new_owner: PeerId
    at_ms: int
    version: int
    envelope: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class NameRecord:
    """A name of one owner. ``providers`` may serve it besides the owner; the first of ``addresses`` is that of choice."""

    id: bytes
    name: str
    owner: PeerId
    tunnel_id: str
    created_ms: int
    updated_ms: int
    ttl_s: int
    version: int
    tunnel_protocol: str = "tcp"
    addresses: tuple[Multiaddr, ...] = ()
    description: str = ""
    tags: tuple[str, ...] = ()
    providers: tuple[PeerId, ...] = ()
    transfers: tuple[NameTransfer, ...] = ()
    revoked: bool = False
    envelope: bytes = field(default=b"", compare=False, repr=False)

    @property
    def expires_s(self) -> float:
        """Unix seconds after which it counts no more."""
        return self.updated_ms / 1000 + self.ttl_s

    def counts(self, now_s: float) -> bool:
        """Whether it has neither expired nor comes from the future."""
        return self.updated_ms / 1000 - MAX_SKEW_S <= now_s < self.expires_s

    def admits(self, peer: PeerId) -> bool:
        """Whether a peer may serve the name."""
        return not self.revoked and (peer == self.owner or peer in self.providers)

    def follows(self, owner: PeerId) -> bool:
        """Whether transfers lead from an owner to this record's."""
        return any(each.previous_owner == owner for each in self.transfers)

    def document(self) -> dict[str, Any]:
        """Beam's JSON."""
        return {
            "id": self.id.hex(),
            "name": self.name,
            "owner_peer_id": str(self.owner),
            "tunnel_id": self.tunnel_id,
            "tunnel_protocol": self.tunnel_protocol,
            "p2p_address": str(self.addresses[0]) if self.addresses else None,
            "alternative_addresses": [str(each) for each in self.addresses[1:]],
            "signature": Envelope.decode(self.envelope).signature.hex() if self.envelope else "",
            "created_at": self.created_ms,
            "updated_at": self.updated_ms,
            "ttl": self.ttl_s,
            "version": self.version,
            "description": self.description,
            "tags": list(self.tags),
            "providers": [str(each) for each in self.providers],
            "history": [
                {
                    "previousOwner": str(each.previous_owner),
                    "newOwner": str(each.new_owner),
                    "timestamp": each.at_ms,
                }
                for each in self.transfers
            ],
        }


def sign_name(key: PrivateKey, record: NameRecord) -> NameRecord:
    """The record with its envelope. Raises `UsageError` for another owner's key and for what exceeds a limit."""
    if not record.owner.matches(key.public):
        raise UsageError(f"a name of {record.owner} has to be signed by that peer")
    if len(record.providers) > MAX_PROVIDERS:
        raise UsageError(f"a name has at most {MAX_PROVIDERS} providers besides its owner")
    if not 1 <= record.ttl_s <= MAX_TTL_S:
        raise UsageError(f"ttl is 1 to {MAX_TTL_S} s, not {record.ttl_s}")
    payload = codec.NameRecord(
        id=record.id,
        name=check_name(record.name),
        owner=record.owner.to_bytes(),
        tunnel_id=record.tunnel_id,
        tunnel_protocol=record.tunnel_protocol,
        addresses=[each.to_bytes() for each in record.addresses],
        created_ms=record.created_ms,
        updated_ms=record.updated_ms,
        ttl_s=record.ttl_s,
        version=record.version,
        description=record.description,
        tags=list(record.tags),
        providers=[each.to_bytes() for each in record.providers],
        transfers=[each.envelope for each in record.transfers],
        revoked=record.revoked,
    ).encode()
    return open_name(seal(key, DOMAIN, PAYLOAD_TYPE, payload))


def open_name(envelope: bytes) -> NameRecord:
    """Verifies and reads a record with its chain of transfers. Raises `DecodeError`, also for a signer that is not the
    owner and for a chain that does not lead to it."""
    if len(envelope) > MAX_RECORD_BYTES:
        raise Malformed("NameRecord", None, f"{len(envelope)} bytes, at most {MAX_RECORD_BYTES}")
    opened = open_envelope(envelope, DOMAIN, PAYLOAD_TYPE)
    message = codec.NameRecord.decode(opened.payload)
    owner = PeerId.from_bytes(message.owner)
    if not owner.matches(opened.public_key):
        raise Malformed("NameRecord.owner", None, f"signed by {PeerId.from_public_key(opened.public_key)}")
    transfers = tuple(map(open_transfer, message.transfers))
    _check_chain(message.name, owner, message.version, transfers)
    return NameRecord(
        id=message.id,
        name=check_name(message.name),
        owner=owner,
        tunnel_id=message.tunnel_id,
        created_ms=message.created_ms,
        updated_ms=message.updated_ms,
        ttl_s=message.ttl_s,
        version=message.version,
        tunnel_protocol=message.tunnel_protocol,
        addresses=read_addresses(message.addresses),
        description=message.description,
        tags=tuple(message.tags),
        providers=tuple(PeerId.from_bytes(each) for each in message.providers),
        transfers=transfers,
        revoked=message.revoked,
        envelope=envelope,
    )


def sign_transfer(key: PrivateKey, record: NameRecord, new_owner: PeerId, at_ms: int) -> NameTransfer:
    """Give a name away. Raises `UsageError` for a name of somebody else, for a chain that is full."""
    if not record.owner.matches(key.public):
        raise UsageError(f"{record.name} belongs to {record.owner}, who alone can give it away")
    if new_owner == record.owner:
        raise UsageError(f"{record.name} belongs to {new_owner} already")
    if len(record.transfers) >= MAX_TRANSFERS:
        raise UsageError(f"{record.name} changed hands {MAX_TRANSFERS} times: revoke it and register it anew")
    payload = codec.NameTransfer(
        name=record.name,
        previous_owner=record.owner.to_bytes(),
        new_owner=new_owner.to_bytes(),
        at_ms=at_ms,
        version=record.version,
    ).encode()
    return open_transfer(seal(key, TRANSFER_DOMAIN, TRANSFER_TYPE, payload))


def open_transfer(envelope: bytes) -> NameTransfer:
    """Raises `DecodeError`, also when the previous owner has not signed it."""
    opened = open_envelope(envelope, TRANSFER_DOMAIN, TRANSFER_TYPE)
    message = codec.NameTransfer.decode(opened.payload)
    previous = PeerId.from_bytes(message.previous_owner)
    if not previous.matches(opened.public_key):
        raise Malformed("NameTransfer.previous_owner", None, "it is not who signed")
    new_owner = PeerId.from_bytes(message.new_owner)
    return NameTransfer(message.name, previous, new_owner, message.at_ms, message.version, envelope)


def supersedes(record: NameRecord, held: NameRecord) -> bool:
    """Whether a record takes the place of one that still counts: by a newer version of the same owner, or by a transfer
    that this very owner signed at this version or a later one."""
    if record.owner == held.owner:
        return record.version > held.version
    if held.follows(record.owner):
        return False
    if held.revoked:
        return True
    return any(
        each.previous_owner == held.owner and each.version >= held.version for each in record.transfers
    )


def choose(records: Sequence[NameRecord]) -> int:
    """The index of the record to stay with: the last one unless others supersede it, so that in (new, held) the held one
    stays where nothing gives the new one a right."""
    best = len(records) - 1
    for index in range(best - 1, -1, -1):
        if supersedes(records[index], records[best]):
            best = index
    return best


def contested(records: Sequence[NameRecord]) -> tuple[PeerId, ...]:
    """The owners that claim a name side by side, none of whom has a right over all others; empty without a dispute."""
    claims = {each.owner: each for each in records if not each.revoked}
    current = [
        each
        for each in claims.values()
        if not any(other is not each and supersedes(other, each) for other in claims.values())
    ]
    return tuple(sorted(each.owner for each in current)) if len(current) > 1 else ()


def _check_chain(name: str, owner: PeerId, version: int, transfers: Sequence[NameTransfer]) -> None:
    """Each transfer is of this name, and goes on where the one before ended; the last one leads to the owner."""
    giver: PeerId | None = None
    for each in transfers:
        if (
            each.name != name
            or (giver is not None and each.previous_owner != giver)
            or each.version > version
        ):
            raise Malformed("NameRecord.transfers", None, "no chain of transfers of this name")
        giver = each.new_owner
    if giver is not None and giver != owner:
        raise Malformed("NameRecord.transfers", None, f"they lead to {giver}, not to {owner}")


def read_owner(text: str) -> PeerId:
    """A peer id that somebody typed. Raises `UsageError`."""
    try:
        return PeerId.parse(text)
    except DecodeError as error:
        raise UsageError(f"{text[:64]!r} is no peer id: {error}") from None
