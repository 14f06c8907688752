"""The API's life: where it is bound, what it leaves in the data folder, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from mesh.api import state_routes, token
from mesh.api.http_server import END_S
from mesh.api.server import ControlApi
from mesh.api.watch import MAX_WAITING, Event, Subscriber
from mesh.errors import AddressInUse, ConfigError, NetworkError, StorageError, UsageError
from mesh.node import Node
from tests.network.live import eventually


def test_a_node_without_the_api_does_not_load_it() -> None:
    program = (
        "import mesh.node, sys\n"
        "heavy = ('fastapi', 'uvicorn', 'starlette', 'pydantic', 'httpx', 'prometheus_client', 'mesh.api')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "[]\n"


async def test_files(node: Node, tmp_path: Path) -> None:
    async with ControlApi(node, "127.0.0.1:0", tmp_path) as api:
        note = json.loads((tmp_path / "api.json").read_text())
        assert (note["url"], note["pid"], note["peer"]) == (api.url, os.getpid(), str(node.peer_id))
        shown = (tmp_path / "api.token").read_text().strip()
        assert shown == api.token
        assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("api.json", "api.token")} == {
            0o600
        }
    assert os.listdir(tmp_path) == ["api.token"]
    async with ControlApi(node, "127.0.0.1:0", tmp_path) as again:
        assert again.token == shown
    with pytest.raises(UsageError):
        _ = again.url


async def test_the_note_of_another_daemon_stays(node: Node, tmp_path: Path) -> None:
    async with ControlApi(node, "127.0.0.1:0", tmp_path):
        (tmp_path / "api.json").write_text("{}")
    assert (tmp_path / "api.json").read_text() == "{}"


async def test_without_a_folder(node: Node) -> None:
    async with ControlApi(node, "127.0.0.1:0") as api:
        assert len(api.token) >= 43


async def test_a_port_that_is_taken(node: Node, api: ControlApi, tmp_path: Path) -> None:
    port = api.url.rpartition(":")[2]
    with pytest.raises(AddressInUse, match=port):
        await ControlApi(node, f"127.0.0.1:{port}", tmp_path).start()
    assert (tmp_path / "api.json").exists()


async def test_started_twice(api: ControlApi) -> None:
    with pytest.raises(UsageError):
        await api.start()


@pytest.mark.parametrize("listen", ["", "127.0.0.1", "127.0.0.1:http"])
async def test_no_address(node: Node, listen: str) -> None:
    with pytest.raises(UsageError):
        await ControlApi(node, listen).start()


async def test_an_address_of_another_machine(node: Node) -> None:
    with pytest.raises(NetworkError):
        await ControlApi(node, "192.0.2.1:0").start()


async def test_a_folder_that_cannot_be_written(node: Node, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        await ControlApi(node, "127.0.0.1:0", tmp_path / "nowhere").start()


@pytest.mark.parametrize(
    ("content", "mode"), [("short", 0o600), ("", 0o600), ("x" * 43, 0o644), ("é" * 43, 0o600)]
)
def test_a_token_that_is_none(tmp_path: Path, content: str, mode: int) -> None:
    file = tmp_path / token.FILE_NAME
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(ConfigError, match=r"api\.token"):
        token.load_or_create(tmp_path)


def test_a_token_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        token.load(tmp_path)


async def test_over_a_unix_socket(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    async with ControlApi(node, f"unix:{path}", tmp_path) as api:
        assert api.url == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        headers = {"authorization": f"Bearer {api.token}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers
        ) as client:
            assert (await client.get("/v0/id")).json()["peer_id"] == str(node.peer_id)
        with pytest.raises(AddressInUse):
            await ControlApi(node, f"unix:{path}").start()
    assert not path.exists()


async def test_a_stale_unix_socket_gives_way(node: Node, tmp_path: Path) -> None:
    import socket

    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with ControlApi(node, f"unix:{path}"):
        assert path.exists()
    path.write_text("a file of somebody's")
    with pytest.raises(AddressInUse):
        await ControlApi(node, f"unix:{path}").start()
    assert path.exists()


async def test_signals_stay_as_they_were(node: Node) -> None:
    import signal

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with ControlApi(node, "127.0.0.1:0"):
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.both_loops
async def test_events(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    async with asyncio.timeout(10), caller.stream("GET", "/v0/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert await anext(lines) == ": listening"
        connection = await node.connect(peer.listen_addrs[0])
        assert connection.identified is not None
        await asyncio.wait([connection.identified])
        await connection.close()
        names, data = [], []
        async for line in lines:
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
            if line.startswith("data: "):
                data.append(json.loads(line.removeprefix("data: ")))
            if len(data) == 3:
                break
    assert names == ["connected", "identified", "disconnected"]
    assert {each["peer"] for each in data} == {str(peer.peer_id)}
    assert data[1]["agent_version"].startswith("mesh/")
    assert data[2]["code"] == "closed"


async def test_events_show_that_they_live(caller: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_routes, "HEARTBEAT_S", 0.01)
    async with asyncio.timeout(10), caller.stream("GET", "/v0/events") as answer:
        lines = answer.aiter_lines()
        assert [await anext(lines) for _ in range(3)] == [": listening", "", ": still here"]


async def test_too_many_event_streams(caller: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_routes, "MAX_SUBSCRIBERS", 0)
    answer = await caller.get("/v0/events")
    assert (answer.status_code, answer.json()["code"]) == (503, "limit")


async def test_a_slow_listener_loses_the_oldest() -> None:
    subscriber = Subscriber()
    for number in range(MAX_WAITING + 3):
        subscriber.put(Event(number, "connected", {}))
    first = await subscriber.next(1.0)
    assert first is not None
    assert (first.number, subscriber.lost) == (3, 3)


@pytest.mark.both_loops
async def test_streams_under_way_do_not_hold_up_the_end(node: Node, peer: Node) -> None:
    api = ControlApi(node, "127.0.0.1:0")
    await api.start()
    headers = {"authorization": f"Bearer {api.token}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, trust_env=False, timeout=10) as client:
        asked = {"target": str(peer.listen_addrs[0]), "count": 0, "interval_ms": 60_000}
        async with (
            client.stream("GET", "/v0/events") as events,
            client.stream("POST", "/v0/ping", json=asked) as pings,
        ):
            first, second = events.aiter_lines(), pings.aiter_lines()
            await anext(first)
            await anext(second)
            async with asyncio.timeout(END_S + 3):
                await api.stop()
            await eventually(lambda: not [task for task in asyncio.all_tasks() if task.get_name() == "perf"])


async def test_who_got_nothing_yet_is_told(node: Node) -> None:
    """A dial that hangs in its upgrade does not hold up the end."""
    silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    api = ControlApi(node, "127.0.0.1:0")
    await api.start()
    headers = {"authorization": f"Bearer {api.token}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, trust_env=False, timeout=10) as client:
        asked = {"addr": f"/ip4/127.0.0.1/tcp/{port}"}
        asking = asyncio.create_task(client.post("/v0/swarm/connect", json=asked))
        await eventually(lambda: node.swarm._upgrading)
        async with asyncio.timeout(END_S):
            await api.stop()
        answer = await asking
    assert (answer.status_code, answer.json()["code"]) == (503, "closed")
    silent.close()
    await silent.wait_closed()
