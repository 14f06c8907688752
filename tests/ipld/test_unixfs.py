"""Files and directories as blocks and back: recorded trees, trees of Go, and what is no file."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.codecs.unixfs import Data, DataType
from mesh.errors import DecodeError, Malformed, UsageError
from mesh.ipld.block import Block
from mesh.ipld.dag_pb import Link, Node
from mesh.ipld.unixfs import files
from mesh.ipld.unixfs.directories import build_directory, read_directory, total_bytes
from mesh.ipld.unixfs.files import FileBuilder, build
from mesh.ipld.unixfs.murmur3 import murmur3
from mesh.ipld.unixfs.reading import MAX_DEPTH, FileReader
from mesh.multiformats.cid import DAG_CBOR, RAW, Cid
from tests.vectors import load

RECORDED: list[dict[str, Any]] = [each for each in load("dag_pb", "betar")["unixfs"] if "length" in each]


def content(case: dict[str, Any]) -> bytes:
    if "content_text" in case:
        return str(case["content_text"]).encode()
    return bytes(number * 7 % 251 for number in range(case["length"]))


def read(root: Cid, store: dict[Cid, Block], start: int = 0, ahead: int = 4) -> bytes:
    reader, found = FileReader(root, start), []
    while not reader.done:
        wanted = reader.wanted(ahead)
        assert wanted, "it waits for what it did not ask for"
        for cid in reversed(wanted):
            reader.give(store[cid])
        found += reader.read()
    return b"".join(found)


def refused(*blocks: Block) -> str:
    with pytest.raises(DecodeError) as raised:
        read(blocks[-1].cid, {each.cid: each for each in blocks})
    return str(raised.value)


@pytest.mark.parametrize("case", RECORDED, ids=[each["name"] for each in RECORDED])
def test_recorded_files(case: dict[str, Any]) -> None:
    data = content(case)
    blocks = list(build([data], raw_leaves=False))
    root = blocks[-1]
    assert str(root.cid) == case["cid"]
    if "root_block_hex" in case:
        assert root.data.hex() == case["root_block_hex"]
    links = [(str(each.cid), each.total_bytes) for each in Node.decode(root.data).links]
    assert links == [(each["cid"], each["tsize"]) for each in case["links"]]
    assert read(root.cid, {each.cid: each for each in blocks}) == data


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 2**32), st.booleans())
def test_any_file_reads_from_anywhere(size: int, start: int, seed: int, raw: bool) -> None:
    chance = random.Random(seed)
    data = chance.randbytes(size)
    builder, blocks, at = FileBuilder(chunk_bytes=7, raw_leaves=raw), [], 0
    while at < size:
        step = chance.randint(1, 40)
        blocks += builder.add(data[at : at + step])
        at += step
    file, last = builder.finish()
    blocks += last
    store = {each.cid: each for each in blocks}
    assert (file.cid, file.size) == (blocks[-1].cid, size)
    assert read(file.cid, store, min(start, size), chance.randint(1, 9)) == data[start:]


def test_a_reader_knows_the_size_and_asks_ahead_in_order() -> None:
    builder = FileBuilder(chunk_bytes=10)
    blocks = builder.add(bytes(range(100)))
    file, last = builder.finish()
    reader = FileReader(file.cid, 25)
    assert reader.wanted(5) == [file.cid]
    reader.give(last[-1])
    assert reader.read() == []
    assert (reader.size, reader.done) == (100, False)
    assert reader.wanted(3) == [each.cid for each in blocks[2:5]]
    assert reader.wanted(4) == [blocks[5].cid]
    reader.give(blocks[3])
    reader.give(blocks[9])
    assert reader.read() == []
    reader.give(blocks[2])
    assert reader.read() == [bytes(range(25, 30)), bytes(range(30, 40))]
    with pytest.raises(UsageError):
        FileReader(file.cid, -1)
    with pytest.raises(UsageError):
        FileBuilder(chunk_bytes=files.MAX_CHUNK_BYTES + 1)


def node(data: Data, *children: Block) -> Block:
    return Block.of(Node(data.encode(), tuple(Link(each.cid) for each in children)).encode())


def test_what_is_no_file() -> None:
    leaf = Block.of(b"four", RAW)
    sized = Data(type=DataType.FILE, file_size=4, block_sizes=[4])
    assert "holds 4" in refused(leaf, node(Data(type=DataType.FILE, file_size=5, block_sizes=[4]), leaf))
    assert "were announced" in refused(leaf, node(Data(type=DataType.FILE, block_sizes=[5]), leaf))
    assert "links" in refused(leaf, node(Data(type=DataType.FILE, file_size=0), leaf))
    assert "directory" in refused(node(Data(type=DataType.DIRECTORY)))
    assert "dag-cbor" in refused(Block.of(b"\xa0", DAG_CBOR))
    refused(Block.of(Node(b"\xff").encode()))
    deep = [leaf]
    for _ in range(MAX_DEPTH + 1):
        deep.append(node(sized, deep[-1]))
    assert "below the root" in refused(*deep)


def test_murmur3_of_others() -> None:
    """Sums of spaolacci/murmur3 1.1.0."""
    sums = {
        "": "0000000000000000",
        "a": "85555565f6597889",
        "hello world 12345": "7fc6585858112c1b",
        "0123456789abcdef": "4be06d94cf4ad1a7",
        "0123456789abcdef0123": "8047058142d9440a",
    }
    assert {text: murmur3(text.encode()).hex() for text in sums} == sums


def entries(count: int) -> dict[str, Link]:
    leaves = [Block.of(b"%d" % number, RAW) for number in range(count)]
    return {f"file number {number}": Link(each.cid, "", len(each.data)) for number, each in enumerate(leaves)}


def test_a_small_directory_is_one_node() -> None:
    given_entries = entries(3)
    (block,) = build_directory(given_entries)
    found = read_directory(block)
    assert {each.name: Link(each.cid, "", each.total_bytes) for each in found.entries} == given_entries
    assert found.below == ()
    assert total_bytes([block], given_entries) == len(block.data) + 3


def test_a_large_directory_is_the_trie_that_go_makes() -> None:
    """The root was made by boxo 0.36.0 from the same names and contents."""
    given_entries = entries(8000)
    blocks = build_directory(given_entries)
    assert str(blocks[-1].cid) == "bafybeihv52jlppix6mm3sqk5louw5khz33g4dvnwze4c4hyvd7eawbyn3u"
    found: list[Link] = []
    store, left = {each.cid: each for each in blocks}, [blocks[-1].cid]
    while left:
        part = read_directory(store[left.pop()])
        left += part.below
        found += part.entries
    assert {each.name: Link(each.cid, "", each.total_bytes) for each in found} == given_entries


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0", "n" * 1025])
def test_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="no name"):
        build_directory({name: entries(1)["file number 0"]})


@pytest.mark.parametrize(
    "data",
    [
        Data(type=DataType.FILE),
        Data(type=DataType.HAMT_SHARD, hash_type=0x12, fanout=256),
        Data(type=DataType.HAMT_SHARD, hash_type=0x22, fanout=100),
        Data(type=DataType.HAMT_SHARD, hash_type=0x22),
    ],
)
def test_no_directory(data: Data) -> None:
    with pytest.raises(Malformed):
        read_directory(node(data))
