"""What peers may tell that is no replica's: refused, counted, named, and nothing of ours is lost."""

from __future__ import annotations

import pytest

from mesh.codecs.crdt import MAX_KEY_BYTES, Delta, Element
from mesh.errors import StorageError, UsageError
from mesh.ipld.block import Block, store_name
from mesh.ipld.dag_pb import Link, Node
from mesh.multiformats.cid import RAW, Cid
from mesh.protocols.crdt import branches
from mesh.protocols.crdt.delta import MAX_PRIORITY, clean_key, make_block
from mesh.protocols.crdt.replica import Refused, Replica, write_broadcast
from tests.protocols.crdt.network import Host
from tests.protocols.crdt.test_convergence import change


def told(host: Host, block: Block, source: bytes = b"mallory") -> None:
    host.replica.receive(write_broadcast([block.cid]), source, 0.0)
    for cid in host.replica.wanted():
        if cid == block.cid:
            host.replica.arrived(block, 0.0)


def chain(length: int) -> list[Block]:
    """A branch, root first."""
    made: list[Block] = []
    for number in range(length):
        delta = Delta(elements=[Element(key=f"/{number}", value=b"x")], priority=number + 1)
        made.append(make_block(delta, [each.cid for each in made[-1:]]))
    return made


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x03\x0a\x01\x09", b"nonsense", bytes(40)])
def test_no_broadcast(data: bytes) -> None:
    host = Host()
    host.replica.receive(data, b"mallory", 0.0)
    assert host.replica.counts["broadcasts_refused"] == 1
    host.settle()
    (event,) = host.happened
    assert isinstance(event, Refused)
    assert event.source == b"mallory"


@pytest.mark.parametrize(
    "block",
    [
        Block.of(b"no node", RAW),
        Block.of(b"\x0a\x03abc"),
        Block.of(Node(Delta(priority=MAX_PRIORITY + 1).encode()).encode()),
        Block.of(Node(b"", (Link(Block.of(b"a", RAW).cid),)).encode() + b"\x18\x01"),
    ],
    ids=["raw", "no delta", "priority", "field"],
)
def test_no_change(block: Block) -> None:
    host = Host()
    change(host, "/a", b"1")
    before = host.dump()
    told(host, block)
    host.settle()
    assert isinstance(host.happened[-1], Refused)
    assert (host.dump(), host.replica.behind) == (before, 0)
    assert host.replica.counts["branches_refused"] == 1


def test_a_branch_without_end_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches, "MAX_NODES", 100)
    host, blocks = Host(), {each.cid: each for each in chain(150)}
    tip = list(blocks)[-1]
    host.replica.receive(write_broadcast([tip]), b"mallory", 0.0)
    while wanted := host.replica.wanted():
        for cid in wanted:
            host.replica.arrived(blocks[cid], 0.0)
    host.settle()
    assert host.replica.counts["branches_refused"] == 1
    assert "too long" in str(host.happened)
    assert (host.dump(), host.replica.behind, host.mapping) == ([], 0, {})


def test_a_flood_of_heads_is_bounded() -> None:
    host = Host()
    flood = [Cid(1, 0x70, Block.of(b"%d" % number).cid.multihash) for number in range(2000)]
    host.replica.receive(write_broadcast(flood[:1000]), b"mallory", 0.0)
    assert host.replica.counts["heads_followed"] == branches.MAX_BRANCHES_OF_SOURCE
    for number, cid in enumerate(flood):
        host.replica.receive(write_broadcast([cid]), b"%d" % number, 0.0)
    assert len(host.replica._branches) == branches.MAX_BRANCHES
    assert host.replica.behind == branches.MAX_BRANCHES
    host.replica.wake(branches.PATIENCE_S)
    host.settle()
    assert (host.replica.behind, host.dump()) == (0, [])


def test_who_builds_on_a_made_up_height_still_converges() -> None:
    honest, other = Host(), Host(seed=1)
    change(honest, "/a", b"1")
    made_up = make_block(Delta(elements=[Element(key="/a", value=b"x")], priority=2**40), [])
    for host in (honest, other):
        told(host, made_up)
        host.settle()
        while host.replica.merge():
            pass
        host.settle()
    change(honest, "/a", b"2")
    other.hear(honest.sent[-1], honest)
    assert honest.mapping == other.mapping == {"/a": b"2"}
    assert max(honest.replica.heads.values()) == 2**40 + 1


@pytest.mark.parametrize(
    ("key", "clean"),
    [("a", "/a"), ("//a//b/", "/a/b"), ("/../../h/x", "/h/x"), ("/a/./b/..", "/a"), ("", "/")],
)
def test_keys_stay_in_their_namespace(key: str, clean: str) -> None:
    assert clean_key(key) == clean
    host = Host()
    told(host, make_block(Delta(elements=[Element(key=key, value=b"x")], priority=1), []))
    host.fetch()
    assert host.mapping == {clean: b"x"}


def test_tombstones_of_nothing() -> None:
    host = Host()
    change(host, "/a", b"1")
    tombs = [Element(key="/a", id="/CIQABC"), Element(key="/a", id="/../x"), Element(key="/q", id="")]
    told(host, make_block(Delta(tombstones=tombs, priority=1), []))
    host.fetch()
    assert host.mapping == {"/a": b"1"}


def test_limits_of_local_changes() -> None:
    host = Host()
    with pytest.raises(UsageError, match="at most 4096"):
        host.replica.put("k" * (MAX_KEY_BYTES + 1), b"")
    with pytest.raises(UsageError):
        host.replica.put("/a", bytes(2**21))
    assert not host.replica.heads
    made = host.replica.batch((f"/{number}", bytes(300_000)) for number in range(5))
    assert len(made) == 2
    assert host.replica.batch([("/0", b"1"), ("/0", None), ("/unknown", None)]) != made
    host.settle()
    assert "/0" not in host.mapping
    assert len(host.mapping) == 4


def test_merging_asks_for_no_block_of_the_past() -> None:
    host = Host()
    change(host, "/a", b"1")
    change(host, "/a", b"2")
    host.store.clear()
    (newest,) = host.replica.heads
    told(host, make_block(Delta(tombstones=[Element(key="/a", id=store_name(newest))], priority=1), []))
    host.fetch()
    assert host.mapping == {"/a": b"1"}


def test_a_damaged_store_says_so() -> None:
    host = Host()
    change(host, "/a", b"1")
    damaged = {
        **host.state.entries,
        b"/crdt/h/CIQA4LLD3IBDYKHMMV7W3SG3V3QLKNNKLHUFJM25QMR3IAK4EHGEVCY": b"\x80",
    }
    host.state.entries = damaged
    with pytest.raises(StorageError, match="damaged"):
        Replica(host.state, host.store.get, random=lambda: 0.5, now=0.0)
    for row in (b"", b"\x09\x01\x00", b"\x00\x01\x22a", b"\x00"):
        host.state.entries[b"/crdt/k/a"] = row
        with pytest.raises(StorageError, match="damaged"):
            host.replica.get("/a")
