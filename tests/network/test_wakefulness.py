"""Keeping a loop awake after a write: for how long, for whom, and once for all of its connections."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import uvloop

from mesh.network import wakefulness as module
from mesh.network.wakefulness import AWAKE_S, LEAST_S, Wakefulness, wakefulness
from tests.network.live import MEMORY, TCP, Nodes, eventually, round_trip


class Clock:
    """The time as `Wakefulness` sees it; the loop has its own."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture(scope="module")
def _uvloop_began() -> None:
    """The first loop of libuv opens a pipe that the process keeps."""
    uvloop.new_event_loop().close()


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def in_vain(awake: Wakefulness, clock: Clock) -> None:
    """A write that nobody answers, and the end of waiting for it."""
    awake.wrote(clock.now)
    clock.now += AWAKE_S
    await turns()
    assert not awake._polling


async def test_it_polls_until_the_time_is_over(clock: Clock) -> None:
    awake = Wakefulness()
    awake.wrote(clock.now)
    clock.now += 0.9 * AWAKE_S
    await turns()
    assert awake._polling
    clock.now += 0.2 * AWAKE_S
    await turns()
    assert not awake._polling


async def test_a_later_write_prolongs_the_one_poll(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    awake = Wakefulness()
    polls = 0
    poll = Wakefulness._poll

    def counted(self: Wakefulness) -> None:
        nonlocal polls
        polls += 1
        poll(self)

    monkeypatch.setattr(Wakefulness, "_poll", counted)
    for _ in range(5):
        awake.wrote(clock.now)
        clock.now += 0.9 * AWAKE_S
    await turns(1)
    assert (awake._polling, polls) == (True, 1)
    clock.now += AWAKE_S
    await turns()
    assert (awake._polling, polls) == (False, 2)


async def test_what_does_not_pay_is_given_up(clock: Clock) -> None:
    awake = Wakefulness()
    limits = []
    while awake._limit_s:
        limits.append(awake._limit_s)
        await in_vain(awake, clock)
    assert limits == [AWAKE_S / 2**step for step in range(len(limits))]
    assert limits[-1] >= LEAST_S > limits[-1] / 2
    awake.wrote(clock.now)
    assert not awake._polling


async def test_a_timely_answer_restores_the_time(clock: Clock) -> None:
    awake = Wakefulness()
    while awake._limit_s:
        await in_vain(awake, clock)
    awake.wrote(clock.now)
    awake.heard(clock.now + AWAKE_S)
    assert awake._limit_s == 0.0, "that was too late to wait for"
    awake.heard(clock.now + 0.9 * AWAKE_S)
    assert awake._limit_s == AWAKE_S
    await in_vain(awake, clock)


@pytest.mark.usefixtures("_uvloop_began")
@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_every_loop_has_its_own_for_as_long_as_it_lives(
    make: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def mine() -> Wakefulness:
        return wakefulness()

    found = []
    for _ in range(2):
        loop = make()
        found.append(loop.run_until_complete(mine()))
        assert loop.run_until_complete(mine()) is found[-1]
        loop.close()
    assert found[0] is not found[1]
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
    assert not set(map(id, found)) & set(map(id, module._of_loops.values()))


@pytest.mark.both_loops
async def test_far_peers_and_those_of_the_same_loop_are_not_waited_for(nodes: Nodes) -> None:
    awake = wakefulness()
    awake._wrote_at = 0.0
    for address in (MEMORY, TCP):
        server, client, connection = await nodes.pair(address)
        awake._wrote_at = 0.0
        assert await round_trip(client, server) > 0
        assert connection.driver.wakefulness is awake
        assert not connection.driver.near
        assert awake._wrote_at == 0.0


@pytest.mark.both_loops
async def test_peers_elsewhere_on_this_machine_are_waited_for(nodes: Nodes) -> None:
    awake = wakefulness()
    server, client, connection = await nodes.pair(TCP)
    connection.driver.near = True
    awake._wrote_at = 0.0
    assert await round_trip(client, server) > 0
    assert awake._wrote_at > 0
    await eventually(lambda: not awake._polling, "the end of polling")


async def test_ends_are_forgotten_with_their_connections(nodes: Nodes) -> None:
    _, _, connection = await nodes.pair(TCP)
    awake = wakefulness()
    assert awake.serves(connection.remote)
    assert awake.serves(connection.local)
    local = connection.local
    await connection.close()
    await eventually(lambda: not awake.serves(local))
