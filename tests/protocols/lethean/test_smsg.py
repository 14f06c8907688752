"""The cipher, the container and the message against what Go made and what it refused."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from mesh.errors import DecodeError, Malformed, UsageError
from mesh.protocols.lethean import sigil, smsg
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.session import Session
from mesh.protocols.lethean.trix import read_container, write_container
from tests.protocols.lethean.vectors import group

NONCE = bytes(range(24))
CONTAINERS = [case for case in group("smsg") if "container_base64" in case]


@pytest.mark.parametrize("case", group("sigil")["encrypt"], ids=lambda case: str(len(case["plaintext_hex"])))
def test_boxes(case: dict[str, Any]) -> None:
    key, nonce = bytes.fromhex(case["key_hex"]), bytes.fromhex(case["nonce_hex"])
    text, box = bytes.fromhex(case["plaintext_hex"]), bytes.fromhex(case["ciphertext_hex"])
    assert sigil.seal(key, nonce, text) == box
    assert sigil.unseal(key, box) == text


@pytest.mark.parametrize("case", group("sigil")["reject"])
def test_refused_boxes(case: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match=case["error"].removeprefix("enchantrix: ")):
        sigil.unseal(bytes.fromhex(case["key_hex"]), bytes.fromhex(case["ciphertext_hex"]))


def test_a_text_beyond_the_prepared_counters_comes_back() -> None:
    text = bytes(range(256)) * 200
    box = sigil.seal(bytes(32), NONCE, text)
    assert sigil.unseal(bytes(32), box) == text
    assert box[:24] == NONCE
    with pytest.raises(UsageError):
        sigil.seal(bytes(32), NONCE[1:], text)


@pytest.mark.parametrize("case", CONTAINERS, ids=lambda case: case["name"])
def test_containers(case: dict[str, Any]) -> None:
    data = base64.b64decode(case["container_base64"])
    key = smsg.derive_key(case["password"])
    if case["go_decrypt_error"]:
        with pytest.raises(DecodeError) as refusal:
            smsg.open_message(key, data)
        assert case["go_decrypt_error"].split(":")[0] in refusal.value.reason
        return
    found, wanted = smsg.open_message(key, data), case["message"]
    assert found.body == wanted["body"] == smsg.open_body(key, data)
    assert (found.timestamp, found.meta) == (wanted.get("timestamp", 0), wanted.get("meta"))
    assert (found.subject, found.sender) == (wanted.get("subject", ""), wanted.get("from", ""))
    contents = [base64.b64encode(each.content or b"").decode() for each in found.attachments or ()]
    assert contents == [each["content"] for each in wanted.get("attachments", ())]
    if case["header_json"] == '{"algorithm":"chacha20poly1305","version":"1.0"}' and len(wanted) <= 2:
        assert smsg.seal(key, found.body, bytes.fromhex(case["nonce_hex"]), found.timestamp) == data


@pytest.mark.parametrize("case", group("messages"), ids=lambda case: case["name"])
def test_every_message_both_ways(case: dict[str, Any]) -> None:
    session = Session(bytes.fromhex(case["shared_secret_hex"]))
    assert session.password == case["password"]
    data = base64.b64decode(case["container_base64"])
    message = session.open(data)
    assert message.encode() == case["envelope_json"]
    stamp = smsg.open_message(smsg.derive_key(session.password), data).timestamp
    assert session.seal(message, bytes.fromhex(case["nonce_hex"]), stamp) == data


def test_empty_bodies_and_passwords_cannot_be_sealed() -> None:
    [errors] = [case for case in group("smsg") if case["name"] == "encrypt errors"]
    with pytest.raises(UsageError, match=errors["empty_body"]):
        smsg.seal(bytes(32), "", NONCE, 0)
    with pytest.raises(UsageError, match=errors["empty_password"]):
        smsg.derive_key("")


def test_attachments_longer_than_what_is_there_are_refused() -> None:
    text = b'{"body":"x","attachments":[{"name":"a","size":3}]}'
    blob = len(text).to_bytes(4, "big") + text + b"ab"
    data = write_container(smsg.MAGIC, '{"format":"v2"}', sigil.seal(bytes(32), NONCE, blob))
    with pytest.raises(Malformed, match="longer"):
        smsg.open_message(bytes(32), data)


def test_a_header_above_what_headers_have_is_refused() -> None:
    with pytest.raises(Malformed, match="header"):
        read_container(b"SMSG", write_container(b"SMSG", f'{{"a":"{"x" * 70_000}"}}', b""))


def test_headers_of_containers() -> None:
    text = hashlib.sha256(b"x").hexdigest()
    summed = f'{{"checksum":"{text}","checksum_algo":"SHA256"}}'
    assert read_container(b"SMSG", write_container(b"SMSG", summed, b"x"))[1] == b"x"
    assert read_container(b"SMSG", write_container(b"SMSG", "null", b"x")) == ({}, b"x")
    for header in (
        "[]",
        "1",
        "",
        f'{{"checksum":"{text}"}}',
        f'{{"checksum":"{text}","checksum_algo":"rot13"}}',
    ):
        with pytest.raises(Malformed):
            read_container(b"SMSG", write_container(b"SMSG", header, b"x"))


def test_a_message_changed_anywhere_behind_its_header_is_dropped() -> None:
    session = Session(bytes(32))
    data = session.seal(Envelope("i", "ping", "a", "b"), NONCE, 1)
    for place in range(57, len(data), 7):
        with pytest.raises(DecodeError):
            session.open(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
