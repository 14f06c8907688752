"""Mappings that converge over pubsub, survive restarts, full stores, liars and blocks that cannot be had."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from mesh.codecs.crdt import Delta, Element
from mesh.errors import LimitError, StorageError, UsageError
from mesh.ipld.block import store_name
from mesh.network.scope import Scope
from mesh.protocols.crdt.delta import make_block
from mesh.protocols.crdt.replica import Changed, write_broadcast
from mesh.services.crdt import Crdt
from mesh.services.crdt import watch as watching
from mesh.services.crdt.kept import kept_heads
from tests.network.live import PATIENCE_S, Nodes, eventually
from tests.services.crdt.network import TOPIC, Replicas
from tests.services.gossip.network import gossip_node, meshed


@pytest.fixture
async def replicas(nodes: Nodes, tmp_path: Path) -> AsyncIterator[Replicas]:
    async with Replicas(nodes, tmp_path) as made:
        yield made


async def same(*all_of_them: Crdt) -> None:
    """Wait until all hold one mapping and lack nothing."""
    await eventually(
        lambda: all(
            each.below() == all_of_them[0].below()
            and each.status().heads == all_of_them[0].status().heads
            and not each.status().behind
            for each in all_of_them
        ),
        "convergence",
    )


@pytest.mark.both_loops
async def test_what_one_puts_all_have(replicas: Replicas) -> None:
    first, second, third = [await replicas.start(name) for name in "abc"]
    await first.put("/tea", b"3")
    assert first.get("/tea") == b"3"
    await same(first, second, third)
    assert second.get("/tea") == b"3"
    await asyncio.gather(second.put("/tea", b"4"), third.put("/tea", b"5"), first.put("coffee", b"2"))
    await same(first, second, third)
    assert first.below("/tea") == [("/tea", b"5")]
    await third.delete("/tea")
    await same(first, second, third)
    assert first.below() == [("/coffee", b"2")]


async def test_a_value_that_it_has_makes_no_node(replicas: Replicas) -> None:
    (crdt,) = [await replicas.start("a")]
    await crdt.put("/a", b"1")
    await crdt.put("/a", b"1")
    await crdt.delete("/unknown")
    assert crdt.status().counts["made"] == 1
    await crdt.put("/a", b"1", again=True)
    assert crdt.status().counts["made"] == 2


async def test_a_late_comer_walks_to_the_root_and_a_restart_keeps_all(
    replicas: Replicas, nodes: Nodes, tmp_path: Path
) -> None:
    old = await replicas.start("old")
    for number in range(200):
        await old.put(f"/{number % 50}", b"%d" % number)
    new = await replicas.start("new")
    await old.batch([("/batch", b"1"), ("/0", None)])
    await same(old, new)
    assert len(new.below()) == 50
    await new.stop()
    with pytest.raises(UsageError, match="not running"):
        new.get("/1")
    before = len(replicas.source.asked)
    await new.start(Scope("again"))
    assert new.below() == old.below()
    assert len(replicas.source.asked) == before
    await new.stop()


async def test_a_newcomer_is_told_without_a_new_change(replicas: Replicas) -> None:
    old = await replicas.start("old")
    await old.batch([("/a", b"1"), ("/b", b"2")])
    new = await replicas.start("new")
    await same(old, new)
    assert new.below() == [("/a", b"1"), ("/b", b"2")]


async def test_changes_are_watched(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BUFFERED", 3)
    first, second = await replicas.start("a"), await replicas.start("b")
    with second.watch("/a") as changes, first.watch() as slow:
        await first.batch([("/a/1", b"1"), ("/ab", b"2"), ("/a", b"3")])
        async with asyncio.timeout(PATIENCE_S):
            found = {await anext(changes), await anext(changes)}
        assert found == {Changed("/a/1", b"1"), Changed("/a", b"3")}
        await first.delete("/a")
        async with asyncio.timeout(PATIENCE_S):
            assert await anext(changes) == Changed("/a", None)
        await first.put("/b", b"1")
        assert slow.missed == 2
        await first.stop()
        assert [each.key async for each in slow] == ["/a", "/a", "/b"]


async def test_a_block_that_nobody_has_holds_up_nothing_else(replicas: Replicas) -> None:
    first, second, third = [await replicas.start(name) for name in "abc"]
    await first.put("/a", b"1")
    await same(first, second, third)
    (head,) = first.status().heads
    await first.put("/a", b"2")
    lost = next(each for each in first.status().heads if each != head)
    await same(first, second, third)
    absent = make_block(Delta(elements=[Element(key="/x", value=b"x")], priority=1), [])
    assert first._joined is not None
    await first._joined.publish(write_broadcast([absent.cid]))
    await eventually(lambda: second.status().counts["branches_lost"], "the branch is given up")
    await first.put("/b", b"3")
    await same(first, second, third)
    assert lost not in second.status().heads


async def test_who_leads_astray_is_not_heard_for_a_while(replicas: Replicas, nodes: Nodes) -> None:
    crdt = await replicas.start("a")
    mallory = await gossip_node(nodes)
    await mallory.connect(replicas.homes[0].listen_addrs[0])
    topic = mallory.pubsub.join(TOPIC)
    await meshed(topic)
    await topic.publish(b"nonsense")
    await eventually(lambda: replicas.homes[0].counters["crdt.no_broadcast"] == 1, "it is refused")
    nonsense = make_block(Delta(priority=2**62 + 1), [])
    await replicas.stores[0].put(nonsense)
    await topic.publish(write_broadcast([nonsense.cid]))
    await eventually(lambda: replicas.homes[0].counters["crdt.refused"] == 1, "the branch is refused")
    await topic.publish(write_broadcast([make_block(Delta(priority=1), []).cid]))
    await eventually(
        lambda: replicas.homes[0].counters["crdt.shunned"] == 1, "its next one is refused unread"
    )
    assert crdt.status().counts["heads_followed"] == 1
    await crdt.put("/a", b"1")
    assert crdt.get("/a") == b"1"


async def test_a_full_store_refuses_before_anything_changed(replicas: Replicas) -> None:
    crdt = await replicas.start("a", room=200_000)
    await crdt.put("/a", bytes(100_000))
    for attempt in (crdt.put("/b", bytes(100_000)), crdt.batch([("/b", bytes(100_000))])):
        with pytest.raises(LimitError, match=r"blocks\.max_bytes"):
            await attempt
    assert crdt.below() == [("/a", bytes(100_000))]
    await crdt.put("/a", b"small")
    assert crdt.get("/a") == b"small"
    assert list(crdt.status().heads) == crdt.keep()


async def test_a_failed_write_ends_it(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    crdt = await replicas.start("a")

    async def refuse(*_: object, **__: object) -> None:
        raise StorageError("the disk is gone")

    monkeypatch.setattr(replicas.stores[0], "put", refuse)
    with pytest.raises(StorageError, match="disk is gone"):
        await crdt.put("/a", b"1")
    with pytest.raises(StorageError, match="start it again"):
        crdt.get("/a")


async def test_collection_spares_branches_that_are_not_merged_yet(replicas: Replicas) -> None:
    crdt = await replicas.start("a")
    absent = make_block(Delta(priority=1), [])
    above = make_block(Delta(elements=[Element(key="/a", value=b"1")], priority=2), [absent.cid])
    store = replicas.stores[0]
    await store.put(above)
    replicas.source.absent.add(absent.cid)
    crdt.hear(write_broadcast([above.cid]))
    assert set(crdt.keep()) == {above.cid}
    collected = await store.collect(crdt.keep)
    assert (collected.removed, store.has(above.cid)) == (0, True)


async def test_collection_spares_what_changes_build_on_that_are_still_to_be_written(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one write is under way the block of the next change is in no store: only the replica knows what is below."""
    crdt = await replicas.start("a")
    store = replicas.stores[0]
    for number in range(3):
        await crdt.put(f"/{number}", b"1")
    write, open_again = store.datastore.write, asyncio.Event()

    async def held(changes: Mapping[bytes, bytes | None]) -> None:
        await open_again.wait()
        await write(changes)

    monkeypatch.setattr(store.datastore, "write", held)
    puts = [asyncio.create_task(crdt.put(f"/{number}", b"2")) for number in range(3)]
    await eventually(lambda: max(crdt.status().heads.values()) == 6, "three changes under way")
    monkeypatch.setattr(store.datastore, "write", write)
    collected = await store.collect(crdt.keep)
    open_again.set()
    await asyncio.gather(*puts)
    assert (collected.removed, collected.kept) == (0, 3)
    (head,) = crdt.status().heads
    assert len([each for each in store.walk(head) if store.has(each)]) == 6


async def test_a_store_of_the_first_layout_is_merged_anew(replicas: Replicas) -> None:
    old = await replicas.start("old")
    for number in range(5):
        await old.put(f"/{number}", b"1")
    (head,) = old.status().heads
    await old.stop()
    datastore = replicas.stores[0].datastore
    rows = {key: row async for key, row in datastore.scan(f"/crdt/{TOPIC}/".encode())}
    first = {f"/crdt/{TOPIC}/h{store_name(head)}".encode(): b"\x05", f"/crdt/{TOPIC}/s/x".encode(): b""}
    await datastore.write({**dict.fromkeys(rows), **first})
    assert await kept_heads(datastore) == [head]
    await old.start(Scope("again"))
    await eventually(lambda: len(old.below()) == 5, "all is merged again")
    assert list(old.status().heads) == [head]
    assert not [key for key in first if datastore.get_now(key) is not None]
    await old.stop()
