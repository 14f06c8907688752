"""`mesh lethean`: a worker as a process, and the verbs of a controller beside it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.lethean.handshaking import split_address
from mesh.apps.lethean.levin_peer import dial_levin
from mesh.apps.lethean.packets import PacketSender
from mesh.codecs.ueps import Intent
from mesh.protocols.lethean.levin import LevinNode
from tests.console.conftest import Mesh

SECRET = b"a secret of the packets"
NETWORK = bytes(range(16))
PROGRAMS = f"""
[talk]
command = ["{sys.executable}", "-uc", "import time; print('speed 12.5', '{{word}}'); time.sleep(600)"]
[talk.parameters.word]
type = "text"
default = "hello"
[talk.figures]
hashrate = "speed ([0-9.]+)"
"""


@dataclass
class Serving:
    """A running `mesh lethean serve`."""

    process: subprocess.Popen[str]
    folder: Path
    address: str = ""
    node: str = ""
    ueps: str = ""
    levin: str = ""


@pytest.fixture
def boss(mesh: Mesh) -> dict[str, Any]:
    """The identity of the data folder."""
    return mesh("lethean", "init", "--role", "controller", "--name", "boss", "--json").lines[0]


@pytest.fixture
def worker(tmp_path: Path, boss: dict[str, Any]) -> Iterator[Serving]:
    (tmp_path / "programs.toml").write_text(PROGRAMS)
    folder = tmp_path / "worker"
    arguments = ["--path", str(folder), "--listen", "127.0.0.1:0", "--allow", boss["public_key"]]
    arguments += ["--grant", f"{boss['id']}=all", "--programs", str(tmp_path / "programs.toml")]
    secret = tmp_path / "ueps.secret"
    secret.touch(mode=0o600)
    secret.write_bytes(SECRET)
    arguments += ["--ueps", "127.0.0.1:0", "--ueps-secret", str(secret)]
    arguments += ["--levin", "127.0.0.1:0", "--levin-network", NETWORK.hex()]
    process = subprocess.Popen(
        [sys.executable, "-m", "mesh", "lethean", "serve", *arguments, "--api", "off", "--name", "rig"],
        stdout=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("MESH_")},
    )
    assert process.stdout is not None
    made = Serving(process, folder)
    for line in process.stdout:
        words = line.split()
        if words[:2] == ["lethean", "listening"]:
            made.address = words[2]
        elif words[:2] == ["ueps", "listening"]:
            made.ueps = words[2]
        elif words[:2] == ["levin", "listening"]:
            made.levin = words[2]
        elif words[0] == "lethean":
            made.node = words[1]
        elif words == ["ready"]:
            break
    yield made
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.stdout.close()


def test_init_keeps_what_is_there(mesh: Mesh, boss: dict[str, Any]) -> None:
    again = mesh("lethean", "init", "--role", "controller", "--name", "boss")
    assert f"node {boss['id']}" in again.out
    assert f"public key {boss['public_key']}" in again.out
    assert Path(boss["key"]).stat().st_size == 32


def test_a_miner_from_start_to_stop(mesh: Mesh, worker: Serving) -> None:
    known = mesh("lethean", "connect", worker.address, "--json").lines[0]
    assert (known["peer"], known["name"]) == (worker.node, "rig")
    assert mesh("lethean", "ping", "--json").lines[0]["rtt_ms"] > 0
    started = mesh("lethean", "start", "talk", "--config", '{"word":"there"}', "--json").lines[0]
    assert started == {"peer": worker.node, "miner": "talk-1"}
    logs: dict[str, Any] = {"lines": []}
    while not logs["lines"]:
        logs = mesh("lethean", "logs", "talk-1", worker.node, "--json").lines[0]
    assert logs["lines"] == ["speed 12.5 there"]
    assert "talk-1  12.5 H/s" in mesh("lethean", "stats").out
    assert mesh("lethean", "stop", "talk-1").out == f"stopped talk-1 on {worker.node}\n"
    gone = mesh("lethean", "stop", "talk-1", "--json")
    assert gone.status == 1
    assert "miner talk-1 not found" in gone.error["message"]
    assert f"{worker.node} rig" in mesh("lethean", "peers").out


def test_packets_and_levin_peers_are_taken_where_they_are_wanted(worker: Serving) -> None:
    async def visit() -> LevinNode:
        async with PacketSender(*split_address(worker.ueps), SECRET) as sender:
            await sender.send(Intent.COMPUTE, b"work")
        own = LevinNode(7, NETWORK, 0, 42, bytes(32), 0)
        async with await dial_levin(*split_address(worker.levin), own) as peer:
            return await peer.connected

    assert asyncio.run(visit()).network_id == NETWORK


def test_a_secret_for_packets_is_wanted(mesh: Mesh) -> None:
    refused = mesh("lethean", "serve", "--ueps", "127.0.0.1:0", "--api", "off")
    assert refused.status == 3
    assert "lethean.ueps_secret" in refused.err


def test_what_is_deployed_arrives(mesh: Mesh, worker: Serving, tmp_path: Path) -> None:
    files = tmp_path / "files"
    (files / "bin").mkdir(parents=True)
    (files / "bin" / "digger").write_bytes(b"\x7fELF" * 1000)
    sent = mesh("lethean", "deploy", "rig", str(files), "--to", worker.address, "--json").lines[0]
    assert (sent["name"], sent["type"]) == ("rig", "miner")
    place = worker.folder / "lethean" / "miners" / "rig" / "bin" / "digger"
    assert place.read_bytes() == b"\x7fELF" * 1000
    assert not os.access(place, os.X_OK) or os.geteuid() == 0
    assert mesh("lethean", "deploy", "there", "--profile", '{"word":"again"}').status == 0
    assert mesh("lethean", "start", "talk", "--profile", "there").status == 0
    refused = mesh("lethean", "deploy", "../out", str(files), "--json")
    assert refused.status == 2
    assert "may not name a folder" in refused.error["message"]


def test_a_stranger_is_refused(mesh: Mesh, worker: Serving, tmp_path: Path) -> None:
    other = mesh("lethean", "connect", worker.address, "--path", str(tmp_path / "other"), "--json")
    assert other.status == 1
    assert other.error["failures"][0]["cause"] == "handshake rejected: peer not authorized"


def test_bundles_as_files(mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_BUNDLE_PASSWORD", "secret")
    (tmp_path / "digger").write_bytes(b"\x7fELF")
    place = tmp_path / "rig.bundle"
    made = mesh(
        "lethean",
        "bundle",
        "create",
        "rig",
        str(tmp_path / "digger"),
        "--profile",
        '{"a":1}',
        "--out",
        str(place),
    )
    assert "form stim" in made.out
    assert mesh("lethean", "bundle", "inspect", str(place), "--json").lines[0]["checksumRight"] == "yes"
    done = mesh("lethean", "bundle", "extract", str(place), str(tmp_path / "out"), "--json").lines[0]
    assert sorted(done["files"]) == ["digger", "profile.json"]
    assert (tmp_path / "out" / "profile.json").read_text() == '{"a":1}'
    monkeypatch.setenv("MESH_BUNDLE_PASSWORD", "wrong")
    failed = mesh("lethean", "bundle", "extract", str(place), str(tmp_path / "other"))
    assert "decryption failed" in failed.err
    assert not (tmp_path / "other").exists()
    monkeypatch.delenv("MESH_BUNDLE_PASSWORD")
    for words in (("extract", str(place), str(tmp_path / "other")), ("create", "rig", str(place))):
        nameless = mesh("lethean", "bundle", *words)
        assert nameless.status == 2
        assert "MESH_BUNDLE_PASSWORD" in nameless.err
    plain = tmp_path / "plain.bundle"
    mesh("lethean", "bundle", "create", "p", "--plain", "--profile", '{"a":2}', "--out", str(plain))
    mesh("lethean", "bundle", "extract", str(plain), str(tmp_path / "plain"))
    assert (tmp_path / "plain" / "profile.json").read_text() == '{"a":2}'


def test_without_a_worker_it_says_so(mesh: Mesh) -> None:
    assert "no worker is known" in mesh("lethean", "stats").err
    assert mesh("lethean", "ping", "nonsense").status == 2
