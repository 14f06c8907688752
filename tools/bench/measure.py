"""Running the rows: interleaved rounds, fresh processes each time, the amount of work fitted to the time asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.bench import alone, memory
from tools.bench.pairs import Pair, of_row
from tools.bench.rows import Probe, Row
from tools.interop_peers.process import CommandFailed, PeerProcess, ProcessEnded

LONG_ENOUGH = 0.2
"""Part of the wanted time that a trial has to last before its speed is trusted."""
GROWTH = 4
PATIENCE = 20.0
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of it: ``seconds`` is the length of one measurement, ``held`` how many connections the memory row has."""

    rounds: int
    seconds: float
    held: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: the figures in the row's order, the time it took and what each side computed in it, in seconds."""

    amount: int
    figures: tuple[float, ...]
    wall_s: float
    client_cpu_s: float
    server_cpu_s: float


@dataclass(slots=True)
class Results:
    """Samples of each row and pair, a sample a round, and what went wrong."""

    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, row: Row, pair: Pair, sample: Sample) -> None:
        self.samples.setdefault((row.name, pair.name), []).append(sample)

    def of(self, row: Row, pair: Pair) -> list[Sample]:
        return self.samples.get((row.name, pair.name), [])


class MeasurementFailed(Exception):  # noqa: N818
    """Part of the work failed, so its speed means nothing."""


FAILURES = (MeasurementFailed, CommandFailed, ProcessEnded, RuntimeError, TimeoutError)
"""What ends one measurement and leaves the rest of the run alone."""


async def run(
    rows: Sequence[Row], pairs: Sequence[Pair], effort: Effort, note: Callable[[str], None]
) -> Results:
    """Every row in every round with every pair; ``note`` is told of each sample. A failure is kept in the results."""
    results = Results()
    amounts: dict[tuple[str, str], int] = {}
    for number in range(1, effort.rounds + 1):
        for row in rows:
            for pair in _turned(of_row(row, pairs), number):
                where = f"round {number}/{effort.rounds} {row.name} {pair.name}"
                try:
                    sample = await _sample(row, pair, effort, amounts.get((row.name, pair.name)))
                except FAILURES as failure:
                    results.failures.append(f"{where}: {failure}")
                    note(f"{where} FAILED: {failure}")
                    continue
                amounts[row.name, pair.name] = sample.amount
                results.add(row, pair, sample)
                note(f"{where}: {_described(row, sample)}")
    return results


async def _sample(row: Row, pair: Pair, effort: Effort, amount: int | None) -> Sample:
    started = time.perf_counter()
    if row.probe is Probe.ALONE:
        found = await alone.measured()
        return _plain_sample(row, found, 1, time.perf_counter() - started)
    async with pair.started(row.transport) as (client, server):
        if row.probe is Probe.MEMORY:
            found = await memory.per_connection_kib(client, server, effort.held)
            return _plain_sample(row, found, effort.held, time.perf_counter() - started)
        return await _Bench(row, client, server, effort.seconds).sample(amount)


def _plain_sample(row: Row, found: dict[str, float], amount: int, wall_s: float) -> Sample:
    """Where what it takes to find the figures means nothing."""
    return Sample(amount, tuple(found[figure.member] for figure in row.figures), wall_s, 0.0, 0.0)


def _described(row: Row, sample: Sample) -> str:
    figures = zip(sample.figures, row.figures, strict=True)
    return f"{', '.join(f'{value:.4g} {each.unit}' for value, each in figures)} in {sample.wall_s:.1f} s"


def _turned(pairs: Sequence[Pair], number: int) -> list[Pair]:
    """Another pair begins each round, so that none always follows the same one."""
    start = number % len(pairs) if pairs else 0
    return [*pairs[start:], *pairs[:start]]


class _Bench:
    """One row with one pair of processes."""

    def __init__(self, row: Row, client: PeerProcess, server: PeerProcess, seconds: float) -> None:
        self._row = row
        self._client = client
        self._server = server
        self._seconds = seconds

    async def sample(self, amount: int | None) -> Sample:
        """Warm up, find the amount unless it is known, measure."""
        target: dict[str, Any] = {"addr": self._server.address}
        if self._row.needs_connection:
            await self._client.call("connect", addr=self._server.address)
            target = {"peer": self._server.peer}
        if amount is None:
            amount = await self._fit(target)
        else:
            await self._timed(target, self._row.first_amount)
        client_cpu, server_cpu = await self._cpu(self._client), await self._cpu(self._server)
        answer, wall_s = await self._timed(target, amount)
        return Sample(
            amount=amount,
            figures=tuple(float(answer[figure.member]) for figure in self._row.figures),
            wall_s=wall_s,
            client_cpu_s=await self._cpu(self._client) - client_cpu,
            server_cpu_s=await self._cpu(self._server) - server_cpu,
        )

    async def _fit(self, target: dict[str, Any]) -> int:
        """How much work lasts the wanted time."""
        amount = self._row.first_amount
        while True:
            _, elapsed = await self._timed(target, amount)
            if elapsed >= LONG_ENOUGH * self._seconds or amount >= self._row.most:
                return max(1, min(self._row.most, round(amount * self._seconds / elapsed)))
            amount *= GROWTH

    async def _timed(self, target: dict[str, Any], amount: int) -> tuple[dict[str, Any], float]:
        row = self._row
        arguments = {**row.arguments, **target, row.amount: amount}
        started = time.perf_counter()
        within_s = PATIENCE * self._seconds + PATIENCE_S
        answer = await self._client.call(row.command, within_s=within_s, **arguments)
        elapsed = time.perf_counter() - started
        lost = answer.get("failed", 0) or answer.get("lost", 0)
        if lost:
            raise MeasurementFailed(
                f"{row.name}: {lost} of {amount} failed: {answer.get('first_error', 'no reason given')}"
            )
        return answer, elapsed

    async def _cpu(self, process: PeerProcess) -> float:
        return float((await process.call("stats"))["cpu_seconds"])
