"""Messages: the recorded bytes of Go, both ways, and what means nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh.codecs.bitswap import Block as WireBlock
from mesh.codecs.bitswap import BlockPresence, Entry, Message, Wantlist, WantType
from mesh.errors import DecodeError
from mesh.framing.delimited import encode as delimited
from mesh.ipld.block import Block
from mesh.multiformats.cid import DAG_PB, RAW, Cid
from mesh.multiformats.multihash import digest
from mesh.protocols.bitswap import message
from mesh.protocols.bitswap.version import PROTOCOLS, Version, best_of

BETAR = json.loads((Path(__file__).parents[2] / "vectors" / "betar.json").read_text())
VECTORS = BETAR["bitswap"]
MESSAGES = {each["name"]: each for each in VECTORS["messages"]}
CID = Cid.parse(VECTORS["cid_dag_pb"])
DATA = VECTORS["data_text"].encode()
TOP = 2**31 - 1


def _want(priority: int, kind: WantType, send_dont_have: bool) -> Entry:
    return Entry(CID.to_bytes(), priority, want_type=kind, send_dont_have=send_dont_have)


WANTLISTS = {
    "want-block priority 1, no send-dont-have, not full": ([_want(1, WantType.BLOCK, False)], False),
    "want-have (broadcast want), priority 2147483647": ([_want(TOP, WantType.HAVE, False)], False),
    "want-block with send-dont-have (session want), priority 2147483646": (
        [_want(TOP - 1, WantType.BLOCK, True)],
        False,
    ),
    "full wantlist, want-have, send-dont-have": ([_want(1, WantType.HAVE, True)], True),
    "empty message": ([], False),
}
ANSWERS: dict[str, tuple[list[Block], list[tuple[bytes, bool]]]] = {
    "HAVE": ([], [(CID.to_bytes(), True)]),
    "DONT_HAVE": ([], [(CID.to_bytes(), False)]),
} | {f"block {text}": ([Block(Cid.parse(text), DATA)], []) for text in VECTORS["prefixes_hex"]}


@pytest.mark.parametrize("name", WANTLISTS)
def test_wants_as_go_writes_them(name: str) -> None:
    entries, full = WANTLISTS[name]
    framed = bytes.fromhex(MESSAGES[name]["v1_hex"])
    assert delimited(message.wants(entries, full)) == framed
    found = message.read(framed[1:])
    assert (list(found.entries), found.full) == (entries, full)
    assert found.is_empty == (not entries)


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("version", Version)
def test_answers_as_go_writes_them(name: str, version: Version) -> None:
    blocks, presences = ANSWERS[name]
    framed = bytes.fromhex(MESSAGES[name]["v1_hex" if version.has_prefixes else "v0_hex"])
    if presences and not version.has_presences:
        framed = bytes.fromhex(MESSAGES["empty message"]["v1_hex"])
    assert delimited(message.answers(version, blocks, presences, 0)) == framed
    found = message.read(framed[1:])
    if version.has_prefixes:
        assert [each.cid for each in found.blocks] == [each.cid for each in blocks]
    assert [each.cid.multihash for each in found.blocks] == [each.cid.multihash for each in blocks]
    if version.has_presences:
        assert [(cid.to_bytes(), here) for cid, here in found.presences] == presences


@pytest.mark.parametrize(("text", "prefix"), VECTORS["prefixes_hex"].items())
def test_prefixes(text: str, prefix: str) -> None:
    assert message.prefix_of(Cid.parse(text)).hex() == prefix


@pytest.mark.parametrize("exchange", BETAR["live"]["bitswap"], ids=lambda each: each["name"])
def test_recorded_exchanges_are_understood(exchange: dict) -> None:  # type: ignore[type-arg]
    sent = message.read(bytes.fromhex(exchange["sent_hex"])[1:])
    assert len(sent.entries) == 1
    assert not sent.nonsense
    for reply in exchange["received"]:
        raw = bytes.fromhex(reply["raw_hex"])
        found = message.read(raw[2 if raw[0] & 0x80 else 1 :])
        assert len(found.blocks) == reply["blocks"]
        assert sum(here for _, here in found.presences) == reply["haves"]
        assert sum(not here for _, here in found.presences) == reply["dont_haves"]
        assert len(found.entries) == reply["wants"]
        assert not found.nonsense


NONSENSE = {
    "identity": b"\x01\x55\x00\x04",
    "unknown hash": b"\x01\x55\xff\x7f\x04",
    "short digest": b"\x01\x55\x12\x1f",
    "no version 2": b"\x02\x55\x12\x20",
    "version 0 of raw": b"\x00\x55\x12\x20",
    "too short": b"\x01\x55\x12",
    "too long": b"\x01\x55\x12\x20\x00",
    "empty": b"",
}


@pytest.mark.parametrize("name", NONSENSE)
def test_a_prefix_that_means_nothing_costs_its_block_alone(name: str) -> None:
    good = WireBlock(b"\x01\x55\x12\x20", b"good")
    found = message.read(Message(payload=[WireBlock(NONSENSE[name], b"data"), good]).encode())
    assert found.nonsense == 1
    assert found.blocks == [Block.of(b"good", RAW)]


def test_a_presence_that_cannot_be_read_is_passed_over() -> None:
    found = message.read(Message(block_presences=[BlockPresence(b"\x05", 0)]).encode())
    assert (found.presences, found.nonsense, found.is_empty) == ([], 1, False)


def test_other_hashes_are_computed() -> None:
    cid = Cid(1, DAG_PB, digest(b"data", "blake2b-256"))
    data = message.answers(Version.V1_2, [Block(cid, b"data")], [], 5)
    assert message.read(data).blocks == [Block(cid, b"data")]


def test_garbage_is_refused() -> None:
    with pytest.raises(DecodeError):
        message.read(b"\x0a\xff")
    with pytest.raises(DecodeError):
        message.read(Message(Wantlist()).encode() + b"\x12")


def test_versions() -> None:
    assert [best_of(PROTOCOLS[at:]) for at in range(5)] == [*Version, None]
    assert best_of(["/x", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap"]) is Version.V1_1
