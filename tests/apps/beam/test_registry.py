"""Services registered at one node and found at others: by the DHT, by gossip, by a question; gone, expired, renewed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.beam.beam import Beam
from mesh.apps.beam.name_book import NameDisputed
from mesh.apps.beam.ownership import NameTaken
from mesh.apps.beam.registry import Registered, Wanted
from mesh.errors import UsageError
from tests.apps.beam.beams import Beams, join, until

META = {"version": "1.0.0", "capabilities": ["http"]}


async def register(beam: Beam, text: str = "myapp", **more: Any) -> Registered:
    _, done = await beam.register(text, lambda service_id: Wanted(service_id, "http", META, **more))
    return done


def newest_seq(beam: Beam, provider: Beam) -> int:
    """Of a provider's record of `a.service`, as another node knows it; 0 for none."""
    entry = beam.table.get("a.service", provider.node.peer_id)
    return 0 if entry is None else entry.record.seq


async def test_a_service_is_found_in_the_dht(beams: Beams) -> None:
    nodes = await beams.network(6)
    done = await register(nodes[1])
    assert done.told.reached
    assert done.told.accepted * 2 > done.told.asked == 5
    late = await beams.beam(to=nodes[0])
    await late.node.dht.refresh()
    found = await late.find("myapp")
    assert found.source == "dht"
    assert [each.record.peer_id for each in found.providers] == [nodes[1].node.peer_id]
    assert found.providers[0].record.metadata == META
    assert found.providers[0].record.ttl_s == 3600
    assert found.owner is not None
    assert found.owner.owner == nodes[1].node.peer_id
    again = await late.find("myapp.local")
    assert again.source == "cache"
    assert again.providers == found.providers


async def test_an_announcement_is_heard_and_so_is_a_departure(beams: Beams) -> None:
    one, two, three = [await beams.beam(dht="off") for _ in range(3)]
    await join(two, one)
    await join(three, two)
    await register(one, "a.service")
    await until(lambda: three.table.get("a.service", one.node.peer_id))
    found = await three.find("a.service")
    assert found.source == "heard"
    await one.registry.withdraw("a.service")
    await until(lambda: three.table.get("a.service", one.node.peer_id).record.withdrawn)  # type: ignore[union-attr]
    assert (await three.find("a.service")).providers == ()


async def test_who_came_later_asks_everybody(beams: Beams) -> None:
    one, two = [await beams.beam(dht="off", query_s=5.0) for _ in range(2)]
    await register(one, "a.service")
    await join(two, one)
    found = await two.find("a.service")
    assert found.source == "query"
    assert len(found.providers) == 1


async def test_nobody_has_it(beams: Beams) -> None:
    nodes = await beams.network(3)
    found = await nodes[2].find("nobody-has-it")
    assert found.providers == ()
    assert found.source == "query"
    with pytest.raises(UsageError, match="nobody provides"):
        await nodes[2].open("nobody-has-it")


async def test_all_providers_of_a_service_are_found(beams: Beams) -> None:
    nodes = await beams.network(6)
    for each in nodes[1:4]:
        await register(each, "a.service")
    late = await beams.beam(to=nodes[0])
    await late.node.dht.refresh()
    found = await late.find("a.service")
    assert {each.record.peer_id for each in found.providers} == {each.node.peer_id for each in nodes[1:4]}
    only = await late.find(f"a.service.{nodes[2].node.peer_id}")
    assert [each.record.peer_id for each in only.providers] == [nodes[2].node.peer_id]


async def test_a_name_belongs_to_who_came_first(beams: Beams) -> None:
    nodes = await beams.network(5)
    owner, other = nodes[1], nodes[2]
    await register(owner)
    with pytest.raises(NameTaken, match="names allow"):
        await register(other)
    await owner.names.allow("myapp", other.node.peer_id)
    claimed, _ = await other.register("myapp", lambda service_id: Wanted(service_id))
    assert claimed is not None
    assert not claimed.own
    found = await nodes[3].find("myapp", fresh=True)
    assert {each.record.peer_id for each in found.providers} == {owner.node.peer_id, other.node.peer_id}
    await owner.names.allow("myapp", other.node.peer_id, allowed=False)
    await until(lambda: any(each.providers == () for each in nodes[3].book.known("myapp")))
    found = await nodes[3].find("myapp", fresh=True)
    assert [each.record.peer_id for each in found.providers] == [owner.node.peer_id]
    assert found.left_out == (other.node.peer_id,)


async def test_a_name_changes_hands(beams: Beams) -> None:
    nodes = await beams.network(4)
    old, new, client = nodes[1:4]
    await register(old)
    assert (await client.find("myapp")).owner is not None
    token = await old.names.transfer("myapp", new.node.peer_id)
    with pytest.raises(UsageError, match="not to this node"):
        await client.names.accept(token)
    with pytest.raises(UsageError, match="no transfer"):
        await new.names.accept(token[:-40])
    claimed = await new.names.accept(token)
    assert claimed.told.reached
    await register(new)
    found = await client.find("myapp", fresh=True)
    assert found.owner is not None
    assert found.owner.owner == new.node.peer_id
    assert [each.record.peer_id for each in found.providers] == [new.node.peer_id]
    assert client.book.pins.owner("myapp") == new.node.peer_id
    with pytest.raises(UsageError, match="not of this node"):
        await old.names.revoke("myapp")


async def test_a_name_that_two_parts_of_a_network_took_is_disputed(beams: Beams) -> None:
    left, right = [await beams.network(2) for _ in range(2)]
    await register(left[0])
    await register(right[0])
    assert (await left[1].find("myapp")).providers
    await join(left[0], right[0])
    newcomer = await beams.beam(to=left[0])
    await join(newcomer, right[0])
    with pytest.raises(NameDisputed) as caught:
        await newcomer.find("myapp")
    assert set(caught.value.claims) == {left[0].node.peer_id, right[0].node.peer_id}
    found = await newcomer.find(f"myapp.{right[0].node.peer_id}")
    assert [each.record.peer_id for each in found.providers] == [right[0].node.peer_id]
    await newcomer.book.trust("myapp", left[0].node.peer_id)
    found = await newcomer.find("myapp", fresh=True)
    assert [each.record.peer_id for each in found.providers] == [left[0].node.peer_id]
    kept = await left[1].find("myapp", fresh=True)
    assert [each.record.peer_id for each in kept.providers] == [left[0].node.peer_id]


async def test_a_revoked_name_can_be_had_by_others(beams: Beams) -> None:
    nodes = await beams.network(4)
    await register(nodes[1])
    assert (await nodes[1].names.revoke("myapp")).reached
    done = await register(nodes[2])
    assert done.told.reached
    found = await nodes[3].find("myapp", fresh=True)
    assert found.owner is not None
    assert found.owner.owner == nodes[2].node.peer_id


async def test_services_and_names_outlive_the_process(beams: Beams, tmp_path: Path) -> None:
    first = await beams.beam()
    kept = await beams.beam(to=first, folder=tmp_path)
    await register(kept)
    seq = kept.registry.own[0][1].seq
    key = kept.node.key
    await beams.end(kept)
    again = await beams.beam(to=first, folder=tmp_path, key=key)
    [(wanted, record)] = again.registry.own
    assert wanted.metadata == META
    assert record.seq > seq
    assert again.book.own["myapp"].owner == again.node.peer_id
    await until(lambda: first.table.providers("myapp.local", record.created_ms / 1000))
    entry = first.table.get("myapp.local", again.node.peer_id)
    assert entry is not None
    assert entry.record.seq >= record.seq


async def test_a_node_that_ends_says_so(beams: Beams) -> None:
    nodes = await beams.network(3)
    await register(nodes[1], "a.service")
    await until(lambda: nodes[2].table.get("a.service", nodes[1].node.peer_id))
    await beams.end(nodes[1])
    await until(
        lambda: nodes[2].table.get("a.service", nodes[1].node.peer_id).record.withdrawn  # type: ignore[union-attr]
    )


async def test_what_nobody_heard_is_told_when_somebody_comes(beams: Beams, tmp_path: Path) -> None:
    lonely = await beams.beam(folder=tmp_path)
    done = await register(lonely)
    assert done.queued
    assert not done.told.reached
    assert {each.operation for each in lonely.outbox.waiting} == {"RegisterName", "RegisterService"}
    key = lonely.node.key
    await beams.end(lonely)
    again = await beams.beam(folder=tmp_path, key=key)
    assert len(again.outbox.waiting) == 2
    nodes = await beams.network(3)
    await join(again, nodes[0])
    await until(lambda: not len(again.outbox.waiting))
    found = await nodes[2].find("myapp", fresh=True)
    assert [each.record.peer_id for each in found.providers] == [again.node.peer_id]


async def test_a_service_is_announced_again_before_its_time_is_over(beams: Beams) -> None:
    nodes = await beams.network(3)
    done = await register(nodes[1], "a.service", ttl_s=4)
    await until(lambda: nodes[1].registry.own[0][1].seq > done.record.seq)
    await until(lambda: newest_seq(nodes[2], nodes[1]) > done.record.seq)


async def test_heartbeats_tell_that_a_provider_is_there(beams: Beams) -> None:
    one, two = await beams.network(2, heartbeat_s=0.05)
    await register(one, "a.service")
    await until(lambda: two.table.get("a.service", one.node.peer_id))
    entry = two.table.get("a.service", one.node.peer_id)
    assert entry is not None
    seen = entry.last_seen_s
    await until(lambda: entry.last_seen_s > seen)


async def test_pubsub_carries_announcements_too(beams: Beams) -> None:
    one, two = await beams.network(2, gossip=True, dht="off")
    two.gossip.neighbours.peers = list  # type: ignore[method-assign]
    one.gossip.neighbours.peers = list  # type: ignore[method-assign]
    await until(lambda: one.node.pubsub.mesh("beam-services") and one.node.pubsub.mesh("beam-names"))
    await asyncio.wait_for(register(one), 5)
    await until(lambda: two.table.get("myapp.local", one.node.peer_id))
    await until(lambda: two.book.known("myapp"))
