"""Noise against recorded vectors: plain XX by another implementation, and a whole libp2p handshake by go."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.codecs.noise import HandshakePayload, NoiseExtensions
from mesh.identity.peer_id import PeerId
from mesh.identity.x25519 import GivenSecret
from mesh.protocols.machine import Role
from mesh.protocols.noise import Established, Failed, Handshake, Session, credentials
from mesh.protocols.noise.handshake import SIGNATURE_PREFIX
from mesh.protocols.noise.symmetric import PROTOCOL_NAME, SymmetricState
from tests.protocols import ACTORS, ALICE, BOB, PlainXX, fixed_credentials, framed
from tests.vectors import cases, load

LIBP2P = load("noise_libp2p")


def data(case: dict[str, Any], key: str) -> bytes:
    return bytes.fromhex(case.get(key, ""))


def key(case: dict[str, Any], name: str) -> GivenSecret:
    return GivenSecret(data(case, name))


@pytest.mark.parametrize("case", cases("noise_xx"))
def test_plain_xx(case: dict[str, Any]) -> None:
    prologue = data(case, "prologue")
    ends = [
        PlainXX(role, key(case, f"{name}_static"), key(case, f"gen_{name}_ephemeral"), prologue=prologue)
        for role, name in ((Role.INITIATOR, "init"), (Role.RESPONDER, "resp"))
    ]
    for number in range(3):
        writer, reader = ends[number % 2], ends[1 - number % 2]
        message = writer.write(data(case, f"msg_{number}_payload"))
        assert message.hex() == case[f"msg_{number}_ciphertext"]
        assert reader.read(message) == data(case, f"msg_{number}_payload")
    assert ends[0].symmetric.hash == ends[1].symmetric.hash

    sessions = [end.session() for end in ends]
    for number in range(3, 5):
        sender, receiver = sessions[1 - number % 2], sessions[number % 2]
        plaintext = data(case, f"msg_{number}_payload")
        record = b"".join(sender.seal([plaintext]))
        assert record == framed(data(case, f"msg_{number}_ciphertext"))
        assert receiver.receive(record) == [plaintext]


def fixed_handshake(role: Role) -> Handshake:
    name = role.value
    identity = ALICE if LIBP2P[name] == "alice" else BOB
    static = key(LIBP2P, f"{name}_static_secret")
    own = fixed_credentials(identity, static, data(LIBP2P, f"{name}_payload"))
    other = "responder" if role is Role.INITIATOR else "initiator"
    expected = PeerId.parse(ACTORS[LIBP2P[other]]["peer_id"])
    return Handshake(
        role,
        own,
        key(LIBP2P, f"{name}_ephemeral_secret"),
        expected_peer=expected,
        prologue=data(LIBP2P, "prologue"),
    )


def established(handshake: Handshake, peer: str) -> Session:
    outcome = handshake.outcome
    assert isinstance(outcome, Established)
    assert str(outcome.remote_peer) == ACTORS[peer]["peer_id"]
    assert outcome.remote_key.to_protobuf() == data(ACTORS[peer], "public_protobuf")
    session, leftover = handshake.finish()
    assert leftover == b""
    assert session.handshake_hash.hex() == LIBP2P["handshake_hash"]
    return session


def test_libp2p_initiator() -> None:
    handshake = fixed_handshake(Role.INITIATOR)
    assert b"".join(handshake.output()).hex() == LIBP2P["message_1_framed"]
    handshake.receive(data(LIBP2P, "message_2_framed"))
    assert b"".join(handshake.output()).hex() == LIBP2P["message_3_framed"]
    check_records(established(handshake, LIBP2P["responder"]), "initiator")


def test_libp2p_responder() -> None:
    handshake = fixed_handshake(Role.RESPONDER)
    assert handshake.output() == []
    handshake.receive(data(LIBP2P, "message_1_framed"))
    assert b"".join(handshake.output()).hex() == LIBP2P["message_2_framed"]
    handshake.receive(data(LIBP2P, "message_3_framed"))
    assert handshake.output() == []
    check_records(established(handshake, LIBP2P["initiator"]), "responder")


def check_records(session: Session, own: str) -> None:
    for record in LIBP2P["transport"]:
        plaintext = data(record, "plaintext")
        if not record["direction"].startswith(own):
            assert session.receive_nonce == record["nonce"]
            assert session.receive(data(record, "framed")) == ([plaintext] if plaintext else [])
        elif plaintext:
            assert session.send_nonce == record["nonce"]
            assert b"".join(session.seal([plaintext])).hex() == record["framed"]
    assert session.failure is None


@pytest.mark.parametrize("name", ["initiator", "responder"])
def test_payload_is_made_as_go_makes_it(name: str) -> None:
    identity = ALICE if LIBP2P[name] == "alice" else BOB
    recorded = HandshakePayload.decode(data(LIBP2P, f"{name}_payload"))
    muxers = recorded.extensions.stream_muxers if recorded.extensions else []
    own = credentials(identity, key(LIBP2P, f"{name}_static_secret"), muxers)
    assert own.static.public.hex() == LIBP2P[f"{name}_static_public"]
    assert own.payload.hex() == LIBP2P[f"{name}_payload"]
    assert own.muxers == tuple(muxers)


def test_credentials_list_muxers_in_order() -> None:
    own = credentials(ALICE, GivenSecret(bytes([9] * 32)), ["/b", "/a"])
    payload = HandshakePayload.decode(own.payload)
    assert payload.extensions == NoiseExtensions(stream_muxers=["/b", "/a"])
    assert payload.identity_sig is not None
    assert ALICE.public.verify(SIGNATURE_PREFIX + own.static.public, payload.identity_sig)


def webrtc_prologues() -> list[bytes]:
    return [data(case, "prologue") for case in cases("noise_prologue_webrtc")]


def webrtc_pair(first: bytes, second: bytes) -> tuple[Handshake, Handshake]:
    ends = [
        Handshake(
            role,
            credentials(identity, GivenSecret(secret * 32)),
            GivenSecret(ephemeral * 32),
            prologue=prologue,
        )
        for role, identity, secret, ephemeral, prologue in (
            (Role.INITIATOR, ALICE, b"\x01", b"\x03", first),
            (Role.RESPONDER, BOB, b"\x02", b"\x04", second),
        )
    ]
    for writer, reader in ((ends[0], ends[1]), (ends[1], ends[0]), (ends[0], ends[1])):
        if reader.outcome is None and (message := b"".join(writer.output())):
            reader.receive(message)
    return ends[0], ends[1]


@pytest.mark.parametrize("prologue", webrtc_prologues())
def test_equal_prologues_agree(prologue: bytes) -> None:
    initiator, responder = webrtc_pair(prologue, prologue)
    assert isinstance(initiator.outcome, Established)
    assert isinstance(responder.outcome, Established)
    assert initiator.finish()[0].handshake_hash == responder.finish()[0].handshake_hash


@pytest.mark.parametrize("prologue", webrtc_prologues())
def test_different_prologues_fail_at_message_2(prologue: bytes) -> None:
    initiator, responder = webrtc_pair(b"", prologue)
    assert isinstance(initiator.outcome, Failed)
    assert "authentication failed" in str(initiator.outcome.error)
    assert responder.outcome is None


def test_webrtc_prologue_is_made_of_both_fingerprints() -> None:
    for case, prologue in zip(cases("noise_prologue_webrtc"), webrtc_prologues(), strict=True):
        client, server = data(case, "client_fingerprint"), data(case, "server_fingerprint")
        assert prologue == b"libp2p-webrtc-noise:" + b"\x12\x20" + client + b"\x12\x20" + server
        assert SymmetricState(prologue).hash != SymmetricState().hash
        assert SymmetricState(prologue).chaining_key == PROTOCOL_NAME
