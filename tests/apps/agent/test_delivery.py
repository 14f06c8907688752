"""Messages between two of our agents, with what is proven of each."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.agent.agent import Agent
from mesh.apps.agent.records import DeliveryChanged, DeliveryState, Direction, MessageLogged
from mesh.codecs.keys import KeyType
from mesh.errors import DecodeError, TimedOut, UsageError
from mesh.identity.keys import PrivateKey
from tests.apps.agent.agents import (
    Agents,
    inbound,
    knows,
    logged,
    reaches,
    until,
    until_inbound,
    watched,
    way_of,
)
from tests.network.live import eventually

DELIVERED = DeliveryState.DELIVERED


async def pair(agents: Agents, **settings: Any) -> tuple[Agent, Agent]:
    """Two agents; the first one knows where the second one is."""
    alice, bob = await agents.agent(settings=settings), await agents.agent(settings=settings)
    knows(alice, bob)
    return alice, bob


async def test_a_text_is_stored_and_its_receipt_is_durable(agents: Agents, listen: str) -> None:
    alice, bob = await agents.agent(listen), await agents.agent(listen)
    knows(alice, bob)
    own, other = str(alice.node.peer_id), str(bob.node.peer_id)
    async with watched(alice) as told, watched(bob) as heard:
        accepted = await alice.send(other, "hello \u00e9 \U0001f600")
        assert accepted.state is DeliveryState.QUEUED
        way = await reaches(alice, accepted.message_id, DELIVERED)
        assert [step.what for step in way.steps] == ["queued", "stored", "delivered"]
        assert [step.signed_by for step in way.steps] == [None, other, other]
        assert "inbox row 1, log row 1" in way.steps[1].detail
        [record] = await inbound(bob)
        assert (record.peer_id, record.content, record.message_type) == (
            own,
            "hello \u00e9 \U0001f600",
            "text",
        )
        assert record.message_id == accepted.message_id
        await eventually(lambda: any(isinstance(each, DeliveryChanged) for each in told), "events")
        states = [each.state for each in told if isinstance(each, DeliveryChanged)]
        assert states == sorted(states, key=list(DeliveryState).index)
        assert states[-1] is DELIVERED
        assert [each.record.id for each in heard if isinstance(each, MessageLogged)] == [record.id]
    [sent] = await logged(alice, accepted.message_id)
    assert (sent.direction, sent.message_type, sent.state) == (Direction.OUTBOUND, "chat", DELIVERED)
    there = await way_of(bob, accepted.message_id)
    await reaches(bob, accepted.message_id, DELIVERED)
    assert there.direction is Direction.INBOUND
    assert await alice.why("nothing") == ()


async def test_the_body_goes_from_the_outbox_once_it_need_not_be_sent_again(agents: Agents) -> None:
    alice, bob = await pair(agents)
    accepted = await alice.send(str(bob.node.peer_id), "x" * 10_000)
    await reaches(alice, accepted.message_id, DELIVERED)
    bodies = await alice.store.read(
        lambda database: database.execute("SELECT length(body), size FROM outbox").fetchall()
    )
    assert [length for length, _ in bodies] == [0]
    assert bodies[0][1] > 10_000


async def test_messages_of_all_sizes_arrive_in_order(agents: Agents) -> None:
    alice, bob = await pair(agents, rate=1000)
    sizes = [1, 40_000, 30_000, 2, 1_100_000, 3, 33_000, *range(4, 60)]
    sent = [(await alice.send(str(bob.node.peer_id), "m" * size)).message_id for size in sizes]
    await reaches(alice, sent[-1], DELIVERED)
    came = await inbound(bob)
    assert [record.message_id for record in came] == sent
    assert [len(record.content) for record in came] == sizes


async def test_both_ways_at_once(agents: Agents) -> None:
    alice, bob = await pair(agents, rate=1000)
    knows(bob, alice)

    async def send(source: Agent, target: Agent) -> list[str]:
        return [
            (await source.send(str(target.node.peer_id), str(number))).message_id for number in range(200)
        ]

    there, back = await asyncio.gather(send(alice, bob), send(bob, alice))
    await reaches(alice, there[-1], DELIVERED)
    await reaches(bob, back[-1], DELIVERED)
    assert [record.message_id for record in await inbound(bob)] == there
    assert [record.message_id for record in await inbound(alice)] == back


async def test_every_type_arrives_as_it_was_posted(agents: Agents) -> None:
    alice, bob = await pair(agents)
    other = str(bob.node.peer_id)
    posted = [
        await alice.post(other, "weird:type", {"foo": [1, {"a": None}]}),
        await alice.post(other, "channel:reject", {"channelId": "c", "reason": "no"}),
        await alice.pay(
            other, "a" * 64, 546, "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", vout=1, memo="thanks", beef="00"
        ),
    ]
    for each in posted:
        await reaches(alice, each.message_id, DELIVERED)
    records = await inbound(bob)
    assert [record.message_type for record in records] == ["weird:type", "channel:reject", "payment"]
    assert json.loads(records[0].content)["foo"] == [1, {"a": None}]
    assert json.loads(records[2].content)["beef"] == "00"
    [sent] = await logged(alice, posted[2].message_id)
    assert json.loads(sent.content) == {
        "txid": "a" * 64,
        "vout": 1,
        "amount": 546,
        "toAddress": "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
        "memo": "thanks",
        "beef": "(included)",
    }


async def test_what_can_never_be_sent_is_refused_at_once(agents: Agents) -> None:
    alice, bob = await pair(agents)
    other = str(bob.node.peer_id)
    with pytest.raises(DecodeError):
        await alice.send("nobody", "x")
    with pytest.raises(UsageError, match="itself"):
        await alice.send(str(alice.node.peer_id), "x")
    with pytest.raises(UsageError, match="no address of"):
        await alice.send(other, "x", multiaddr="not/an/address")
    with pytest.raises(UsageError, match="no address of"):
        await alice.send(other, "x", multiaddr=str(alice.node.listen_addrs[0]))
    with pytest.raises(UsageError, match="the most"):
        await alice.send(other, "x" * (4 * 1024 * 1024))
    with pytest.raises(UsageError, match="needs txid"):
        await alice.post(other, "payment", {})
    assert await alice.store.read(
        lambda database: database.execute("SELECT count(*) FROM outbox").fetchone()
    ) == (0,)


async def test_an_address_that_is_named_is_dialled(agents: Agents) -> None:
    alice, bob = await agents.agent(), await agents.agent()
    accepted = await alice.send(str(bob.node.peer_id), "x", multiaddr=str(bob.node.listen_addrs[0]))
    await reaches(alice, accepted.message_id, DELIVERED)


async def test_it_waits_until_the_peer_is_back_and_for_a_restart_of_our_own(
    agents: Agents, tmp_path: Path
) -> None:
    keys = [PrivateKey.generate(KeyType.ED25519) for _ in range(2)]
    alice = await agents.agent(key=keys[0], folder=tmp_path / "alice")
    bob = await agents.agent(key=keys[1], folder=tmp_path / "bob")
    where, other = str(bob.node.listen_addrs[0]), str(bob.node.peer_id)
    await agents.end(bob)
    first = await alice.send(other, "first", multiaddr=where)
    way = await until(
        lambda: way_of(alice, first.message_id), lambda way: way.next_try > 0 and len(way.steps) > 1
    )
    assert way.state is DeliveryState.QUEUED
    assert "its receiver: " in way.waits_for
    assert "peer not reached" in [step.what for step in way.steps]
    await agents.end(alice)
    alice = await agents.agent(key=keys[0], folder=tmp_path / "alice")
    second = await alice.send(other, "second")
    bob = await agents.agent(key=keys[1], folder=tmp_path / "bob")
    await bob.node.connect(alice.node.listen_addrs[0])
    await reaches(alice, second.message_id, DELIVERED)
    assert [record.content for record in await inbound(bob)] == ["first", "second"]


async def test_excess_is_refused_with_a_time_and_stays_in_the_outbox(agents: Agents) -> None:
    alice, bob = await pair(agents, rate=5, rate_window_s=0.4)
    other = str(bob.node.peer_id)
    sent = [(await alice.send(other, str(number))).message_id for number in range(17)]
    await reaches(alice, sent[-1], DELIVERED)
    assert [record.content for record in await inbound(bob)] == [str(number) for number in range(17)]
    [(failures,)] = await alice.store.read(
        lambda database: database.execute("SELECT sum(failures) FROM outbox").fetchall()
    )
    assert failures == 0, "being early is no failure"


async def test_a_request_is_answered_by_the_peer_that_was_asked(agents: Agents) -> None:
    alice, bob = await pair(agents)
    own, other = str(alice.node.peer_id), str(bob.node.peer_id)
    carol = await agents.agent()
    knows(carol, alice)
    asking = asyncio.create_task(alice.request(other, "poem", {"topic": "sea"}))
    [asked] = await until_inbound(bob, 1)
    assert json.loads(asked.content)["params"] == {"topic": "sea"}
    wrong = await carol.respond(own, asked.message_id, result="not mine to answer")
    await reaches(carol, wrong.message_id, DELIVERED)
    assert not asking.done()
    right = await bob.respond(own, asked.message_id, result={"lines": 2})
    reply = await asking
    assert (reply.success, reply.result, reply.error) == (True, {"lines": 2}, None)
    assert reply.document["id"] == right.message_id
    await reaches(alice, asked.message_id, DeliveryState.ANSWERED)
    way = await until(lambda: way_of(alice, asked.message_id), lambda way: way.steps[-1].what == "answered")
    assert way.steps[-1].signed_by == other
    assert right.message_id in way.steps[-1].detail
    assert (await way_of(bob, asked.message_id)).state is DeliveryState.ANSWERED


async def test_an_error_is_an_answer_too(agents: Agents) -> None:
    alice, bob = await pair(agents)
    asking = asyncio.create_task(alice.request(str(bob.node.peer_id), "poem", {}))
    [asked] = await until_inbound(bob, 1)
    await bob.respond(asked.peer_id, asked.message_id, error="no poems today")
    reply = await asking
    assert (reply.success, reply.error) == (False, "no poems today")


async def test_nobody_answers_in_time_and_a_late_answer_is_a_message(agents: Agents) -> None:
    alice, bob = await pair(agents)
    with pytest.raises(TimedOut, match="did not answer the request"):
        await alice.request(str(bob.node.peer_id), "poem", {}, timeout_s=0.05)
    [asked] = await until_inbound(bob, 1)
    late = await bob.respond(asked.peer_id, asked.message_id, result=1)
    await reaches(bob, late.message_id, DELIVERED)
    [record] = await inbound(alice)
    assert (record.message_id, record.read) == (late.message_id, False)


async def test_a_reply_to_a_text_answers_it(agents: Agents) -> None:
    alice, bob = await pair(agents)
    asked = await alice.send(str(bob.node.peer_id), "who are you?")
    [record] = await until_inbound(bob, 1)
    await bob.send(record.peer_id, "bob", reply_to=record.message_id)
    await reaches(alice, asked.message_id, DeliveryState.ANSWERED)
    await reaches(bob, asked.message_id, DeliveryState.ANSWERED)


async def test_the_round_trip_of_a_ping(agents: Agents) -> None:
    alice, bob = await pair(agents)
    assert 0 < await alice.ping(str(bob.node.peer_id)) < 10


async def test_the_address_book_counts_and_knows_who_is_there(agents: Agents) -> None:
    alice, bob = await pair(agents)
    accepted = await alice.send(str(bob.node.peer_id), "x")
    await reaches(alice, accepted.message_id, DELIVERED)

    async def entry(agent: Agent) -> tuple[int, int, int]:
        query = "SELECT messages_sent, messages_received, is_online FROM peers"
        row: tuple[int, int, int] = await agent.store.read(
            lambda database: database.execute(query).fetchone()
        )
        return row

    assert await entry(alice) == (1, 0, 1)
    assert await entry(bob) == (0, 1, 1)
    await agents.end(alice)
    await until(lambda: entry(bob), lambda found: found == (0, 1, 0))
