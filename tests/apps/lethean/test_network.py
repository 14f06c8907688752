"""Two controllers and three workers, each a process but one: miners, logs, bundles, and kill -9 of any of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.lethean.errands import run_errand
from mesh.apps.lethean.keeper import Keeper
from mesh.apps.lethean.service import LetheanService, identity_of
from mesh.config import LetheanSection
from tests.network.live import eventually

PROGRAMS = f"""
[talk]
command = ["{sys.executable}", "-uc", "import time; print('speed 12.5'); time.sleep(600)"]
[talk.figures]
hashrate = "speed ([0-9.]+)"
"""
READY_S = 30.0


class Served:
    """`mesh lethean serve` as a process that can be killed and started again at its address."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        self.flags = flags
        self.address = "127.0.0.1:0"
        self.id = ""
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mesh", "lethean", "serve", "--path", str(self.folder)),
            *("--listen", self.address, *self.flags),
            stdout=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.startswith("MESH_")},
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(READY_S):
            while (line := (await self.process.stdout.readline()).decode()) != "ready\n":
                assert line, "it ended"
                words = line.split()
                if words[:2] == ["lethean", "listening"]:
                    self.address = words[2]
                elif words[0] == "lethean":
                    self.id = words[1]

    async def kill(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.communicate()


async def command(folder: Path, *words: str) -> Any:
    """One `mesh lethean` verb through the daemon of a data folder."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mesh", "lethean", *words, "--path", str(folder), "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return json.loads(said) if process.returncode == 0 else None


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[list[Served]]:
    """Three, which let both controllers command them."""
    (tmp_path / "programs.toml").write_text(PROGRAMS)
    bosses = [
        identity_of(LetheanSection(role="controller"), tmp_path / name).identity for name in ("boss", "other")
    ]
    flags = ["--programs", str(tmp_path / "programs.toml"), "--api", "off"]
    for each in bosses:
        flags += ["--allow", each.public_key, "--grant", f"{each.id}=all"]
    made = [Served(tmp_path / f"worker{number}", "--name", f"worker{number}", *flags) for number in range(3)]
    try:
        await asyncio.gather(*(each.start() for each in made))
        yield made
    finally:
        await asyncio.gather(*(each.kill() for each in made))


async def test_any_of_them_may_be_killed(workers: list[Served], tmp_path: Path) -> None:
    section = LetheanSection(role="controller")
    other = Served(tmp_path / "other", "--role", "controller", "--api", "127.0.0.1:0")
    for each in workers:
        other.flags += ("--peer", f"{each.id}@{each.address}")
    async with LetheanService(section, tmp_path / "boss") as boss:
        Keeper(boss.node, [f"{each.id}@{each.address}" for each in workers], first_pause_s=0.1).start()
        await eventually(lambda: len(boss.node.links) == 3, "three connections")
        await other.start()
        try:
            for victim in workers:
                await _work_on(boss, victim)
                await victim.kill()
                await eventually(lambda: len(boss.node.links) == 2, "its end to be noticed")
                done = await run_errand(boss.controller, "stats", {})
                assert done["peer"] != victim.id
                await victim.start()
                await eventually(lambda: len(boss.node.links) == 3, "it to be there again")
            stats = await boss.controller.all_stats()
            assert set(stats) == {each.id for each in workers}
            await other.kill()
            await other.start()
            answer = await command(other.folder, "stats", workers[0].id)
            assert answer["nodeId"] == workers[0].id
        finally:
            await other.kill()


async def _work_on(boss: LetheanService, worker: Served) -> None:
    """Start, logs, deploy."""
    on: dict[str, Any] = {"target": worker.id}
    miner = (await run_errand(boss.controller, "start", {**on, "type": "talk", "config": {}}))["miner"]
    lines: list[str] = []
    async with asyncio.timeout(10):
        while not lines:
            lines = (await run_errand(boss.controller, "logs", {**on, "miner": miner}))["lines"]
            await asyncio.sleep(0.03)
    assert lines == ["speed 12.5"]
    await run_errand(boss.controller, "deploy", {**on, "name": "rig", "files": {"digger": "f0VMRg=="}})
    assert (worker.folder / "lethean" / "miners" / "rig" / "digger").read_bytes() == b"\x7fELF"
