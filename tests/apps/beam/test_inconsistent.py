"""Lookups whose answers contradict others: who forges, withholds or invents is found out, and nobody else."""

from __future__ import annotations

import time
from typing import Any

from mesh.apps.beam.beam import Beam
from mesh.codecs.kademlia import ConnectionType
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.beam.abuse import LEAST_LOOKUPS, LEAST_SCORE
from mesh.protocols.beam.name_record import NameRecord, sign_name
from mesh.protocols.beam.record_keys import name_key
from mesh.protocols.kademlia.records import StoredValue, contradictions
from mesh.protocols.kademlia.reply import closer_peer
from tests.apps.beam.beams import Beams, until
from tests.protocols.beam.signers import PEERS

A, B, C, D = PEERS[:4]
BEST, OLD = b"best", b"old"


def found_out(client: Beam) -> set[tuple[str, PeerId]]:
    return {(each.detector, each.peer) for each in client.abuse.alerts(time.monotonic())}


async def names(owner: Beam) -> list[bytes]:
    """As many as it takes for an alert, each with a record at everybody."""
    now_ms = time.time_ns() // 1_000_000
    keys = []
    for number in range(LEAST_LOOKUPS):
        name = f"name-{number}"
        record = NameRecord(bytes(16), name, owner.node.peer_id, f"{name}.local", now_ms, now_ms, 3600, 1)
        await owner.node.dht.put_value(name_key(name), sign_name(owner.node.key, record).envelope)
        keys.append(name_key(name))
    return keys


async def look_up(client: Beam, keys: list[bytes]) -> None:
    """All of them, as if it held none itself."""
    for key in keys:
        await client.node.dht.records.delete(key)
        await client.node.dht.get_value(key)


def test_what_contradicts_what() -> None:
    held: dict[PeerId, Any] = {A: BEST, B: OLD, C: None, D: None}
    assert contradictions(held, (), {}, BEST) == {A: True}, "newcomers hold nothing"
    assert contradictions(held, (), {B: BEST, C: OLD, D: BEST}, BEST) == {A: True, B: False, D: False}
    assert contradictions(held, {D}, {}, BEST) == {A: True, D: False}
    assert contradictions({A: None, B: None}, {A}, {B: BEST}, None) == {A: False}


async def test_honest_nodes_contradict_nobody(beams: Beams) -> None:
    nodes = await beams.network(5)
    keys = await names(nodes[0])
    newcomer = await beams.beam(to=nodes[0])
    await newcomer.node.dht.refresh()
    for client in (nodes[1], newcomer):
        await look_up(client, keys)
        await look_up(client, keys)
        assert found_out(client) == set()
        known = client.abuse._peers
        assert sum(known[each].lookups for each in known) > 2 * LEAST_LOOKUPS, "answers are judged"


async def test_who_gives_forged_records_is_found_out(beams: Beams) -> None:
    nodes = await beams.network(6)
    attacker, client = nodes[2], nodes[4]
    keys = await names(nodes[0])
    attacker.node.dht.validators.validate = lambda *_: None  # type: ignore[method-assign]
    attacker.node.dht.validators.select = lambda *_: 0  # type: ignore[method-assign]
    for key in keys:
        await attacker.node.dht.records.put(StoredValue(key, b"forged", time.time()))
    await look_up(client, keys)
    assert found_out(client) == {("inconsistent-lookups", attacker.node.peer_id)}
    assert client.abuse.score(attacker.node.peer_id, time.monotonic()) < LEAST_SCORE
    assert attacker.node.peer_id not in client.gossip.neighbours.peers()


async def test_who_withholds_what_it_holds_is_found_out(beams: Beams) -> None:
    nodes = await beams.network(6)
    attacker, client = nodes[2], nodes[4]
    keys = await names(nodes[0])

    async def nothing(_key: bytes) -> None:
        return None

    attacker.node.dht.records.get = nothing  # type: ignore[method-assign, assignment]
    await look_up(client, keys)
    assert found_out(client) == set(), "it may be new"
    acknowledged = client.node.dht._values._acknowledged
    await until(lambda: all((key, attacker.node.peer_id) in acknowledged for key in keys))
    await look_up(client, keys)
    assert found_out(client) == {("inconsistent-lookups", attacker.node.peer_id)}


async def test_who_names_peers_that_are_none_is_found_out(beams: Beams) -> None:
    nodes = await beams.network(5)
    attacker, client = nodes[2], nodes[4]
    ghosts = [
        closer_peer(
            PeerId.from_public_key(PrivateKey.from_seed(bytes([number]) * 32).public).to_bytes(),
            [Multiaddr.parse(f"/memory/{70_000 + number}").to_bytes()],
            ConnectionType.CONNECTED,
        )
        for number in range(40, 52)
    ]
    attacker.node.dht._server._closer = lambda *_: ghosts  # type: ignore[method-assign]
    for number in range(LEAST_LOOKUPS):
        await client.node.dht.closest_peers(b"key %d" % number)
    assert found_out(client) == {("inconsistent-lookups", attacker.node.peer_id)}
