"""Agents on js-libp2p 3 with @libp2p/gossipsub: the same messages, pings, announcements and statuses both ways."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from mesh.apps.agent.agent import Agent
from mesh.apps.agent.records import MessageRecord
from mesh.apps.agent.store import message_log
from mesh.config import Config, NetworkSection, RelaySection
from mesh.node import Node
from tests.network.live import PATIENCE_S, TCP, eventually
from tools.interop_peers.process import PeerProcess

pytestmark = [pytest.mark.interop, pytest.mark.interop_js]

ANNOUNCE = "/openclaw/announce/1.0.0"
STATUS = "/openclaw/node-status/1.0.0"
POEM = {"id": "poem", "name": "Poems", "description": "to order", "price": 5, "currency": "bsv"}


def envelope(js: PeerProcess, agent: Agent, kind: str, **fields: Any) -> dict[str, Any]:
    """A message as a stock daemon writes it."""
    now = round(time.time() * 1000)
    head = {"id": f"{now}-abcdefgh", "type": kind, "timestamp": now, "from": js.peer}
    return {**head, "to": str(agent.node.peer_id), **fields}


async def logged(agent: Agent, js: PeerProcess, count: int = 1) -> list[MessageRecord]:
    """The messages with that peer, once there are so many."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await agent.store.read(lambda database: message_log.last(database, js.peer, 50))
            if len(found) >= count:
                return found
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("transport", ["tcp", "ws"])
async def test_messages_go_both_ways(agent: Agent, js: PeerProcess, transport: str) -> None:
    ours = next(str(each) for each in agent.node.listen_addrs if ("/ws" in str(each)) == (transport == "ws"))
    theirs = next(each for each in js.addresses if ("/ws" in each) == (transport == "ws"))
    if "/p2p/" not in ours:
        ours = f"{ours}/p2p/{agent.node.peer_id}"
    await js.call("send", peer=ours, message=envelope(js, agent, "text", content="hello é \U0001f600"))
    (record,) = await logged(agent, js)
    assert (record.content, record.message_type, record.direction) == (
        "hello é \U0001f600",
        "text",
        "inbound",
    )
    accepted = await agent.send(js.peer, "hello yourself", multiaddr=theirs)
    event = await js.event("message", lambda each: each["message"]["type"] == "text")
    assert event["peer"] == str(agent.node.peer_id)
    message = event["message"]
    assert message["content"] == "hello yourself"
    assert message["id"] == accepted.message_id
    assert (message["from"], message["to"]) == (str(agent.node.peer_id), js.peer)
    assert "replyTo" not in message


async def test_every_type_arrives_as_it_was_sent(agent: Agent, js: PeerProcess) -> None:
    payment = {"txid": "ab" * 32, "vout": 1, "amount": 7, "toAddress": "1Boat"}
    await js.call(
        "send", peer=str(agent.node.listen_addrs[0]), message=envelope(js, agent, "payment", **payment)
    )
    await js.call(
        "send", peer=str(agent.node.peer_id), message=envelope(js, agent, "odd", more={"a": [1, None]})
    )
    found = await logged(agent, js, 2)
    assert {each.message_type for each in found} == {"payment", "odd"}
    odd = next(each for each in found if each.message_type == "odd")
    assert json.loads(odd.content)["more"] == {"a": [1, None]}
    await agent.pay(js.peer, "cd" * 32, 9, "1Boat", memo="thanks")
    message = (await js.event("message"))["message"]
    assert {key: message[key] for key in ("type", "txid", "vout", "amount", "toAddress", "memo")} == {
        "type": "payment",
        "txid": "cd" * 32,
        "vout": 0,
        "amount": 9,
        "toAddress": "1Boat",
        "memo": "thanks",
    }


async def test_half_a_megabyte_goes_both_ways(agent: Agent, js: PeerProcess) -> None:
    text = "0123456789abcdef" * 32 * 1024
    await js.call(
        "send", peer=str(agent.node.listen_addrs[0]), message=envelope(js, agent, "text", content=text)
    )
    (record,) = await logged(agent, js)
    assert record.content == text
    await agent.send(js.peer, text)
    assert (await js.event("message"))["message"]["content"] == text


async def test_a_request_is_answered_over_another_stream(agent: Agent, js: PeerProcess) -> None:
    await js.call("connect", addr=str(agent.node.listen_addrs[0]))
    asking = asyncio.create_task(agent.request(js.peer, "poem", {"topic": "sea"}))
    asked = (await js.event("message"))["message"]
    assert (asked["type"], asked["service"], asked["params"]) == ("request", "poem", {"topic": "sea"})
    answer = envelope(js, agent, "response", requestId=asked["id"], success=True, result={"poem": "waves"})
    await js.call("send", peer=str(agent.node.peer_id), message=answer)
    async with asyncio.timeout(PATIENCE_S):
        reply = await asking
    assert (reply.success, reply.result) == (True, {"poem": "waves"})


async def test_pings_are_answered_both_ways(agent: Agent, js: PeerProcess) -> None:
    address = str(agent.node.listen_addrs[0])
    answer = (await js.call("ping", peer=address, body={"type": "ping", "ts": 42}))["answer"]
    assert (answer["type"], answer["inResponseTo"], answer["from"]) == ("pong", 42, str(agent.node.peer_id))
    assert await agent.ping(js.peer) > 0


async def test_a_spoofed_sender_is_not_believed(agent: Agent, js: PeerProcess) -> None:
    stranger = "12D3KooWD2ZthCxWx2pGVZ9onqGttXipu9b8QX525V62kKUid3xU"
    spoofed = {**envelope(js, agent, "text", content="I am another"), "from": stranger}
    await js.call("send", peer=str(agent.node.listen_addrs[0]), message=spoofed)
    await js.call("send", peer=str(agent.node.peer_id), message=envelope(js, agent, "text", content="last"))
    found = await logged(agent, js)
    assert [each.content for each in found] == ["last"]
    assert not await agent.store.read(lambda database: message_log.last(database, stranger, 5))


async def test_announcements_and_statuses_go_both_ways(agent: Agent, js: PeerProcess) -> None:
    for topic in (ANNOUNCE, STATUS):
        await js.call("subscribe", topic=topic)
    await js.call("connect", addr=str(agent.node.listen_addrs[0]))
    own = str(agent.node.peer_id)
    announced = await js.event(
        "gossip", lambda each: each["topic"] == ANNOUNCE and each["from"] == own, within_s=30
    )
    assert json.loads(announced["data"])["peerId"] == own
    status = await js.event(
        "gossip", lambda each: each["topic"] == STATUS and each["from"] == own, within_s=30
    )
    told = json.loads(status["data"])
    assert (told["peerId"], told["name"]) == (own, "ours")
    theirs = {
        "peerId": js.peer,
        "bsvIdentityKey": "",
        "services": [POEM],
        "multiaddrs": js.addresses,
        "timestamp": round(time.time() * 1000),
        "signature": "",
    }
    assert (await js.call("publish", topic=ANNOUNCE, data=json.dumps(theirs)))["peers"] == [own]
    await eventually(lambda: agent.discover(service="poem"), "the announcement")
    (found,) = agent.discover(service="poem")
    assert (found.peer_id, list(found.multiaddrs)) == (js.peer, js.addresses)
    node_status = {
        "peerId": js.peer,
        "name": "theirs",
        "multiaddrs": js.addresses,
        "services": ["poem"],
        "version": "0.1.0",
        "uptime": 5,
        "connectedPeers": 1,
        "timestamp": round(time.time() * 1000),
    }
    await js.call("publish", topic=STATUS, data=json.dumps(node_status))
    await eventually(lambda: agent.network_status().peers, "the status")
    assert [each.name for each in agent.network_status().peers] == ["theirs"]


async def test_nobody_announces_for_another(agent: Agent, js: PeerProcess) -> None:
    await js.call("connect", addr=str(agent.node.listen_addrs[0]))
    own = str(agent.node.peer_id)
    async with asyncio.timeout(PATIENCE_S):
        while own not in (await js.call("subscribers", topic=ANNOUNCE))["peers"]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    body = {"bsvIdentityKey": "", "services": [POEM], "multiaddrs": [], "signature": ""}
    now = round(time.time() * 1000)
    forged = {"peerId": "12D3KooWD2ZthCxWx2pGVZ9onqGttXipu9b8QX525V62kKUid3xU", **body, "timestamp": now}
    honest = {"peerId": js.peer, **body, "timestamp": now}
    for each in (forged, honest):
        await js.call("publish", topic=ANNOUNCE, data=json.dumps(each))
    await eventually(agent.discover, "the honest announcement")
    assert [each.peer_id for each in agent.discover()] == [js.peer]


async def test_messages_pass_through_a_relay_of_ours(agent: Agent, js: PeerProcess) -> None:
    """Both ways over a connection that the relay limits; the stock node reserves by itself."""
    network = NetworkSection(listen=(TCP,))
    async with Node(Config(network=network, relay=RelaySection(serve=True))) as relay:
        await js.call("connect", addr=str(relay.listen_addrs[0]))
        async with asyncio.timeout(30):
            while not (relayed := await circuits(js)):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        await agent.send(js.peer, "through the relay", multiaddr=relayed[0])
        event = await js.event("message", within_s=30)
        assert (event["message"]["content"], event["limited"]) == ("through the relay", True)
        await js.call(
            "send", peer=str(agent.node.peer_id), message=envelope(js, agent, "text", content="and back")
        )
        found = await logged(agent, js, 2)
        assert [each.content for each in found] == ["through the relay", "and back"]


async def circuits(js: PeerProcess) -> list[str]:
    """Where it is reached through a relay."""
    return [each for each in (await js.call("addresses"))["addrs"] if "p2p-circuit" in each]
