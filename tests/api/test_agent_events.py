"""The agent's events: server-sent and by WebSocket, their shape, what was missed, listeners that are slow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from mesh.api import agent_feed
from mesh.api.agent_event_routes import MAX_HEARD
from mesh.api.agent_feed import AgentFeed, FeedEvent, iso
from mesh.apps.agent.records import (
    AgentEvent,
    DeliveryChanged,
    DeliveryState,
    DirectoryChanged,
    PeerChanged,
    TrackedPeer,
)
from mesh.errors import LimitError
from mesh.node import Node
from tests.api.agent_rig import BOB, Rig, rigged

PATIENCE_S = 10


@pytest.fixture
async def rig(node: Node) -> AsyncIterator[Rig]:
    async with rigged(node) as made:
        yield made


class Stream:
    """Server-sent events as a browser reads them."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def comment(self) -> str:
        """The comment that begins the stream: from here on nothing is missed."""
        async with asyncio.timeout(PATIENCE_S):
            line = await anext(self._lines)
            await anext(self._lines)
        return line

    async def next(self) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        async with asyncio.timeout(PATIENCE_S):
            async for line in self._lines:
                if not line and fields:
                    return {**fields, "data": json.loads(fields["data"])}
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = value
        raise AssertionError("the stream ended")


async def test_a_message_is_told_in_the_shape_of_the_readme(rig: Rig) -> None:
    async with rig.caller.stream("GET", "/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        stream = Stream(answer)
        assert (await stream.comment()).startswith(":")
        record = await rig.agent.receive(BOB, "Hey,\nare you available? \u2028")
        event = await stream.next()
    assert (event["event"], event["id"]) == ("message", "1")
    data = event["data"]
    assert list(data)[:5] == ["event", "from", "type", "content", "timestamp"]
    assert (data["from"], data["type"], data["content"]) == (BOB, "text", record.content)
    assert data["timestamp"] == iso(record.timestamp)
    assert (data["messageId"], data["number"]) == (record.message_id, 1)


async def test_a_websocket_has_the_same_events(rig: Rig) -> None:
    async with connect(f"{rig.api.url.replace('http', 'ws')}/events?events=message,delivery") as socket:
        await rig.caller.put("/config/name", json={"name": "nobody is told"})
        rig.agent.reached.add(BOB)
        await rig.json("POST", "/send", {"peerId": BOB, "message": "out"})
        await rig.agent.receive(BOB, "in")
        async with asyncio.timeout(PATIENCE_S):
            told = [json.loads(await socket.recv()) for _ in range(2)]
    assert [each["event"] for each in told] == ["delivery", "message"]
    assert told[0]["state"] == "stored"
    assert (told[1]["from"], told[1]["content"]) == (BOB, "in")


async def test_every_kind_of_event_has_a_name(rig: Rig) -> None:
    async with rig.caller.stream("GET", "/events") as answer:
        stream = Stream(answer)
        await stream.comment()
        await rig.json("POST", "/send", {"peerId": BOB, "message": "out", "waitMs": 0}, status=202)
        rig.agent.tell(DeliveryChanged("1-out", BOB, DeliveryState.DELIVERED, 0))
        rig.agent.tell(PeerChanged(TrackedPeer(BOB, "Bob", 1)))
        rig.agent.tell(DirectoryChanged(BOB, None))
        events = [await stream.next() for _ in range(4)]
    assert [each["event"] for each in events] == ["sent", "delivery", "peer", "directory"]
    assert events[0]["data"]["to"] == BOB
    assert events[1]["data"]["timestamp"] == "1970-01-01T00:00:00.000Z"
    assert events[2]["data"]["name"] == "Bob"
    assert events[3]["data"]["found"] is None


async def test_what_was_missed_is_told_after_the_last_number(rig: Rig) -> None:
    async with rig.caller.stream("GET", "/events") as answer:
        stream = Stream(answer)
        await stream.comment()
        for number in range(4):
            await rig.agent.receive(BOB, str(number))
        assert [(await stream.next())["data"]["content"] for _ in range(4)] == ["0", "1", "2", "3"]
    async with rig.caller.stream("GET", "/events", headers={"last-event-id": "2"}) as answer:
        stream = Stream(answer)
        await stream.comment()
        assert [(await stream.next())["data"]["content"] for _ in range(2)] == ["2", "3"]
    async with rig.caller.stream("GET", "/events?after=3") as answer:
        stream = Stream(answer)
        await stream.comment()
        await rig.agent.receive(BOB, "4")
        assert [(await stream.next())["data"]["content"] for _ in range(2)] == ["3", "4"]


async def test_a_talkative_listener_is_cut_off(rig: Rig) -> None:
    async with connect(f"{rig.api.url.replace('http', 'ws')}/events") as socket:
        for _ in range(MAX_HEARD):
            await socket.send("blah")
        telling = asyncio.create_task(tell_on(rig))
        async with asyncio.timeout(PATIENCE_S):
            async for _ in socket:
                pass
        telling.cancel()
        await asyncio.wait([telling])


async def tell_on(rig: Rig) -> None:
    while True:
        await rig.agent.receive(BOB, "x")


async def test_a_websocket_from_another_origin_is_refused(rig: Rig) -> None:
    url = f"{rig.api.url.replace('http', 'ws')}/events"
    with pytest.raises(InvalidStatus):
        await connect(url, additional_headers={"Origin": "https://evil.example"})
    with pytest.raises(InvalidStatus):
        await connect(f"{url}?events=nonsense")


async def test_a_browser_shows_the_token_in_the_query(node: Node) -> None:
    async with rigged(node, api_token="all") as rig:
        url = f"{rig.api.url.replace('http', 'ws')}/events"
        with pytest.raises(InvalidStatus):
            await connect(url)
        async with connect(f"{url}?token={rig.api.token}") as socket:
            await rig.agent.receive(BOB, "x")
            async with asyncio.timeout(PATIENCE_S):
                assert json.loads(await socket.recv())["content"] == "x"


async def test_listeners_end_with_the_daemon(node: Node) -> None:
    async with rigged(node) as rig, connect(f"{rig.api.url.replace('http', 'ws')}/events") as socket:
        async with rig.caller.stream("GET", "/events") as answer:
            stream = Stream(answer)
            await stream.comment()
            await rig.api.stop()
            async with asyncio.timeout(PATIENCE_S):
                assert [line async for line in stream._lines] == []
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(PATIENCE_S):
                await socket.recv()


# -- the feed alone --------------------------------------------------------------------------------------------------


class Source:
    """Events by hand."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[AgentEvent] = asyncio.Queue()

    async def events(self) -> AsyncGenerator[AgentEvent, None]:
        while True:
            yield await self.queue.get()


@pytest.fixture
async def source() -> AsyncIterator[tuple[Source, AgentFeed]]:
    made = Source()
    feed = AgentFeed(made.events)
    feed.start()
    yield made, feed
    await feed.stop()


def delivery(number: int, state: DeliveryState = DeliveryState.STORED) -> DeliveryChanged:
    return DeliveryChanged(str(number), BOB, state, number)


async def test_a_slow_listener_loses_the_oldest_and_is_told(source: tuple[Source, AgentFeed]) -> None:
    made, feed = source
    async with aclosing(feed.listen(frozenset(), None, PATIENCE_S)) as events:
        made.queue.put_nowait(delivery(0))
        assert (await anext(events)) is not None
        for number in range(1, agent_feed.MAX_WAITING + 11):
            made.queue.put_nowait(delivery(number))
        while not made.queue.empty():  # noqa: ASYNC110 - the loop's own turns
            await asyncio.sleep(0)
        lost = await anext(events)
        assert lost is not None
        assert (lost.name, lost.data) == ("lost", {"events": 10})
        first = await anext(events)
        assert first is not None
        assert first.data["messageId"] == "11"


async def test_there_are_so_many_listeners_at_most(source: tuple[Source, AgentFeed]) -> None:
    _, feed = source
    listening: list[AsyncGenerator[FeedEvent | None, None]] = []
    for _ in range(agent_feed.MAX_LISTENERS):
        events = feed.listen(frozenset(), None, 0.0)
        assert await anext(events) is None
        listening.append(events)
    with pytest.raises(LimitError):
        await anext(feed.listen(frozenset(), None, 0.0))
    for each in listening:
        await each.aclose()
    assert feed.listeners == 0


async def test_progress_is_awaited_or_known_already(source: tuple[Source, AgentFeed]) -> None:
    made, feed = source
    waiting = asyncio.create_task(feed.progress("1", PATIENCE_S))
    await asyncio.sleep(0)
    made.queue.put_nowait(delivery(1, DeliveryState.QUEUED))
    made.queue.put_nowait(delivery(1, DeliveryState.SENT))
    assert await waiting is DeliveryState.SENT
    assert await feed.progress("1", 0.0) is DeliveryState.SENT
    assert await feed.progress("2", 0.0) is DeliveryState.QUEUED


async def test_what_is_kept_is_bounded_in_number_and_size(
    source: tuple[Source, AgentFeed], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, feed = source
    monkeypatch.setattr(agent_feed, "KEPT_EVENTS", 5)
    for number in range(20):
        made.queue.put_nowait(delivery(number))
    while not made.queue.empty():  # noqa: ASYNC110 - the loop's own turns
        await asyncio.sleep(0)
    async with aclosing(feed.listen(frozenset(), 0, 0.0)) as events:
        numbers = [each.number async for each in until_none(events)]
    assert numbers == [16, 17, 18, 19, 20]
    monkeypatch.setattr(agent_feed, "KEPT_CHARACTERS", 300)
    made.queue.put_nowait(delivery(99))
    async with aclosing(feed.listen(frozenset(), 20, PATIENCE_S)) as events:
        assert (await anext(events)) is not None
    async with aclosing(feed.listen(frozenset(), 0, 0.0)) as events:
        assert [each.number async for each in until_none(events)] == [21]


async def until_none(
    events: AsyncGenerator[FeedEvent | None, None],
) -> AsyncGenerator[FeedEvent, None]:
    async for each in events:
        if each is None:
            return
        yield each


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_771_588_800_123, "2026-02-20T12:00:00.123Z"),
        (-5, "1970-01-01T00:00:00.000Z"),
        (2**62, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_instants_are_iso_texts(instant: int, text: str) -> None:
    assert iso(instant) == text
