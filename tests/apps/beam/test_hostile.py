"""Peers that forge, replay, flood and steal: refused, counted, and only their own streams end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from functools import partial

import pytest

from mesh.apps.beam.beam import Beam
from mesh.apps.beam.name_book import NameDisputed
from mesh.apps.beam.registry import Wanted
from mesh.codecs.beam import GossipFrame, Ids, Rumour
from mesh.errors import MeshError, RecordNotFound
from mesh.identity.envelope import seal
from mesh.identity.peer_id import PeerId
from mesh.network.stream import Stream
from mesh.protocols.beam import gossip_message
from mesh.protocols.beam.gossip_message import (
    ANNOUNCE,
    HEARTBEAT,
    PROTOCOL_ID,
    GossipMessage,
    record_body,
    sign_message,
)
from mesh.protocols.beam.name_record import NameRecord, sign_name
from mesh.protocols.beam.record_keys import name_key, service_key
from mesh.protocols.beam.service_record import ServiceRecord, sign_service
from mesh.services.kademlia.writes import Write
from tests.apps.beam.beams import Beams, until


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def record_of(beam: Beam, **more: object) -> ServiceRecord:
    made = ServiceRecord("a.service", "tcp", beam.node.peer_id, (), 3600, now_ms(), now_ms())
    return sign_service(beam.node.key, replace(made, **more))  # type: ignore[arg-type]


def said_by(beam: Beam, *, ts_ms: int = 0) -> GossipMessage:
    return sign_message(beam.node.key, ANNOUNCE, "1", ts_ms or now_ms(), record_body(record_of(beam)))


async def whisper(attacker: Beam, victim: Beam) -> Stream:
    return await attacker.node.open(victim.node.peer_id, PROTOCOL_ID)


def counted(beam: Beam, name: str, count: int) -> bool:
    return beam.node.counters.snapshot().get(name) == count


def refused_by(written: Write, count: int) -> bool:
    """Whether so many refused; a write returns before all have answered."""
    return len(written.refused) == count


def framed(*messages: bytes, hops: int = 8) -> bytes:
    return GossipFrame(rumours=[Rumour(hops=hops, message=each) for each in messages]).encode()


async def test_forged_and_stale_rumours_are_refused_and_not_passed_on(beams: Beams) -> None:
    victim, attacker, other = await beams.network(3, dht="off")
    stream = await whisper(attacker, victim)
    counts = victim.node.counters
    payload = b'{"type":"HEARTBEAT","id":"1","origin":"%s","ts":%d,"ttl":8,"body":{"services":[]}}'
    forged = seal(
        attacker.node.key,
        gossip_message.DOMAIN,
        gossip_message.PAYLOAD_TYPE,
        payload % (str(other.node.peer_id).encode(), now_ms()),
    )
    changed = bytearray(said_by(attacker).envelope)
    changed[-1] ^= 1
    await stream.write_message(framed(forged, bytes(changed), b"", b"\xff" * 100))
    await until(lambda: counts.snapshot().get("beam.gossip:forged") == 4)
    old = said_by(attacker, ts_ms=now_ms() - 121_000)
    await stream.write_message(framed(old.envelope))
    await until(lambda: counts.snapshot().get("beam.gossip:stale") == 1)
    assert len(victim.table) == len(other.table) == 0
    good = said_by(attacker)
    await stream.write_message(framed(good.envelope, good.envelope))
    await until(lambda: other.table.get("a.service", attacker.node.peer_id))
    assert counts.snapshot().get("beam.gossip:repeated") == 1
    stream.reset()


async def test_a_peer_of_many_forgeries_is_listened_to_no_more(beams: Beams) -> None:
    victim, attacker = await beams.network(2, dht="off")
    victim.abuse.bad_record(attacker.node.peer_id, time.monotonic() - 61)
    stream = await whisper(attacker, victim)
    for number in range(1, 4):
        await stream.write_message(framed(*[b"x"] * 5))
        await until(partial(counted, victim, "beam.gossip:forged", 5 * number))
        victim.abuse._peers[attacker.node.peer_id].alerted.clear()
    assert victim.abuse.score(attacker.node.peer_id, time.monotonic()) < 0.5
    again = await whisper(attacker, victim)
    with pytest.raises(MeshError):
        await again.read_message(10)
    assert {each.detector for each in victim.abuse.alerts(time.monotonic())} == {"bad-records"}
    assert attacker.node.peer_id not in victim.gossip.neighbours.peers()
    stream.reset()


async def test_a_flood_of_gossip_is_cut(beams: Beams) -> None:
    victim, attacker, other = await beams.network(3, dht="off")
    stream = await whisper(attacker, victim)
    for number in range(40):
        beats = [
            sign_message(
                attacker.node.key, HEARTBEAT, f"{number} {each}", now_ms(), {"services": []}
            ).envelope
            for each in range(10)
        ]
        await stream.write_message(framed(*beats))
    counts = victim.node.counters
    await until(lambda: counts.snapshot().get("beam.gossip:flooded", 0) > 100)
    assert counts.snapshot()["beam.gossip:heartbeat"] < 300
    assert "gossip-flood" in {each.detector for each in victim.abuse.alerts(time.monotonic())}
    await other.register("b.service", lambda service_id: Wanted(service_id))
    await until(lambda: victim.table.get("b.service", other.node.peer_id))
    stream.reset()


async def test_frames_that_are_none_and_too_large_end_their_stream_alone(beams: Beams) -> None:
    victim, attacker = await beams.network(2, dht="off")
    for broken in (b"\x0a\xff\xff\xff\xff\x0f", bytes(200_000)):
        stream = await whisper(attacker, victim)
        with contextlib.suppress(MeshError):
            await stream.write_message(broken)
        with pytest.raises(MeshError):
            await asyncio.wait_for(stream.read_message(10), 5)
    assert victim.node.swarm.is_connected(attacker.node.peer_id)
    many = GossipFrame(wanted=Ids(ids=[bytes([1, each]) for each in range(200)])).encode()
    stream = await whisper(attacker, victim)
    await stream.write_message(many)
    await stream.write_message(framed(said_by(attacker).envelope))
    await until(lambda: victim.table.get("a.service", attacker.node.peer_id))
    stream.reset()


async def test_the_dht_takes_no_forged_expired_or_foreign_record(beams: Beams) -> None:
    nodes = await beams.network(4)
    attacker, holder = nodes[1], nodes[2]
    good = record_of(attacker)
    expired = record_of(attacker, created_ms=now_ms() - 4_000_000)
    future = record_of(attacker, created_ms=now_ms() + 400_000)
    forged = bytearray(good.envelope)
    forged[-1] ^= 1
    dht = attacker.node.dht
    bad = (
        (service_key("a.service", attacker.node.peer_id), bytes(forged)),
        (service_key("a.service", attacker.node.peer_id), expired.envelope),
        (service_key("a.service", attacker.node.peer_id), future.envelope),
        (service_key("b.service"), good.envelope),
        (service_key("a.service", holder.node.peer_id), good.envelope),
        (name_key("myapp"), good.envelope),
        (name_key("myapp"), bytes(20_000)),
        (b"/beam/other/x", good.envelope),
    )
    dht.validators.validate = lambda *_: None  # type: ignore[method-assign]
    dht.validators.select = lambda *_: 0  # type: ignore[method-assign]
    for key, value in bad:
        written = await dht.put_value(key, value)
        await until(partial(refused_by, written, 3))
        assert written.accepted == [], key
        with pytest.raises(RecordNotFound):
            await holder.node.dht.get_value(key)


async def test_puts_to_this_node_are_counted(beams: Beams) -> None:
    holder, attacker = await beams.network(2)
    noted: list[PeerId] = []
    holder.node.dht.put_observers.append(noted.append)
    await attacker.register("a.service", lambda service_id: Wanted(service_id))
    assert noted == [attacker.node.peer_id] * 2, "under the provider's key and under the service's"
    for _ in range(1000):
        for observe in holder.node.dht.put_observers:
            observe(attacker.node.peer_id)
    assert {each.detector for each in holder.abuse.alerts(time.monotonic())} == {"dht-puts"}


async def test_a_replayed_older_record_does_not_come_back(beams: Beams) -> None:
    nodes = await beams.network(4)
    provider, attacker, client = nodes[1:]
    await provider.register("a.service", lambda service_id: Wanted(service_id))
    old = provider.registry.own[0][1]
    await provider.registry.withdraw("a.service")
    dht = attacker.node.dht
    key = service_key("a.service", provider.node.peer_id)
    dht.validators.validate = lambda *_: None  # type: ignore[method-assign]
    dht.validators.select = lambda *_: 0  # type: ignore[method-assign]
    written = await dht.put_value(key, old.envelope)
    assert written.accepted == []
    assert (await client.find("a.service", fresh=True)).providers == ()


async def test_a_thief_gets_no_name_and_no_clients(beams: Beams) -> None:
    nodes = await beams.network(5)
    owner, thief, known, newcomer = nodes[1:]
    await owner.register("myapp", lambda service_id: Wanted(service_id))
    assert (await known.find("myapp")).owner is not None
    await thief.register("myapp.local." + str(thief.node.peer_id), lambda service_id: Wanted(service_id))
    claim = sign_name(
        thief.node.key,
        NameRecord(bytes(16), "myapp", thief.node.peer_id, "myapp.local", 1, now_ms(), 86400, 2**50),
    )
    dht = thief.node.dht
    dht.validators.validate = lambda *_: None  # type: ignore[method-assign]
    dht.validators.select = lambda *_: 0  # type: ignore[method-assign]
    written = await dht.put_value(name_key("myapp"), claim.envelope)
    assert written.accepted == [], "whoever holds the owner's record keeps it"
    for client in (known, newcomer):
        try:
            found = await client.find("myapp", fresh=True)
        except NameDisputed:
            assert client is newcomer, "who saw the owner before stays with it"
        else:
            assert [each.record.peer_id for each in found.providers] == [owner.node.peer_id]
            assert found.left_out == (thief.node.peer_id,)


async def test_a_crowd_of_false_providers_hides_nobody_who_may_serve(
    beams: Beams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.apps.beam.directory.MAX_PROVIDERS", 2)
    monkeypatch.setattr("mesh.protocols.beam.service_table.MAX_OF_SERVICE", 3)
    nodes = await beams.network(8)
    owner, client = nodes[1], nodes[2]
    await owner.register("myapp", lambda service_id: Wanted(service_id))
    for each in nodes[3:]:
        await each.register(f"myapp.{each.node.peer_id}", lambda service_id: Wanted(service_id))
    late = await beams.beam(to=nodes[0])
    await late.node.dht.refresh()
    for each in nodes[3:]:
        late.table.merge(each.registry.own[0][1], time.time())
    for beam in (late, client):
        found = await beam.find("myapp", fresh=True)
        assert [each.record.peer_id for each in found.providers] == [owner.node.peer_id]


async def test_a_crowd_of_false_names_takes_bounded_room(
    beams: Beams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.apps.beam.name_book.MAX_NAMES", 5)
    one = await beams.beam()
    await one.register("myapp", lambda service_id: Wanted(service_id))
    key, peer = one.node.key, one.node.peer_id
    for number in range(20):
        record = NameRecord(bytes(16), f"name-{number}", peer, "", now_ms(), now_ms(), 60, 1)
        one.book.hear(sign_name(key, record))
    assert len(one.book.names()) == 5
    assert one.book.known("myapp")
    assert one.book._bytes == sum(
        len(each.envelope) for name in one.book.names() for each in one.book.known(name)
    )
