"""The verbs that ask the running daemon, against two daemons; and what they say when there is none."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from mesh.codecs.keys import KeyType
from mesh.console import client
from mesh.errors import NetworkError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from tests.console.conftest import Mesh

FREE = "/ip4/127.0.0.1/tcp/0"
DEADLINE_S = 20


@dataclass
class Running:
    """A daemon in a process of its own."""

    process: subprocess.Popen[str]
    folder: Path
    lines: list[str]

    def told(self, name: str) -> str:
        return next(line.removeprefix(f"{name} ") for line in self.lines if line.startswith(f"{name} "))

    @property
    def peer(self) -> str:
        return self.told("peer")

    @property
    def address(self) -> str:
        return self.told("listening")

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, err


Start = Callable[..., Running]


@contextlib.contextmanager
def running(
    folder: Path, *arguments: str, program: Sequence[str] = (sys.executable, "-m", "mesh")
) -> Iterator[Running]:
    """A daemon of this folder, killed at the end."""
    process = subprocess.Popen(
        [*program, "daemon", "--path", str(folder), "--listen", FREE, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line == "ready\n":
                break
        yield Running(process, folder, lines)
    finally:
        if process.returncode is None:
            process.kill()
            process.communicate()


@pytest.fixture
def daemon(home: Path) -> Iterator[Running]:
    """The daemon of this test's data folder."""
    with running(home, "--api", "127.0.0.1:0") as started:
        yield started


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Somebody else's, who serves perf."""
    with running(tmp_path_factory.mktemp("other") / "home", "--api", "off", "--serve", "perf") as started:
        yield started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_says_where_it_is_and_leaves_nothing(daemon: Running, number: signal.Signals) -> None:
    assert [line.partition(" ")[0] for line in daemon.lines] == ["peer", "listening", "api", "ready"]
    note = json.loads((daemon.folder / "api.json").read_text())
    assert note["url"] == daemon.told("api")
    assert note["url"].startswith("http://127.0.0.1:")
    assert note["pid"] == daemon.process.pid
    assert daemon.end(number) == (0, "")
    assert not (daemon.folder / "api.json").exists()
    assert (daemon.folder / "api.token").stat().st_mode & 0o777 == 0o600


def test_connections(daemon: Running, other: Running, mesh: Mesh) -> None:
    assert mesh("swarm", "peers").out == ""
    made = mesh("swarm", "connect", other.address, "--json")
    assert (made.status, made.lines[0]["peer"]) == (0, other.peer)
    (line,) = mesh("swarm", "peers").out.splitlines()
    assert line.startswith(f"{other.peer}  /ip4/127.0.0.1/tcp/")
    assert "outbound" in line
    assert mesh("swarm", "peers", "--json").lines[0]["peers"][0]["peer"] == other.peer
    assert f"own{' ' * 49}  {daemon.address}" in mesh("swarm", "addrs").out
    assert other.peer in mesh("swarm", "addrs").out
    assert mesh("swarm", "addrs", "--json").lines[0]["own"] == [daemon.address]
    assert mesh("swarm", "disconnect", other.peer).out == f"disconnected  {other.peer}  1 connections\n"
    assert mesh("swarm", "connect", other.peer).out.startswith(f"connected  {other.peer}")
    assert mesh("swarm", "disconnect", other.peer, "--json").lines == [{"peer": other.peer, "connections": 1}]
    gone = mesh("swarm", "disconnect", other.peer, "--json")
    assert (gone.status, gone.error["code"]) == (1, "unknown-peer")


def test_kept_peers(home: Path, other: Running, mesh: Mesh) -> None:
    with running(home, "--api", "127.0.0.1:0"):
        assert "set keeping.enabled to true" in mesh("swarm", "kept").out
        assert mesh("swarm", "kept", "--json").lines[0]["enabled"] is False
    os.environ["MESH_KEEPING_ENABLED"] = "true"
    try:
        with running(home, "--api", "127.0.0.1:0"):
            mesh("swarm", "connect", other.address)
            first, line = mesh("swarm", "kept").out.splitlines()
            assert first == "1 connected, 25 to 50 wanted"
            assert line.startswith(f"{other.peer}  ")
            assert "connected" in line
    finally:
        del os.environ["MESH_KEEPING_ENABLED"]


def test_limits_and_stats(daemon: Running, mesh: Mesh) -> None:
    shown = mesh("swarm", "limits").out
    assert "system" in shown
    assert "conns_inbound" in shown
    assert mesh("swarm", "limits", "--peers", "--json").lines[0]["scopes"][0]["scope"] == "system"
    stats = mesh("stats", "--json").lines[0]
    assert (stats["connections"], stats["peers"]) == (0, 0)
    assert "loop lag: p99 " in mesh("stats").out


def test_rules(daemon: Running, other: Running, mesh: Mesh) -> None:
    mesh("swarm", "connect", other.address)
    assert mesh("swarm", "deny", other.peer).out == f"deny  {other.peer}  1 connections closed\n"
    assert mesh("swarm", "deny").out == f"deny  {other.peer}\n"
    denied = mesh("swarm", "connect", other.address, "--json")
    assert (denied.status, denied.error["code"]) == (1, "denied")
    assert mesh("swarm", "deny", other.peer, "--drop").out == f"dropped  {other.peer}\n"
    assert mesh("swarm", "deny", "--json").lines == [{"rules": []}]
    assert mesh("swarm", "allow", "10.0.0.0/8", "--json").lines[0]["rule"] == "10.0.0.0/8"
    assert mesh("swarm", "allow").out == "allow  10.0.0.0/8\n"
    assert mesh("swarm", "allow", "--drop").status == 2
    wrong = mesh("swarm", "deny", "10.0.0.1/8")
    assert wrong.status == 2
    assert "10.0.0.0/8" in wrong.err


def test_probes_go_through_the_daemon(daemon: Running, other: Running, mesh: Mesh) -> None:
    *pings, summary = mesh("ping", other.address, "-c", "2", "--interval-ms", "0", "--json").lines
    assert [each["seq"] for each in pings] == [0, 1]
    assert (summary["count"], summary["lost"]) == (2, 0)
    words = mesh("ping", other.peer, "-c", "1").out.splitlines()
    assert words[0] == f"ping {other.peer}"
    assert words[1].startswith("seq=0 time=")
    assert mesh("identify", other.peer, "--json").lines[0]["peer_id"] == other.peer
    assert mesh("swarm", "peers", "--json").lines[0]["peers"][0]["peer"] == other.peer
    assert mesh("identify", other.address, "--direct").out.startswith(f"peer id: {other.peer}")
    *_, final = mesh("perf", other.peer, "--upload-bytes", "1MiB", "--download-bytes", "7", "--json").lines
    assert (final["type"], final["uploadBytes"], final["downloadBytes"]) == ("final", 1024 * 1024, 7)


def test_probes_that_fail_there(daemon: Running, mesh: Mesh) -> None:
    nobody = mesh("ping", "/ip4/127.0.0.1/tcp/1", "--json")
    assert (nobody.status, nobody.out, nobody.error["code"]) == (1, "", "dial")
    (failure,) = nobody.error["failures"]
    assert failure["stage"] == "connect"
    assert mesh("ping", "nonsense").status == 2
    stranger = str(PeerId.from_public_key(PrivateKey.generate(KeyType.ED25519).public))
    assert mesh("identify", stranger, "--json").error["code"] == "dial"
    assert mesh("perf", daemon.address, "--json").error["code"] == "usage"


@pytest.mark.parametrize(
    "words",
    [("peers",), ("connect", "x"), ("disconnect", "x"), ("addrs",), ("limits",), ("deny",), ("allow", "x")],
)
def test_no_daemon(mesh: Mesh, home: Path, words: tuple[str, ...]) -> None:
    outcome = mesh("swarm", *words)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == (
        f"error: no daemon with a control API runs in {home}; start one with: mesh daemon --path {home}\n"
    )
    assert mesh("stats", "--json").error["code"] == "no-daemon"


@pytest.mark.parametrize(
    "note", [b"", b"{}", b"[1]", b"\xff", b'{"url":"ftp://x","pid":1}', b'{"url":1,"pid":"x"}']
)
def test_a_note_that_means_nothing(home: Path, note: bytes) -> None:
    home.mkdir()
    (home / "api.json").write_bytes(note)
    assert client.find(home) is None


def test_a_note_of_a_process_that_ended(home: Path) -> None:
    home.mkdir()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (home / "api.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": ended.pid}))
    assert client.find(home) is None


def test_a_daemon_that_does_not_answer(mesh: Mesh, home: Path) -> None:
    home.mkdir()
    (home / "api.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": os.getpid()}))
    (home / "api.token").write_text("x" * 43)
    (home / "api.token").chmod(0o600)
    outcome = mesh("stats", "--json")
    assert (outcome.status, outcome.error["code"]) == (1, "no-daemon")
    assert "127.0.0.1:1" in outcome.error["message"]


def test_an_answer_of_something_else() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        program = (
            "import socket,sys\ns=socket.socket(fileno=int(sys.argv[1])); c=s.accept()[0]; c.recv(4096)\n"
            "c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi'); c.close()"
        )
        with (
            subprocess.Popen(
                [sys.executable, "-c", program, str(listener.fileno())], pass_fds=[listener.fileno()]
            ),
            pytest.raises(NetworkError, match="not what this version expects"),
        ):
            client.Daemon(url, "x" * 43).ask("GET", "/stats")


def test_a_wrong_token(daemon: Running, mesh: Mesh) -> None:
    (daemon.folder / "api.token").write_text("x" * 43)
    outcome = mesh("stats", "--json")
    assert (outcome.status, outcome.error["code"]) == (1, "token")


def test_over_a_unix_socket(home: Path, mesh: Mesh, tmp_path: Path) -> None:
    with running(home, "--api", f"unix:{tmp_path}/api.sock") as started:
        assert started.told("api") == f"unix:{tmp_path}/api.sock"
        assert mesh("stats", "--json").lines[0]["connections"] == 0
        assert started.end() == (0, "")
    assert not (tmp_path / "api.sock").exists()


def test_a_chosen_api_port_that_is_taken(mesh: Mesh) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen(1)
        port = holder.getsockname()[1]
        outcome = mesh("daemon", "--listen", FREE, "--api", f"127.0.0.1:{port}")
    assert (outcome.status, outcome.out) == (3, "")
    assert str(port) in outcome.err


def test_the_default_api_port_gives_way(home: Path) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            holder.bind(("127.0.0.1", 4003))
            holder.listen(1)
        with running(home) as started:
            assert started.told("api") not in ("", "http://127.0.0.1:4003")
            status, err = started.end()
    assert status == 0
    assert err.startswith("warning: the API address 127.0.0.1:4003 is in use; using a free port")


def test_off_by_file(home: Path) -> None:
    home.mkdir(0o700)
    (home / "config.toml").write_text('[api]\nlisten = "off"\n')
    with running(home) as started:
        assert [line.partition(" ")[0] for line in started.lines] == ["peer", "listening", "ready"]
        assert started.end() == (0, "")


def test_an_interrupted_ping_through_the_daemon(daemon: Running, other: Running, mesh: Mesh) -> None:
    words = [sys.executable, "-m", "mesh", "ping", other.address, "-c", "0", "--interval-ms", "20", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["seq"] == 0
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, err) == (130, "")
    summary = json.loads(out.splitlines()[-1])
    assert (summary["type"], summary["lost"]) == ("summary", 0)
    assert mesh("stats", "--json").lines[0]["connections"] == 1


def test_the_daemon_ends_under_listeners(daemon: Running, other: Running) -> None:
    """Somebody listens to events, somebody pings without end, somebody has only connected."""
    found = client.find(daemon.folder)
    assert found is not None
    host, _, port = daemon.told("api").removeprefix("http://").partition(":")
    pings = found.lines("/ping", {"target": other.address, "count": 0, "interval_ms": 60_000})
    assert next(pings)["type"] == "peer"
    head = (daemon.folder / "api.token").read_text().strip()
    request = f"GET /v0/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {head}\r\n\r\n"
    address = (host, int(port))
    with socket.create_connection(address) as listener, socket.create_connection(address):
        listener.sendall(request.encode())
        assert listener.recv(4096).startswith(b"HTTP/1.1 200")
        status, err = daemon.end()
    assert (status, err) == (0, "")
    assert not (daemon.folder / "api.json").exists()
    with contextlib.suppress(NetworkError):
        list(pings)


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom mesh.console.application import run\nstatus = run(['swarm', '--help'])\n"
        "heavy = ('fastapi', 'uvicorn', 'httpx', 'rich', 'prometheus_client', 'mesh.node', 'mesh.api')\n"
        "print('loaded', status, [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded 0 []"
