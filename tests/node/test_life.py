"""Starting, using and stopping a node."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import textwrap
from pathlib import Path

import pytest

import mesh.node
from mesh.config import Config, NetworkSection, NodeSection
from mesh.errors import AddressInUse, Closed, StreamReset, UsageError
from mesh.identity.keys import PrivateKey
from mesh.network.scope import Scope
from mesh.network.stream import Stream
from mesh.node import Node
from tests.network.live import MEMORY, TCP, Nodes, configured, eventually, open_and_read, present, round_trip

PEER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"


async def test_the_example_of_the_module_runs(nodes: Nodes) -> None:
    """The program in mesh/node.py, as it stands there; `peer` is the node itself as others reach it."""
    example = re.search(r"\n\n(    async with Node.*?)\n\n`async with`", mesh.node.__doc__ or "", re.DOTALL)
    assert example is not None
    lines = textwrap.dedent(example[1])
    assert 'await node.open(peer, "/chat/1.0.0")' in lines
    body = lines.replace("async with Node() as node:", "async with Node(config) as node:")
    for line in (
        'await stream.write(b"hello")',
        "answers.append(await stream.read())",
        "await stream.close()",
    ):
        body += f"\n    {line}"
    server = await nodes.start()

    @server.protocol("/chat/1.0.0")
    async def chat(stream: Stream) -> None:
        await stream.write(await stream.read())

    answers: list[bytes] = []
    names = {"Node": Node, "config": configured(TCP), "peer": server.listen_addrs[0], "answers": answers}
    exec("async def program():\n" + textwrap.indent(body, "    "), names)  # the docstring is ours
    await names["program"]()  # type: ignore[operator]
    assert answers == [b"hello"]


@pytest.mark.both_loops
async def test_a_protocol_of_ones_own(nodes: Nodes, listen: str) -> None:
    async with nodes.make(listen) as server, nodes.make("") as client:

        @server.protocol("/shout/1")
        async def shout(stream: Stream) -> None:
            async for words in stream:
                await stream.write(words.upper())

        async with await client.open(server.listen_addrs[0], "/shout/1") as stream:
            await stream.write(b"hello")
            assert await stream.read() == b"HELLO"


async def test_nothing_is_left_the_moment_a_node_has_stopped() -> None:
    before = present().keys()
    async with Node(configured(TCP)) as server, Node(configured("")) as client:
        await round_trip(client, server)
    left = {text for key, (kind, text) in present().items() if key not in before and kind != "socket"}
    assert not left
    await asyncio.sleep(0)
    assert not {text for key, (_, text) in present().items() if key not in before}


async def test_a_node_starts_once(nodes: Nodes) -> None:
    node = await nodes.start()
    with pytest.raises(UsageError, match="started already"):
        await node.start()
    assert node.listen_addrs


async def test_a_stopped_node_may_start_again(nodes: Nodes) -> None:
    node = await nodes.start(MEMORY)
    await node.stop()
    await node.stop()
    assert node.listen_addrs == []
    await node.start()
    client = await nodes.start("")
    await round_trip(client, node)


async def test_a_node_that_does_not_run_says_so(nodes: Nodes) -> None:
    node = nodes.make()
    for use in (node.connect(f"/ip4/127.0.0.1/tcp/1/p2p/{PEER}"), node.open(PEER, "/x"), node.identify(PEER)):
        with pytest.raises(UsageError, match="not running"):
            await use
    with pytest.raises(UsageError, match="not running"):
        _ = node.connections
    with pytest.raises(UsageError, match="not running"):
        async for _ in node.ping(PEER):
            pass
    assert node.listen_addrs == []
    await node.stop()


async def test_a_failed_start_leaves_nothing_open(nodes: Nodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
        node = nodes.make(TCP, MEMORY, address)
        before = present().keys()
        with pytest.raises(AddressInUse):
            await node.start()
        await asyncio.sleep(0)
        assert present().keys() <= before
    assert node.listen_addrs == []
    nodes.push_async_callback(node.stop)
    await node.start()
    assert len(node.listen_addrs) == 3


@pytest.mark.both_loops
async def test_stopping_ends_busy_streams_quickly(nodes: Nodes, listen: str) -> None:
    server = await nodes.start(listen)
    ended: list[str] = []

    async def endless(stream: Stream) -> None:
        try:
            while True:
                await stream.write(bytes(65536))
        finally:
            ended.append("handler")

    server.handle("/test/endless/1", endless)
    _, client, connection = await nodes.pair(server=server)
    streams = [await client.open(connection, "/test/endless/1") for _ in range(4)]

    async def drain(stream: Stream) -> None:
        with pytest.raises((Closed, StreamReset)):
            await stream.read_all(max=2**40)
        ended.append("reader")

    readers = [asyncio.create_task(drain(stream)) for stream in streams[:2]]
    await eventually(lambda: streams[0]._driver.received_bytes > 1_000_000)
    async with asyncio.timeout(1.5):
        await server.stop()
        await asyncio.gather(*readers)
    assert sorted(ended) == ["handler"] * 4 + ["reader"] * 2
    await eventually(lambda: not client.connections)
    for stream in streams:
        await stream.close()
    assert client.swarm.memory.used_bytes == 0


async def test_stopping_while_a_peer_is_in_its_upgrade(nodes: Nodes) -> None:
    server = await nodes.start()
    _, writer = await asyncio.open_connection("127.0.0.1", int(server.listen_addrs[0].value("tcp") or 0))
    await eventually(lambda: server.swarm._upgrading)
    async with asyncio.timeout(1):
        await server.stop()
    writer.close()


async def test_streams_opened_while_a_connection_closes_are_refused(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that takes its time to end keeps the connection closing; what the peer opens then is not served."""
    server = await nodes.start()
    cancelled, release = asyncio.Event(), asyncio.Event()

    async def slow_to_end(stream: Stream) -> None:
        try:
            await stream.read()
        finally:
            cancelled.set()
            await release.wait()

    server.handle("/test/slow/1", slow_to_end)
    _, _, connection = await nodes.pair(server=server)
    await connection.open(["/test/slow/1"])
    closing = asyncio.create_task(server.connections[0].close())
    await cancelled.wait()
    with pytest.raises((Closed, StreamReset)):
        await open_and_read(connection, "/echo/1.0.0")
    release.set()
    await closing
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


async def test_a_handler_that_stops_its_node_is_cancelled_with_the_rest(nodes: Nodes) -> None:
    server = await nodes.start()
    cancelled = asyncio.Event()

    async def stop(_stream: Stream) -> None:
        try:
            await server.stop()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    server.handle("/test/stop/1", stop)
    _, _, connection = await nodes.pair(server=server)
    stream = await connection.open(["/test/stop/1"])
    with pytest.raises((Closed, StreamReset)):
        await stream.read_all(max=1)
    async with asyncio.timeout(1):
        await cancelled.wait()
        await server.stop()


async def test_bootstrap_connects_at_start_and_survives_failures(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    server = await nodes.start()
    good = str(server.listen_addrs[0])
    with caplog.at_level(logging.WARNING, "mesh"):
        client = await nodes.start("", bootstrap=("/memory/404", good))
        await eventually(lambda: client.connections)
        await eventually(lambda: "/memory/404" in caplog.text)
    assert client.connections[0].peer == server.peer_id


async def test_stopping_ends_a_bootstrap_under_way(nodes: Nodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        node = await nodes.start("", bootstrap=(f"/ip4/127.0.0.1/tcp/{silent.getsockname()[1]}",))
        await eventually(lambda: node.swarm._upgrading)
        async with asyncio.timeout(1):
            await node.stop()


async def test_the_key_comes_from_the_folder(tmp_path: Path) -> None:
    config = Config(node=NodeSection(path=tmp_path / "data"), network=NetworkSection(listen=()))
    first, second, third = Node(config), Node(config), Node(Config())
    assert first.peer_id == second.peer_id
    assert third.peer_id != first.peer_id
    key = PrivateKey.from_seed(b"k" * 32)
    assert Node(config, key=key).key is key


async def test_unspecified_hosts_are_filled_in(nodes: Nodes) -> None:
    node = await nodes.start("/ip4/0.0.0.0/tcp/0")
    texts = [str(each) for each in node.listen_addrs]
    assert any(text.startswith("/ip4/127.0.0.1/tcp/") for text in texts)
    assert not any("0.0.0.0" in text for text in texts)
    assert all(text.endswith(f"/p2p/{node.peer_id}") for text in texts)


async def test_a_closing_scope_takes_no_work() -> None:
    scope = Scope("test")
    await scope.close()
    with pytest.raises(UsageError, match="is closing"):
        scope.spawn(asyncio.sleep(0), "late")
    with pytest.raises(UsageError, match="is closing"):
        Scope("child", scope)


async def test_a_scope_closes_its_children_first() -> None:
    order: list[str] = []

    async def note(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append(name)

    outer = Scope("outer")
    inner = Scope("inner", outer)
    outer.spawn(note("outer"), "outer")
    inner.spawn(note("inner"), "inner")
    await asyncio.sleep(0)
    await outer.close()
    assert order == ["inner", "outer"]
    assert not outer._children


async def test_a_task_cancelled_before_it_began_is_no_leak() -> None:
    scope = Scope("test")
    scope.spawn(asyncio.sleep(10), "never begun")
    await scope.close()
