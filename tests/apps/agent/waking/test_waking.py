"""A wake happens at least once, in order, with one key, and within what its sender may cause."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mesh.apps.agent.store import AgentStore, address_book
from mesh.apps.agent.waking import queue
from mesh.apps.agent.waking import waking as module
from mesh.apps.agent.waking.background import Background
from mesh.apps.agent.waking.hook import Gateway as Place
from mesh.apps.agent.waking.hook import WebHook
from mesh.apps.agent.waking.queue import Budget, Invocation
from mesh.apps.agent.waking.waking import Pace, Waking
from tests.apps.agent.waking.parts import ANN, BOB, Failing, Gateway, receive
from tests.network.live import PATIENCE_S, eventually, nothing_left

TOKEN = "hook-secret-4711"
FAST = Pace(retry_s=0.01, retry_max_s=0.05)


@pytest.fixture(autouse=True)
async def _nothing_left() -> AsyncIterator[None]:
    await asyncio.to_thread(int)  # the loop's own thread, which the store waits in when it closes
    async with nothing_left():
        yield


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with Gateway() as started:
        yield started


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[AgentStore]:
    async with AgentStore(tmp_path / "agent.db") as opened:
        yield opened


class World:
    """A waker with its parts, and what it said."""

    def __init__(
        self, store: AgentStore, gateway: Gateway, pace: Pace = FAST, timeout_s: float = 5.0
    ) -> None:
        self.store = Failing(store)
        self.invocations: list[Invocation] = []
        self.committed: list[Invocation] = []
        self.now: Callable[[], float] = time.time
        self.waking = Waking(
            self.store,
            WebHook(Place(gateway.url, TOKEN, timeout_s=timeout_s)),
            clock=lambda: self.now(),
            api_url="http://127.0.0.1:4003",
            pace=pace,
            invoked=lambda connection, invocation: self.committed.append(invocation),
            told=self.invocations.append,
        )

    async def receive(self, peer: str, *contents: str) -> None:
        await self.waking.prepare()
        await self.store.write(lambda database: receive(self.waking, database, peer, contents))
        self.waking.kick()

    async def dead(self) -> None:
        """Wait for a batch that was given up."""
        async with asyncio.timeout(PATIENCE_S):
            while not (await self.waking.state()).dead:  # noqa: ASYNC110 - the state is the database's
                await asyncio.sleep(0.005)


async def test_a_message_wakes_the_agent_as_a_stock_daemon_does(store: AgentStore, gateway: Gateway) -> None:
    world = World(store, gateway)
    async with world.waking:
        await world.receive(ANN, "hello")
        await eventually(lambda: len(world.invocations) == 1)
    (call,) = gateway.calls
    assert call.path == "/hooks/agent"
    assert call.headers["authorization"] == f"Bearer {TOKEN}"
    assert call.headers["content-type"] == "application/json"
    rest = {key: value for key, value in call.body.items() if key != "message"}
    assert rest == {
        "name": "P2P",
        "sessionKey": "p2p-messages",
        "wakeMode": "now",
        "deliver": True,
        "timeoutSeconds": 120,
    }
    assert "> hello" in call.text
    (told,) = world.invocations
    assert told.message_ids == ("1-id",)
    assert told.evidence == "hook /hooks/agent 200"
    assert world.committed == world.invocations


async def test_the_other_hook_is_the_fallback(store: AgentStore, gateway: Gateway) -> None:
    gateway.answers = [500, 204]
    world = World(store, gateway)
    async with world.waking:
        await world.receive(ANN, "hello")
        await eventually(lambda: len(world.invocations) == 1)
    first, second = gateway.calls
    assert [first.path, second.path] == ["/hooks/agent", "/hooks/wake"]
    assert second.body == {"text": first.text, "mode": "now"}
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == world.invocations[0].key
    assert world.invocations[0].evidence == "hook /hooks/wake 204"


@pytest.mark.parametrize("trouble", [500, 401, 302, "cut", 429])
async def test_what_fails_is_tried_again_with_the_same_key(
    store: AgentStore, gateway: Gateway, trouble: int | str
) -> None:
    gateway.answers = [trouble] * 4
    world = World(store, gateway)
    async with world.waking:
        await world.receive(ANN, "hello")
        await eventually(lambda: len(world.invocations) == 1)
        state = await world.waking.state()
    assert len(gateway.calls) == 5
    assert len({call.headers["idempotency-key"] for call in gateway.calls}) == 1
    assert (state.done, state.waiting, state.repeated) == (1, 0, 2)


async def test_a_gateway_that_never_answers_is_left_after_the_timeout(
    store: AgentStore, gateway: Gateway
) -> None:
    gateway.answers = [None, None]
    world = World(store, gateway, timeout_s=0.1)
    async with world.waking:
        await world.receive(ANN, "hello")
        await eventually(lambda: len(world.invocations) == 1)
    assert len(gateway.calls) == 3


async def test_messages_of_a_sender_gather_behind_its_call_and_come_in_order(
    store: AgentStore, gateway: Gateway
) -> None:
    gateway.answers = [None, 200]
    world = World(store, gateway, timeout_s=0.2)
    async with world.waking:
        await world.receive(ANN, "one")
        await eventually(lambda: len(gateway.calls) == 1)
        await world.receive(ANN, "two")
        await world.receive(ANN, "three")
        await eventually(lambda: sum(len(each.message_ids) for each in world.invocations) == 3)
    assert [each.message_ids for each in world.invocations] == [("1-id",), ("2-id", "3-id")]
    last = gateway.calls[-1].text
    assert last.index("> two") < last.index("> three")


async def test_a_slow_sender_does_not_hold_up_another(store: AgentStore, gateway: Gateway) -> None:
    gateway.answers = [None]
    world = World(store, gateway, timeout_s=60.0)
    async with world.waking:
        await world.receive(ANN, "one")
        await eventually(lambda: len(gateway.calls) == 1)
        await world.receive(BOB, "two")
        await eventually(lambda: len(world.invocations) == 1)
        assert world.invocations[0].peer_id == BOB


async def test_a_sender_causes_no_more_than_its_budget(store: AgentStore, gateway: Gateway) -> None:
    world = World(store, gateway, Pace(Budget(sender=3, total=100, messages=50), retry_s=0.01))
    start = time.time()
    world.now = lambda: start
    async with world.waking:
        for number in range(3):
            await world.receive(ANN, f"{number}")
            await eventually(lambda number=number: len(world.invocations) == number + 1)  # type: ignore[misc]
        await world.receive(ANN, *(f"flood {number}" for number in range(20)))
        await world.receive(BOB, "calm")
        await eventually(lambda: len(world.invocations) == 4)
        assert world.invocations[-1].peer_id == BOB
        assert (await world.waking.state()).waiting == 20
        world.now = lambda: start + 61
        world.waking.kick()
        await eventually(lambda: len(world.invocations) == 5)
    assert len(world.invocations[-1].message_ids) == 20


async def test_all_together_cause_no_more_than_the_total(store: AgentStore, gateway: Gateway) -> None:
    world = World(store, gateway, Pace(Budget(sender=3, total=4), retry_s=0.01))
    start = time.time()
    world.now = lambda: start
    async with world.waking:
        for number in range(9):
            await world.receive(f"peer{number}", "x")
        await eventually(lambda: len(world.invocations) == 4)
        assert (await world.waking.state()).waiting == 5
        world.now = lambda: start + 60.001
        world.waking.kick()
        await eventually(lambda: len(world.invocations) == 8)
    assert len(gateway.calls) == 8


async def test_a_restart_calls_again_what_was_under_way_with_its_key(
    store: AgentStore, gateway: Gateway
) -> None:
    gateway.answers = [None]
    first = World(store, gateway, timeout_s=60.0)
    async with first.waking:
        await first.receive(ANN, "one")
        await eventually(lambda: len(gateway.calls) == 1)
    second = World(store, gateway)
    async with second.waking:
        await eventually(lambda: len(second.invocations) == 1)
    assert not first.invocations
    assert gateway.calls[0].headers["idempotency-key"] == gateway.calls[1].headers["idempotency-key"]
    assert gateway.calls[0].text == gateway.calls[1].text


async def test_every_call_of_a_batch_says_the_same(store: AgentStore, gateway: Gateway) -> None:
    """A gateway that knows the key again takes only the very same text for the same call."""
    gateway.answers = [500, 500, 500, 500]
    world = World(store, gateway, Pace(retry_s=0.05))
    async with world.waking:
        await world.receive(ANN, "one")
        await eventually(lambda: len(gateway.calls) == 2)
        await world.receive(ANN, "two")
        await store.write(lambda database: address_book.set_name(database, ANN, "Ann", 1))
        await eventually(lambda: len(world.invocations) == 2)
    first = {
        call.text for call in gateway.calls if call.headers["idempotency-key"] == world.invocations[0].key
    }
    assert len(first) == 1
    assert "> two" not in first.pop()
    kept = await store.read(lambda database: database.execute("SELECT text FROM wake_batches").fetchall())
    assert kept == [("",), ("",)]


async def test_a_wake_that_always_fails_is_given_up_and_can_be_revived(
    store: AgentStore, gateway: Gateway
) -> None:
    gateway.usual = 503
    world = World(store, gateway, Pace(attempts=3, retry_s=0.001, retry_max_s=0.002))
    async with world.waking:
        await world.receive(ANN, "one")
        await eventually(lambda: len(gateway.calls) == 6)
        await world.dead()
        gateway.usual = 200
        assert await world.waking.revive() == 1
        await eventually(lambda: len(world.invocations) == 1)
    assert len({call.headers["idempotency-key"] for call in gateway.calls}) == 1
    told = await store.read(lambda database: queue.story(database, 1))
    assert told is not None
    assert told["state"] == "done"


async def test_only_the_token_of_the_wake_confirms(store: AgentStore, gateway: Gateway) -> None:
    world = World(store, gateway)
    async with world.waking:
        await world.receive(ANN, "one")
        await world.receive(BOB, "two")
        await eventually(lambda: len(world.invocations) == 2)
        text = next(call.text for call in gateway.calls if "> one" in call.text)
        token = text.split('{"token":"')[1].split('"')[0]
        assert await world.waking.resumed("1-id", token) == (ANN, 1)
        assert await world.waking.resumed("2-id", token) is None
        assert await world.waking.resumed("1-id", "") is None
        assert await world.waking.resumed("1-id", "\ud800é") is None
        assert await world.waking.resumed("9-id", token) is None
        assert await world.waking.resumed("\ud800", token) is None


async def test_a_message_that_is_gone_from_the_log_wakes_nobody(store: AgentStore, gateway: Gateway) -> None:
    world = World(store, gateway)
    await world.receive(ANN, "one")
    await store.write(lambda database: database.execute("DELETE FROM messages"))
    async with world.waking:
        await world.dead()
    assert not gateway.calls


async def test_a_full_disk_delays_and_loses_nothing(
    store: AgentStore, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STORAGE_RETRY_S", 0.01)
    world = World(store, gateway)
    await world.receive(ANN, "one")
    async with world.waking:
        world.store.broken = True
        await asyncio.sleep(0)
        world.store.broken = False
        await eventually(lambda: len(world.invocations) == 1)


async def test_a_background_that_fails_costs_pauses_not_the_processor(
    store: AgentStore, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(store, gateway, Pace(retry_s=30.0))
    asked = 0

    def broken(database: object, batch: object) -> Background:
        nonlocal asked
        asked += 1
        raise ValueError

    monkeypatch.setattr(module, "background_of", broken)
    async with world.waking:
        await world.receive(ANN, "one")
        await eventually(lambda: asked == 1)
        await world.receive(BOB, "two")
        await eventually(lambda: asked == 2)
        await asyncio.sleep(0.05)
    assert asked == 2


async def test_the_token_is_nowhere_but_in_the_header(
    store: AgentStore, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway.answers = [401, 401, "cut", "cut"]
    world = World(store, gateway)
    async with world.waking:
        await world.receive(ANN, "hello")
        await eventually(lambda: len(world.invocations) == 1)
    assert all(TOKEN not in str(vars(record)) for record in caplog.records)
    assert not files_with(TOKEN, store.path.parent)
    assert TOKEN not in repr(Place(gateway.url, TOKEN))
    assert all(TOKEN not in str(call.body) for call in gateway.calls)
    assert any("check agent.gateway_token_file" in str(vars(record)) for record in caplog.records)


def files_with(text: str, folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if text.encode() in path.read_bytes()]


def next_at(store: AgentStore) -> int:
    with contextlib.closing(sqlite3.connect(store.path)) as database:
        return int(database.execute("SELECT next_at FROM wake_batches").fetchone()[0])


async def test_retry_after_is_heeded(store: AgentStore, gateway: Gateway) -> None:
    gateway.answers = [429, 429]
    gateway.headers = "retry-after: 120\r\n"
    world = World(store, gateway)
    async with world.waking:
        await world.receive(ANN, "hello")
        await eventually(lambda: len(gateway.calls) == 2)
        await eventually(lambda: next_at(store) > (time.time() + 100) * 1000)
    assert len(gateway.calls) == 2
