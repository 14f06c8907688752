"""What stock daemons send us and are sent, against the recorded exchanges and limits."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mesh.apps.agent.records import DeliveryState
from mesh.codecs.openclaw import decode_frame, encode_frame
from mesh.errors import Closed, MeshError, StreamReset
from mesh.multiformats import varint
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.openclaw import ping
from mesh.protocols.openclaw.message import PROTOCOL_ID
from mesh.protocols.openclaw.rate_window import LIMIT
from tests.apps.agent.agents import Agents, inbound, logged, reaches, say, until, until_inbound
from tests.network.live import eventually
from tests.vectors import load

RECORDED: Any = load("message_protocol", "bsv")
BY_NAME = {case["name"]: case for case in RECORDED["peer_to_daemon"]}


def message(node: Node, **fields: Any) -> bytes:
    """A frame as a stock daemon writes one."""
    document = {
        "id": "1-a",
        "type": "text",
        "timestamp": 1,
        "from": str(node.peer_id),
        "content": "hi",
        **fields,
    }
    return encode_frame(json.dumps(document).encode())


async def ending(stream: Stream) -> str:
    """How the other side ends a stream: `end` or `reset`."""
    try:
        async with asyncio.timeout(10):
            return "end" if await stream.read() == b"" else "answer"
    except StreamReset:
        return "reset"


class Stock:
    """What a stock daemon does with a message: reads one frame, answers nothing, never ends its side (until ``over``)."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.frames: list[bytes] = []
        self.over = asyncio.Event()
        self.resets = 0
        node.handle(PROTOCOL_ID, self._take, limited=True)

    async def _take(self, stream: Stream) -> None:
        if self.resets:
            self.resets -= 1
            stream.reset()
            return
        self.frames.append(encode_frame(await stream.read_message(4 << 20)))
        await self.over.wait()


@pytest.mark.parametrize(
    "name", ["send_text", "send_request", "send_response", "send_paid", "send_unknown", "send_two"]
)
async def test_what_a_stock_daemon_logs_we_log(agents: Agents, name: str) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    document = {**BY_NAME[name]["frames"][0], "from": str(peer.peer_id)}
    assert await ending(await say(peer, bob, encode_frame(json.dumps(document).encode()))) == "end"
    [record] = await until_inbound(bob, 1)
    content = document.get("content")
    assert record.content == (content or json.dumps(document, separators=(",", ":"), ensure_ascii=False))
    assert (record.message_type, record.message_id) == (document["type"], document["id"])
    assert record.sent_at == document["timestamp"]


async def test_a_message_without_a_sender_is_its_bearers(agents: Agents) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    await say(peer, bob, bytes.fromhex(BY_NAME["send_nofrom"]["stream_bytes_hex"]))
    [record] = await until_inbound(bob, 1)
    assert record.peer_id == str(peer.peer_id)


async def test_a_message_in_anothers_name_is_refused(agents: Agents) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    assert (
        await ending(await say(peer, bob, bytes.fromhex(BY_NAME["send_spoof"]["stream_bytes_hex"])))
        == "reset"
    )
    assert await inbound(bob) == []
    assert bob.node.counters["agent.message:spoofed"] == 1


async def test_prefix_and_body_in_chunks(agents: Agents) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    data = message(peer)
    stream = await peer.open(bob.node.listen_addrs[0], PROTOCOL_ID)
    for part in (data[:1], data[1:2], data[2:9], data[9:]):
        await stream.write(part)
        await asyncio.sleep(0.01)
    [record] = await until_inbound(bob, 1)
    assert record.content == "hi"
    await stream.close()


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", "end"),
        (b"\x03abc", "reset"),
        (b"\x02[]", "reset"),
        (b"\x05{", "reset"),
        (b"\xff" * 12, "reset"),
        (varint.encode(5 << 20), "reset"),
        (encode_frame(b'{"content":"' + b"x" * (1 << 20) + b'"}'), "end"),
        (encode_frame(b"[" * 100_000), "reset"),
    ],
    ids=["nothing", "no JSON", "no object", "cut", "no length", "over 4 MiB", "over 1 MiB", "nested"],
)
async def test_what_is_no_message_leaves_nothing_behind(agents: Agents, data: bytes, end: str) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    assert await ending(await say(peer, bob, data)) == end
    assert await inbound(bob) == []
    await say(peer, bob, message(peer))
    await until_inbound(bob, 1)


async def test_exactly_a_mebibyte_is_taken(agents: Agents) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    head = len(decode_frame(message(peer, content=""))[0])
    await say(peer, bob, message(peer, content="x" * (1024 * 1024 - head)))
    await until_inbound(bob, 1)
    await say(peer, bob, message(peer, id="2-a", content="x" * (1024 * 1024 - head + 1)))
    await say(peer, bob, message(peer, id="3-a"))
    assert len((await until_inbound(bob, 2))[1].content) == 2
    assert bob.node.counters["agent.message:too_long"] == 1


async def test_a_hundred_of_a_hundred_and_five(agents: Agents) -> None:
    bob, peer, other = await agents.agent(), await agents.start(""), await agents.start("")
    for number in range(105):
        assert await ending(await say(peer, bob, message(peer, id=str(number)))) == "end"
    await say(other, bob, message(other))
    records = await until_inbound(bob, 101)
    assert [record.message_id for record in records] == [*map(str, range(100)), "1-a"]
    assert bob.node.counters["agent.message:too_many"] == 5


async def test_a_repeated_id_is_one_message_of_its_peer(agents: Agents) -> None:
    bob, peer, other = await agents.agent(), await agents.start(""), await agents.start("")
    for node in (peer, peer, other, peer):
        assert await ending(await say(node, bob, message(node))) == "end"
    records = await until_inbound(bob, 2)
    assert [record.peer_id for record in records] == [str(peer.peer_id), str(other.peer_id)]
    assert bob.node.counters["agent.message:repeated"] == 2


async def test_an_error_is_logged_like_any_message(agents: Agents) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    await say(peer, bob, message(peer, type="error", code="E", message="m"))
    [record] = await until_inbound(bob, 1)
    assert record.message_type == "error"


async def test_a_payment_is_one_row(agents: Agents) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    await say(peer, bob, message(peer, type="payment", content=None, amount=546, txid="aa"))
    [record] = await until_inbound(bob, 1)
    assert json.loads(record.content)["amount"] == 546
    query = "SELECT payments_received, total_sats_received FROM peers"
    assert await bob.store.read(lambda database: database.execute(query).fetchone()) == (1, 546)


async def test_what_a_stock_daemon_is_sent(agents: Agents) -> None:
    alice, stock = await agents.agent(), Stock(await agents.start())
    address = str(stock.node.listen_addrs[0])
    accepted = await alice.send(str(stock.node.peer_id), "hello \u00e9", multiaddr=address)
    way = await reaches(alice, accepted.message_id, DeliveryState.SENT)
    assert way.waits_for == ""
    await eventually(lambda: stock.frames, "the message")
    [frame] = stock.frames
    document = json.loads(decode_frame(frame)[0])
    assert list(document) == ["id", "type", "timestamp", "from", "to", "content"]
    assert document["id"] == accepted.message_id
    assert (document["from"], document["to"]) == (str(alice.node.peer_id), str(stock.node.peer_id))
    stock.over.set()


async def test_a_stock_daemon_that_is_away_gets_all_in_order_when_it_is_back(agents: Agents) -> None:
    alice, node = await agents.agent(), await agents.start()
    sent = [(await alice.send(str(node.peer_id), str(number))).message_id for number in range(8)]
    stock = Stock(node)
    await node.connect(alice.node.listen_addrs[0])
    await reaches(alice, sent[-1], DeliveryState.SENT)
    await eventually(lambda: len(stock.frames) == 8, "what was sent")
    assert [json.loads(decode_frame(frame)[0])["id"] for frame in stock.frames] == sent
    stock.over.set()


async def test_a_message_whose_stream_is_reset_is_not_sent(agents: Agents) -> None:
    alice, stock = await agents.agent(), Stock(await agents.start())
    stock.resets = 1
    accepted = await alice.send(str(stock.node.peer_id), "x", multiaddr=str(stock.node.listen_addrs[0]))
    way = await reaches(alice, accepted.message_id, DeliveryState.SENT)
    assert [step.what for step in way.steps] == ["queued", "attempt failed"]
    assert len(stock.frames) == 1
    stock.over.set()


async def test_a_stock_daemon_is_sent_no_more_than_it_keeps(agents: Agents) -> None:
    alice, stock = await agents.agent(), Stock(await agents.start())
    stock.over.set()
    address = str(stock.node.listen_addrs[0])
    sent = [
        (await alice.send(str(stock.node.peer_id), str(number), multiaddr=address)).message_id
        for number in range(LIMIT + 5)
    ]
    await reaches(alice, sent[LIMIT - 1], DeliveryState.SENT)
    later = await until(lambda: alice.why(sent[LIMIT]), lambda ways: ways[0].next_try > 0)
    assert later[0].state is DeliveryState.QUEUED
    assert len(stock.frames) == LIMIT


async def test_what_a_stock_daemon_would_drop_is_a_dead_letter(agents: Agents) -> None:
    alice, stock = await agents.agent(), Stock(await agents.start())
    address, other = str(stock.node.listen_addrs[0]), str(stock.node.peer_id)
    long = await alice.send(other, "x" * (1024 * 1024), multiaddr=address)
    short = await alice.send(other, "x", multiaddr=address)
    await reaches(alice, short.message_id, DeliveryState.SENT)
    way = await reaches(alice, long.message_id, DeliveryState.DEAD)
    assert "a stock daemon drops" in way.steps[-1].detail
    [record] = await logged(alice, long.message_id)
    assert record.state is DeliveryState.DEAD
    stock.over.set()


async def test_a_stock_daemons_answer_is_all_that_is_ever_known(agents: Agents) -> None:
    alice, stock = await agents.agent(), Stock(await agents.start())
    accepted = await alice.send(str(stock.node.peer_id), "x", multiaddr=str(stock.node.listen_addrs[0]))
    await reaches(alice, accepted.message_id, DeliveryState.SENT)
    await say(stock.node, alice, message(stock.node, replyTo=accepted.message_id))
    way = await reaches(alice, accepted.message_id, DeliveryState.ANSWERED)
    assert way.steps[-1].signed_by is None
    stock.over.set()


async def test_the_request_of_a_stock_daemon_and_its_answer(agents: Agents) -> None:
    alice, stock = await agents.agent(), Stock(await agents.start())
    await stock.node.connect(alice.node.listen_addrs[0])
    asking = asyncio.create_task(alice.request(str(stock.node.peer_id), "poem", {"topic": "sea"}))
    await eventually(lambda: stock.frames, "the request")
    asked = json.loads(decode_frame(stock.frames[0])[0])
    assert asked["maxWaitMs"] == 30_000
    answer = message(stock.node, type="response", content=None, requestId=asked["id"], success=True, result=7)
    await say(stock.node, alice, answer)
    assert (await asking).result == 7
    [record] = await inbound(alice)
    assert record.read
    stock.over.set()


@pytest.mark.parametrize("close", [False, True])
async def test_the_daemons_ping(agents: Agents, close: bool) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    stream = await peer.open(bob.node.listen_addrs[0], ping.PROTOCOL_ID)
    await stream.write_message(b'{"type":"ping","ts":1700000000000}')
    if close:
        await stream.close_write()
    pong = json.loads(await stream.read_message(1000))
    assert pong == {
        "type": "pong",
        "timestamp": pong["timestamp"],
        "from": str(bob.node.peer_id),
        "inResponseTo": 1700000000000,
    }
    assert await ending(stream) == "end"
    await stream.close()


async def test_a_ping_that_is_none(agents: Agents) -> None:
    bob, peer = await agents.agent(), await agents.start("")
    stream = await peer.open(bob.node.listen_addrs[0], ping.PROTOCOL_ID)
    await stream.write_message(b"no json")
    with pytest.raises(MeshError):
        await stream.read_message(1000)
    stream = await peer.open(bob.node.listen_addrs[0], ping.PROTOCOL_ID)
    await stream.close_write()
    with pytest.raises(Closed):
        await stream.read_message(1000)
    await stream.close()
