"""A daemon whose router maps its ports: what `mesh diag nat` tells, and what SIGTERM leaves."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.console.conftest import Mesh
from tests.console.test_daemon import DEADLINE_S, FREE, Daemon, spawn
from tests.network.live import eventually
from tests.protocols.port_mapping.router import Router
from tests.services.port_mapping.live_router import LiveRouter


@pytest.mark.parametrize("result", [0, 2])
async def test_a_daemon_tells_its_mapping_and_gives_it_back(
    mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: int
) -> None:
    async with LiveRouter(Router(("pcp",), result=result)) as router:
        settings = {"PROTOCOL": "pcp", "GATEWAY": router.host}
        for name, value in settings.items():
            monkeypatch.setenv(f"MESH_PORT_MAPPING_{name}", value)
        monkeypatch.setenv("MESH_AUTONAT_PRIVATE_ADDRESSES", "true")
        process = await spawn("daemon", "--path", str(tmp_path), "--listen", FREE, "--api", "127.0.0.1:0")
        try:
            async with asyncio.timeout(DEADLINE_S):
                daemon = Daemon(process)
                await daemon.until_ready()
            await eventually(lambda: router.router.requests, "a request")
            state = "mapped" if not result else "refused"
            async with asyncio.timeout(DEADLINE_S):
                while (told := await diagnosed(mesh, tmp_path))["mapping"]["state"] != state:
                    pass
            [port] = told["mapping"]["ports"]
            text = (await asyncio.to_thread(mesh, "diag", "nat", "--path", tmp_path)).out
            if result:
                assert port["code"] == 2
                assert f"port mapping: refused by {router.host}\n" in text
                assert f"  tcp {port['port']}: refused, code 2 not authorized\n" in text
            else:
                assert port["outside"] == f"11.3.1.2:{port['port']}"
                assert f"port mapping: found, pcp at {router.host}\n" in text
                assert f"  tcp {port['port']}: 11.3.1.2:{port['port']}, " in text
            assert len(router.held) == (not result)
            process.terminate()
            async with asyncio.timeout(DEADLINE_S):
                assert await process.wait() == 0
            assert not router.held
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def diagnosed(mesh: Mesh, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (await asyncio.to_thread(mesh, "diag", "nat", "--json", "--path", path)).out
    )
    return found
