"""A snapshot as it was written once: rows, digest, statement and the message, both ways."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.codecs.crdt_snapshot import Part, Request, Row
from mesh.errors import DecodeError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.crdt.snapshot import Digest, check_row, check_statement, vouch
from tests.protocols.crdt.network import Host
from tests.vectors import load

RECORDED: dict[str, Any] = load("snapshot", "crdt_snapshot")
ROWS = [(bytes.fromhex(each["key_hex"]), bytes.fromhex(each["value_hex"])) for each in RECORDED["rows"]]
NONCE = bytes.fromhex(RECORDED["nonce_hex"])
STATEMENT = bytes.fromhex(RECORDED["statement_hex"])
PEER = PeerId.parse(RECORDED["peer"])


def digest_of(rows: list[tuple[bytes, bytes]]) -> Digest:
    digest = Digest()
    for key, value in rows:
        check_row(key, value)
        digest.add(key, value)
    return digest


def test_both_ways() -> None:
    digest = digest_of(ROWS)
    assert digest.value().hex() == RECORDED["digest_hex"]
    key = PrivateKey.from_protobuf(bytes.fromhex(RECORDED["key_hex"]))
    assert vouch(key, RECORDED["topic"], NONCE, digest) == STATEMENT
    check_statement(STATEMENT, PEER, RECORDED["topic"], NONCE, digest)
    part = Part(rows=[Row(key=name, value=value) for name, value in ROWS], statement=STATEMENT)
    assert part.encode() == bytes.fromhex(RECORDED["part_hex"])
    assert Part.decode(part.encode()).encode() == part.encode()
    request = Request(topic=RECORDED["topic"], nonce=NONCE)
    assert request.encode() == bytes.fromhex(RECORDED["request_hex"])


def test_a_replica_goes_on_from_these_rows() -> None:
    host = Host()
    host.state.entries = {b"/crdt/" + key: value for key, value in ROWS}
    host.restart(0.0)
    assert {key: value.decode() for key, value in host.mapping.items()} == RECORDED["mapping"]
    assert [str(each) for each in host.replica.heads] == RECORDED["heads"]


@pytest.mark.parametrize(
    ("signer", "topic", "nonce", "rows"),
    [
        (PEER, "other", NONCE, ROWS),
        (PEER, RECORDED["topic"], bytes(32), ROWS),
        (PEER, RECORDED["topic"], NONCE, ROWS[1:]),
        (PeerId.from_public_key(PrivateKey.from_seed(bytes(32)).public), RECORDED["topic"], NONCE, ROWS),
    ],
    ids=["topic", "nonce", "rows", "signer"],
)
def test_a_statement_is_about_one_thing_alone(
    signer: PeerId, topic: str, nonce: bytes, rows: list[tuple[bytes, bytes]]
) -> None:
    with pytest.raises(DecodeError):
        check_statement(STATEMENT, signer, topic, nonce, digest_of(rows))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"w/CIQA", b""),
        (b"b/nonsense", b""),
        (b"b", b""),
        (ROWS[0][0], b"\x00"),
        (b"k/a", b""),
        (b"k/a", b"\x00\x01\x00a"),
        (b"k/\xff", b"\x02\x00\x00"),
        (b"t/a\0/CIQA", b"\x02"),
        (b"t/a", b"\x01"),
        (b"e/a\0/CIQA", b"\x09\x01x"),
        (b"h/CIQA", b"\x80"),
        (b"", b""),
    ],
)
def test_no_rows(key: bytes, value: bytes) -> None:
    with pytest.raises(DecodeError):
        check_row(key, value)
