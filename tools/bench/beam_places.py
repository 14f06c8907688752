"""Beam's targets where nodes are in several processes, each in a network namespace of a laboratory: every place is
linked to the core by a line with a delay, and no node shares its loop with those of other places.

The same is measured without namespaces where ``ground`` is loopback, which is how the benchmark is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from types import TracebackType
from typing import Any, Final, Self

from mesh.errors import TimedOut
from mesh.lab import Lab, SitePlan
from mesh.lab.kinds import kind_named
from mesh.lab.topology import PUBLIC, PUBLIC_IPS, RELAY, RELAY_IP, SITES
from tools.bench.beam_network import FIRST, p95

COMMAND_S: Final = 120.0
PAUSE_S: Final = 0.5
"""Between two registrations, for the gossip of the former."""
SERVICE: Final = "echo"


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a process listens, and what stands before its command."""

    host: str
    prefix: tuple[str, ...] = ()


class Process:
    """Nodes in a process of their own (`tools.bench.beam_place`)."""

    def __init__(self, spot: Spot) -> None:
        self._spot = spot
        self._process: asyncio.subprocess.Process | None = None
        self.nodes = 0

    async def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """What it answers to a command. Raises `TimedOut`."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"do": do} | more).encode() + b"\n")
        try:
            async with asyncio.timeout(COMMAND_S):
                line = await process.stdout.readline()
        except TimeoutError:
            raise TimedOut(f"{self._spot.host}: no answer to {do}") from None
        if not line:
            raise TimedOut(f"{self._spot.host}: ended at {do}")
        found: dict[str, Any] = json.loads(line)
        return found

    async def join(self, through: Sequence[str]) -> dict[str, Any]:
        """One more node in it."""
        self.nodes += 1
        return await self.ask("join", through=list(through))

    def signal(self, number: signal.Signals) -> None:
        """Stop it, let it go on, or kill it."""
        assert self._process is not None
        self._process.send_signal(number)

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        command = (*self._spot.prefix, sys.executable, "-m", "tools.bench.beam_place", self._spot.host)
        self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.communicate()


@contextmanager
def laboratory(delay_ms: float) -> Iterator[list[Spot]]:
    """Ten places: two at the core, eight behind lines of their own. Raises `LabError`."""
    plan = SitePlan(kind_named("open"), delay_ms=delay_ms)
    with Lab(*[plan] * len(SITES), name="beam") as lab:
        homes = [(f"home{site}", lab.home_ip(site)) for site in SITES]
        yield [
            Spot(host, tuple(lab.command(place)))
            for place, host in ((RELAY, RELAY_IP), (PUBLIC, PUBLIC_IPS[0]), *homes)
        ]


async def measure(
    spots: Sequence[Spot], nodes: int, services: int, late: int, settle_s: float
) -> dict[str, Any]:
    """All figures, in milliseconds where they are times; the nodes go round the spots."""
    chance = random.Random(1)
    async with AsyncExitStack() as stack:
        places = [await stack.enter_async_context(Process(each)) for each in spots]
        first: list[str] = []
        joins = []
        for number in range(nodes):
            joined = await places[number % len(places)].join(first[:FIRST])
            first.append(joined["address"])
            joins += [joined["took_ms"]] if number else []
        registered = []
        for number in range(services):
            place = chance.choice(places)
            done = await place.ask("register", node=chance.randrange(place.nodes), name=f"app-{number}")
            registered.append(done)
            await asyncio.sleep(PAUSE_S)
        await asyncio.sleep(settle_s)
        cold, cached = [], []
        for number in range(late):
            place = places[number % len(places)]
            joins.append((await place.join(first[:FIRST]))["took_ms"])
            for service in chance.sample(range(services), min(services, 20)):
                cold.append(await place.ask("find", name=f"app-{service}", fresh=True))
                cached.append(await place.ask("find", name=f"app-{service}", fresh=False))
        counts = [count for each in places for count in (await each.ask("connections"))["counts"]]
        times = [each["took_ms"] for each in registered]
        return {
            "nodes": len(counts),
            "places": len(places),
            "join": max(joins),
            "registration": median(times),
            "registration_p95": p95(times),
            "registrations_missed": sum(not each["reached"] for each in registered),
            "cold": median(each["took_ms"] for each in cold),
            "cold_p95": p95([each["took_ms"] for each in cold]),
            "cached": p95([each["took_ms"] for each in cached]),
            "found_share": sum(each["found"] and each["source"] == "dht" for each in cold) / len(cold),
            "connections_median": median(counts),
            "connections_most": max(counts),
        } | await _failover(places)


async def _failover(places: Sequence[Process]) -> dict[str, float]:
    """The next connection after the process of a provider was stopped, and after it was killed."""
    client, one, two = places[0], places[-2], places[-1]
    peers = {(await each.ask("peer", node=0))["peer"]: each for each in (one, two)}
    await one.ask("expose", node=0, name=SERVICE)
    await one.ask("allow", node=0, name=SERVICE, peer=next(who for who, each in peers.items() if each is two))
    await two.ask("expose", node=0, name=SERVICE)
    await client.ask("open", node=0, name=SERVICE)
    serving = await client.ask("byte", node=0)
    peers[serving["provider"]].signal(signal.SIGSTOP)
    silent = await client.ask("byte", node=0)
    peers[serving["provider"]].signal(signal.SIGCONT)
    await asyncio.sleep(PAUSE_S)
    serving = await client.ask("byte", node=0)
    peers[serving["provider"]].signal(signal.SIGKILL)
    closed = await client.ask("byte", node=0)
    return {"failover_silent": silent["took_ms"], "failover_closed": closed["took_ms"]}
