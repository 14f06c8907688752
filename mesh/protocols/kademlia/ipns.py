"""IPNS records: what a name points to, signed by the name's key (IPFS specs, ipns/ipns-record).

The truth is the DAG-CBOR in `data`, signed by `signature_v2`. The fields beside it repeat it for readers of before 2021:
they are compared when present, and the first signature is never verified. `/ipns/<peer id in binary>` is the DHT key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mesh.codecs.ipns import IpnsRecord, ValidityType
from mesh.errors import DecodeError, UsageError
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats import dag_cbor
from mesh.protocols.kademlia import record_key, rfc3339
from mesh.protocols.kademlia.record_key import InvalidRecordError

NAMESPACE: Final = "ipns"
MAX_RECORD_BYTES: Final = IpnsRecord.MAX_BYTES
SIGNATURE_PREFIX: Final = b"ipns-signature:"
DEFAULT_TTL_NS: Final = 5 * 60 * rfc3339.NANOSECONDS
"""How long a resolved value may be cached; five minutes is go's default."""

_MAX_DEPTH: Final = 16
_MAX_ITEMS: Final = 1024
_MAX_NUMBER: Final = 2**63 - 1
"""Go holds sequence and ttl as signed integers of 64 bits."""


@dataclass(frozen=True, slots=True)
class IpnsEntry:
    """What a record says. `validity` is the RFC 3339 text, `expires_ns` the same in nanoseconds of Unix time, `ttl_ns`
    how long a resolved `value` may be cached."""

    value: bytes
    validity: bytes
    expires_ns: int
    sequence: int
    ttl_ns: int


class IpnsValidator:
    """The rules of the namespace `ipns`."""

    def validate(self, key: bytes, value: bytes, now: float) -> None:
        """See `validators.Validator`: signature, agreement of the two halves, and expiry at `now`."""
        verify(name_of(key), value, now)

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """The greatest sequence, then the latest validity, then the greatest bytes; signatures are not verified here."""
        if not values:
            raise UsageError("there is nothing to select from")
        best: tuple[int, int, bytes] | None = None
        index = -1
        for at, value in enumerate(values):
            try:
                entry = _parse(value)[1]
            except InvalidRecordError:
                continue
            rank = (entry.sequence, entry.expires_ns, value)
            if best is None or rank > best:
                best, index = rank, at
        if index < 0:
            raise InvalidRecordError("/ipns/: no record among the values")
        return index


def key_of(name: PeerId) -> bytes:
    """The DHT key of a name."""
    return f"/{NAMESPACE}/".encode() + name.to_bytes()


def name_of(key: bytes) -> PeerId:
    """The name of a DHT key. Raises InvalidRecordError."""
    namespace, rest = record_key.split(key)
    if namespace != NAMESPACE:
        raise InvalidRecordError(f"a key of the namespace {namespace!r} instead of {NAMESPACE!r}")
    try:
        return PeerId.from_bytes(rest)
    except DecodeError as error:
        raise InvalidRecordError(f"/ipns/: the name is no peer id: {error}") from None


def verify(name: PeerId, record: bytes, now: float) -> IpnsEntry:
    """What a valid record of `name` says at `now` (Unix seconds). Raises InvalidRecordError."""
    message, entry = _parse(record)
    public_key = _public_key(name, message)
    if not public_key.verify(SIGNATURE_PREFIX + (message.data or b""), message.signature_v2 or b""):
        raise InvalidRecordError(f"/ipns/: the signature is not that of {name}")
    if message.signature_v1 or message.value:
        _compare(message, entry)
    if rfc3339.from_seconds(now) > entry.expires_ns:
        raise InvalidRecordError(f"/ipns/: expired at {entry.validity.decode()}")
    return entry


def create(
    private_key: PrivateKey,
    value: bytes,
    sequence: int,
    expires: float,
    ttl_ns: int = DEFAULT_TTL_NS,
    *,
    v1_compatible: bool = True,
) -> bytes:
    """The record that lets the name of `private_key` point to `value`, a content path, until `expires` (Unix seconds).

    The public key goes along when the name does not hold it. `v1_compatible` repeats the data in the old fields, with
    the old signature, as go does. Raises UsageError for numbers out of range and for more than 10 KiB.
    """
    for what, number in (("sequence", sequence), ("ttl_ns", ttl_ns)):
        if not 0 <= number <= _MAX_NUMBER:
            raise UsageError(f"{what} is 0 to 2^63 - 1, not {number}")
    validity = rfc3339.write(rfc3339.from_seconds(expires))
    data = dag_cbor.encode(
        {
            "TTL": ttl_ns,
            "Value": value,
            "Sequence": sequence,
            "Validity": validity,
            "ValidityType": int(ValidityType.EOL),
        }
    )
    message = IpnsRecord(data=data, signature_v2=private_key.sign(SIGNATURE_PREFIX + data))
    if v1_compatible:
        message.value = value
        message.signature_v1 = private_key.sign(value + validity + b"EOL")
        message.validity_type = ValidityType.EOL
        message.validity = validity
        message.sequence = sequence
        message.ttl = ttl_ns
    if PeerId.from_public_key(private_key.public).public_key() is None:
        message.pub_key = private_key.public.to_protobuf()
    return message.encode()


def _parse(record: bytes) -> tuple[IpnsRecord, IpnsEntry]:
    """A record's two halves, neither verified."""
    try:
        message = IpnsRecord.decode(record)
        data = dag_cbor.decode(message.data or b"", MAX_RECORD_BYTES, _MAX_DEPTH, _MAX_ITEMS)
        if not isinstance(data, dict):
            raise InvalidRecordError("/ipns/: the data is no map")
        validity = _content(data, "Validity")
        if _number(data, "ValidityType") != ValidityType.EOL:
            raise InvalidRecordError("/ipns/: the validity type is not EOL")
        entry = IpnsEntry(
            value=_content(data, "Value"),
            validity=validity,
            expires_ns=rfc3339.parse(validity),
            sequence=_number(data, "Sequence"),
            ttl_ns=_number(data, "TTL"),
        )
    except DecodeError as error:
        raise InvalidRecordError(f"/ipns/: {error}") from None
    if not message.signature_v2:
        raise InvalidRecordError("/ipns/: no signature over the data (version 2)")
    return message, entry


def _content(data: dict[str, dag_cbor.Value], name: str) -> bytes:
    value = data.get(name)
    if not isinstance(value, bytes):
        raise InvalidRecordError(f"/ipns/: the data has no bytes called {name}")
    return value


def _number(data: dict[str, dag_cbor.Value], name: str) -> int:
    value = data.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_NUMBER:
        raise InvalidRecordError(f"/ipns/: the data has no number called {name} from 0 to 2^63 - 1")
    return value


def _public_key(name: PeerId, message: IpnsRecord) -> PublicKey:
    """The key in the record, which must be the name's, else the one inside the name."""
    if not message.pub_key:
        inside = name.public_key()
        if inside is None:
            raise InvalidRecordError(f"/ipns/: neither the record nor the name {name} holds the public key")
        return inside
    try:
        public_key = PublicKey.from_protobuf(message.pub_key)
    except DecodeError as error:
        raise InvalidRecordError(f"/ipns/: {error}") from None
    if not name.matches(public_key):
        raise InvalidRecordError(f"/ipns/: the public key in the record is not that of {name}")
    return public_key


def _compare(message: IpnsRecord, entry: IpnsEntry) -> None:
    """Whether the old fields say what the data says; an absent one counts as its type's zero."""
    pairs = {
        "value": (message.value or b"", entry.value),
        "validity": (message.validity or b"", entry.validity),
        "validity type": (message.validity_type or ValidityType.EOL, ValidityType.EOL),
        "sequence": (message.sequence or 0, entry.sequence),
        "ttl": (message.ttl or 0, entry.ttl_ns),
    }
    for what, (field, truth) in pairs.items():
        if field != truth:
            raise InvalidRecordError(f"/ipns/: the {what} beside the signed data differs from it")
