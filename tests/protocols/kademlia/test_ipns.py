"""IPNS records: made, verified, chosen among; and every way in which one can be wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs.ipns import IpnsRecord
from mesh.errors import Malformed, UsageError
from mesh.identity.keys import KeyType, PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats import dag_cbor
from mesh.protocols.kademlia import ipns, rfc3339
from mesh.protocols.kademlia.ipns import SIGNATURE_PREFIX, IpnsValidator
from mesh.protocols.kademlia.validators import InvalidRecordError
from tests.vectors import cases, load

ALICE, BOB = PrivateKey.from_seed(bytes(31) + b"\x01"), PrivateKey.from_seed(bytes(31) + b"\x02")
NAME = PeerId.from_public_key(ALICE.public)
KEY = ipns.key_of(NAME)
NOW = 1_800_000_000.0
PATH = b"/ipfs/bafkqaaa"
FIELDS: dict[str, dag_cbor.Value] = {
    "TTL": 1,
    "Value": PATH,
    "Sequence": 3,
    "Validity": b"2099-01-01T00:00:00Z",
    "ValidityType": 0,
}


def signed(data: bytes, key: PrivateKey = ALICE, **rest: Any) -> bytes:
    return IpnsRecord(data=data, signature_v2=key.sign(SIGNATURE_PREFIX + data), **rest).encode()


def with_fields(**changes: dag_cbor.Value) -> bytes:
    return signed(dag_cbor.encode(FIELDS | changes))


def without(name: str) -> bytes:
    return signed(dag_cbor.encode({key: value for key, value in FIELDS.items() if key != name}))


def refused(record: bytes, reason: str, now: float = NOW) -> None:
    with pytest.raises(InvalidRecordError, match=reason):
        IpnsValidator().validate(KEY, record, now)


@pytest.mark.parametrize("key_type", KeyType)
@pytest.mark.parametrize("v1_compatible", [True, False])
def test_a_record_of_every_key_type(key_type: KeyType, v1_compatible: bool) -> None:
    key = PrivateKey.generate(key_type)
    name = PeerId.from_public_key(key.public)
    record = ipns.create(key, PATH, 7, NOW + 1.5, 60, v1_compatible=v1_compatible)
    entry = ipns.verify(name, record, NOW)
    assert (entry.value, entry.sequence, entry.ttl_ns) == (PATH, 7, 60)
    assert entry.expires_ns == int(NOW) * 10**9 + 1_500_000_000
    message = IpnsRecord.decode(record)
    assert (message.pub_key is None) == (key_type in (KeyType.ED25519, KeyType.SECP256K1))
    assert (message.value is None) != v1_compatible
    with pytest.raises(InvalidRecordError, match="expired"):
        ipns.verify(name, record, NOW + 1.6)
    with pytest.raises(InvalidRecordError):
        ipns.verify(NAME, record, NOW)


def test_what_is_made_is_what_boxo_makes() -> None:
    """The recorded records, made again from their contents and the same key, byte for byte."""
    key = PrivateKey.from_protobuf(bytes.fromhex(load("actors")["alice"]["private_protobuf"]))
    made = 0
    for case in cases("kad_validation"):
        if "sequence" in case["name"]:
            record = bytes.fromhex(case["value"])
            entry = ipns.verify(ipns.name_of(bytes.fromhex(case["key"])), record, NOW)
            again = ipns.create(key, entry.value, entry.sequence, entry.expires_ns / 1e9, entry.ttl_ns)
            assert again == record
            made += 1
    assert made == 2


def test_expiry_counts_nanoseconds() -> None:
    record = with_fields(Validity=b"2027-01-15T08:00:00.25Z")
    IpnsValidator().validate(KEY, record, 1_800_000_000.25)
    refused(record, "expired", 1_800_000_000.26)


def test_keys_and_names() -> None:
    assert ipns.name_of(KEY) == NAME
    for key in (b"/ipns/", b"/ipns/xx", b"/pk/" + NAME.to_bytes(), b"ipns"):
        with pytest.raises(InvalidRecordError):
            IpnsValidator().validate(key, with_fields(), NOW)
    digest = PeerId.from_bytes(b"\x12\x20" + bytes(32))
    with pytest.raises(InvalidRecordError, match="holds the public key"):
        ipns.verify(digest, with_fields(), NOW)


def test_the_key_in_the_record_must_be_the_names() -> None:
    data = dag_cbor.encode(FIELDS)
    ipns.verify(NAME, signed(data, pub_key=ALICE.public.to_protobuf()), NOW)
    refused(signed(data, BOB, pub_key=BOB.public.to_protobuf()), "not that of")
    refused(signed(data, pub_key=b"\x08\x01"), "ipns")


def test_other_signatures() -> None:
    data = dag_cbor.encode(FIELDS)
    refused(signed(data, BOB), "signature")
    refused(IpnsRecord(data=data, signature_v2=ALICE.sign(data)).encode(), "signature")
    refused(IpnsRecord(data=data).encode(), "no signature")
    refused(IpnsRecord(data=data, signature_v1=ALICE.sign(PATH)).encode(), "no signature")
    refused(IpnsRecord(signature_v2=ALICE.sign(SIGNATURE_PREFIX)).encode(), "ipns")
    refused(b"", "ipns")
    refused(b"\x0a", "ipns")


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_field_of_the_data_is_needed(name: str) -> None:
    refused(without(name), name)
    refused(with_fields(**{name: "text"}), name)
    refused(with_fields(**{name: True}), name)


def test_data_out_of_range() -> None:
    refused(with_fields(ValidityType=1), "EOL")
    refused(with_fields(Sequence=-1), "Sequence")
    refused(with_fields(Sequence=2**63), "Sequence")
    refused(with_fields(TTL=2**64 - 1), "TTL")
    refused(with_fields(Validity=b"tomorrow"), "RFC 3339")
    refused(signed(b"\x80"), "no map")
    refused(signed(dag_cbor.encode(FIELDS) + b"\x00"), "follow")
    IpnsValidator().validate(KEY, with_fields(Extra=["more"]), NOW)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value", b"/ipfs/other"),
        ("validity", b"2099-01-01T00:00:01Z"),
        ("sequence", 4),
        ("ttl", 2),
        ("value", None),
    ],
)
def test_the_old_fields_must_agree(field: str, value: object) -> None:
    message = IpnsRecord.decode(ipns.create(ALICE, PATH, 3, NOW + 60))
    setattr(message, field, value)
    refused(message.encode(), "differs")


def test_old_fields_alone_do_not_count() -> None:
    """Without value and first signature there is nothing an old reader would believe."""
    IpnsValidator().validate(KEY, signed(dag_cbor.encode(FIELDS), sequence=9), NOW)
    refused(signed(dag_cbor.encode(FIELDS), signature_v1=b"x"), "differs")


def test_size() -> None:
    record = ipns.create(ALICE, b"/" + bytes(10_000), 1, NOW, v1_compatible=False)
    assert len(record) < ipns.MAX_RECORD_BYTES
    ipns.verify(NAME, record, NOW)
    with pytest.raises(UsageError):
        ipns.create(ALICE, b"/" + bytes(10_240), 1, NOW, v1_compatible=False)
    refused(record + b"\xfa\x06\xff\x01" + bytes(255), "at most 10240")


@pytest.mark.parametrize(
    ("sequence", "expires", "ttl_ns"), [(-1, NOW, 1), (2**63, NOW, 1), (1, NOW, -1), (1, 1e13, 1)]
)
def test_what_cannot_be_made(sequence: int, expires: float, ttl_ns: int) -> None:
    with pytest.raises(UsageError):
        ipns.create(ALICE, PATH, sequence, expires, ttl_ns)


def test_selection() -> None:
    select = IpnsValidator().select
    old, new = with_fields(Sequence=1), with_fields(Sequence=2)
    longer = with_fields(Sequence=2, Validity=b"2099-01-01T00:00:00.000000001Z")
    other = with_fields(Sequence=2, Validity=b"2099-01-01T02:00:00.000000001+02:00")
    assert select(KEY, [old, new]) == 1
    assert select(KEY, [new, old]) == 0
    assert select(KEY, [new, longer, old]) == 1
    assert select(KEY, [b"junk", old, new]) == 2
    assert select(KEY, [new, new]) == 0
    assert [longer, other][select(KEY, [longer, other])] == [other, longer][select(KEY, [other, longer])]
    with pytest.raises(InvalidRecordError):
        select(KEY, [b"junk"])
    with pytest.raises(UsageError):
        select(KEY, [])


@given(st.integers(0, 2**32), st.integers(0, 255))
def test_a_changed_record_is_refused_or_says_the_same(at: int, octet: int) -> None:
    record = bytearray(ipns.create(ALICE, PATH, 3, NOW + 60))
    truth = ipns.verify(NAME, bytes(record), NOW)
    record[at % len(record)] = octet
    try:
        entry = ipns.verify(NAME, bytes(record), NOW)
    except InvalidRecordError:
        return
    assert entry == truth


# -- instants --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
        ("2026-01-02T03:04:05.000000006Z", 1767323045_000000006),
        ("0001-01-01T00:00:00Z", -62135596800 * 10**9),
        ("9999-12-31T23:59:59.999999999Z", 253402300799_999999999),
    ],
)
def test_instants(text: str, nanoseconds: int) -> None:
    assert rfc3339.parse(text.encode()) == nanoseconds
    assert rfc3339.write(nanoseconds) == text.encode()


@given(st.integers(-62135596800 * 10**9, 253402300800 * 10**9 - 1))
def test_every_instant(nanoseconds: int) -> None:
    assert rfc3339.parse(rfc3339.write(nanoseconds)) == nanoseconds


def test_offsets_and_zeros_are_read() -> None:
    assert rfc3339.parse(b"1970-01-01T01:30:00+01:30") == 0
    assert rfc3339.parse(b"1969-12-31T23:00:00.100-01:00") == 100_000_000


@pytest.mark.parametrize(
    "text",
    [
        *("", "1970-01-01", "1970-01-01t00:00:00Z", "1970-01-01T00:00:00z", "1970-01-01 00:00:00Z"),
        *("1970-01-01T00:00:60Z", "1970-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "1970-01-01T24:00:00Z"),
        *("1970-01-01T00:00:00.Z", "1970-01-01T00:00:00,5Z", "1970-01-01T00:00:00.0000000001Z"),
        *(
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00+00:60",
            "١٩٧٠-01-01T00:00:00Z",
        ),
        *("1970-01-01T00:00:00Z\n", "+1970-01-01T00:00:00Z"),
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        rfc3339.parse(text.encode())


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), float("-inf")])
def test_no_instant(seconds: float) -> None:
    with pytest.raises(UsageError):
        rfc3339.from_seconds(seconds)
    with pytest.raises(UsageError):
        rfc3339.write(10**30)
