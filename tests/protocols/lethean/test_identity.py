"""Keys, ids, shared secrets and challenges against what Go made of them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from mesh.errors import DecodeError, Malformed, UsageError
from mesh.protocols.lethean import smsg
from mesh.protocols.lethean.identity import (
    Identity,
    NodeKey,
    answer_challenge,
    read_public_key,
    verify_answer,
)
from mesh.protocols.lethean.session import Session
from tests.protocols.lethean.vectors import ALICE, BOB, TS, group


@pytest.mark.parametrize("case", [case for case in group("identity") if "private_key_hex" in case])
def test_keys_and_ids(case: dict[str, Any]) -> None:
    key = NodeKey(bytes.fromhex(case["private_key_hex"]))
    assert key.id == case["node_id"]
    assert key.public.hex() == case["public_key_hex"]
    assert key.public_text == case["public_key_base64"]
    assert read_public_key(key.public_text) == key.public


def test_what_go_wrote_to_its_files_belongs_together() -> None:
    [case] = [case for case in group("identity") if "node_json_text" in case]
    key = NodeKey(bytes.fromhex(case["private_key_file_hex"]))
    identity = Identity.decode(case["node_json_text"])
    assert (identity.id, identity.public_key) == (key.id, key.public_text)
    assert identity.name == "vector node <&> é"
    assert identity.matches_key()


@pytest.mark.parametrize("case", group("shared_secret"))
def test_shared_secrets(case: dict[str, Any]) -> None:
    key = NodeKey(bytes.fromhex(case["private_key_hex"]))
    if case.get("error"):
        with pytest.raises(DecodeError):
            key.shared_secret(case["peer_public_key_base64"])
        return
    secret = key.shared_secret(case["peer_public_key_base64"])
    assert secret.hex() == case["shared_secret_hex"]
    if "smsg_password" in case:
        assert Session(secret).password == case["smsg_password"]
        assert smsg.derive_key(case["smsg_password"]).hex() == case["smsg_key_hex"]


def test_both_ends_share_one_secret() -> None:
    assert ALICE.shared_secret(BOB.public_text) == BOB.shared_secret(ALICE.public_text)


@pytest.mark.parametrize("case", group("challenge"))
def test_challenges(case: dict[str, Any]) -> None:
    secret = bytes.fromhex(case["shared_secret_hex"])
    challenge = base64.b64decode(case["challenge_base64"])
    answer = bytes.fromhex(case["response_hex"])
    assert answer_challenge(secret, challenge) == answer
    assert verify_answer(secret, challenge, answer)
    assert not verify_answer(secret, challenge, answer[:-1])
    assert not verify_answer(secret, challenge, b"")


def test_an_id_that_does_not_follow_from_the_key_shows() -> None:
    identity = ALICE.identity("alice", TS)
    assert identity.matches_key()
    identity.id = BOB.id
    assert not identity.matches_key()
    identity.public_key = "AAAA"
    assert not identity.matches_key()


def test_a_private_key_has_32_bytes_and_stays_out_of_its_repr() -> None:
    with pytest.raises(UsageError, match="32 bytes"):
        NodeKey(bytes(31))
    assert repr(ALICE) == f"NodeKey({ALICE.id})"


def test_an_identity_of_another_type_is_refused() -> None:
    with pytest.raises(Malformed, match=r"Identity\.id"):
        Identity.decode('{"id":5}')
    with pytest.raises(Malformed, match="array"):
        Identity.decode("[]")
