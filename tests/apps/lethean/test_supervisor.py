"""Miners as processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mesh.apps.lethean.console_log import MAX_LINE_BYTES, MAX_LINES, ConsoleLog
from mesh.apps.lethean.programs import Parameter, Program
from mesh.apps.lethean.supervisor import RunningMiner, Supervisor
from mesh.errors import LimitError, RecordNotFound, UsageError
from tests.network.live import eventually

TALKER = """
import sys, time
print("speed 12.5 H/s accepted 3", sys.argv[1], flush=True)
sys.stdout.write("x" * 20000 + "\\n"); sys.stdout.flush()
time.sleep(600)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
time.sleep(600)
"""


def program(name: str, source: str, *arguments: str, **parameters: Parameter) -> Program:
    import re

    return Program(
        name,
        (sys.executable, "-c", source, *arguments),
        parameters=parameters,
        figures={"hashrate": re.compile("speed ([0-9.]+)"), "shares": re.compile("accepted ([0-9]+)")},
        threads="threads",
    )


PROGRAMS = {
    "talk": program("talk", TALKER, "{threads}", threads=Parameter("integer", default=2)),
    "parent": program("parent", PARENT),
    "brief": program("brief", "print('done')"),
    "missing": Program("missing", ("/nonexistent/program",)),
}


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    made = Supervisor(PROGRAMS, limit=3)
    yield made
    await made.close()


def gone(process: int) -> bool:
    """Whether a process has ended, a zombie that its parent has not asked for included."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def started(supervisor: Supervisor, kind: str, until: Callable[[RunningMiner], object]) -> RunningMiner:
    miner = supervisor.find(await supervisor.start(kind, "null"))
    assert miner is not None
    await eventually(lambda: until(miner), f"{kind} to be there")
    return miner


async def test_a_miner_runs_and_tells_figures_and_logs(supervisor: Supervisor) -> None:
    name = await supervisor.start("talk", '{"threads":4}')
    assert name == "talk-1"
    await eventually(lambda: len(supervisor.log(name, 10, 0) or ()) > 1, "its lines")
    lines = supervisor.log(name, 10, 0)
    assert lines is not None
    assert lines[0] == "speed 12.5 H/s accepted 3 4"
    assert all(len(line) <= MAX_LINE_BYTES for line in lines)
    (figures,) = supervisor.figures()
    assert (figures.name, figures.type, figures.hashrate, figures.shares) == ("talk-1", "talk", 12.5, 3)
    assert figures.cpu_threads == 4
    assert supervisor.log("other", 10, 0) is None


async def test_stopping_ends_the_program_and_what_it_started(supervisor: Supervisor) -> None:
    miner = await started(supervisor, "parent", lambda each: each.log.last(1))
    child = int(miner.log.last(1)[0].split()[1])
    assert not gone(child)
    await supervisor.stop(miner.name)
    await eventually(lambda: gone(child), "the grandchild to end")
    assert supervisor.figures() == []
    with pytest.raises(RecordNotFound, match=f"^miner {miner.name} not found$"):
        await supervisor.stop(miner.name)


async def test_a_program_that_ended_has_logs_until_it_is_stopped(supervisor: Supervisor) -> None:
    miner = await started(supervisor, "brief", lambda each: not each.running and each.log.last(1))
    assert supervisor.figures() == []
    assert supervisor.log(miner.name, 10, 0) == ["done"]
    await supervisor.stop(miner.name)
    assert supervisor.log(miner.name, 10, 0) is None


async def test_what_cannot_be_started_says_so_in_its_log(supervisor: Supervisor) -> None:
    miner = await started(supervisor, "missing", lambda each: not each.running and each.log.last(1))
    assert "cannot start /nonexistent/program" in miner.log.last(1)[0]


async def test_limits_and_unknown_types(supervisor: Supervisor) -> None:
    with pytest.raises(UsageError, match="no miner type nonsense"):
        await supervisor.start("nonsense", "null")
    for _ in range(3):
        await supervisor.start("brief", "null")
    with pytest.raises(LimitError):
        await supervisor.start("brief", "null")


async def test_miners_die_with_the_worker(tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import asyncio\n"
        "from mesh.apps.lethean.supervisor import Supervisor\n"
        "from tests.apps.lethean.test_supervisor import PROGRAMS\n"
        "async def main():\n"
        "    supervisor = Supervisor(PROGRAMS, 3)\n"
        "    miner = supervisor.find(await supervisor.start('parent', 'null'))\n"
        "    while not miner.log.last(1):\n"
        "        await asyncio.sleep(0.01)\n"
        "    print(miner.process_id, miner.log.last(1)[0].split()[1], flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(worker),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        guard, child = map(int, (await process.stdout.readline()).split())
    assert not gone(guard)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await eventually(lambda: gone(guard) and gone(child), "guard and program to end")


def test_a_log_keeps_the_last_lines_and_knows_their_times() -> None:
    log = ConsoleLog()
    for number in range(MAX_LINES + 5):
        log.add(number, str(number).encode())
    assert log.last(2) == [str(MAX_LINES + 3), str(MAX_LINES + 4)]
    assert len(log.last(MAX_LINES * 2)) == MAX_LINES
    assert log.last(10, since_ms=MAX_LINES + 2) == [str(MAX_LINES + 3), str(MAX_LINES + 4)]
    assert log.last(10, since_ms=MAX_LINES * 2) == []


def test_a_log_is_bounded_in_bytes() -> None:
    log = ConsoleLog()
    for _ in range(2000):
        log.add(1, b"y" * MAX_LINE_BYTES)
    assert len(log.last(MAX_LINES)) == 1024
