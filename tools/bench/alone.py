"""How quickly this program starts, and how little an idle daemon needs."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from statistics import median

from tools.bench.resident import resident_bytes

RUNS = 3
START_S = 60.0
IDLE_S = 1.0
_IMPORT = "import time; t = time.perf_counter(); import mesh.node; print(time.perf_counter() - t)"
_LISTEN = "/ip4/127.0.0.1/tcp/0"


async def measured() -> dict[str, float]:
    """Medians of a few runs, after one that fills the system's caches. Raises `RuntimeError`, `TimeoutError`."""
    runs = [await _once() for _ in range(RUNS + 1)][1:]
    return {member: median(run[member] for run in runs) for member in runs[0]}


async def _once() -> dict[str, float]:
    imported, _ = await _finished(sys.executable, "-c", _IMPORT)
    _, help_s = await _finished(sys.executable, "-m", "mesh", "--help")
    ready_s, resident = await _daemon()
    return {
        "import_ms": float(imported) * 1e3,
        "help_ms": help_s * 1e3,
        "ready_ms": ready_s * 1e3,
        "idle_mib": resident / (1 << 20),
    }


async def _finished(*command: str) -> tuple[str, float]:
    """What a program printed, and how long it ran."""
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    return printed.decode(), time.perf_counter() - started


async def _daemon() -> tuple[float, int]:
    """Seconds from its start to its last line of announcement, and what is resident a moment later."""
    with tempfile.TemporaryDirectory() as folder:
        command = (
            sys.executable,
            "-m",
            "mesh",
            "daemon",
            "--path",
            folder,
            "--listen",
            _LISTEN,
            "--api",
            "off",
        )
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                while (line := await process.stdout.readline()) != b"ready\n":
                    if not line:
                        raise RuntimeError("the daemon ended before it was ready")
            ready_s = time.perf_counter() - started
            await asyncio.sleep(IDLE_S)
            resident = resident_bytes(process.pid)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
        return ready_s, resident
