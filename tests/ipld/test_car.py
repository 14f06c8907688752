"""Archives: written and read in any pieces; those that lie or end early are refused."""

from __future__ import annotations

import random

import pytest

from mesh.codecs.car import encode_section
from mesh.errors import DecodeError, Malformed, Truncated, UsageError
from mesh.ipld.block import Block
from mesh.ipld.car import CarReader, write_car
from mesh.multiformats import dag_cbor, multihash
from mesh.multiformats.cid import DAG_PB, RAW, Cid

BLOCKS = [Block.of(b"block %d" % number * number, RAW) for number in range(20)]
OLD = Block(Cid(0, DAG_PB, multihash.digest(b"\x0a\x00")), b"\x0a\x00")
ROOTS = [BLOCKS[3].cid, OLD.cid]


@pytest.mark.parametrize("seed", range(5))
def test_any_pieces(seed: int) -> None:
    chance = random.Random(seed)
    data = b"".join(write_car(ROOTS, [*BLOCKS, OLD]))
    reader, at, found = CarReader(), 0, []
    while at < len(data):
        step = chance.randint(1, 60)
        found += reader.feed(data[at : at + step])
        at += step
    assert reader.finish() == ROOTS
    assert [(each.cid, each.data) for each in found] == [(each.cid, each.data) for each in [*BLOCKS, OLD]]


def test_the_header_is_written_in_one_way() -> None:
    """A map of two, the roots first, each a tagged CID with a zero before it."""
    root = Cid.parse("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
    header = "3aa265726f6f747381d82a58250001551220" + root.multihash.digest.hex() + "6776657273696f6e01"
    assert b"".join(write_car([root], [])).hex() == header


def test_an_archive_that_ends_early() -> None:
    data = b"".join(write_car(ROOTS, BLOCKS))
    for end in (0, 5, len(data) - 1):
        reader = CarReader()
        reader.feed(data[:end])
        with pytest.raises(Truncated):
            reader.finish()


@pytest.mark.parametrize(
    "header",
    [
        {"roots": [], "version": 2},
        {"version": 1},
        {"roots": ["x"], "version": 1},
        {"roots": [OLD.cid] * 1025, "version": 1},
        [],
    ],
    ids=["version", "no roots", "no CID", "many", "no map"],
)
def test_no_header(header: dag_cbor.Value) -> None:
    with pytest.raises(Malformed):
        CarReader().feed(encode_section(dag_cbor.encode(header)))


def test_blocks_that_lie() -> None:
    reader = CarReader()
    reader.feed(next(write_car([], [])))
    with pytest.raises(Malformed, match="not those of"):
        reader.feed(encode_section(BLOCKS[1].cid.to_bytes() + b"other"))
    with pytest.raises(DecodeError):
        reader.feed(encode_section(b"\x01\x55"))
    with pytest.raises(DecodeError):
        CarReader().feed(b"\xff\xff\xff\xff\x0f")
    with pytest.raises(UsageError):
        next(write_car([OLD.cid] * 1025, []))
