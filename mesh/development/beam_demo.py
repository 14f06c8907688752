"""Beam shown: a service that is reached through relays alone goes on when the relay in use is killed.

Five processes: a meeting point, two relays without limits, a provider and an opener that listen nowhere. A `Ground` says
where they run: on loopback, or in a laboratory behind symmetric NATs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from mesh.development.programs import ProgramFailed

MEBIBYTE: Final = 1024 * 1024
SIZE_BYTES: Final = 200 * MEBIBYTE
KILL_AFTER_BYTES: Final = 20 * MEBIBYTE
READY_S: Final = 90.0
PROGRESS_S: Final = 60.0
RELAYS: Final = ("one", "two")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ground:
    """``prefixes``: what stands before the command of a party, by its name; ``hosts``: the address where those listen
    that do."""

    about: str
    prefixes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)


LOOPBACK: Final = Ground("on loopback with direct dialling off, not behind NATs")


class Party:
    """One process; what it says is read as it comes."""

    def __init__(self, ground: Ground, name: str, *words: str) -> None:
        self.name = name
        self._command = (
            *(*ground.prefixes.get(name, ()), sys.executable, "-m", "mesh.development.beam_party"),
            *words,
        )
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*self._command, stdout=pipe, stderr=pipe)

    async def say(self, limit_s: float) -> dict[str, Any]:
        """Its next line. Raises `ProgramFailed` when none comes."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(limit_s):
                line = await process.stdout.readline()
        except TimeoutError:
            raise ProgramFailed(f"{self.name} said nothing for {limit_s:g} s") from None
        if not line:
            _, errors = await process.communicate()
            raise ProgramFailed(f"{self.name} ended: {errors.decode(errors='replace').strip()[-500:]}")
        found: dict[str, Any] = json.loads(line)
        return found

    async def signal(self, number: signal.Signals) -> None:
        """Send a signal; after SIGKILL, wait until it is gone."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        if number == signal.SIGKILL:
            await process.communicate()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.signal(signal.SIGKILL)


@dataclass(slots=True)
class Outcome:
    """What was seen. ``reasons`` are those of the changes of path; ``longest_s`` is the longest time without a byte."""

    before: str = ""
    after: str = ""
    reasons: list[str] = field(default_factory=list)
    killed_at: int = 0
    received: int = 0
    whole: bool = False
    longest_s: float = 0.0


class BeamDemo(AsyncExitStack):
    """One run; ``tell`` gets a line for each thing that was seen to happen. ``ending`` is the signal that the relay in
    use gets: SIGKILL closes its connections, SIGSTOP leaves them silent."""

    def __init__(
        self,
        tell: Tell,
        ground: Ground = LOOPBACK,
        size_bytes: int = SIZE_BYTES,
        ending: signal.Signals = signal.SIGKILL,
    ) -> None:
        super().__init__()
        self._tell = tell
        self._ground = ground
        self._size = size_bytes
        self._ending = ending
        self._names: dict[str, str] = {}

    async def run(self) -> Outcome:
        """Raises `ProgramFailed` when something does not come true."""
        self._tell(f"five processes, {self._ground.about}")
        meeting, _ = await self._listening("meeting", "meeting")
        relays: dict[str, Party] = {}
        addresses = []
        for name in RELAYS:
            address, relays[name] = await self._listening(name, "relay")
            addresses.append(address)
            self._names[address.rpartition("/")[2]] = f"relay {name}"
        provider = await self._party("provider", str(self._size), meeting, *addresses)
        expected = (await provider.say(READY_S))["digest"]
        self._tell("the provider listens nowhere but at both relays, and exposes myapp")
        opener = await self._party("opener", meeting)
        outcome = Outcome()
        await self._cut(opener, relays, outcome)
        await self._finish(opener, expected, outcome)
        return outcome

    async def _cut(self, opener: Party, relays: Mapping[str, Party], outcome: Outcome) -> None:
        """End the relay in use once enough has come."""
        while True:
            said = await opener.say(READY_S)
            if "done" in said:
                raise ProgramFailed("everything had come before a second path stood")
            if said["bytes"] >= min(KILL_AFTER_BYTES, self._size // 4) and said["paths"] >= 2:
                break
        path = said["path"]
        if not path.startswith("relayed by "):
            raise ProgramFailed(f"the path is {path}, not through a relay")
        outcome.before, outcome.killed_at = self._named(path), said["bytes"]
        self._tell(f"myapp is opened: {outcome.before}, another path beside it")
        relay = outcome.before.removeprefix("relayed by ")
        self._tell(f"after {said['bytes'] // MEBIBYTE} MiB {relay} gets {self._ending.name}")
        await relays[outcome.before.rpartition(" ")[2]].signal(self._ending)

    async def _finish(self, opener: Party, expected: str, outcome: Outcome) -> None:
        """Read on to the end."""
        while "done" not in (said := await opener.say(PROGRESS_S)):
            if "reason" in said:
                outcome.after = self._named(said["after"])
                outcome.reasons.append(said["reason"])
                self._tell(
                    f"path: {self._named(said['before'])} -> {outcome.after}: {self._named(said['reason'])}"
                )
        outcome.received, outcome.longest_s = said["done"], said["longest_s"]
        outcome.whole = said["digest"] == expected and outcome.received == self._size
        if not outcome.whole:
            raise ProgramFailed(f"{outcome.received} of {self._size} bytes came, or others than were sent")
        if not outcome.reasons or outcome.after == outcome.before:
            raise ProgramFailed("the path did not change")
        self._tell(f"{outcome.received // MEBIBYTE} MiB arrived with the right SHA-256")
        self._tell(f"the longest time without a byte was {outcome.longest_s:.2f} s")

    def _named(self, path: str) -> str:
        for peer, name in self._names.items():
            path = path.replace(peer, name)
        return path

    async def _listening(self, name: str, role: str) -> tuple[str, Party]:
        host = self._ground.hosts.get(name, "127.0.0.1")
        party = await self.enter_async_context(Party(self._ground, name, role, f"/ip4/{host}/tcp/0"))
        return (await party.say(READY_S))["ready"], party

    async def _party(self, name: str, *words: str) -> Party:
        return await self.enter_async_context(Party(self._ground, name, name, *words))
