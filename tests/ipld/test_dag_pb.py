"""Blocks and dag-pb nodes: the recorded ones both ways, and what no reader may take."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs.dag_pb import MAX_BLOCK_BYTES, PBLink, PBNode
from mesh.errors import DecodeError, Malformed, UsageError
from mesh.ipld.block import Block
from mesh.ipld.dag_pb import Link, Node, links_of
from mesh.multiformats import multihash
from mesh.multiformats.cid import DAG_PB, RAW, Cid
from tests.vectors import load

RECORDED: list[dict[str, Any]] = load("dag_pb", "betar")["nodes"]
CID = Cid.parse(RECORDED[0]["cid"])
LINK = PBLink(hash=CID.to_bytes(), name="", tsize=0)
DATA = PBNode(data=b"abc").encode()
LINKS = PBNode(links=[LINK]).encode()

cids = st.builds(lambda data: Cid(1, DAG_PB, multihash.digest(data, "sha2-256")), st.binary(max_size=8))
nodes = st.builds(
    Node,
    st.none() | st.binary(max_size=20),
    st.lists(st.builds(Link, cids, st.text(max_size=4), st.integers(0, 2**64 - 1)), max_size=4).map(tuple),
)


@pytest.mark.parametrize("case", RECORDED, ids=[case["name"] for case in RECORDED])
def test_recorded_nodes(case: dict[str, Any]) -> None:
    encoded = bytes.fromhex(case["node_hex"])
    links = [
        Link(Cid.parse(each["cid"]), each["name"], each["tsize"]) for each in case["links_encoded_order"]
    ]
    node = Node.decode(encoded)
    assert (node.data or b"", list(node.links)) == (bytes.fromhex(case["data_hex"]), links)
    assert node.encode() == encoded
    assert list(links_of(encoded)) == [each.cid for each in links]
    cid = Cid.parse(case["cid"])
    assert Block.of(encoded).cid == cid.to_v1()
    assert Block.verified(cid, encoded).data == encoded


@given(nodes)
def test_what_is_written_reads_as_the_same(node: Node) -> None:
    ordered = sorted(node.links, key=lambda each: each.name.encode())
    assert Node.decode(node.encode()) == Node(node.data, tuple(ordered))


def test_the_data_may_come_first() -> None:
    assert Node.decode(DATA + LINKS + LINKS) == Node(b"abc", (Link(CID), Link(CID)))


@pytest.mark.parametrize(
    "data",
    [
        LINKS + DATA + LINKS,
        DATA + DATA,
        DATA + b"\x18\x01",
        b"\x08\x01",
        b"\x12\x02\x12\x00",
        PBNode(links=[PBLink(hash=b"\x01\x70", name="", tsize=0)]).encode(),
        b"\x12\x2a" + LINK.encode()[-4:] + LINK.encode()[:-4],
        DATA[:-1],
    ],
    ids=["links twice", "data twice", "unknown", "no bytes", "no hash", "no CID", "order", "short"],
)
def test_what_protobuf_takes_and_dag_pb_does_not(data: bytes) -> None:
    with pytest.raises(DecodeError):
        Node.decode(data)


def test_a_block_is_what_its_cid_says() -> None:
    block = Block.of(b"hello", RAW)
    assert block.cid.codec == RAW
    assert block == Block.verified(block.cid, b"hello")
    assert len({block, Block(block.cid, b"hello")}) == 1
    assert "5 bytes" in repr(block)
    with pytest.raises(Malformed, match="not those of"):
        Block.verified(block.cid, b"hullo")
    with pytest.raises(UsageError):
        Block.of(bytes(MAX_BLOCK_BYTES + 1))
    with pytest.raises(Malformed, match="at most"):
        Block.verified(block.cid, bytes(MAX_BLOCK_BYTES + 1))
