"""The conformance catalogue's suite `kad`, 33 cases, against our own node over TCP."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest

from mesh.codecs.kademlia import Message, MessageType, Peer, ValueRecord
from mesh.errors import ProtocolNotSupported, StreamReset
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats import varint
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.kademlia import candidate_of, ipns, key_of
from mesh.protocols.kademlia.reply import closer_peer
from mesh.services.kademlia import server as serving
from tests.network.live import PATIENCE_S, TCP, Nodes, eventually
from tests.services.kademlia.network import PREFIX, dht_node, multihash, network

PROTOCOL = f"{PREFIX}/kad/1.0.0"
KIB, MIB = 1024, 1024 * 1024
HERE = Multiaddr.parse("/ip4/192.0.2.7/tcp/4001")
BROKEN = b"\x04\x7f"
PUT, GET, ADD, PROVIDERS, FIND, PING = MessageType
EXTRA_FIELDS = bytes.fromhex("f806ac02fa0603616263fd0601020304")


class Bench:
    """A server with members in its table, and a node that asks it over one stream for each case."""

    def __init__(self, nodes: Nodes, server: Node, asker: Node, patch: pytest.MonkeyPatch) -> None:
        self.nodes = nodes
        self.server = server
        self.asker = asker
        self.patch = patch
        self.members: list[PeerId] = []

    def fill(self, count: int) -> None:
        """Members that nobody will ever reach, as if they had answered."""
        now = time.monotonic()
        for _ in range(count):
            peer = stranger()
            self.members.append(peer)
            addresses = [Multiaddr.parse(f"/ip4/192.0.2.{number}/tcp/4001").to_bytes() for number in range(8)]
            payload = closer_peer(peer.to_bytes(), addresses)
            self.server.dht.table.admit(candidate_of(peer, (HERE,)), now, useful=True, payload=payload)

    async def line(self) -> Stream:
        return await self.asker.open(self.server.peer_id, PROTOCOL)

    async def ask(self, message: Message) -> Message:
        async with asyncio.timeout(PATIENCE_S), await self.line() as stream:
            return await ask_over(stream, message)

    async def refused(self, *parts: bytes) -> None:
        """These bytes have the stream reset."""
        async with asyncio.timeout(PATIENCE_S):
            stream = await self.line()
            for part in parts:
                await stream.write(part)
            with pytest.raises(StreamReset):
                await stream.read_message(Message.MAX_BYTES)

    async def refuses(self, message: Message) -> None:
        await self.refused(framed(message.encode()))


async def ask_over(stream: Stream, message: Message) -> Message:
    await stream.write_message(message.encode())
    return Message.decode(await stream.read_message(Message.MAX_BYTES))


def framed(message: bytes) -> bytes:
    return varint.encode(len(message)) + message


def stranger() -> PeerId:
    return PeerId.from_public_key(PrivateKey.generate().public)


def named(answer: Message) -> list[PeerId]:
    return [PeerId.from_bytes(each.id) for each in answer.closer_peers]


def pk_record() -> ValueRecord:
    public = PrivateKey.generate().public
    return ValueRecord(b"/pk/" + PeerId.from_public_key(public).to_bytes(), public.to_protobuf())


def own_entry(bench: Bench, *addresses: bytes) -> Peer:
    return Peer(bench.asker.peer_id.to_bytes(), list(addresses))


Case = Callable[[Bench], Awaitable[None]]
CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    def register(function: Case) -> Case:
        CASES[f"kad/{name}"] = function
        return function

    return register


@case("1.1")
async def own_id_of_the_target(bench: Bench) -> None:
    bench.fill(60)
    answer = await bench.ask(Message(FIND, bench.server.peer_id.to_bytes()))
    assert bench.server.peer_id in named(answer)
    assert len(answer.closer_peers) <= 21


@case("1.2")
async def random_id(bench: Bench) -> None:
    members = await network(bench.nodes, 4, TCP)
    asker, server = members[1], members[0]
    assert asker.peer_id in server.dht.table
    async with asyncio.timeout(PATIENCE_S), await asker.open(server.peer_id, PROTOCOL) as stream:
        for target in (stranger(), asker.peer_id):
            found = named(await ask_over(stream, Message(FIND, target.to_bytes())))
            assert set(found) == {each.peer_id for each in members[2:]}
    bench.fill(60)
    assert len(named(await bench.ask(Message(FIND, stranger().to_bytes())))) == 20


@case("1.3")
async def key_that_is_no_id(bench: Bench) -> None:
    bench.fill(3)
    for key in (b"x", b"hello there", bytes(1024)):
        assert set(named(await bench.ask(Message(FIND, key)))) == set(bench.members)


@case("1.4")
async def find_without_key(bench: Bench) -> None:
    await bench.refuses(Message(FIND))


@case("1.5")
async def unknown_value(bench: Bench) -> None:
    bench.fill(3)
    for key in (pk_record().key, b"/nobody/knows", b"no namespace"):
        answer = await bench.ask(Message(GET, key))
        assert answer.record is None
        assert set(named(answer)) == set(bench.members)


@case("1.6")
async def get_without_key(bench: Bench) -> None:
    await bench.refuses(Message(GET))


@case("1.7")
async def providers_of_a_multihash(bench: Bench) -> None:
    bench.fill(3)
    key = multihash()
    async with asyncio.timeout(PATIENCE_S), await bench.line() as stream:
        added = Message(ADD, key, provider_peers=[own_entry(bench, HERE.to_bytes())])
        await stream.write_message(added.encode())
        answer = await ask_over(stream, Message(PROVIDERS, key))
    assert [each.id for each in answer.provider_peers] == [bench.asker.peer_id.to_bytes()]
    assert set(named(answer)) == set(bench.members)


@case("1.8")
async def long_provider_key(bench: Bench) -> None:
    await bench.refuses(Message(PROVIDERS, bytes(81)))
    assert (await bench.ask(Message(PROVIDERS, bytes(80)))).type is PROVIDERS


@case("1.9")
async def providers_without_key(bench: Bench) -> None:
    await bench.refuses(Message(PROVIDERS))


@case("1.10")
async def ping(bench: Bench) -> None:
    assert await bench.ask(Message(PING)) == Message(PING)


@case("1.11")
async def two_requests_on_one_stream(bench: Bench) -> None:
    bench.fill(3)
    async with asyncio.timeout(PATIENCE_S):
        stream = await bench.line()
        await stream.write(framed(Message(FIND, b"one").encode()) + framed(Message(GET, b"/v/two").encode()))
        await stream.close_write()
        answers = [Message.decode(await stream.read_message(Message.MAX_BYTES)) for _ in range(2)]
        assert await stream.read() == b""
    assert [each.type for each in answers] == [FIND, GET]
    assert all(len(each.closer_peers) == 3 for each in answers)


@case("1.12")
async def nearest_of_a_full_table(bench: Bench) -> None:
    bench.fill(200)
    members = [entry.peer for entry in bench.server.dht.table]
    assert len(members) > 60
    for _ in range(5):
        target = stranger().to_bytes()
        nearest = sorted(members, key=lambda peer: key_of(peer.to_bytes()) ^ key_of(target))[:20]
        assert set(named(await bench.ask(Message(FIND, target)))) == set(nearest)


@case("2.1")
async def good_value(bench: Bench) -> None:
    record = pk_record()
    answer = await bench.ask(Message(PUT, record.key, record))
    assert (answer.type, answer.key) == (PUT, record.key)
    assert answer.record is not None
    assert (answer.record.key, answer.record.value) == (record.key, record.value)


@case("2.2")
async def good_value_got(bench: Bench) -> None:
    record = pk_record()
    await bench.ask(Message(PUT, record.key, record))
    got = (await bench.ask(Message(GET, record.key))).record
    assert got is not None
    assert (got.key, got.value) == (record.key, record.value)


@case("2.3")
async def value_under_a_wrong_key(bench: Bench) -> None:
    record = ValueRecord(pk_record().key, pk_record().value)
    await bench.refuses(Message(PUT, record.key, record))
    assert not len(bench.server.dht.records)


@case("2.4")
async def two_keys(bench: Bench) -> None:
    record = pk_record()
    await bench.refuses(Message(PUT, pk_record().key, record))
    await bench.refuses(Message(PUT, b"", record))
    assert not len(bench.server.dht.records)


@case("2.5")
async def no_record(bench: Bench) -> None:
    await bench.refuses(Message(PUT, pk_record().key))


@case("2.6")
async def unknown_namespace(bench: Bench) -> None:
    for key in (b"/nobody/knows", b"knows", b"/", b"//"):
        await bench.refuses(Message(PUT, key, ValueRecord(key, b"1")))


@case("2.7")
async def expired_name(bench: Bench) -> None:
    key = PrivateKey.generate()
    name = ipns.key_of(PeerId.from_public_key(key.public))
    old = ipns.create(key, b"/ipfs/bafkqaaa", 1, time.time() - 60, 60)
    await bench.refuses(Message(PUT, name, ValueRecord(name, old)))
    assert (await bench.ask(Message(GET, name))).record is None


@case("2.8")
async def older_name(bench: Bench) -> None:
    key = PrivateKey.generate()
    name = ipns.key_of(PeerId.from_public_key(key.public))
    first, second = (ipns.create(key, b"/ipfs/bafkqaaa", each, time.time() + 600, 60) for each in (1, 2))
    await bench.ask(Message(PUT, name, ValueRecord(name, second)))
    await bench.refuses(Message(PUT, name, ValueRecord(name, first)))
    got = (await bench.ask(Message(GET, name))).record
    assert got is not None
    assert got.value == second


@case("2.9")
async def time_of_our_own(bench: Bench) -> None:
    record = pk_record()
    record.time_received = "1999-12-31T23:59:59Z"
    put = (await bench.ask(Message(PUT, record.key, record))).record
    got = (await bench.ask(Message(GET, record.key))).record
    assert put is not None
    assert got is not None
    year = time.strftime("%Y", time.gmtime())
    assert put.time_received.startswith(year)
    assert got.time_received == put.time_received


@case("2.10")
async def provider(bench: Bench) -> None:
    key = multihash()
    async with asyncio.timeout(PATIENCE_S), await bench.line() as stream:
        added = Message(ADD, key, provider_peers=[own_entry(bench, HERE.to_bytes())])
        await stream.write_message(added.encode())
        assert (await ask_over(stream, Message(PING))).type is PING, "no answer, and the stream goes on"
        (listed,) = (await ask_over(stream, Message(PROVIDERS, key))).provider_peers
    assert (listed.id, listed.addrs) == (bench.asker.peer_id.to_bytes(), [HERE.to_bytes()])


@case("2.11")
async def provider_of_another(bench: Bench) -> None:
    key = multihash()
    await bench.refuses(
        Message(ADD, key, provider_peers=[Peer(stranger().to_bytes(), [HERE.to_bytes()])]),
    )
    assert not (await bench.ask(Message(PROVIDERS, key))).provider_peers
    both = [Peer(stranger().to_bytes(), [HERE.to_bytes()]), own_entry(bench, HERE.to_bytes())]
    async with asyncio.timeout(PATIENCE_S), await bench.line() as stream:
        await stream.write_message(Message(ADD, key, provider_peers=both).encode())
        (listed,) = (await ask_over(stream, Message(PROVIDERS, key))).provider_peers
    assert listed.id == bench.asker.peer_id.to_bytes()


@case("2.12")
async def provider_without_addresses(bench: Bench) -> None:
    key = multihash()
    await bench.refuses(Message(ADD, key, provider_peers=[own_entry(bench)]))
    await bench.refuses(Message(ADD, key))
    assert not (await bench.ask(Message(PROVIDERS, key))).provider_peers


@case("2.13")
async def provider_with_a_broken_address(bench: Bench) -> None:
    key = multihash()
    entry = own_entry(bench, BROKEN, HERE.to_bytes(), b"", b"\xff" * 40)
    async with asyncio.timeout(PATIENCE_S), await bench.line() as stream:
        await stream.write_message(Message(ADD, key, provider_peers=[entry]).encode())
        (listed,) = (await ask_over(stream, Message(PROVIDERS, key))).provider_peers
    assert listed.addrs == [HERE.to_bytes()]


@case("3.1")
async def unknown_type(bench: Bench) -> None:
    await bench.refused(b"\x02\x08\x63")


@case("3.2")
async def undecodable(bench: Bench) -> None:
    await bench.refused(b"\x03\xff\xff\xff")
    await bench.refused(framed(b"\x12\x7fkey cut short"))
    await bench.refused(b"\xff" * 10)


@case("3.3")
async def too_long(bench: Bench) -> None:
    stream = await bench.line()
    tracemalloc.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            await stream.write(varint.encode(4 * MIB + 1))
            with pytest.raises(StreamReset):
                await stream.read_message(Message.MAX_BYTES)
        assert tracemalloc.get_traced_memory()[1] < 512 * KIB
    finally:
        tracemalloc.stop()


@case("3.4")
async def empty_message(bench: Bench) -> None:
    await bench.refused(b"\x00")


@case("3.5")
async def half_a_request(bench: Bench) -> None:
    bench.patch.setattr(serving, "IDLE_S", 0.1)
    half = framed(Message(FIND, b"a key").encode())[:-3]
    await bench.refused(half)
    await bench.refused(half[:1])


@case("3.6")
async def unknown_fields(bench: Bench) -> None:
    bench.fill(3)
    async with asyncio.timeout(PATIENCE_S), await bench.line() as stream:
        await stream.write(framed(EXTRA_FIELDS + Message(FIND, b"key").encode() + EXTRA_FIELDS))
        answer = Message.decode(await stream.read_message(Message.MAX_BYTES))
    assert set(named(answer)) == set(bench.members)


@case("3.7")
async def requests_without_reading(bench: Bench) -> None:
    bench.fill(60)
    counters = bench.server.counters
    async with asyncio.timeout(2 * PATIENCE_S):
        stream = await bench.line()
        answer = len((await ask_over(stream, Message(FIND, b"size"))).encode())
        assert answer > 2 * KIB
        before = counters["kademlia.asked:find_node"]
        request = framed(Message(FIND, b"size").encode())
        for _ in range(1000):
            await stream.write(request)
        queued = bench.asker.connections[0].driver.session
        await eventually(lambda: queued.held_bytes > 200 * KIB, "the window full of answers")
        await bench.ask(Message(PING))  # another stream is served meanwhile
        answered = counters["kademlia.asked:find_node"] - before
        assert answered < 2 + 512 * KIB // answer, "it went on although nobody reads"
        assert bench.server.swarm.memory.used_bytes < 512 * KIB
        for _ in range(1000):
            assert len(Message.decode(await stream.read_message(Message.MAX_BYTES)).closer_peers) == 20
    await stream.close()


@case("3.8")
async def client_mode(bench: Bench) -> None:
    client = await dht_node(bench.nodes, TCP, mode="client")
    connection = await bench.asker.connect(client.listen_addrs[0])
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ProtocolNotSupported):
            await connection.open([PROTOCOL])
    assert PROTOCOL not in (await bench.asker.identify(client.peer_id)).protocols


@pytest.mark.parametrize("name", CASES)
async def test_case(name: str, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await dht_node(nodes, TCP)
    asker = await nodes.start(TCP)
    await asker.connect(server.listen_addrs[0])
    bench = Bench(nodes, server, asker, monkeypatch)
    await CASES[name](bench)
    monkeypatch.undo()
    assert await bench.ask(Message(PING)) == Message(PING), "the node did not survive"
    fresh = await nodes.start("")
    async with asyncio.timeout(PATIENCE_S):
        assert PROTOCOL in (await fresh.identify(server.listen_addrs[0])).protocols
    assert not server.counters["handler.crashed"]


def test_all_of_the_catalogue() -> None:
    sections = {1: 12, 2: 13, 3: 8}
    expected = {
        f"kad/{section}.{number}" for section, last in sections.items() for number in range(1, last + 1)
    }
    assert set(CASES) == expected
    assert len(CASES) == 33
