"""`mesh dht` against a small network of daemons: through the daemon, with a node of its own, and what goes wrong."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mesh.console.dht_output import Steps, say_table
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.cid import RAW, Cid
from mesh.multiformats.multihash import digest
from mesh.protocols.kademlia import ipns
from tests.console.conftest import Mesh, Outcome
from tests.console.test_swarm import DEADLINE_S, Running, running

SETTINGS = '[kademlia]\nprefix = "/test"\n'
PROTOCOL = "/test/kad/1.0.0"
CID = str(Cid(1, RAW, digest(b"content")))
STRANGER = str(PeerId.from_public_key(PrivateKey.from_seed(bytes(32)).public))


@dataclass
class Network:
    """Two servers that know each other."""

    hub: Running
    other: Running


def configured(folder: Path, text: str = SETTINGS) -> Path:
    folder.mkdir(0o700)
    (folder / "config.toml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("network")
    with (
        running(configured(folder / "hub"), "--api", "off", "--dht", "server") as hub,
        running(
            configured(folder / "other"), "--api", "off", "--dht", "server", "--bootstrap", hub.address
        ) as other,
    ):
        yield Network(hub, other)


@pytest.fixture
def settings(home: Path) -> Path:
    """A data folder for the test's network, without a daemon."""
    return configured(home)


@pytest.fixture
def daemon(settings: Path, network: Network, mesh: Mesh) -> Iterator[Running]:
    """This test's daemon, which knows both servers."""
    with running(
        settings, "--api", "127.0.0.1:0", "--dht", "server", "--bootstrap", network.hub.address
    ) as started:
        until(lambda: {network.hub.peer, network.other.peer} <= members(mesh))
        yield started


def members(mesh: Mesh) -> set[str]:
    mesh("dht", "refresh")
    (shown,) = mesh("dht", "table", "--json").lines
    return {each["peer"] for bucket in shown["buckets"] for each in bucket["entries"]}


def until(condition: object) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline


def record() -> tuple[str, bytes]:
    """A new name as a key, and a record of it."""
    key = PrivateKey.generate()
    name = PeerId.from_public_key(key.public).to_cid("base36")
    return f"/ipns/{name}", ipns.create(key, b"/ipfs/somewhere", 1, time.time() + 3600)


def own(network: Network) -> tuple[str, str]:
    return "--peer", network.hub.address


def test_the_daemon_says_that_it_takes_part(daemon: Running, mesh: Mesh) -> None:
    assert [line.partition(" ")[0] for line in daemon.lines] == ["peer", "listening", "dht", "api", "ready"]
    assert daemon.told("dht") == f"server {PROTOCOL}"
    (status,) = mesh("dht", "status", "--json").lines
    assert (status["mode"], status["protocol"], status["table_size"]) == ("server", PROTOCOL, 2)
    words = mesh("dht", "status").out
    assert words.startswith(f"mode: server\nprotocol: {PROTOCOL}\naddresses: auto\ntable: 2 peers in ")
    assert daemon.end() == (0, "")


def test_peers(daemon: Running, network: Network, mesh: Mesh) -> None:
    assert mesh("dht", "find-peer", network.other.peer).out == f"{network.other.address}\n"
    (found,) = mesh("dht", "find-peer", network.other.peer, "--json").lines
    assert (found["peer"], found["connected"]) == (network.other.peer, True)
    lines = mesh("dht", "closest", network.hub.peer).out.splitlines()
    assert lines[0].startswith(f"{network.hub.peer}  256 bits  /ip4/127.0.0.1/tcp/")
    assert len(lines) == 2
    (near,) = mesh("dht", "closest", "2f", "--hex", "--json").lines
    assert {each["peer"] for each in near["peers"]} == {network.hub.peer, network.other.peer}
    missing = mesh("dht", "find-peer", STRANGER, "--json")
    assert (missing.status, missing.out, missing.error["code"]) == (1, "", "not-found")
    assert mesh("dht", "find-peer", daemon.peer).err == f"error: {daemon.peer} is this node itself\n"


def test_table(daemon: Running, network: Network, mesh: Mesh) -> None:
    head, *lines = mesh("dht", "table").out.splitlines()
    assert head.startswith("2 peers in ")
    assert any(line.startswith(f"  {network.hub.peer}  useful ") for line in lines)
    assert all(line.startswith(("bucket ", "  12D3")) for line in lines)
    assert mesh("dht", "refresh").out == "2 peers in the routing table\n"
    assert mesh("dht", "refresh", "--json").lines == [{"table_size": 2}]


def test_query(daemon: Running, network: Network, mesh: Mesh) -> None:
    steps = mesh("dht", "query", "/v/anything", "--trace").out.splitlines()
    assert " s  hop 1  12D3" in steps[0]
    assert steps[0].endswith("asked, known")
    assert any(" bits  answered in " in line for line in steps)
    assert any(line.endswith(" s  ended: nobody is left to ask") for line in steps)
    assert steps[-1].startswith("2 peers; asked ")
    assert ", 2 answered, " in steps[-1]
    *_, ended, result = mesh("dht", "query", CID, "--trace", "--json").lines
    assert (ended["type"], result["type"]) == ("ended", "result")
    (only,) = mesh("dht", "query", CID, "--json").lines
    assert only["type"] == "result"
    assert len(mesh("dht", "query", CID).out.splitlines()) == 3


def test_values(daemon: Running, network: Network, mesh: Mesh, tmp_path: Path) -> None:
    key, value = record()
    file, copy = tmp_path / "record", tmp_path / "copy"
    file.write_bytes(value)
    assert mesh("dht", "put", key, "--file", file).out.startswith("stored at 2 of 2 peers\n")
    got = subprocess.run(
        [sys.executable, "-m", "mesh", "dht", "get", key],
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (got.returncode, got.stdout, got.stderr) == (0, value, b"")
    (shown,) = mesh("dht", "get", key, "--quorum", "1", "--json").lines
    assert (shown["encoding"], shown["size"]) == ("base64", len(value))
    assert base64.b64decode(shown["value"]) == value
    assert mesh("dht", "get", key, "--out", copy).out == ""
    assert copy.read_bytes() == value
    (told,) = mesh("dht", "get", key, "--out", copy, "--json").lines
    assert told == {"key": key, "size": len(value), "file": str(copy)}
    raw = ipns.key_of(PeerId.parse(key.removeprefix("/ipns/"))).hex()
    assert mesh("dht", "get", raw, "--hex", "--json").lines[0]["value"] == shown["value"]
    nowhere = mesh("dht", "get", key, "--out", tmp_path / "no" / "file", "--json")
    assert (nowhere.status, nowhere.error["code"]) == (3, "storage")


def test_a_value_from_stdin(
    daemon: Running, mesh: Mesh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for words in ((), ("--file", "-")):
        key, value = record()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(value)))
        (done,) = mesh("dht", "put", key, *words, "--json").lines
        assert (done["key"], done["asked"], done["reached"]) == (key, 2, True)
        assert base64.b64decode(mesh("dht", "get", key, "--json").lines[0]["value"]) == value


def test_providers(daemon: Running, network: Network, mesh: Mesh) -> None:
    nobody = mesh("dht", "find-providers", CID, "--json")
    assert (nobody.status, nobody.out, nobody.error["code"]) == (1, "", "not-found")
    assert mesh("dht", "provide", CID).out == "told 2 of 2 peers\n"
    line = mesh("dht", "find-providers", CID).out
    assert line.startswith(f"{daemon.peer}  /ip4/127.0.0.1/tcp/")

    def found() -> Outcome:
        return mesh("dht", "find-providers", CID, "-c", "1", "--json", *own(network))

    until(lambda: found().status == 0)
    (seen,) = found().lines
    assert (seen["type"], seen["peer"]) == ("provider", daemon.peer)
    assert mesh("dht", "withdraw", CID).out == f"withdrawn {CID}\n"
    assert mesh("dht", "withdraw", CID, "--json").lines == [{"key": CID}]
    assert mesh("dht", "provide", CID, "--json").lines[0]["reached"]


def test_a_node_of_its_own(settings: Path, network: Network, mesh: Mesh, tmp_path: Path) -> None:
    assert mesh("dht", "find-peer", network.other.peer, *own(network)).out == f"{network.other.address}\n"
    key, value = record()
    (tmp_path / "record").write_bytes(value)
    put = mesh("dht", "put", key, "--file", tmp_path / "record", *own(network))
    assert (put.status, put.out, put.err) == (0, "stored at 2 of 2 peers\n", "")
    got = mesh("dht", "get", key, "--json", *own(network))
    assert (got.status, got.err) == (0, "")
    assert base64.b64decode(got.lines[0]["value"]) == value
    *steps, result = mesh("dht", "query", key, "--trace", "--json", *own(network)).lines
    assert {each["type"] for each in steps} >= {"asked", "answered", "ended"}
    assert {each["peer"] for each in result["peers"]} == {network.hub.peer, network.other.peer}
    assert [entry.name for entry in settings.iterdir()] == ["config.toml"]


def test_from_the_configured_list(home: Path, network: Network, mesh: Mesh) -> None:
    listed = f'[network]\nbootstrap = ["{network.hub.address}", "/ip4/127.0.0.1/tcp/1"]\n'
    configured(home, SETTINGS + listed)
    assert len(mesh("dht", "closest", CID).out.splitlines()) == 2


def test_nowhere_to_start(mesh: Mesh) -> None:
    outcome = mesh("dht", "closest", CID)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err == (
        "error: no daemon runs here and there is no peer to start from: give one with --peer ADDR, set "
        "network.bootstrap, or start a daemon with: mesh daemon --dht client\n"
    )
    assert mesh("dht", "get", "/pk/x", "--json").error["code"] == "usage"


@pytest.mark.parametrize(
    ("text", "words", "stage", "cause"),
    [
        (SETTINGS, ("--peer", "/ip4/127.0.0.1/tcp/1"), "connect", "refused"),
        ('[kademlia]\nprefix = "/elsewhere"\n', (), "kad-dht", "does not serve /elsewhere/kad/1.0.0"),
        (
            '[kademlia]\nprefix = "/test"\naddresses = "public"\n',
            (),
            "kad-dht",
            "its address does not belong to the network /test/kad/1.0.0 (kademlia.addresses)",
        ),
    ],
)
def test_a_start_that_leads_nowhere(
    home: Path, network: Network, mesh: Mesh, text: str, words: tuple[str, ...], stage: str, cause: str
) -> None:
    configured(home, text)
    outcome = mesh("dht", "closest", CID, *(words or own(network)), "--json")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.error["code"] == "dial"
    assert outcome.error["message"] == "none of the peers to start from could be used"
    (failure,) = outcome.error["failures"]
    assert failure["stage"] == stage
    assert cause in failure["cause"]
    on_screen = mesh("dht", "closest", CID, *(words or own(network))).err.splitlines()
    assert on_screen[0] == "error: none of the peers to start from could be used:"
    assert f": {stage}: " in on_screen[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("find-peer", "nobody"), "'nobody' is not a peer id"),
        (("find-providers", "nothing"), "neither a CID nor a multihash"),
        (("get", "one"), "/namespace/rest"),
        (("get", "/unknown/one"), "(known: pk, ipns)"),
        (("put", "/ipns/nobody", "x"), "no peer id"),
        (("put", f"/pk/{STRANGER}", "x"), "the value cannot be put"),
        (("put", "/unknown/one", "x"), "no validator"),
        (("closest", "xyz", "--hex"), "not hexadecimal"),
        (("query", "nothing", "--trace"), "neither a CID"),
    ],
)
def test_requests_that_mean_nothing(
    settings: Path, network: Network, mesh: Mesh, words: tuple[str, ...], message: str
) -> None:
    outcome = mesh("dht", *words, *own(network))
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ")
    assert message in outcome.err
    again = mesh("dht", *words, *own(network), "--json")
    assert (again.status, again.error["code"]) == (2, "usage")
    assert message in again.error["message"]


def test_requests_that_mean_nothing_to_the_daemon(daemon: Running, mesh: Mesh) -> None:
    for words in (("provide", "nothing"), ("withdraw", "nothing"), ("get", "one"), ("query", "nothing")):
        outcome = mesh("dht", *words, "--json")
        assert (outcome.status, outcome.out, outcome.error["code"]) == (2, "", "usage")


def test_a_value_too_long_for_the_daemon(daemon: Running, mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(bytes(500_000))
    outcome = mesh("dht", "put", f"/pk/{STRANGER}", "--file", tmp_path / "long", "--json")
    assert (outcome.status, outcome.out, outcome.error["code"]) == (2, "", "too-large")


def test_wrong_usage(settings: Path, mesh: Mesh, tmp_path: Path) -> None:
    both = mesh("dht", "put", "/pk/x", "value", "--file", tmp_path / "file")
    assert (both.status, both.err) == (2, "error: give VALUE or --file, not both\n")
    missing = mesh("dht", "put", "/pk/x", "--file", tmp_path / "file")
    assert missing.status == 3
    assert "cannot be read: No such file" in missing.err
    assert "'--count' / '-c'" in mesh("dht", "find-providers", CID, "-c", "-1").err
    assert "not a multiaddr at position" in mesh("dht", "closest", CID, "--peer", "/ip4/1/tcp/1").err


def test_a_value_that_is_too_long(settings: Path, mesh: Mesh, tmp_path: Path) -> None:
    long = tmp_path / "long"
    long.write_bytes(bytes(4 * 1024 * 1024 + 1))
    outcome = mesh("dht", "put", "/pk/x", "--file", long, "--json")
    assert (outcome.status, outcome.error["code"]) == (2, "usage")
    assert "at most 4194304 bytes" in outcome.error["message"]


@pytest.mark.parametrize(
    "words", [("provide", CID), ("withdraw", CID), ("table",), ("status",), ("refresh",)]
)
def test_what_lasts_needs_the_daemon(mesh: Mesh, words: tuple[str, ...]) -> None:
    assert mesh("dht", *words, "--json").error["code"] == "no-daemon"


def test_a_daemon_without_dht(home: Path, mesh: Mesh) -> None:
    with running(home, "--api", "127.0.0.1:0", "--dht", "off") as started:
        assert not [line for line in started.lines if line.startswith("dht")]
        for words in (("status",), ("closest", CID), ("find-providers", CID)):
            outcome = mesh("dht", *words, "--json")
            assert (outcome.status, outcome.error["code"]) == (2, "usage")
            assert "the DHT is off: set kademlia.mode" in outcome.error["message"]


def test_an_empty_table(settings: Path, mesh: Mesh) -> None:
    with running(settings, "--api", "127.0.0.1:0", "--dht", "auto") as started:
        assert started.told("dht") == f"client {PROTOCOL}"
        assert "mode: client (set to auto)" in mesh("dht", "status").out
        for words in (("closest", CID), ("find-providers", CID), ("find-peer", STRANGER)):
            outcome = mesh("dht", *words, "--json")
            assert (outcome.status, outcome.out, outcome.error["code"]) == (1, "", "nobody-to-ask")
        told = mesh("dht", "provide", CID)
        assert (told.status, told.out) == (1, "told 0 of 0 peers; no majority\n")
        assert mesh("dht", "table").out == "0 peers in 0 buckets\n"


def test_a_wrong_mode(mesh: Mesh, home: Path) -> None:
    outcome = mesh("daemon", "--dht", "clint")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("error: --dht: ")
    assert "did you mean client?" in outcome.err
    assert not home.exists()


def test_steps_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps(traced=True, as_json=False)
    common = {"hop": 2, "peer": "12D3\x1b", "prefix_length": 7}
    steps.show({"type": "asked", "at_ms": 12.3, **common, "named_by": "12D4"})
    steps.show({"type": "overdue", "at_ms": 20.0, **common})
    steps.show({"type": "failed", "at_ms": 30.0, **common, "cause": "gone\n"})
    answered = {"rtt_ms": 1.25, "named": 3, "new": 2, "late": True}
    steps.show({"type": "answered", "at_ms": 40.0, **common, **answered})
    steps.show({"type": "ended", "at_ms": 41.0, "ending": "starved", "reason": "nobody is left to ask"})
    steps.show({"type": "result", "peers": [{"peer": "12D3", "prefix_length": 7, "addrs": []}]})
    assert capsys.readouterr().out.splitlines() == [
        "   0.012 s  hop 2  12D3\\x1b    7 bits  asked, named by 12D4",
        "   0.020 s  hop 2  12D3\\x1b    7 bits  overdue",
        "   0.030 s  hop 2  12D3\\x1b    7 bits  failed: gone\\n",
        "   0.040 s  hop 2  12D3\\x1b    7 bits  answered in 1.2 ms late, named 3, 2 new",
        "   0.041 s  ended: nobody is left to ask",
        "12D3    7 bits  -",
        "1 peers; asked 1, 1 answered, 1 failed, 2 hops, 41.0 ms: nobody is left to ask",
    ]


def test_a_table_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    entry = {
        "peer": "12D3",
        "addrs": [],
        "connected": False,
        "age_s": 1.0,
        "useful_age_s": None,
        "failures": 2,
    }
    bucket = {"prefix_length": 3, "number": 252, "failing": 1, "stale": 0, "entries": [entry]}
    say_table({"size": 1, "buckets": [{**bucket, "replacements": ["12D4"]}]})
    assert capsys.readouterr().out.splitlines() == [
        "1 peers in 1 buckets",
        "bucket 252, prefix 3: 1 peers, 1 waiting, 1 failing, 0 stale",
        "  12D3  never useful, 2 failures  -",
        "  12D4  waiting",
    ]


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom mesh.console.application import run\nstatus = run(['--help'])\n"
        "seldom = [name for name in ('mesh.console.dht', 'mesh.console.bootstrap') if name in sys.modules]\n"
        "status += run(['dht', '--help']) + run(['dht', 'query', '--help']) + run(['bootstrap', '--help'])\n"
        "heavy = ('fastapi', 'httpx', 'rich', 'asyncio', 'mesh.node', 'mesh.api', 'mesh.services')\n"
        "import json\nprint(json.dumps([status, seldom, [name for name in heavy if name in sys.modules]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0, [], []]


@pytest.mark.usefixtures("home")
def test_a_bad_peer_id_is_told_before_anything_else(mesh: Mesh) -> None:
    outcome = mesh("dht", "find-peer", "xyz")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("error: PEER: 'xyz' is not a peer id")
