"""`mesh diag nat` with a daemon and without one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.console.conftest import Mesh
from tests.console.test_daemon import DEADLINE_S, FREE, Daemon, spawn


async def test_the_daemon_is_asked(mesh: Mesh, tmp_path: Path) -> None:
    process = await spawn("daemon", "--path", str(tmp_path), "--listen", FREE, "--api", "127.0.0.1:0")
    try:
        async with asyncio.timeout(DEADLINE_S):
            daemon = Daemon(process)
            await daemon.until_ready()
        text = await asyncio.to_thread(mesh, "diag", "nat", "--path", tmp_path)
        assert text.status == 0
        lines = text.out.splitlines()
        assert lines[0] == "reachability: unknown"
        assert "NAT: unknown" in lines
        assert any(line.startswith("  /ip4/127.0.0.1/tcp/") for line in lines)
        assert lines[-2] == "next:"
        told = await asyncio.to_thread(mesh, "diag", "nat", "--test", "--json", "--path", tmp_path)
        assert json.loads(told.out)["reachability"] == "unknown"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def test_without_a_daemon(mesh: Mesh, tmp_path: Path) -> None:
    outcome = mesh("diag", "nat", "--json", "--path", tmp_path)
    assert outcome.status == 1
    assert outcome.error["code"] == "no-daemon"
