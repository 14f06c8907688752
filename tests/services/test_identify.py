"""identify and push between live nodes, and what is made of odd answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mesh.codecs.identify import Identify as Message
from mesh.errors import (
    EndOfStream,
    LimitError,
    Malformed,
    MeshError,
    ProtocolNotSupported,
    StreamReset,
    TimedOut,
)
from mesh.framing import delimited
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.identity.peer_record import PeerRecord, open_peer_record
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.services.identify import MAX_PARTS, ONE_PART_BYTES, PROTOCOL_ID, PUSH_PROTOCOL_ID, PeerInfo
from tests.network.live import TCP, Nodes, connected, eventually, exchange, identified

SOMEWHERE = Multiaddr.parse("/ip4/203.0.113.7/tcp/4001")
ELSEWHERE = Multiaddr.parse("/ip4/203.0.113.8/tcp/4001")


async def ignore(_stream: Stream) -> None:
    """A handler for protocols that only have to be there."""


def answering(node: Node, *parts: bytes) -> None:
    """Make a node answer identify with these bytes."""

    async def answer(stream: Stream) -> None:
        await stream.write(b"".join(parts))

    answer_with(node, answer)


def answer_with(node: Node, handler: Callable[[Stream], Awaitable[None]]) -> None:
    node.unhandle(PROTOCOL_ID)
    node.handle(PROTOCOL_ID, handler)


def part(**fields: object) -> bytes:
    message = Message(**fields)  # type: ignore[arg-type]
    return delimited.encode(message.encode())


async def told_by(nodes: Nodes, *parts: bytes) -> PeerInfo:
    """What a node makes of such an answer."""
    server = nodes.make(TCP)
    answering(server, *parts)
    return await ask(nodes, server)


async def ask(nodes: Nodes, server: Node, **settings: Any) -> PeerInfo:
    nodes.push_async_callback(server.stop)
    await server.start()
    client = await nodes.start("", **settings)
    async with asyncio.timeout(10):
        return await client.identify(server.listen_addrs[0])


@pytest.mark.both_loops
async def test_both_ends_learn_who_the_other_is(nodes: Nodes, listen: str) -> None:
    server, client, connection = await nodes.pair(listen, agent_version="test/1", protocol_version="p/1")
    inbound = await connected(server, client)
    info = connection.remote_info
    assert isinstance(info, PeerInfo)
    assert (info.peer, info.agent_version, info.protocol_version) == (server.peer_id, "test/1", "p/1")
    assert info.protocols == tuple(server.protocols)
    assert info.listen_addrs == server.swarm.listen_addresses
    assert info.observed_addr == connection.local
    assert info.signed_record
    assert info.record_seq > 0
    assert isinstance(inbound.remote_info, PeerInfo)
    assert inbound.remote_info.peer == client.peer_id
    assert client.addresses.of(server.peer_id) == server.swarm.listen_addresses


async def test_asking_again_tells_the_same(nodes: Nodes) -> None:
    _, client, connection = await nodes.pair()
    assert await client.identify(connection) == connection.remote_info


async def test_the_answer_on_the_wire(nodes: Nodes) -> None:
    server, _, connection = await nodes.pair()
    async with await connection.open([PROTOCOL_ID]) as stream:
        await stream.write(b"stray bytes are ignored")
        message = Message.decode(await stream.read_message(max=ONE_PART_BYTES))
        with pytest.raises(EndOfStream):
            await stream.read_message(max=1)
    assert message.public_key == server.key.public.to_protobuf()
    assert message.observed_addr == connection.local.to_bytes()
    assert message.signed_peer_record is not None
    assert open_peer_record(message.signed_peer_record).addresses == server.swarm.listen_addresses


async def test_forty_at_the_same_time_are_cut_at_the_limit(nodes: Nodes) -> None:
    server, client, connection = await nodes.pair()
    results = await asyncio.gather(*(client.identify(connection) for _ in range(40)), return_exceptions=True)
    refused = [each for each in results if isinstance(each, LimitError | StreamReset)]
    assert 0 < len(refused) <= 24
    assert len(refused) == sum(isinstance(each, BaseException) for each in results)
    assert (await client.identify(connection)).peer == server.peer_id


async def test_forty_at_the_same_time_without_limits(nodes: Nodes) -> None:
    _, client, connection = await nodes.pair(scale="unlimited")
    infos = await asyncio.gather(*(client.identify(connection) for _ in range(40)))
    assert len(set(infos)) == 1


async def test_a_large_answer_comes_in_two_parts(nodes: Nodes) -> None:
    server = await nodes.start()
    for number in range(100):
        server.handle(f"/test/a-rather-long-protocol-name/{number}", ignore)
    _, _, connection = await nodes.pair(server=server)
    async with await connection.open([PROTOCOL_ID]) as stream:
        first = Message.decode(await stream.read_message(max=8192))
        second = Message.decode(await stream.read_message(max=8192))
    assert first.signed_peer_record is None
    assert second.signed_peer_record is not None
    info = connection.remote_info
    assert isinstance(info, PeerInfo)
    assert len(info.protocols) == len(server.protocols)
    assert info.signed_record


async def test_a_record_signed_by_another_peer_is_ignored(nodes: Nodes) -> None:
    stranger = PrivateKey.from_seed(b"x" * 32)
    record = PeerRecord(PeerId.from_public_key(stranger.public), 5, (ELSEWHERE,)).seal(stranger)
    info = await told_by(
        nodes, part(listen_addrs=[SOMEWHERE.to_bytes()], protocols=["/a"], signed_peer_record=record)
    )
    assert info.listen_addrs == (SOMEWHERE,)
    assert not info.signed_record


async def test_a_broken_record_is_ignored(nodes: Nodes) -> None:
    info = await told_by(
        nodes, part(listen_addrs=[SOMEWHERE.to_bytes()], signed_peer_record=b"\x0a\x02no", protocols=["/a"])
    )
    assert info.listen_addrs == (SOMEWHERE,)
    assert not info.signed_record


async def test_the_own_record_counts_before_the_list(nodes: Nodes) -> None:
    server = nodes.make(TCP)
    record = PeerRecord(server.peer_id, 5, (ELSEWHERE,)).seal(server.key)
    answering(server, part(listen_addrs=[SOMEWHERE.to_bytes()], signed_peer_record=record))
    info = await ask(nodes, server)
    assert (info.listen_addrs, info.signed_record, info.record_seq) == ((ELSEWHERE,), True, 5)


async def test_another_peers_key_changes_nothing(nodes: Nodes) -> None:
    stranger = PrivateKey.from_seed(b"x" * 32)
    info = await told_by(nodes, part(public_key=stranger.public.to_protobuf(), protocols=["/a"]))
    assert info.peer != PeerId.from_public_key(stranger.public)
    assert info.protocols == ("/a",)


async def test_two_parts_are_merged(nodes: Nodes) -> None:
    info = await told_by(
        nodes,
        part(listen_addrs=[SOMEWHERE.to_bytes()], protocols=["/a", "/b"], agent_version="first"),
        part(listen_addrs=[ELSEWHERE.to_bytes()], protocols=["/b", "/c"], agent_version="second"),
    )
    assert info.listen_addrs == (SOMEWHERE, ELSEWHERE)
    assert info.protocols == ("/a", "/b", "/c")
    assert info.agent_version == "second"


async def test_nine_parts_are_taken(nodes: Nodes) -> None:
    parts = [part(protocols=[f"/{number}"]) for number in range(MAX_PARTS)]
    assert len((await told_by(nodes, *parts)).protocols) == MAX_PARTS


async def test_addresses_that_cannot_be_parsed_are_skipped(nodes: Nodes) -> None:
    peer = PeerId.from_public_key(PrivateKey.from_seed(b"x" * 32).public)
    with_peer = Multiaddr.parse(f"{ELSEWHERE}/p2p/{peer}")
    addresses = [b"\xff\xff", SOMEWHERE.to_bytes(), b"", b"\x04\x01", with_peer.to_bytes()]
    info = await told_by(nodes, part(listen_addrs=addresses, observed_addr=b"\x04"))
    assert info.listen_addrs == (SOMEWHERE, ELSEWHERE)
    assert info.observed_addr is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"".join(part(protocols=[f"/{number}"]) for number in range(MAX_PARTS + 1)), Malformed),
        (delimited.encode(bytes(9000)), Malformed),
        (b"\xff\xff\xff\x7f", Malformed),
        (delimited.encode(b"\xff\xff\xff"), MeshError),
        (b"", EndOfStream),
        (part(protocols=["/a"])[:-1], MeshError),
    ],
    ids=["ten parts", "over 8 KiB", "huge length", "no protobuf", "nothing", "cut short"],
)
async def test_a_bad_answer_is_refused_and_the_connection_lives(
    nodes: Nodes, answer: bytes, error: type[MeshError]
) -> None:
    server = nodes.make(TCP)
    answering(server, answer)
    with pytest.raises(error):
        await ask(nodes, server)
    client = await nodes.start("")
    connection = await client.connect(server.listen_addrs[0])
    await eventually(lambda: client.counters.total("identify.failed") == 1)
    assert connection.remote_info is None
    stream = await client.open(connection, "/echo/1.0.0")
    assert await exchange(stream, b"lives") == b"lives"
    await stream.close()


async def test_a_peer_without_identify(nodes: Nodes) -> None:
    server = nodes.make(TCP)
    server.unhandle(PROTOCOL_ID)
    with pytest.raises(ProtocolNotSupported):
        await ask(nodes, server)


async def test_a_peer_that_never_answers(nodes: Nodes) -> None:
    release = asyncio.Event()

    async def hold(_stream: Stream) -> None:
        await release.wait()

    server = nodes.make(TCP)
    answer_with(server, hold)
    with pytest.raises(TimedOut, match=r"identify: not finished within 0\.05 s"):
        await ask(nodes, server, identify_timeout_s=0.05)


# -- push ------------------------------------------------------------------------------------------------------------


async def push(connection: Connection, *parts: bytes, end: bool = True) -> Stream:
    stream = await connection.open([PUSH_PROTOCOL_ID])
    await stream.write(b"".join(parts))
    if end:
        await stream.close_write()
    return stream


async def test_a_push_with_one_field_keeps_the_others(nodes: Nodes) -> None:
    server, client, connection = await nodes.pair()
    inbound = await connected(server, client)
    before = inbound.remote_info
    assert isinstance(before, PeerInfo)
    stream = await push(connection, part(agent_version="renamed"))
    async with asyncio.timeout(10):
        assert await stream.read() == b"", "an accepted push ends in order"
    after = inbound.remote_info
    assert isinstance(after, PeerInfo)
    assert after.agent_version == "renamed"
    assert (after.protocols, after.listen_addrs) == (before.protocols, before.listen_addrs)
    assert (await client.identify(connection)).agent_version != "renamed"


async def test_what_a_push_has_overtaken_changes_nothing(nodes: Nodes) -> None:
    server, client, connection = await nodes.pair()
    inbound = await connected(server, client)
    for seq, where in ((2**62 + 1, ELSEWHERE), (2**62, SOMEWHERE)):
        record = PeerRecord(client.peer_id, seq, (where,)).seal(client.key)
        stream = await push(connection, part(protocols=[f"/{seq}"], signed_peer_record=record))
        async with asyncio.timeout(10):
            assert await stream.read() == b"", "a late push ends in order too"
    info = inbound.remote_info
    assert isinstance(info, PeerInfo)
    assert (info.listen_addrs, info.protocols) == ((ELSEWHERE,), (f"/{2**62 + 1}",))


@pytest.mark.parametrize("parts", [MAX_PARTS, MAX_PARTS + 1], ids=["nine", "ten"])
async def test_a_push_in_parts(nodes: Nodes, parts: int) -> None:
    server, client, connection = await nodes.pair()
    stream = await push(connection, *(part(protocols=[f"/{number}"]) for number in range(parts)))
    async with asyncio.timeout(10):
        if parts > MAX_PARTS:
            with pytest.raises(StreamReset):
                await stream.read()
        else:
            assert await stream.read() == b""
            inbound = await connected(server, client)
            assert inbound.remote_protocols == frozenset(f"/{number}" for number in range(parts))
    await stream.close()


@pytest.mark.parametrize("bad", [delimited.encode(bytes(9000)), b"\x03\xff\xff\xff"], ids=["large", "broken"])
async def test_a_bad_push_is_reset(nodes: Nodes, bad: bytes) -> None:
    server, client, connection = await nodes.pair()
    stream = await push(connection, bad)
    with pytest.raises(StreamReset):
        async with asyncio.timeout(10):
            await stream.read()
    assert server.counters.total("handler.failed") == 1
    assert await client.identify(connection)


async def test_a_push_that_never_ends_is_reset(nodes: Nodes) -> None:
    server, _, connection = await nodes.pair(identify_timeout_s=1.0)
    stream = await push(connection, part(agent_version="x"), end=False)
    with pytest.raises(StreamReset):
        async with asyncio.timeout(10):
            await stream.read()
    assert server.counters["handler.failed:timed-out"] == 1


async def test_a_protocol_added_later_is_pushed(nodes: Nodes, listen: str) -> None:
    server, client, connection = await nodes.pair(listen)
    server.handle("/test/new/1", ignore)
    server.handle("/test/new/2", ignore)
    await eventually(lambda: {"/test/new/1", "/test/new/2"} <= (connection.remote_protocols or set()))
    server.unhandle("/test/new/1")
    await eventually(lambda: "/test/new/1" not in (connection.remote_protocols or set()))
    await eventually(lambda: connection.stream_count == (client.connections[0]).stream_count == 0)


async def test_a_change_while_the_peer_is_being_asked_is_pushed_afterwards(nodes: Nodes) -> None:
    server, client = await nodes.start(), await nodes.start("")
    may_answer = asyncio.Event()

    async def answer_late(stream: Stream) -> None:
        await may_answer.wait()
        await client._identify.serve(stream)

    client.unhandle(PROTOCOL_ID)
    client.handle(PROTOCOL_ID, answer_late)
    connection = await client.connect(server.listen_addrs[0])
    await identified(connection)
    for number in range(3):
        server.handle(f"/test/new/{number}", ignore)
        await eventually(lambda: not server._push_pending, "the change to be noticed")
    await eventually(lambda: client.counters["stream.inbound"] == 1, "the question")
    assert "/test/new/2" not in (connection.remote_protocols or set())
    may_answer.set()
    await eventually(lambda: "/test/new/2" in (connection.remote_protocols or set()), "the push")
    assert client.counters["stream.inbound"] == 2, "what waits is told once"


async def test_peers_without_push_are_left_alone(nodes: Nodes) -> None:
    server = await nodes.start()
    client = await nodes.start("")
    client.unhandle(PUSH_PROTOCOL_ID)
    await nodes.pair(server=server)
    await client.connect(server.listen_addrs[0])
    inbound = await connected(server, client)
    await eventually(lambda: inbound.remote_protocols is not None)
    server.handle("/test/new/1", ignore)
    other = next(each for each in server.connections if each.peer != client.peer_id)
    await eventually(lambda: not server._push_pending and other.stream_count == 0)
    assert not server.counters.total("handler.failed")
