"""`mesh daemon` as a process: its lines, its signals, its ports; and the probes against it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.console.conftest import Mesh

DEADLINE_S = 15
FREE = "/ip4/127.0.0.1/tcp/0"


@dataclass
class Daemon:
    """A running `mesh daemon` and the lines it printed up to `ready`."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    @property
    def peer(self) -> str:
        return self.lines[0].removeprefix("peer ")

    @property
    def addresses(self) -> list[str]:
        return [line.removeprefix("listening ") for line in self.lines if line.startswith("listening ")]

    async def until_ready(self) -> None:
        assert self.process.stdout is not None
        while not self.lines or self.lines[-1] != "ready":
            line = await self.process.stdout.readline()
            assert line, await self.errors()
            self.lines.append(line.decode().rstrip("\n"))

    async def errors(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        return await self.process.wait(), await self.errors()


async def spawn(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mesh", *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )


@contextlib.asynccontextmanager
async def daemon(*arguments: str) -> AsyncIterator[Daemon]:
    """Runs one, without a control API unless ``arguments`` ask for it."""
    process = await spawn("daemon", *arguments, *([] if "--api" in arguments else ["--api", "off"]))
    try:
        async with asyncio.timeout(DEADLINE_S):
            running = Daemon(process)
            await running.until_ready()
            yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def command(*arguments: str) -> tuple[int, str, str]:
    process = await spawn(*arguments)
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
def taken() -> Iterator[int]:
    """A loopback port that another program listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener.getsockname()[1]


def put(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(0o700)
    file = folder / name
    file.write_bytes(content)
    file.chmod(0o600)
    return file


def contents(folder: Path) -> tuple[int, list[str]] | None:
    """Mode and names of a folder, None when there is none."""
    if not folder.exists():
        return None
    return folder.stat().st_mode & 0o777, [entry.name for entry in folder.iterdir()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_first_run_and_signals(home: Path, number: signal.Signals) -> None:
    async with daemon("--listen", FREE) as running:
        assert running.lines[-1] == "ready"
        assert running.peer.startswith("12D3KooW")
        (address,) = running.addresses
        assert address.startswith("/ip4/127.0.0.1/tcp/")
        assert "/tcp/0/" not in address
        assert address.endswith(f"/p2p/{running.peer}")
        mode, names = contents(home) or (0, [])
        assert mode == 0o700
        assert "identity.key" in names
        assert not [name for name in names if name.startswith("api.")]
        assert await running.end(number) == (0, "")
    async with daemon("--listen", FREE) as again:
        assert again.peer == running.peer
        assert await again.end(number) == (0, "")


async def test_probes_against_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with daemon("--listen", FREE, "--listen", FREE, "--serve", "echo,perf") as running:
        assert len(running.addresses) == 2
        monkeypatch.setenv("MESH_PATH", str(tmp_path / "prober"))
        status, out, err = await command(
            "ping", running.addresses[0], "-c", "3", "--interval-ms", "0", "--json"
        )
        assert (status, err) == (0, "")
        *pings, summary = (json.loads(line) for line in out.splitlines())
        assert [ping["seq"] for ping in pings] == [0, 1, 2]
        assert all(ping["type"] == "ping" and ping["rtt_us"] > 0 for ping in pings)
        assert (summary["type"], summary["count"], summary["lost"]) == ("summary", 3, 0)
        assert summary["median_us"] <= summary["p99_us"]

        bare = running.addresses[1].partition("/p2p/")[0]
        status, out, err = await command("identify", bare, "--json")
        assert (status, err) == (0, "")
        told = json.loads(out)
        assert told["peer_id"] == running.peer
        assert told["agent_version"].startswith("mesh/")
        assert told["protocol_version"] == "ipfs/0.1.0"
        assert "/ipfs/ping/1.0.0" in told["protocols"]
        assert "/perf/1.0.0" in told["protocols"]
        assert not (tmp_path / "prober").exists()
        assert await running.end() == (0, "")


async def test_settings_from_the_file(home: Path) -> None:
    assert (await command("init", "--profile", "test"))[0] == 0
    async with daemon() as running:
        assert len(running.addresses) == 3
        assert running.peer in (await command("id"))[1]
        assert await running.end() == (0, "")


async def test_listening_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_NETWORK_LISTEN", "")
    async with daemon() as running:
        assert running.lines == [f"peer {running.peer}", "ready"]
        assert await running.end() == (0, "")


@pytest.mark.parametrize("how", ["flag", "variable", "file"])
def test_a_chosen_port_that_is_taken(
    mesh: Mesh, taken: int, how: str, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    address = f"/ip4/127.0.0.1/tcp/{taken}"
    if how == "variable":
        monkeypatch.setenv("MESH_NETWORK_LISTEN", address)
    if how == "file":
        put(home, "config.toml", f'[network]\nlisten = ["{address}"]\n'.encode())
    outcome = mesh("daemon", "--api", "off", *(["--listen", address] if how == "flag" else []))
    assert (outcome.status, outcome.out) == (3, "")
    assert outcome.err.startswith("error: ")
    assert str(taken) in outcome.err
    assert "Traceback" not in outcome.err


async def test_the_default_port_gives_way() -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            holder.bind(("127.0.0.1", 4001))
            holder.listen(1)
        async with daemon() as running:
            kinds = [re.sub(r"[0-9]{4,}|/p2p/.*", "", each) for each in running.addresses]
            assert kinds == ["/ip4/127.0.0.1/tcp/", "/ip4/127.0.0.1/udp//quic-v1", "/ip4/127.0.0.1/tcp//ws"]
            assert not any(re.search("/400[12]/", each) for each in running.addresses)
            status, err = await running.end()
    assert status == 0
    assert err.startswith("warning: ")
    assert "4001" in err
    assert "free port" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--listen", "/ip4/127.0.0.1/tpc/1"), "--listen: '/ip4/127.0.0.1/tpc/1' is not a multiaddr at"),
        (("--listen", "/ip4/127.0.0/tcp/1"), "position 5"),
        (("--listen", FREE, "--listen", "ip4"), "--listen: network.listen: 'ip4' is not a multiaddr"),
        (("--bootstrap", "nobody"), "--bootstrap: "),
        (("--serve", "ecko"), "did you mean echo?"),
        (("--api", "nonsense"), "--api: "),
        (("--log-level", "loud"), "--log-level: "),
    ],
)
def test_wrong_flags(mesh: Mesh, arguments: tuple[str, ...], message: str, home: Path) -> None:
    outcome = mesh("daemon", *arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert message in outcome.err
    assert not home.exists()


def test_a_wrong_address_in_the_environment(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_NETWORK_LISTEN", "/ip4/127.0.0.1/tpc/1")
    outcome = mesh("daemon")
    assert outcome.status == 3
    place = "MESH_NETWORK_LISTEN: network.listen: '/ip4/127.0.0.1/tpc/1' is not a multiaddr at position 15"
    assert place in outcome.err


def test_a_damaged_key(mesh: Mesh, home: Path) -> None:
    key = put(home, "identity.key", b"nonsense\xff")
    outcome = mesh("daemon", "--listen", FREE)
    assert (outcome.status, outcome.out) == (3, "")
    assert str(key) in outcome.err
    assert key.read_bytes() == b"nonsense\xff"


def _gone() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize(
    ("stdout", "said"),
    [
        (_gone, b"warning: nobody reads stdout; the node goes on\n"),
        (
            lambda: os.open("/dev/full", os.O_WRONLY),
            b"warning: stdout cannot be written: No space left on device; the node goes on\n",
        ),
    ],
    ids=["reader gone", "disk full"],
)
async def test_a_lost_stdout_does_not_end_the_daemon(stdout: Callable[[], int], said: bytes) -> None:
    writing = stdout()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mesh", "daemon", "--listen", FREE, "--api", "off"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=writing,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(writing)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(DEADLINE_S):
            line = await process.stderr.readline()
            assert line == said
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
            assert await process.stderr.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("verb", ["ping", "identify"])
def test_nobody_there(mesh: Mesh, verb: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        outcome = mesh(verb, f"/ip4/127.0.0.1/tcp/{port}", "--json")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.error["code"] == "dial"
    (failure,) = outcome.error["failures"]
    assert failure["address"].startswith(f"/ip4/127.0.0.1/tcp/{port}")
    assert failure["stage"]
    assert failure["cause"]


async def test_an_interrupted_ping_still_sums_up() -> None:
    async with daemon("--listen", FREE) as running:
        process = await spawn("ping", running.addresses[0], "-c", "0", "--json")
        assert process.stdout is not None
        try:
            first = json.loads(await process.stdout.readline())
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
        summary = json.loads(out.splitlines()[-1])
        assert first["seq"] == 0
        assert (process.returncode, err) == (130, b"")
        assert (summary["type"], summary["lost"]) == ("summary", 0)
