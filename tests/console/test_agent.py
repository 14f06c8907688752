"""`mesh agent`: two daemons as processes, and the verbs beside them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mesh.api.server import ControlApi
from mesh.config import Config, NetworkSection
from mesh.console.agent_output import columns, found_lines, instant, preview, span
from mesh.node import Node
from tests.console.conftest import Mesh
from tests.vectors import load

KEYS: Any = load("key_files", "bsv")
STRANGER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"


@dataclass
class Running:
    """A running `mesh daemon --agent`."""

    process: subprocess.Popen[str]
    folder: Path
    peer: str
    address: str
    api: str


def launched(folder: Path, *arguments: str) -> Running:
    ports = ["--listen", "/ip4/127.0.0.1/tcp/0", "--api", "127.0.0.1:0", "--agent-api", "127.0.0.1:0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mesh", "daemon", "--path", str(folder), "--agent", *ports, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MESH_PATH": str(folder)},
    )
    assert process.stdout is not None
    told: dict[str, str] = {}
    for line in process.stdout:
        words = line.split()
        told[" ".join(words[:-1])] = words[-1]
        if line == "ready\n":
            break
    return Running(process, folder, told["peer"], told["listening"], told["agent api"])


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Running, Running]]:
    """Two agents, connected; the second one's folder is that of the test's commands."""
    other = launched(tmp_path / "other")
    try:
        own = launched(tmp_path / "home", "--bootstrap", other.address)
        try:
            yield own, other
        finally:
            end(own)
    finally:
        end(other)


def end(running: Running) -> None:
    running.process.send_signal(signal.SIGTERM)
    running.process.communicate(timeout=30)
    assert running.process.returncode == 0
    assert not (running.folder / "agent.json").exists()


def test_a_conversation_by_the_verbs(pair: tuple[Running, Running], mesh: Mesh) -> None:
    own, other = pair
    sent = mesh("agent", "send", other.peer, "Hello, are you there?", "--wait", "20", "--json").lines[0]
    assert (sent["state"], sent["peerId"]) in (("stored", other.peer), ("delivered", other.peer))
    at_other = ("--path", other.folder)
    assert mesh("agent", "messages", "search", "hello", *at_other).out.count("Hello, are you there?") == 1
    (talk,) = mesh("agent", "messages", "conversations", "--json", *at_other).lines[0]["conversations"]
    assert (talk["peerId"], talk["unreadCount"]) == (own.peer, 1)
    assert mesh("agent", "messages", "read", own.peer, *at_other).out == "1 marked\n"
    assert "0 of 0" in mesh("agent", "messages", "list", "--unread", *at_other).out
    way = mesh("agent", "why", sent["messageId"]).out
    assert f"signed by {other.peer[:16]}" in way
    figures = mesh("agent", "messages", "stats", "--json").lines[0]
    assert (figures["totalOutbound"], figures["totalInbound"]) == (1, 0)

    assert mesh("agent", "config", "name", "Alpha").out == "Alpha\n"
    assert mesh("agent", "config", "name").out == "Alpha\n"
    status = mesh("agent", "status")
    assert f"Alpha {own.peer}" in status.out
    assert "all is well" in status.out
    assert mesh("agent", "doctor").out.splitlines()[-1].endswith(" 0 fail")


def test_services_and_the_address_book_by_the_verbs(pair: tuple[Running, Running], mesh: Mesh) -> None:
    own, other = pair
    at_other = ("--path", other.folder)
    offered = mesh("agent", "services", "add", "poem", "--name", "Poems", "--price", "50", *at_other)
    assert offered.out == "poem: Poems (50 bsv) is offered\n"
    assert "poem: Poems" in mesh("agent", "services", "list", *at_other).out
    assert mesh("agent", "status", "broadcast").status == 0
    assert own.peer[:16] in mesh("agent", "status", "network").out
    for words in (
        ["name", other.peer, "Bob"],
        ["note", other.peer, "met in town"],
        ["tag", other.peer, "a", "b"],
    ):
        assert mesh("agent", "peers", *words).status == 0
    info = mesh("agent", "peers", "info", other.peer).out
    assert all(text in info for text in ("Bob", "met in town", "a, b"))
    assert "Bob" in mesh("agent", "peers", "online").out
    assert "Bob" in mesh("agent", "peers", "list", "--tag", "b").out
    assert mesh("agent", "peers", "list", "--search", "nobody").out == "nobody\n"
    connected = mesh("agent", "peers", "connect", other.address)
    assert connected.out.startswith(other.peer)
    asked = mesh("agent", "services", "request", other.peer, "poem", "-d", '{"about": 1}', "--timeout", "0.2")
    assert asked.status == 1
    assert mesh("agent", "services", "rm", "poem", *at_other).out == "poem is no longer offered\n"
    assert mesh("agent", "peers", "remove", other.peer).out == "removed\n"
    paid = mesh("agent", "pay", other.peer, "ab" * 32, "7", "1Boat", "--memo", "m", "--wait", "20")
    assert paid.status == 0
    assert mesh("agent", "messages", "list", "--type", "payment", *at_other).out.count("<-") == 1


def test_a_peer_out_of_reach_and_wrong_words(pair: tuple[Running, Running], mesh: Mesh) -> None:
    queued = mesh("agent", "send", STRANGER, "later", "--wait", "0")
    assert (queued.status, "queued" in queued.out) == (0, True)
    wrong = mesh("agent", "send", "nobody", "x")
    assert (wrong.status, wrong.out) == (2, "")
    assert mesh("agent", "why", "none").status == 1
    assert mesh("agent", "messages", "search", '"').status == 2


def test_without_a_daemon_the_verbs_say_how_to_start_one(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_AGENT_API", "127.0.0.1:1")
    refused = mesh("agent", "status")
    assert refused.status == 1
    assert "mesh daemon --agent" in refused.err
    doctor = mesh("agent", "doctor", "--json")
    assert doctor.status == 1
    assert doctor.lines[0]["fail"] == 1
    monkeypatch.setenv("MESH_AGENT_API", "off")
    assert mesh("agent", "status").status == 3


async def test_another_api_at_that_port_is_no_agent_daemon(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(network=NetworkSection(listen=()))
    async with Node(config) as node, ControlApi(node, "127.0.0.1:0") as api:
        url = api.url
        monkeypatch.setenv("MESH_AGENT_API", url.removeprefix("http://"))
        status = await asyncio.to_thread(mesh, "agent", "status")
    assert status.status == 1
    assert f"what answers at {url} is no agent daemon (status 401)" in status.err
    assert "mesh daemon --agent" in status.err


def test_a_found_agent_is_shown_with_who_says_so_and_what_vouches_for_it() -> None:
    poem = {"id": "poem", "name": "Poems", "price": 50, "currency": "bsv"}
    peer = {"peerId": "P", "lastSeen": 1_771_588_800_000, "bsvIdentityKey": "02ab", "services": [poem]}
    assert found_lines({**peer, "attested": True}) == [
        "P  heard 2026-02-20 12:00:00",
        "  BSV key 02ab, which vouches for it",
        "  poem: Poems (50 bsv)",
    ]
    assert found_lines({**peer, "services": [], "heardFrom": "Q"}) == [
        "P  heard 2026-02-20 12:00:00 by Q, who says so",
        "  BSV key 02ab, not proven",
    ]


def test_the_doctor_knows_what_keeps_found_agents_apart(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    point = "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWKVD1wsjMz6XwNenM6ajiE98qpetwBcbt5bEHRKhN2Hdd"

    def said() -> dict[str, str]:
        [told] = mesh("agent", "doctor", "--json").lines
        return {each["name"]: each["found"] for each in told["checks"]}

    monkeypatch.setenv("MESH_AGENT_RENDEZVOUS", point)
    monkeypatch.setenv("MESH_RELAY_RELAYS", point)
    monkeypatch.setenv("MESH_GOSSIP_DISCOVER", "true")
    found = said()
    assert found["first peers"] == "2 named"
    assert "kademlia.mode" in found["gossip.discover"]
    assert "direct connection" in found["dcutr.enabled"]
    monkeypatch.setenv("MESH_DCUTR_ENABLED", "true")
    monkeypatch.setenv("MESH_KADEMLIA_MODE", "client")
    assert not {"gossip.discover", "dcutr.enabled"} & said().keys()


def test_the_hook_can_be_tried(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mesh("agent", "wake", "test").status == 3
    monkeypatch.setenv("MESH_AGENT_WAKE_COMMAND", f"{sys.executable},-c,pass")
    done = mesh("agent", "wake", "test", "--json")
    assert done.status == 0, done.err
    assert "command 0" in done.lines[0]["evidence"]
    monkeypatch.setenv("MESH_AGENT_WAKE_COMMAND", f"{sys.executable},-c,raise SystemExit(3)")
    assert mesh("agent", "wake", "test").status == 1


def test_a_stock_folder_is_taken_over(mesh: Mesh, home: Path, tmp_path: Path) -> None:
    stock = tmp_path / "stock"
    stock.mkdir()
    key, files = KEYS[0], load("files", "bsv")
    (stock / "peer-key.json").write_text(json.dumps(key["file"]))
    (stock / "config.json").write_text(json.dumps(files["config.json after PUT /config/name"]))
    (stock / "peers.json").write_text(json.dumps([files["peers.json (one entry)"]]))
    taken = mesh("agent", "import", stock, "--json")
    assert taken.status == 0, taken.err
    found = taken.lines[0]
    assert (found["peer"], found["peers"], found["messages"]) == (key["peerId"], 1, 0)
    assert mesh("id").out.strip() == key["peerId"]
    settings = mesh("config", "show").out
    assert 'agent.name = "Alpha2"' in settings
    assert (home / "gateway.token").read_text() == "testtoken\n"
    assert (home / "gateway.token").stat().st_mode & 0o777 == 0o600
    assert "testtoken" not in (home / "config.toml").read_text()
    assert mesh("agent", "import", stock).status == 0
    assert mesh("agent", "import", tmp_path / "nowhere").status == 3

    back = tmp_path / "peer-key.json"
    assert mesh("agent", "export-key", back).status == 0
    assert json.loads(back.read_text())["privateKey"] == key["file"]["privateKey"]
    assert back.stat().st_mode & 0o777 == 0o600
    assert mesh("agent", "export-key", back).status == 3


def test_another_key_is_never_replaced(mesh: Mesh, tmp_path: Path) -> None:
    assert mesh("init").status == 0
    before = mesh("id").out
    (tmp_path / "peer-key.json").write_text(json.dumps(KEYS[0]["file"]))
    refused = mesh("agent", "import", tmp_path)
    assert (refused.status, "another key" in refused.err) == (3, True)
    assert mesh("id").out == before


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (61, "1 m 1 s"), (86_400 * 2 + 3601, "2 d 1 h")]
)
def test_spans_are_told_in_two_units(seconds: int, text: str) -> None:
    assert span(seconds) == text


def test_words_of_peers_stay_in_their_place() -> None:
    assert preview("two\nlines " + "x" * 100) == "two lines " + "x" * 47 + "..."
    assert columns([["a\x1b[31m", "b"], ["ccc", ""]]) == ["a\\x1b[31m  b", "ccc"]
    assert [instant(each) for each in (0, -1, 1_771_588_800_000, 10**18)] == [
        "never",
        "never",
        "2026-02-20 12:00:00",
        "far future",
    ]
