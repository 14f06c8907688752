"""`mesh bootstrap`: the running daemon and the configuration file change together, or one alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.config import load
from tests.console.conftest import Mesh
from tests.console.test_dht import until
from tests.console.test_swarm import Running, running

NOBODY = "/ip4/127.0.0.1/tcp/1"
ELSEWHERE = "/ip4/127.0.0.1/tcp/2"


@pytest.fixture
def daemon(home: Path) -> Iterator[Running]:
    with running(home, "--api", "127.0.0.1:0") as started:
        yield started


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("other") / "home", "--api", "off") as started:
        yield started


def saved(home: Path) -> tuple[str, ...]:
    return load(home, environ={}).config.network.bootstrap


def test_with_a_daemon(daemon: Running, other: Running, mesh: Mesh, home: Path) -> None:
    assert mesh("bootstrap", "list").out == ""
    added = mesh("bootstrap", "add", other.address)
    assert (added.status, added.out) == (0, f"added {other.address} (daemon and configuration)\n")
    assert saved(home) == (other.address,)
    until(lambda: mesh("bootstrap", "list").out == f"{other.address}  connected\n")
    again = mesh("bootstrap", "add", other.address, "--json")
    assert again.lines == [{"addr": other.address, "daemon": True, "saved": False}]
    assert mesh("swarm", "peers", "--json").lines[0]["peers"][0]["peer"] == other.peer
    assert mesh("bootstrap", "add", NOBODY, "--no-save").out == f"added {NOBODY} (daemon)\n"
    assert saved(home) == (other.address,)
    until(lambda: f"{NOBODY}  failed " in mesh("bootstrap", "list").out)
    assert "next try in" in mesh("bootstrap", "list").out
    assert ": connect: " in mesh("bootstrap", "list").out
    assert mesh("bootstrap", "list", "--json").lines[0]["peers"][0]["reached"]
    assert (
        mesh("bootstrap", "rm", other.address).out == f"removed {other.address} (daemon and configuration)\n"
    )
    assert saved(home) == ()
    assert mesh("bootstrap", "rm", NOBODY, "--json").lines == [
        {"addr": NOBODY, "daemon": True, "saved": False}
    ]
    gone = mesh("bootstrap", "rm", NOBODY, "--json")
    assert (gone.status, gone.error["code"]) == (1, "unknown-peer")


def test_without_a_daemon(mesh: Mesh, home: Path, other: Running) -> None:
    mesh("init")
    text = (home / "config.toml").read_text()
    assert mesh("bootstrap", "add", other.address).out == f"added {other.address} (configuration)\n"
    assert mesh("bootstrap", "add", NOBODY, "--json").lines == [
        {"addr": NOBODY, "daemon": False, "saved": True}
    ]
    assert mesh("bootstrap", "add", NOBODY).out == f"added {NOBODY} (nothing to change)\n"
    assert saved(home) == (other.address, NOBODY)
    assert len((home / "config.toml").read_text().splitlines()) == len(text.splitlines())
    assert mesh("bootstrap", "list").out.splitlines() == [
        f"{other.address}  no daemon runs",
        f"{NOBODY}  no daemon runs",
    ]
    (listed,) = mesh("bootstrap", "list", "--json").lines
    assert listed["peers"] == [{"addr": other.address, "peer": other.peer}, {"addr": NOBODY, "peer": None}]
    assert mesh("bootstrap", "rm", other.address).out == f"removed {other.address} (configuration)\n"
    assert saved(home) == (NOBODY,)
    gone = mesh("bootstrap", "rm", other.address)
    assert (gone.status, gone.err) == (1, f"error: {other.address} is not in the bootstrap list\n")
    for verb in ("add", "rm"):
        assert mesh("bootstrap", verb, NOBODY, "--no-save", "--json").error["code"] == "no-daemon"
    assert saved(home) == (NOBODY,)


def test_only_in_the_file(daemon: Running, mesh: Mesh, home: Path) -> None:
    mesh("config", "set", "network.bootstrap", f'["{NOBODY}"]')
    assert mesh("bootstrap", "rm", NOBODY).out == f"removed {NOBODY} (configuration)\n"
    assert saved(home) == ()


@pytest.mark.parametrize("how", ["daemon", "direct"])
def test_check(home: Path, other: Running, mesh: Mesh, how: str) -> None:
    mesh("init")
    mesh("bootstrap", "add", other.address)
    mesh("bootstrap", "add", NOBODY)
    before = (home / "config.toml").read_bytes()
    if how == "daemon":
        with running(home, "--api", "127.0.0.1:0"):
            outcome, as_json = mesh("bootstrap", "check"), mesh("bootstrap", "check", "--json")
            assert len(mesh("bootstrap", "list", "--json").lines[0]["peers"]) == 2
    else:
        outcome, as_json = mesh("bootstrap", "check", "--direct"), mesh("bootstrap", "check", "--json")
    assert (outcome.status, outcome.err) == (1, "")
    lines = outcome.out.splitlines()
    assert any(line.startswith(f"{other.address}  answered in ") for line in lines)
    assert f"{NOBODY}  failed" in lines
    assert any(line.startswith(f"  {NOBODY}: connect: ") for line in lines)
    assert lines[-1] == "1 of 2 answered"
    found = {each["addr"]: each for each in as_json.lines}
    assert found[other.address]["answered"]
    assert not found[NOBODY]["answered"]
    assert found[NOBODY]["failures"][0]["stage"] == "connect"
    assert (home / "config.toml").read_bytes() == before


def test_check_when_all_answer(mesh: Mesh, other: Running) -> None:
    assert mesh("bootstrap", "check").out == "0 of 0 answered\n"
    mesh("bootstrap", "add", other.address)
    assert mesh("bootstrap", "check").status == 0


def test_the_environment_wins(
    mesh: Mesh, home: Path, monkeypatch: pytest.MonkeyPatch, other: Running
) -> None:
    monkeypatch.setenv("MESH_NETWORK_BOOTSTRAP", other.address)
    outcome = mesh("bootstrap", "add", NOBODY)
    assert outcome.status == 0
    assert outcome.err == f"warning: MESH_NETWORK_BOOTSTRAP is set and wins over {home}/config.toml\n"
    assert saved(home) == (NOBODY,)
    assert mesh("bootstrap", "list").out == f"{other.address}  no daemon runs\n"


@pytest.mark.parametrize("verb", ["add", "rm"])
def test_no_address(mesh: Mesh, home: Path, verb: str) -> None:
    outcome = mesh("bootstrap", verb, "/ip4/127.0.0.1/tpc/1", "--json")
    assert (outcome.status, outcome.error["code"]) == (2, "usage")
    assert "at position 15" in outcome.error["message"]
    assert not home.exists()


def test_a_damaged_file(mesh: Mesh, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("[network]\nbootstrap = 5\n")
    for words in (("list",), ("add", NOBODY), ("rm", NOBODY), ("check",)):
        outcome = mesh("bootstrap", *words, "--json")
        assert (outcome.status, outcome.error["code"]) == (3, "config")
    assert (home / "config.toml").read_text() == "[network]\nbootstrap = 5\n"


def test_the_daemon_refuses_itself(daemon: Running, mesh: Mesh, home: Path) -> None:
    outcome = mesh("bootstrap", "add", daemon.address, "--json")
    assert (outcome.status, outcome.error["code"]) == (2, "usage")
    assert saved(home) == ()
