"""The record of a service at one provider: signed by it, newer by `seq`, valid for `ttl_s` (Beam digest, section 3.1).

`last_seen` is no part of it: whoever holds a record knows itself when it last heard of the provider.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mesh.codecs import beam as codec
from mesh.codecs.beam import MAX_ENDPOINTS, MAX_METADATA_BYTES, MAX_RECORD_BYTES, MAX_TTL_S, ServiceType
from mesh.codecs.envelope import Envelope
from mesh.errors import DecodeError, Malformed, UsageError
from mesh.identity.envelope import open_envelope, seal
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.beam.record_keys import check_service

DOMAIN: Final = "beam-service-record"
PAYLOAD_TYPE: Final = b"/beam/service-record"
TTL_S: Final = 3600
MAX_SKEW_S: Final = 300.0
"""A record may come from a clock so far ahead of ours."""
TYPES: Final = {each.name.lower(): each for each in ServiceType}


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """One service at one provider. ``endpoints`` lead to the provider's node, ``metadata`` is a JSON object."""

    service_id: str
    service_type: str
    peer_id: PeerId
    endpoints: tuple[Multiaddr, ...]
    ttl_s: int
    seq: int
    created_ms: int
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    withdrawn: bool = False
    envelope: bytes = field(default=b"", compare=False, repr=False)
    """As it was signed."""

    @property
    def expires_s(self) -> float:
        """Unix seconds after which it counts no more."""
        return self.created_ms / 1000 + self.ttl_s

    def counts(self, now_s: float) -> bool:
        """Whether it has neither expired nor comes from the future."""
        return self.created_ms / 1000 - MAX_SKEW_S <= now_s < self.expires_s

    def document(self, last_seen_s: float = 0.0) -> dict[str, Any]:
        """Beam's JSON, in its seed's spelling."""
        return {
            "service_id": self.service_id,
            "service_type": self.service_type,
            "peer_id": str(self.peer_id),
            "endpoints": [str(each) for each in self.endpoints],
            "metadata": dict(self.metadata),
            "ttl": self.ttl_s,
            "seq": self.seq,
            "created_at": self.created_ms,
            "last_seen": round(last_seen_s * 1000),
            "signature": f"0x{Envelope.decode(self.envelope).signature.hex()}" if self.envelope else "",
        }


def sign_service(key: PrivateKey, record: ServiceRecord) -> ServiceRecord:
    """The record with its envelope. Raises `UsageError` for another peer's key and for what exceeds a limit."""
    if not record.peer_id.matches(key.public):
        raise UsageError(f"a service of {record.peer_id} has to be signed by that peer")
    if not 1 <= record.ttl_s <= MAX_TTL_S:
        raise UsageError(f"ttl is 1 to {MAX_TTL_S} s, not {record.ttl_s}")
    if len(record.endpoints) > MAX_ENDPOINTS:
        raise UsageError(f"a service has at most {MAX_ENDPOINTS} endpoints, not {len(record.endpoints)}")
    payload = codec.ServiceRecord(
        service_id=check_service(record.service_id),
        service_type=TYPES[record.service_type],
        peer_id=record.peer_id.to_bytes(),
        endpoints=[each.to_bytes() for each in record.endpoints],
        metadata=write_metadata(record.metadata),
        ttl_s=record.ttl_s,
        seq=record.seq,
        created_ms=record.created_ms,
        withdrawn=record.withdrawn,
    ).encode()
    return open_service(seal(key, DOMAIN, PAYLOAD_TYPE, payload))


def open_service(envelope: bytes) -> ServiceRecord:
    """Verifies and reads a record; endpoints that cannot be parsed are left out. Raises `DecodeError`, also for a signer
    that is not the provider; whether it has expired is another question (`counts`)."""
    if len(envelope) > MAX_RECORD_BYTES:
        raise Malformed("ServiceRecord", None, f"{len(envelope)} bytes, at most {MAX_RECORD_BYTES}")
    opened = open_envelope(envelope, DOMAIN, PAYLOAD_TYPE)
    message = codec.ServiceRecord.decode(opened.payload)
    peer = PeerId.from_bytes(message.peer_id)
    if not peer.matches(opened.public_key):
        raise Malformed(
            "ServiceRecord.peer_id", None, f"signed by {PeerId.from_public_key(opened.public_key)}"
        )
    return ServiceRecord(
        check_service(message.service_id),
        _type_name(message.service_type),
        peer,
        read_addresses(message.endpoints),
        message.ttl_s,
        message.seq,
        message.created_ms,
        read_metadata(message.metadata),
        message.withdrawn,
        envelope,
    )


def newer(record: ServiceRecord, than: ServiceRecord) -> bool:
    """Whether a record takes the other's place. Of one provider the greater `seq` counts; of several providers one that
    is offered comes before one that is not, then the later one."""
    if record.peer_id == than.peer_id:
        return record.seq > than.seq
    if record.withdrawn != than.withdrawn:
        return than.withdrawn
    return (record.created_ms, record.peer_id) > (than.created_ms, than.peer_id)


def write_metadata(metadata: Mapping[str, Any]) -> bytes:
    """Canonical JSON: keys in order, no spaces. Raises `UsageError`."""
    try:
        data = json.dumps(
            dict(metadata), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"metadata is not JSON: {error}") from None
    if len(data) > MAX_METADATA_BYTES:
        raise UsageError(f"metadata takes {len(data)} bytes, at most {MAX_METADATA_BYTES}")
    return data if metadata else b""


def read_metadata(data: bytes) -> dict[str, Any]:
    """Raises `Malformed` for what is no JSON object."""
    if not data:
        return {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Malformed("ServiceRecord.metadata", None, "no JSON object")
    return found


def read_addresses(given: list[bytes]) -> tuple[Multiaddr, ...]:
    """Those that can be parsed, each once."""
    found: dict[Multiaddr, None] = {}
    for data in given:
        try:
            found[Multiaddr.from_bytes(data)] = None
        except DecodeError:
            continue
    return tuple(found)


def _type_name(number: int) -> str:
    return next((name for name, each in TYPES.items() if each == number), "other")
