"""`mesh init` and `mesh config`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mesh.config import load
from mesh.config.profiles import PROFILES
from tests.console.conftest import Mesh, Outcome


def test_init(mesh: Mesh, home: Path) -> None:
    outcome = mesh("init")
    assert outcome.status == 0
    assert outcome.err == ""
    peer = mesh("id").out.strip()
    assert outcome.out.splitlines() == [
        f"folder {home}",
        f"config {home}/config.toml",
        f"key {home}/identity.key (new)",
        f"peer {peer}",
        "profile none: listens on loopback only, nothing else is turned on",
    ]
    assert peer.startswith("12D3KooW")
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "identity.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("profile", list(PROFILES))
def test_init_says_what_a_profile_turns_on(mesh: Mesh, home: Path, profile: str) -> None:
    outcome = mesh("init", "--profile", profile)
    assert outcome.status == 0
    said = [line.strip().partition(" = ")[0] for line in outcome.out.splitlines() if line.startswith("  ")]
    assert said == list(PROFILES[profile].values)
    assert f"profile {profile}: {PROFILES[profile].summary}" in outcome.out
    result = load(home, environ={})
    assert {key for key, origin in result.origins.items() if origin.layer == "file"} == set(said)


def test_init_with_path_and_key_type(mesh: Mesh, tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "other"
    assert mesh("init", "--path", folder, "--key-type", "secp256k1").status == 0
    assert not home.exists()
    assert mesh("key", "inspect", "--path", folder, "--json").lines[0]["type"] == "secp256k1"
    assert load(folder, environ={}).config.node.key_type == "secp256k1"


def test_init_overwrites_nothing(mesh: Mesh, home: Path) -> None:
    mesh("init")
    key = (home / "identity.key").read_bytes()
    again = mesh("init", "--profile", "lan")
    assert again.status == 3
    assert "exists already and is not overwritten" in again.err
    (home / "config.toml").unlink()
    kept = mesh("init")
    assert f"key {home}/identity.key (kept)" in kept.out
    assert (home / "identity.key").read_bytes() == key
    (home / "config.toml").write_text("[log\n")
    assert mesh("init").status == 3
    assert (home / "config.toml").read_text() == "[log\n"


def test_init_with_a_damaged_key_writes_no_config(mesh: Mesh, home: Path) -> None:
    home.mkdir()
    (home / "identity.key").write_bytes(b"\x08")
    (home / "identity.key").chmod(0o600)
    outcome = mesh("init")
    assert outcome.status == 3
    assert "identity.key" in outcome.err
    assert not (home / "config.toml").exists()


def test_config_path(mesh: Mesh, home: Path, tmp_path: Path) -> None:
    assert mesh("config", "path") == Outcome(0, f"{home}/config.toml\n", "")
    assert mesh("config", "path", "--path", tmp_path) == Outcome(0, f"{tmp_path}/config.toml\n", "")


def test_config_show(mesh: Mesh, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh("init", "--profile", "test")
    monkeypatch.setenv("MESH_LOG_LEVEL", "info")
    plain = mesh("config", "show").out.splitlines()
    assert "network.dial_timeout_s = 5.0" in plain
    with_origin = mesh("config", "show", "--origin").out.splitlines()
    assert 'log.level = "info"  # MESH_LOG_LEVEL' in with_origin
    assert f'node.path = "{home}"  # MESH_PATH' in with_origin
    assert 'node.key_file = "identity.key"  # default' in with_origin
    values = mesh("config", "show", "--json").lines[0]
    assert values["network"]["max_held_bytes"] == 64 << 20
    assert values["services"]["serve"] == ["echo", "perf"]
    assert values["node"]["path"] == str(home)
    origins = mesh("config", "show", "--json", "--origin").lines[0]
    assert origins["log"]["level"] == {"value": "info", "origin": "MESH_LOG_LEVEL"}
    place = origins["network"]["listen"]["origin"]
    line = (home / "config.toml").read_text().splitlines()[int(place.rpartition(":")[2]) - 1]
    assert line.startswith("listen = ")


def test_config_show_on_a_terminal() -> None:
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    environ = {**os.environ, "TERM": "dumb", "COLUMNS": "100"}
    command = [sys.executable, "-m", "mesh", "config", "show", "--origin"]
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(read_to_the_end, master)
        done = subprocess.run(
            command, stdout=slave, stderr=subprocess.PIPE, env=environ, timeout=20, check=False
        )
        os.close(slave)
        text = reading.result()
    os.close(master)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "network.listen" in text


def read_to_the_end(terminal: int) -> str:
    """All that was written to a terminal whose other side has been closed; it holds no more than some kilobytes."""
    found = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 65536):
            found += chunk
    return found.decode()


def test_config_set(mesh: Mesh, home: Path) -> None:
    mesh("init")
    outcome = mesh("config", "set", "network.listen", '["/ip4/127.0.0.1/tcp/0"]')
    assert (outcome.status, outcome.out) == (0, 'network.listen = ["/ip4/127.0.0.1/tcp/0"]\n')
    assert load(home, environ={}).config.network.listen == ("/ip4/127.0.0.1/tcp/0",)
    assert "# Addresses to listen on." in (home / "config.toml").read_text()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("network.listen", '["/ip4/127.0.0.1/tpc/0"]', "at position 15"),
        ("network.listen", '["ip4"]', "must start with /"),
        ("network.lisen", "[]", "did you mean network.listen?"),
        ("log.level", "loud", "not one of debug"),
        ("network.max_connections", "0", "below the least value 1"),
    ],
)
def test_config_set_checks_first(mesh: Mesh, home: Path, key: str, value: str, message: str) -> None:
    mesh("init")
    before = (home / "config.toml").read_bytes()
    outcome = mesh("config", "set", key, value)
    assert outcome.status == 2
    assert message in outcome.err
    assert (home / "config.toml").read_bytes() == before


@pytest.mark.parametrize("verb", [("config", "show"), ("id",), ("ping", "/ip4/127.0.0.1/tcp/1"), ("daemon",)])
def test_a_damaged_file_stops_every_verb(mesh: Mesh, home: Path, verb: tuple[str, ...]) -> None:
    home.mkdir()
    (home / "config.toml").write_text("[network]\nlisten = 5\n")
    outcome = mesh(*verb, *(["--json"] if verb[0] != "daemon" else []))
    assert outcome.status == 3
    message = f"{home}/config.toml:2: network.listen: expected a list, got 5"
    if verb[0] == "daemon":
        assert outcome.err == f"error: {message}\n"
    else:
        assert outcome.error == {"code": "config", "message": message, "failures": []}
    assert [entry.name for entry in home.iterdir()] == ["config.toml"]
