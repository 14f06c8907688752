"""`mesh beam`, with daemons in processes of their own; one of them is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.console.conftest import Mesh
from tests.console.test_swarm import Running, running

PATIENCE_S = 30.0


@contextlib.contextmanager
def tcp_service(name: bytes) -> Iterator[int]:
    """Says its name to everybody who connects, and ends; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(name)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)


def read_from(address: str) -> bytes:
    """Everything that a local address says; nothing when the connection is broken off."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(ConnectionError), socket.create_connection((host, int(port)), 10) as connection:
        return b"".join(iter(lambda: connection.recv(65_536), b""))
    return b""


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextlib.contextmanager
def beam(folder: Path, *peers: Running) -> Iterator[Running]:
    folder.mkdir()
    known = ", ".join(f'"{each.address}"' for each in peers)
    (folder / "config.toml").write_text(f"[network]\npeering = [{known}]\n")
    with running(folder, "--beam", "--api", "127.0.0.1:0") as started:
        yield started


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Running]:
    with beam(tmp_path / "provider") as started:
        yield started


@pytest.fixture
def second(tmp_path: Path, provider: Running) -> Iterator[Running]:
    with beam(tmp_path / "second", provider) as started:
        yield started


@pytest.fixture
def daemon(home: Path, provider: Running, second: Running) -> Iterator[Running]:
    with beam(home, provider, second) as started:
        yield started


def at(daemon: Running) -> tuple[str, str]:
    return "--path", str(daemon.folder)


def joined(mesh: Mesh, *daemons: Running) -> None:
    """All are in each other's routing tables and neighbours."""

    def standing(each: Running) -> bool:
        [found] = mesh("beam", "status", "--json", *at(each)).lines
        return bool(found["neighbours"] >= len(daemons) - 1 and found["dht"]["peers"] >= len(daemons) - 1)

    for each in daemons:
        until(lambda each=each: standing(each))  # type: ignore[misc]


def test_who_is_allowed_gets_through_and_a_service_outlives_one_of_its_two_providers(
    daemon: Running, provider: Running, second: Running, mesh: Mesh
) -> None:
    joined(mesh, daemon, provider, second)
    with tcp_service(b"secret") as port:
        assert mesh("beam", "expose", "vault", str(port), "--allow", second.peer, *at(provider)).status == 0
        for who, heard in ((second, b"secret"), (daemon, b"")):
            opened = mesh("beam", "open", "vault", "--json", *at(who))
            assert opened.status == 0, opened.err
            assert read_from(opened.lines[0]["local"]) == heard
        assert "not allowed" in mesh("beam", "tunnels").out
    assert mesh("beam", "expose", "myapp", "80").status == 2
    assert mesh("beam", "expose", "myapp", "80", "--public", "--allow", second.peer).status == 2
    with tcp_service(b"first") as one, tcp_service(b"second") as two:
        done = mesh("beam", "expose", "myapp", str(one), "--public", *at(provider))
        assert done.status == 0, done.err
        assert done.out.splitlines()[:2] == [
            f"service myapp.local at {provider.peer}",
            "name myapp of this node",
        ]
        taken = mesh("beam", "expose", "myapp", str(two), "--public", "--json", *at(second))
        assert taken.status != 0
        assert taken.error["code"] == "name-taken"
        assert mesh("beam", "names", "allow", "myapp", second.peer, *at(provider)).status == 0
        assert mesh("beam", "expose", "myapp", str(two), "--public", *at(second)).status == 0
        until(
            lambda: (
                len(mesh("beam", "resolve", "myapp", "--all", "--fresh", "--json").lines[0]["providers"]) == 2
            )
        )
        opened = mesh("beam", "open", "myapp", "--json")
        assert opened.status == 0, opened.err
        local = opened.lines[0]["local"]
        answers = {read_from(local) for _ in range(3)}
        assert answers <= {b"first", b"second"}
        served = read_from(local)
        victim, left = (provider, b"second") if served == b"first" else (second, b"first")
        os.kill(victim.process.pid, signal.SIGKILL)
        victim.process.communicate()
        assert read_from(local) == left
        row = mesh("beam", "tunnels", "--json").lines[0]["tunnels"][-1]
        assert row["provider"] == (second.peer if victim is provider else provider.peer)
        assert mesh("beam", "close", str(opened.lines[0]["id"])).out == f"closed {opened.lines[0]['id']}\n"
        assert read_from_refused(local)


def read_from_refused(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection((host, int(port)), 5):
        return False
    return True


def test_services_names_status_and_peers(
    daemon: Running, provider: Running, second: Running, mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined(mesh, daemon, provider, second)
    done = mesh(
        "beam", "register", "shop", "--meta", "version=1", "--meta", 'capabilities=["http"]', "--json"
    )
    assert done.lines[0]["service"]["metadata"] == {"version": 1, "capabilities": ["http"]}
    shown = mesh("beam", "resolve", "shop.local", *at(second)).out.splitlines()
    assert shown[0] == f"owner {daemon.peer}"
    assert shown[1].startswith(f"provider {daemon.peer} (direct, ")
    assert shown[-1].startswith("found in ")
    context = mesh("beam", "resolve", "shop", "--context", "webhook", "--json", *at(second)).lines[0]
    assert context["targets"][0]["type"] == "p2p"
    assert "shop.local  http  this node" in mesh("beam", "list").out
    assert "shop  this node" in mesh("beam", "names", "list").out
    assert mesh("beam", "names", "show", "shop", *at(second)).out.startswith("name shop, version ")
    token = mesh("beam", "names", "transfer", "shop", "--to", second.peer).out.strip()
    assert mesh("beam", "names", "accept", token, *at(second)).out.startswith("name shop of this node")
    assert mesh("beam", "names", "trust", "shop", second.peer).out == f"shop: {second.peer}\n"
    assert mesh("beam", "names", "forget", "shop").out == "shop: whoever is seen first\n"
    assert "is offered no more" in mesh("beam", "unregister", "shop").out
    assert "is given up" in mesh("beam", "names", "revoke", "shop", *at(second)).out
    missing = mesh("beam", "resolve", "nobody-has-it")
    assert (missing.status, missing.out.splitlines()[0]) == (1, "nobody provides nobody-has-it.local")
    assert mesh("beam", "names", "claim", "other").out == "name other of this node\n"
    assert mesh("beam", "names", "update", "other", "--ttl", "120", "--json").lines[0]["ttl"] == 120
    wrong = mesh("beam", "register", "www")
    assert wrong.status == 2
    assert "reserved" in wrong.err
    assert mesh("beam", "register", "abc", "--meta", "x").status == 2

    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("mesh.console.beam.time.sleep", pause)
    assert len(mesh("beam", "status", "--watch", "--json", "--interval", "0.5").lines) == 3
    assert pauses == [0.5] * 3
    lines = mesh("beam", "status").out.splitlines()
    assert lines[0].startswith("peers online: 2, 2 of Beam's network")
    assert lines[1] == "dht: server, 2 peers, health 100 %"
    assert mesh("beam", "network", "status").out.startswith("peers online: 2")
    doctor = mesh("beam", "doctor")
    assert (doctor.status, doctor.out) == (1, "2 peers are connected, 3 are few: name more peers\n")
    assert mesh("beam", "network", "health", "--json").lines[0]["concerns"][0]["code"] == "few-peers"
    assert "this node: " in mesh("beam", "network", "health").out
    assert mesh("beam", "network", "peers").out.count("trust ") == 2
    assert mesh("beam", "network", "bootstrap").out == "no peer is named in network.bootstrap\n"
    assert mesh("bootstrap", "add", provider.address).status == 0
    assert provider.address in mesh("beam", "network", "bootstrap").out
    assert mesh("beam", "network", "stats", "--period", "5m", "--json").lines[0]["period"] == "5m"
    assert mesh("beam", "network", "stats", "--period", "1y").status == 2
    assert mesh("beam", "network", "my-stats").out.startswith("routes provided: 0\n")
    assert mesh("beam", "network", "routes").out == "no path was taken yet\n"
    assert mesh("beam", "network", "alerts").out == "no alert\n"
    assert mesh("beam", "network", "outbox").out == "nothing waits\n"
    assert mesh("beam", "cache").out.endswith("remembered services\n")
    assert mesh("beam", "cache", "--clear").out.startswith("forgot ")
    assert provider.peer in mesh("beam", "peer", "list").out
    assert "/beam/gossip/1.0.0" in mesh("beam", "peer", "info", provider.peer).out
    assert "beam/1.0.0" in mesh("beam", "peer", "info", provider.peer).out
    assert mesh("beam", "peer", "disconnect", second.peer).out == f"disconnected {second.peer}\n"
    assert mesh("beam", "peer", "connect", second.address).out.startswith(f"connected {second.peer}")
    banned = mesh("beam", "peer", "ban", second.peer, "--reason", "sends forged records")
    assert banned.out.startswith(f"banned {second.peer}; ")
    assert mesh("swarm", "deny").out.rstrip().endswith(f"{second.peer}  sends forged records")


def test_without_a_daemon(mesh: Mesh, home: Path) -> None:
    assert mesh("beam", "status", "--json").error["code"] == "no-daemon"
