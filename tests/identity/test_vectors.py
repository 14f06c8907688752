"""Every recorded key, peer id and envelope, in both directions."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.codecs.keys import KeyType
from mesh.errors import DecodeError
from mesh.identity import envelope
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.identity.peer_id import PeerId
from mesh.identity.peer_record import DOMAIN, PAYLOAD_TYPE, PeerRecord, open_peer_record
from mesh.multiformats.multiaddr import Multiaddr
from tests.vectors import cases, load

Case = dict[str, Any]
ACTORS = {name: value for name, value in load("actors").items() if isinstance(value, dict)}


@pytest.mark.parametrize("case", cases("keys"), ids=lambda case: str(case["type"]))
def test_key(case: Case) -> None:
    private = PrivateKey.from_protobuf(bytes.fromhex(case["private_protobuf"]))
    public = PublicKey.from_protobuf(bytes.fromhex(case["public_protobuf"]))
    assert private.public == public
    assert private.type is public.type is KeyType[case["type"].upper()]
    assert private.to_protobuf().hex() == case["private_protobuf"]
    assert public.to_protobuf().hex() == case["public_protobuf"]
    peer_id = PeerId.from_public_key(public)
    assert (str(peer_id), peer_id.to_bytes().hex()) == (case["peer_id"], case["peer_id_bytes"])
    assert peer_id.to_cid() == case["peer_id_cidv1"]
    told = case["signature"]
    message, signature = bytes.fromhex(told["message"]), bytes.fromhex(told["sig"])
    assert public.verify(message, signature)
    assert not public.verify(message + b"!", signature)
    if told["deterministic"]:
        assert private.sign(message) == signature
    else:
        assert private.sign(message) == private.sign(message)
        assert public.verify(message, private.sign(message))


@pytest.mark.parametrize("case", cases("key_fixtures"), ids=lambda case: str(case["key_type"]))
def test_key_fixture(case: Case) -> None:
    private = PrivateKey.from_protobuf(bytes.fromhex(case["private_protobuf"]))
    public = PublicKey.from_protobuf(bytes.fromhex(case["public_protobuf"]))
    assert private.public == public
    message, signature = bytes.fromhex(case["message"]), bytes.fromhex(case["signature"])
    assert public.verify(message, signature) is case["go_verify"]
    if private.type is not KeyType.ECDSA:
        assert private.sign(message) == signature


@pytest.mark.parametrize("case", cases("key_decoding"), ids=lambda case: str(case["name"]))
def test_key_decoding(case: Case) -> None:
    read: Any = PublicKey if "public_protobuf" in case else PrivateKey
    data = bytes.fromhex(case.get("public_protobuf") or case.get("private_protobuf", ""))
    if case["go"] == "reject":
        with pytest.raises(DecodeError):
            read.from_protobuf(data)
        return
    key = read.from_protobuf(data)
    if "go_peer_id" in case:
        assert str(PeerId.from_public_key(key)) == case["go_peer_id"]


@pytest.mark.parametrize("actor", ACTORS.values(), ids=list(ACTORS))
def test_actor(actor: Case) -> None:
    private = PrivateKey.from_protobuf(bytes.fromhex(actor["private_protobuf"]))
    if "ed25519_seed" in actor:
        assert PrivateKey.from_seed(bytes.fromhex(actor["ed25519_seed"])) == private
    assert private.to_protobuf().hex() == actor["private_protobuf"]
    assert private.public.to_protobuf().hex() == actor["public_protobuf"]
    peer_id = PeerId.from_public_key(private.public)
    assert (str(peer_id), peer_id.to_bytes().hex()) == (actor["peer_id"], actor["peer_id_bytes"])
    assert peer_id.public_key() == private.public


@pytest.mark.parametrize("case", cases("peer_ids"), ids=lambda case: str(case["text"])[:20])
def test_peer_id(case: Case) -> None:
    peer_id = PeerId.parse(case["text"])
    assert peer_id.to_bytes().hex() == case["bytes"]
    assert str(peer_id) == case["base58"]
    assert peer_id.to_cid() == case["cidv1_base32"]
    assert peer_id.to_cid("base36") == case["cidv1_base36"]
    for text in (case["base58"], case["cidv1_base32"], case["cidv1_base36"]):
        assert PeerId.parse(text) == peer_id
    assert PeerId.from_bytes(bytes.fromhex(case["bytes"])) == peer_id


@pytest.mark.parametrize("case", cases("peer_ids_edge"), ids=lambda case: repr(case["text"]))
def test_text_that_is_no_peer_id(case: Case) -> None:
    with pytest.raises(DecodeError):
        PeerId.parse(case["text"])


@pytest.mark.parametrize("case", cases("envelopes"), ids=lambda case: str(case["name"]))
def test_envelope(case: Case) -> None:
    data = bytes.fromhex(case["envelope"])
    if case["verdict"] == "reject":
        if case["domain"] == DOMAIN:
            with pytest.raises(DecodeError):
                open_peer_record(data)
        if "go_envelope_signature_check" in case:
            envelope.open_envelope(data, case["domain"])
        else:
            with pytest.raises(DecodeError):
                envelope.open_envelope(data, case["domain"])
        return
    opened = envelope.open_envelope(data, case["domain"], bytes.fromhex(case["payload_type"]))
    assert opened.payload.hex() == case["payload"]
    assert opened.payload_type.hex() == case["payload_type"]
    for other in ("", "libp2p-routing-state"):
        with pytest.raises(DecodeError):
            envelope.open_envelope(data, other)
    with pytest.raises(DecodeError):
        envelope.open_envelope(data, case["domain"], b"\x03\x09")
    actor = ACTORS.get(case["signer"])
    private = PrivateKey.from_protobuf(
        bytes.fromhex(actor["private_protobuf"] if actor else cases("keys")[0]["private_protobuf"])
    )
    assert opened.public_key == private.public
    if case["deterministic_signature"]:
        assert envelope.seal(private, case["domain"], opened.payload_type, opened.payload) == data


@pytest.mark.parametrize(
    "case", [each for each in cases("envelopes") if "addrs" in each], ids=lambda case: str(case["name"])
)
def test_peer_record(case: Case) -> None:
    assert (case["domain"], case["payload_type"]) == (DOMAIN, PAYLOAD_TYPE.hex())
    record = open_peer_record(bytes.fromhex(case["envelope"]))
    addresses = tuple(Multiaddr.parse(text) for text in case["addrs"])
    assert record == PeerRecord(PeerId.parse(case["peer_id"]), case["seq"], addresses)
    actor = ACTORS.get(case["signer"])
    if actor is not None:
        private = PrivateKey.from_protobuf(bytes.fromhex(actor["private_protobuf"]))
        assert record.seal(private).hex() == case["envelope"]
