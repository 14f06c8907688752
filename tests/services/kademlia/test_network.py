"""Finding peers, values and providers among live nodes."""

from __future__ import annotations

import asyncio

import pytest

from mesh.codecs.kademlia import Message, MessageType, Peer, ValueRecord
from mesh.errors import RecordNotFound, StreamReset, UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.node import Node
from mesh.protocols.kademlia import key_of
from mesh.services.kademlia import Mode
from tests.network.live import MEMORY, TCP, Nodes, eventually
from tests.services.kademlia.network import PREFIX, dht_node, multihash, network

PROTOCOL = f"{PREFIX}/kad/1.0.0"


async def ask(node: Node, server: Node, message: Message) -> Message:
    """One request over a stream of its own."""
    async with asyncio.timeout(10), await node.open(server.peer_id, PROTOCOL) as stream:
        await stream.write_message(message.encode())
        return Message.decode(await stream.read_message(Message.MAX_BYTES))


@pytest.mark.parametrize("listen", [MEMORY, TCP], ids=["memory", "tcp"])
async def test_everybody_finds_everybody(nodes: Nodes, listen: str) -> None:
    members = await network(nodes, 12, listen)
    for seeker in members[1:4]:
        for wanted in members:
            if wanted is not seeker:
                found = await seeker.dht.find_peer(wanted.peer_id)
                assert found.connected
                assert found.addresses


async def test_the_closest_are_the_closest(nodes: Nodes) -> None:
    members = await network(nodes, 30)
    seeker = members[7]
    target = multihash()
    found = await seeker.dht.closest_peers(target)
    others = [each.peer_id for each in members if each is not seeker]
    others.sort(key=lambda peer: key_of(peer.to_bytes()) ^ key_of(target))
    assert found == others[:20]


async def test_values_are_put_and_got(nodes: Nodes) -> None:
    members = await network(nodes, 12)
    written = await members[1].dht.put_value(b"/v/one", b"first")
    assert written.reached
    assert written.asked == 11
    assert await members[5].dht.get_value(b"/v/one") == b"first"
    assert await members[6].dht.get_value(b"/v/one", quorum=1) == b"first"


async def test_stale_holders_are_set_right(nodes: Nodes) -> None:
    members = await network(nodes, 8)
    await members[1].dht.put_value(b"/v/one", b"a")
    stale = members[2]
    await eventually(lambda: len(stale.dht.records) == 1)
    newer = members[3]
    await newer.dht.records.delete(b"/v/one")
    reply = await ask(
        members[4], newer, Message(MessageType.PUT_VALUE, b"/v/one", ValueRecord(b"/v/one", b"b"))
    )
    assert reply.record is not None
    assert reply.record.time_received
    assert await members[5].dht.get_value(b"/v/one") == b"b"

    async def holds() -> bytes:
        held = await stale.dht.records.get(b"/v/one")
        assert held is not None
        return held.value

    async with asyncio.timeout(10):
        while await holds() != b"b":  # noqa: ASYNC110 - what another node stores
            await asyncio.sleep(0.001)


async def test_a_worse_value_is_not_put(nodes: Nodes) -> None:
    members = await network(nodes, 4)
    await members[1].dht.put_value(b"/v/one", b"b")
    with pytest.raises(UsageError, match="better"):
        await members[1].dht.put_value(b"/v/one", b"a")
    with pytest.raises(StreamReset):
        await ask(
            members[2], members[1], Message(MessageType.PUT_VALUE, b"/v/one", ValueRecord(b"/v/one", b"a"))
        )


async def test_unknown_things_are_not_found(nodes: Nodes) -> None:
    members = await network(nodes, 4)
    stranger = PeerId.from_public_key(PrivateKey.generate().public)
    with pytest.raises(RecordNotFound):
        await members[1].dht.find_peer(stranger)
    with pytest.raises(RecordNotFound):
        await members[1].dht.get_value(b"/v/none")
    assert [each async for each in members[1].dht.find_providers(multihash())] == []
    with pytest.raises(UsageError, match="namespace"):
        await members[1].dht.get_value(b"/unknown/none")
    with pytest.raises(UsageError):
        await members[1].dht.provide(bytes(81))
    with pytest.raises(UsageError, match="itself"):
        await members[1].dht.find_peer(members[1].peer_id)


async def test_providers_are_announced_and_found(nodes: Nodes) -> None:
    members = await network(nodes, 12)
    key = multihash()
    for provider in members[1:4]:
        assert (await provider.dht.provide(key)).reached
    wanted = {each.peer_id for each in members[1:4]}
    for _ in range(100):  # announcements are not answered
        found = [each async for each in members[6].dht.find_providers(key)]
        if {each.peer for each in found} == wanted:
            break
    assert {each.peer for each in found} == wanted
    assert all(each.addresses for each in found)
    first = [each async for each in members[6].dht.find_providers(key, count=1)]
    assert len(first) == 1


async def test_a_third_may_die(nodes: Nodes) -> None:
    members = await network(nodes, 18)
    await members[1].dht.put_value(b"/v/one", b"kept")
    for dead in members[-6:]:
        await dead.stop()
    alive = members[:-6]
    for seeker in alive[1:4]:
        for wanted in alive:
            if wanted is not seeker:
                assert (await seeker.dht.find_peer(wanted.peer_id)).connected
    assert await alive[5].dht.get_value(b"/v/one") == b"kept"


async def test_steps_are_shown_as_they_happen(nodes: Nodes) -> None:
    members = await network(nodes, 6)
    steps: list[str] = []
    await members[1].dht.closest_peers(b"anything", on_step=lambda step: steps.append(type(step).__name__))
    assert steps[0] == "Asked"
    assert steps[-1] == "Ended"
    assert steps.count("Asked") == steps.count("Answered") == 5


async def test_clients_ask_but_do_not_answer(nodes: Nodes) -> None:
    server = await dht_node(nodes)
    client = await dht_node(nodes, mode="client")
    await client.connect(server.listen_addrs[0])
    await eventually(lambda: server.peer_id in client.dht.table)
    assert PROTOCOL not in client.protocols
    assert client.peer_id not in server.dht.table
    assert await client.dht.closest_peers(b"anything") == [server.peer_id]
    assert (await client.dht.put_value(b"/v/one", b"1")).accepted == [server.peer_id]
    assert await client.dht.get_value(b"/v/one") == b"1"


async def test_auto_follows_reachability(nodes: Nodes) -> None:
    other = await dht_node(nodes)
    node = await dht_node(nodes, mode="auto")
    assert node.dht.mode is Mode.CLIENT
    await node.connect(other.listen_addrs[0])
    await eventually(lambda: other.peer_id in node.dht.table)
    node.dht.set_reachability(True)
    assert PROTOCOL in node.protocols
    await eventually(lambda: node.peer_id in other.dht.table, "the new server in the table")
    node.dht.set_reachability(None)
    assert PROTOCOL not in node.protocols
    await eventually(lambda: node.peer_id not in other.dht.table, "the client out of the table")


async def test_what_is_stored_survives_a_restart(nodes: Nodes, tmp_path: object) -> None:
    node = await dht_node(nodes, path=tmp_path)
    other = await dht_node(nodes)
    await other.connect(node.listen_addrs[0])
    await eventually(lambda: node.peer_id in other.dht.table)
    await other.dht.put_value(b"/v/one", b"1")
    await other.dht.provide(key := multihash())
    await eventually(lambda: len(node.dht.providers) == 1)
    await node.stop()
    await node.start()
    assert len(node.dht.records) == 1
    assert [each.peer for each in await node.dht.providers.get(key)] == [other.peer_id]


async def test_answers_leave_out_asker_and_self(nodes: Nodes) -> None:
    members = await network(nodes, 6)
    asker, server = members[1], members[2]
    reply = await ask(asker, server, Message(MessageType.FIND_NODE, b"anything"))
    named = {each.id for each in reply.closer_peers}
    assert asker.peer_id.to_bytes() not in named
    assert server.peer_id.to_bytes() not in named
    assert len(named) == 4
    assert reply.key == b""
    assert reply.cluster_level_raw == 1
    own = await ask(asker, server, Message(MessageType.FIND_NODE, server.peer_id.to_bytes()))
    assert [each.id for each in own.closer_peers] == [server.peer_id.to_bytes()]


REFUSED = {
    "find without key": Message(MessageType.FIND_NODE),
    "get without key": Message(MessageType.GET_VALUE),
    "put without record": Message(MessageType.PUT_VALUE, b"/v/x"),
    "put under another key": Message(MessageType.PUT_VALUE, b"/v/x", ValueRecord(b"/v/y", b"1")),
    "put of unknown namespace": Message(MessageType.PUT_VALUE, b"/n/x", ValueRecord(b"/n/x", b"1")),
    "provider of another": Message(
        MessageType.ADD_PROVIDER,
        multihash(),
        provider_peers=[Peer(b"\x12\x20" + bytes(32), [b"\x04\x7f\0\0\1\x06\0\1"])],
    ),
    "providers of 81 bytes": Message(MessageType.GET_PROVIDERS, bytes(81)),
    "providers without key": Message(MessageType.GET_PROVIDERS),
}


@pytest.mark.parametrize("message", REFUSED.values(), ids=REFUSED)
async def test_what_is_wrong_resets_the_stream_alone(nodes: Nodes, message: Message) -> None:
    members = await network(nodes, 2)
    async with asyncio.timeout(10):
        stream = await members[1].open(members[0].peer_id, PROTOCOL)
        await stream.write_message(message.encode())
        with pytest.raises(StreamReset):
            await stream.read_message(Message.MAX_BYTES)
    pinged = await ask(members[1], members[0], Message(MessageType.PING))
    assert pinged.type is MessageType.PING


async def test_raw_garbage_and_oversize(nodes: Nodes) -> None:
    members = await network(nodes, 2)
    for data in (b"\x02\x08\x63", b"\x03\xff\xff\xff", b"\x81\x80\x80\x02", b"\x00"):
        async with asyncio.timeout(10):
            stream = await members[1].open(members[0].peer_id, PROTOCOL)
            await stream.write(data)
            with pytest.raises(StreamReset):
                await stream.read_message(Message.MAX_BYTES)
    await ask(members[1], members[0], Message(MessageType.PING))


async def test_the_table_is_shown(nodes: Nodes) -> None:
    members = await network(nodes, 6)
    rows = members[1].dht.rows()
    assert sum(len(row.entries) for row in rows) == 5
    assert all(row.number == 255 - row.prefix_length for row in rows)


async def test_the_dht_is_off_unless_asked_for(nodes: Nodes) -> None:
    node = await nodes.start(MEMORY)
    with pytest.raises(UsageError, match=r"kademlia\.mode"):
        _ = node.dht
