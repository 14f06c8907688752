"""Miners as processes: the programs that the operator wrote down, each under a guard that ends it with this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from mesh.apps.lethean import guard
from mesh.apps.lethean.console_log import MAX_LINE_BYTES, ConsoleLog
from mesh.apps.lethean.miners import MinerFigures
from mesh.apps.lethean.programs import Program, Value
from mesh.errors import LimitError, NetworkError, RecordNotFound, UsageError

log = logging.getLogger(__name__)

GRACE_S: Final = 3.0
_INHERITED: Final = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "SYSTEMROOT")
_NUMBER: Final = re.compile(r"[0-9][0-9_]*(?:\.[0-9]+)?")


class RunningMiner:
    """One program that runs, or has ended and was not stopped yet."""

    __slots__ = ("_figures", "_process", "_reader", "log", "name", "program", "since", "values")

    def __init__(
        self, name: str, program: Program, values: Mapping[str, Value], process: asyncio.subprocess.Process
    ) -> None:
        self.name = name
        self.program = program
        self.values = values
        self.log = ConsoleLog()
        self.since = time.monotonic()
        self._process = process
        self._figures: dict[str, float] = {}
        self._reader = asyncio.get_running_loop().create_task(self._read(), name=f"log of {name}")

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    @property
    def process_id(self) -> int:
        """The process id of its guard."""
        return self._process.pid

    def figures(self) -> MinerFigures:
        threads = self.values.get(self.program.threads, 0)
        return MinerFigures(
            name=self.name,
            type=self.program.name,
            hashrate=self._figures.get("hashrate", 0.0),
            shares=int(self._figures.get("shares", 0)),
            rejected=int(self._figures.get("rejected", 0)),
            uptime_s=int(time.monotonic() - self.since),
            pool=str(self.values.get("pool", self.program.pool)),
            algorithm=str(self.values.get("algorithm", self.program.algorithm)),
            cpu_threads=int(threads) if isinstance(threads, int | float) else 0,
        )

    async def end(self) -> None:
        """Close the guard's input, upon which it ends the program, and wait."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.close()
        try:
            async with asyncio.timeout(GRACE_S + 2.0):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        finally:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
            with contextlib.suppress(ConnectionError):
                await stdin.wait_closed()

    async def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        while True:
            try:
                line = await stdout.readuntil(b"\n")
            except asyncio.IncompleteReadError as ended:
                line = ended.partial
                if not line:
                    return
            except asyncio.LimitOverrunError as overrun:
                line = await stdout.readexactly(min(overrun.consumed, MAX_LINE_BYTES) or 1)
            self._take(line)

    def _take(self, line: bytes) -> None:
        text = self.log.add(time.time_ns() // 1_000_000, line)
        for figure, pattern in self.program.figures.items():
            found = pattern.search(text)
            if found is None:
                continue
            number = _NUMBER.search(found[1] if found.groups() else found[0])
            if number is not None:
                self._figures[figure] = float(number[0])


class Supervisor:
    """Miners by name. ``limit`` is how many there may be at once, ended ones that nobody stopped included."""

    def __init__(self, programs: Mapping[str, Program], limit: int) -> None:
        self._programs = programs
        self._limit = limit
        self._miners: dict[str, RunningMiner] = {}
        self._starting = 0
        self._made = 0

    async def start(self, kind: str, config: str) -> str:
        """Start a program with the values of a configuration. Raises `UsageError`, `LimitError`, `NetworkError`."""
        program = self._programs.get(kind)
        if program is None:
            raise UsageError(f"this worker has no miner type {kind[:40]}")
        values = program.fill(config)
        if len(self._miners) + self._starting >= self._limit:
            raise LimitError("worker", "miners", self._limit, "lethean.max_miners")
        self._starting += 1
        try:
            self._made += 1
            name = f"{kind}-{self._made}"
            self._miners[name] = RunningMiner(name, program, values, await self._spawn(program, values))
        finally:
            self._starting -= 1
        log.info("miner started", extra={"miner": name})
        return name

    async def stop(self, name: str) -> None:
        """End a miner and forget it. Raises `RecordNotFound`."""
        miner = self._miners.pop(name, None)
        if miner is None:
            raise RecordNotFound(f"miner {name} not found")
        await miner.end()
        log.info("miner stopped", extra={"miner": name})

    def figures(self) -> Sequence[MinerFigures]:
        return [each.figures() for each in self._miners.values() if each.running]

    def log(self, name: str, lines: int, since_ms: int) -> list[str] | None:
        miner = self._miners.get(name)
        return None if miner is None else miner.log.last(lines, since_ms)

    def find(self, name: str) -> RunningMiner | None:
        """The miner of that name."""
        return self._miners.get(name)

    async def close(self) -> None:
        """End them all."""
        miners, self._miners = list(self._miners.values()), {}
        await asyncio.gather(*(each.end() for each in miners))

    async def _spawn(self, program: Program, values: Mapping[str, Value]) -> asyncio.subprocess.Process:
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment.update(program.environment)
        guarded = [sys.executable, "-I", "-S", str(Path(guard.__file__)), str(GRACE_S)]
        try:
            return await asyncio.create_subprocess_exec(
                *guarded,
                *program.arguments(values),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=program.folder,
                env=environment,
                limit=2 * MAX_LINE_BYTES,
            )
        except OSError as error:
            raise NetworkError(f"{program.name} cannot be started: {error.strerror}") from None
