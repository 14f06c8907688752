"""Peer ids, envelopes and peer records beyond the recorded cases."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.codecs import peer_record as codec
from mesh.errors import DecodeError, Malformed, UsageError
from mesh.identity import envelope
from mesh.identity.keys import KeyType, PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.identity.peer_record import DOMAIN, PAYLOAD_TYPE, PeerRecord, open_peer_record
from mesh.multiformats import multihash
from mesh.multiformats.multiaddr import Multiaddr
from tests.vectors import cases

ALICE = PrivateKey.from_seed(b"\1" * 32)
BOB = PrivateKey.from_seed(b"\2" * 32)
ALICE_ID = PeerId.from_public_key(ALICE.public)
SECP256K1 = PrivateKey(KeyType.SECP256K1, b"\3" * 32)
ENVELOPE = envelope.seal(ALICE, "domain", b"\x01", b"payload")
IDS = st.binary(min_size=32, max_size=32).map(lambda digest: PeerId(b"\x12\x20" + digest))


@given(
    IDS | st.binary(min_size=1, max_size=60).map(lambda d: PeerId(multihash.digest(d, "identity").to_bytes()))
)
def test_round_trip(peer_id: PeerId) -> None:
    assert PeerId.from_bytes(peer_id.to_bytes()) == peer_id
    for base in ("base32", "base36", "base58btc", "base64url"):
        assert PeerId.parse(peer_id.to_cid(base)) == peer_id
    if str(peer_id).startswith(("1", "Qm")):
        assert PeerId.parse(str(peer_id)) == peer_id
    assert peer_id.short() == str(peer_id)[-8:]


@given(st.binary(max_size=50))
def test_hostile_bytes(data: bytes) -> None:
    try:
        peer_id = PeerId.from_bytes(data)
    except DecodeError:
        return
    assert peer_id.to_bytes() == data
    assert peer_id.public_key() is None


@given(st.text(max_size=60) | st.from_regex(r"(Qm|1|k|b|z)[0-9a-zA-Z]{0,60}", fullmatch=True))
@settings(max_examples=200)
def test_hostile_text(text: str) -> None:
    try:
        peer_id = PeerId.parse(text)
    except DecodeError:
        return
    assert PeerId.from_bytes(peer_id.to_bytes()) == peer_id


def test_key_inside_the_id() -> None:
    for key in (ALICE, SECP256K1):
        peer_id = PeerId.from_public_key(key.public)
        assert peer_id.public_key() == key.public
        assert peer_id.matches(key.public)
        assert not peer_id.matches(BOB.public)
    for case in cases("keys"):
        if case["type"] in ("rsa", "ecdsa"):
            assert PeerId.parse(case["peer_id"]).public_key() is None


def test_key_in_another_spelling_is_not_the_id_of_the_key() -> None:
    message = ALICE.public.to_protobuf()
    for odd in (message[2:] + message[:2], message + b"\x18\x01"):
        assert PeerId(multihash.digest(odd, "identity").to_bytes()).public_key() is None


def test_ids_without_a_key() -> None:
    for name in ("identity", "sha2-256"):
        assert PeerId(multihash.digest(b"no key", name).to_bytes()).public_key() is None


def test_hashes_that_name_no_peer() -> None:
    for name in ("sha1", "sha2-512", "blake2b-256"):
        with pytest.raises(Malformed, match=name):
            PeerId(multihash.digest(b"x", name).to_bytes())
    with pytest.raises(Malformed):
        PeerId(b"\0\0")


def test_peer_id_is_a_value() -> None:
    bob = PeerId.from_public_key(BOB.public)
    assert sorted([ALICE_ID, bob], key=PeerId.to_bytes) == sorted([bob, ALICE_ID])
    assert len({ALICE_ID, PeerId.parse(str(ALICE_ID)), bob}) == 2
    assert pickle.loads(pickle.dumps(ALICE_ID)) == ALICE_ID
    assert bytes(ALICE_ID) == ALICE_ID
    assert repr(ALICE_ID) == f"PeerId('{ALICE_ID}')"
    with pytest.raises(AttributeError):
        ALICE_ID.name = "x"  # type: ignore[attr-defined]


@given(st.text(max_size=20), st.binary(max_size=20), st.binary(max_size=200))
@settings(deadline=None)
def test_envelope_round_trip(domain: str, payload_type: bytes, payload: bytes) -> None:
    data = envelope.seal(ALICE, domain, payload_type, payload)
    opened = envelope.open_envelope(data, domain, payload_type)
    assert opened == envelope.OpenedEnvelope(ALICE.public, payload_type, payload)
    with pytest.raises(Malformed, match="domain"):
        envelope.open_envelope(data, domain + "x", payload_type)
    with pytest.raises(Malformed, match="payload_type"):
        envelope.open_envelope(data, domain, payload_type + b"x")


@given(st.integers(0, len(ENVELOPE) - 1), st.integers(1, 255))
@settings(deadline=None)
def test_no_byte_of_an_envelope_can_change(at: int, flip: int) -> None:
    damaged = bytearray(ENVELOPE)
    damaged[at] ^= flip
    try:
        opened = envelope.open_envelope(bytes(damaged), "domain")
    except DecodeError:
        return
    assert opened == envelope.OpenedEnvelope(ALICE.public, b"\x01", b"payload")


@given(st.binary(max_size=100))
def test_hostile_envelopes(data: bytes) -> None:
    for read in (lambda data: envelope.open_envelope(data, "domain"), open_peer_record):
        with pytest.raises(DecodeError):
            read(data)


def test_record_skips_addresses_it_cannot_parse() -> None:
    good = Multiaddr.parse("/ip4/192.0.2.1/tcp/1")
    payload = codec.PeerRecord(
        peer_id=ALICE_ID.to_bytes(),
        seq=7,
        addresses=[codec.AddressInfo(multiaddr=data) for data in (b"\x7f\x01", good.to_bytes(), b"")],
    ).encode()
    data = envelope.seal(ALICE, DOMAIN, PAYLOAD_TYPE, payload)
    assert open_peer_record(data) == PeerRecord(ALICE_ID, 7, (good,))


def test_records_are_about_their_signer() -> None:
    record = PeerRecord(ALICE_ID, 2**63, ())
    assert open_peer_record(record.seal(ALICE)) == record
    with pytest.raises(UsageError):
        record.seal(BOB)
    for peer in (ALICE_ID.to_bytes(), b"", b"\x12\x20"):
        data = envelope.seal(BOB, DOMAIN, PAYLOAD_TYPE, codec.PeerRecord(peer_id=peer, seq=1).encode())
        with pytest.raises(DecodeError):
            open_peer_record(data)
