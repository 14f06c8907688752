"""Replicas that catch up by a snapshot, find out that it was a lie, and drop what is too old."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.codecs.crdt_snapshot import Part, Request, Row
from mesh.codecs.keys import KeyType
from mesh.errors import UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.ipld.block import Block, store_name
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.crdt.snapshot import PROTOCOL_ID, Digest, vouch
from mesh.services.crdt import Crdt, catching_up, snapshots
from mesh.services.crdt.history import merged_nodes
from tests.network.live import Nodes, eventually
from tests.services.gossip.network import gossip_node

TOPIC = "prices"
BLOCK = Block.of(b"nobody merged it")
PUTS = 60


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "SNAPSHOT_GAP", 20)
    monkeypatch.setattr(snapshots, "PART_BYTES", 500)


async def replicating(nodes: Nodes, **settings: Any) -> Node:
    return await gossip_node(nodes, others={"blocks": True, "exchange": True, **settings})


@pytest.fixture
async def giver(nodes: Nodes, tmp_path: Path) -> Node:
    """Has run before, so that nobody hears of each change on its own."""
    settings = {"serve_snapshots": True, "drop_history": [TOPIC], "history_kept": 5, "path": tmp_path}
    before = await replicating(nodes, **settings)
    crdt = await before.crdt(TOPIC)
    for number in range(PUTS):
        await crdt.put(f"/{number % 20}", b"%d" % number)
    await crdt.delete("/3")
    await before.stop()
    node = await replicating(nodes, **settings)
    await node.crdt(TOPIC)
    return node


async def start_behind(nodes: Nodes, giver: Node, **settings: Any) -> tuple[Node, Crdt]:
    """A replica that knows nothing, connected to the giver."""
    node = await replicating(nodes, **settings)
    await node.connect(giver.listen_addrs[0])
    return node, await node.crdt(TOPIC)


async def same(giver: Node, crdt: Crdt) -> None:
    given = await giver.crdt(TOPIC)
    await eventually(lambda: not crdt.status().behind and crdt.below() == given.below(), "the same mapping")
    await eventually(lambda: crdt.status().heads == given.status().heads, "the same heads")


async def test_who_is_far_behind_takes_one_and_then_all_the_nodes(nodes: Nodes, giver: Node) -> None:
    node, crdt = await start_behind(nodes, giver, trusted=[str(giver.peer_id)])
    await same(giver, crdt)
    assert (giver.counters["crdt.snapshots_served"], node.counters["crdt.snapshots_taken"]) == (1, 1)
    assert crdt.status().counts["merged"] == 0
    await eventually(lambda: node.counters["crdt.snapshots_proven"], "it is proven")
    assert (
        len(
            [cid async for cid in merged_nodes(node.blocks.datastore, crdt.namespace) if node.blocks.has(cid)]
        )
        == 61
    )
    await (await giver.crdt(TOPIC)).put("/new", b"1")
    await eventually(lambda: crdt.get("/new") == b"1", "what comes later")
    await crdt.delete("/new")
    await eventually(lambda: giver.services._replicas[TOPIC].get("/new") is None, "what goes back")
    rows = [key async for key, _ in node.blocks.datastore.scan(b"/crdt/")]
    assert {key.split(b"/")[3] for key in rows} == {b"1", b"current"}


async def test_own_changes_outlive_the_taking(nodes: Nodes, giver: Node) -> None:
    node = await replicating(nodes, trusted=[str(giver.peer_id)])
    crdt = await node.crdt(TOPIC)
    for number in range(3):
        await crdt.put(f"/own/{number}", b"1")
    await node.connect(giver.listen_addrs[0])
    await eventually(lambda: node.counters["crdt.snapshots_taken"], "it is taken")
    await crdt.put("/own/later", b"1")
    await same(giver, crdt)
    assert len(crdt.below("/own")) == 4
    assert len(crdt.below()) == 23


async def test_nobody_is_asked_who_is_not_trusted(nodes: Nodes, giver: Node) -> None:
    node, crdt = await start_behind(nodes, giver)
    await same(giver, crdt)
    assert not node.counters["crdt.snapshots_taken"]
    assert crdt.status().counts["merged"] == 61


async def test_a_lie_costs_the_trust_in_its_signer(
    nodes: Nodes, giver: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send(
        self: snapshots.Snapshots, stream: Stream, topic: str, nonce: bytes, namespace: str
    ) -> None:
        digest, rows = Digest(), []
        start = f"{namespace}/".encode()
        async for stored, value in self._datastore.scan(start):
            key = stored[len(start) :]
            row = Row(key=key, value=value[:-2] + b"99" if key == b"k/7" else value)
            digest.add(key, row.value or b"")
            rows.append(row)
        statement = vouch(self._key, topic, nonce, digest)
        await stream.write_message(Part(rows=rows, statement=statement).encode())

    monkeypatch.setattr(snapshots.Snapshots, "_send", send)
    node, crdt = await start_behind(nodes, giver, trusted=[str(giver.peer_id)])
    await eventually(lambda: node.counters["crdt.snapshots_taken"], "it is taken")
    await eventually(lambda: node.counters["crdt.snapshots_lied"], "it is found out")
    await same(giver, crdt)
    assert crdt.get("/7") == b"47"
    assert node.blocks.datastore.get_now(f"/crdt/{TOPIC}/distrusted/{giver.peer_id}".encode()) == b""


@pytest.mark.parametrize("how", ["cut", "forged", "row", "order", "old", "head"])
async def test_what_is_not_whole_or_not_signed_changes_nothing(
    nodes: Nodes, giver: Node, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send(
        self: snapshots.Snapshots, stream: Stream, topic: str, nonce: bytes, namespace: str
    ) -> None:
        key = self._key if how != "forged" else PrivateKey.generate(KeyType.ED25519)
        rows = [Row(key=b"k/b", value=b"\x02\x00\x00")]
        if how == "row":
            rows[0].value = b"\x09"
        if how == "order":
            rows.append(Row(key=b"k/a", value=b"\x02\x00\x00"))
        if how == "head":
            rows = [Row(key=b"h" + store_name(BLOCK.cid).encode(), value=b"\x01")]
        digest = Digest()
        digest.add(rows[0].key or b"", rows[0].value or b"")
        if how == "cut":
            await stream.write_message(Part(rows=rows).encode())
            return
        said = vouch(key, topic, bytes(32) if how == "old" else nonce, digest)
        await stream.write_message(Part(rows=rows, statement=said).encode())

    monkeypatch.setattr(snapshots.Snapshots, "_send", send)
    node, crdt = await start_behind(nodes, giver, trusted=[str(giver.peer_id)])
    await eventually(lambda: node.counters["crdt.snapshots_failed"], "it is refused")
    await same(giver, crdt)
    assert not node.counters["crdt.snapshots_taken"]
    assert crdt.generation == 0
    assert not [key async for key, _ in node.blocks.datastore.scan(f"/crdt/{TOPIC}/1/".encode())]


async def test_who_may_ask_how_often(nodes: Nodes, giver: Node) -> None:
    node = await replicating(nodes)
    await node.connect(giver.listen_addrs[0])
    told = []
    for topic in ("other", TOPIC, TOPIC):
        stream = await node.open(giver.peer_id, PROTOCOL_ID)
        await stream.write_message(Request(topic=topic, nonce=bytes(32)).encode())
        told.append(Part.decode(await stream.read_message(Part.MAX_BYTES)).status or 0)
        stream.reset()
    assert told == [1, 0, 2]


async def test_history_is_dropped_and_a_newcomer_of_ours_still_gets_the_state(
    nodes: Nodes, giver: Node
) -> None:
    before = giver.blocks.usage.blocks
    crdt = await giver.crdt(TOPIC)
    assert await crdt.drop_history() == before - 5
    assert await crdt.drop_history() == 0
    assert giver.blocks.usage.blocks == 5
    await crdt.put("/3", b"again")
    await crdt.delete("/4")
    trusted = {"trusted": [str(giver.peer_id)], "drop_history": [TOPIC]}
    _, late = await start_behind(nodes, giver, **trusted)
    await same(giver, late)
    assert late.get("/3") == b"again"
    await late.put("/late", b"1")
    await same(giver, late)


async def test_history_stays_where_another_program_was_seen(
    nodes: Nodes, giver: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    crdt = await giver.crdt(TOPIC)
    assert crdt._catching_up is not None
    stranger = PeerId.from_public_key(PrivateKey.generate(KeyType.ED25519).public)
    crdt._catching_up.met(stranger)
    with pytest.raises(UsageError, match="nobody knows"):
        await crdt._catching_up.drop_history()
    monkeypatch.setattr(type(giver.services._host), "agent_of", lambda *_: "go-ds-crdt/0.6.8")
    crdt._catching_up.met(stranger)
    await eventually(lambda: giver.blocks.datastore.get_now(f"/crdt/{TOPIC}/foreign".encode()), "it is noted")
    with pytest.raises(UsageError, match="was seen in it"):
        await crdt._catching_up.drop_history()
    assert await crdt.drop_history() == 0
    await giver.collect_blocks()
    assert giver.blocks.usage.blocks == 61


async def test_history_is_kept_unless_told_otherwise(nodes: Nodes) -> None:
    node = await replicating(nodes)
    crdt = await node.crdt(TOPIC)
    assert crdt._catching_up is not None
    with pytest.raises(UsageError, match="drop_history"):
        await crdt._catching_up.drop_history()
