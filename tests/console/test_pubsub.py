"""`mesh pubsub` against daemons: through the daemon, with a node of its own, and what goes wrong."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from mesh.console.pubsub_input import BATCH_MESSAGES, batches
from mesh.console.pubsub_output import Arrivals, say_scores
from mesh.console.pubsub_source import _from_thread
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from tests.console.conftest import Mesh
from tests.console.test_swarm import DEADLINE_S, Running, running

SETTINGS = "[gossip]\nenabled = true\nheartbeat_s = 0.1\n"
STRANGER = str(PeerId.from_public_key(PrivateKey.from_seed(bytes(32)).public))


class Reader:
    """`mesh pubsub sub` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def object(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.line())
        return found

    def end(self) -> tuple[int, str]:
        """Its status and what it wrote to stderr, once it ends by itself."""
        _, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, err


@contextlib.contextmanager
def reading(*words: str | Path) -> Iterator[Reader]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mesh", "pubsub", "sub", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Reader(process)
    finally:
        if process.returncode is None:
            process.kill()
            process.communicate()


def configured(folder: Path, text: str = SETTINGS) -> Path:
    folder.mkdir(0o700)
    (folder / "config.toml").write_text(text)
    return folder


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline


@contextlib.contextmanager
def stdin_of(content: bytes) -> Iterator[None]:
    reading_end, writing_end = os.pipe()
    with os.fdopen(writing_end, "wb") as writer:
        writer.write(content)
    with os.fdopen(reading_end) as stdin, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", stdin)
        yield


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Somebody else's daemon, which can be asked too."""
    folder = configured(tmp_path_factory.mktemp("other") / "home")
    with running(folder, "--api", "127.0.0.1:0") as started:
        yield started


@pytest.fixture
def settings(home: Path) -> Path:
    """A data folder with pubsub on, without a daemon."""
    return configured(home)


@pytest.fixture
def daemon(settings: Path, other: Running, mesh: Mesh) -> Iterator[Running]:
    """This test's daemon, which speaks pubsub with the other."""
    with running(settings, "--api", "127.0.0.1:0", "--bootstrap", other.address) as started:
        until(lambda: mesh("pubsub", "peers").out == f"{other.peer}\n")
        yield started


def test_between_two_daemons(daemon: Running, other: Running, mesh: Mesh) -> None:
    with reading("x", "--json", "--count", "2", "--path", other.folder) as reader:
        assert reader.object() == {"type": "subscribed", "topic": "x"}
        until(lambda: mesh("pubsub", "peers", "x").out == f"{other.peer}\n")
        sent = mesh("pubsub", "pub", "x", "héllo")
        assert (sent.status, sent.out, sent.err) == (0, "sent to 1 peer\n", "")
        heard = reader.object()
        assert base64.b64decode(heard["data"]) == "héllo".encode()
        assert (heard["topic"], heard["from"], heard["size"]) == ("x", daemon.peer, 6)
        assert heard["received_from"] == daemon.peer
        assert heard["id"].endswith(heard["seqno"])
        (told,) = mesh("pubsub", "pub", "x", "", "--json").lines
        assert told == {"topic": "x", "peers": 1, "size": 0}
        assert reader.object()["data"] == ""
        assert reader.end() == (0, "")


def test_own_messages_come_unless_they_are_not_wanted(daemon: Running, other: Running, mesh: Mesh) -> None:
    with reading("y", "-c", "1") as all_of_them, reading("y", "-c", "1", "--no-own") as others:
        until(lambda: '"readers":2' in mesh("pubsub", "ls", "--json").out)
        until(lambda: mesh("pubsub", "peers", "y", "--path", other.folder).status == 0)
        mesh("pubsub", "pub", "y", "own")
        assert mesh("pubsub", "pub", "y", "other\n\x1b[31m", "--path", other.folder).status == 0
        assert all_of_them.line() == "own"
        assert others.line() == "other\\n\\x1b[31m"
        assert all_of_them.end() == others.end() == (0, "subscribed to y\n")


def test_topics_peers_and_meshes(daemon: Running, other: Running, mesh: Mesh) -> None:
    assert mesh("pubsub", "ls").out == ""
    with reading("z", "--json") as reader, reading("z", "--json", "--path", other.folder) as theirs:
        assert reader.object()["type"] == theirs.object()["type"] == "subscribed"
        until(lambda: mesh("pubsub", "mesh", "z").out == f"z  {other.peer}\n")
        assert mesh("pubsub", "mesh").out == f"z  {other.peer}\n"
        assert mesh("pubsub", "mesh", "z", "--json").lines == [
            {"meshes": [{"topic": "z", "peers": [other.peer]}]}
        ]
        assert mesh("pubsub", "ls").out == "z  1 peer, 1 in the mesh, 1 readers here\n"
        assert mesh("pubsub", "peers", "z", "--json").lines == [{"topic": "z", "peers": [other.peer]}]
        reader.process.send_signal(signal.SIGINT)
        assert reader.end() == (130, "")
    until(lambda: mesh("pubsub", "ls").out == "")


def test_lines_of_stdin_and_files(daemon: Running, other: Running, mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"four\nfive\n")
    with reading("lines", "--path", other.folder) as reader:
        until(lambda: mesh("pubsub", "peers", "lines").status == 0)
        with stdin_of(b"one\n\nthree"):
            sent = mesh("pubsub", "pub", "lines", "-", "--lines")
        assert sent.out == "3 messages sent, each to 1 peer at least\n"
        (first, _) = mesh("pubsub", "pub", "lines", "--lines", "--file", tmp_path / "lines", "--json").lines
        assert first == {"topic": "lines", "peers": 1, "size": 4}
        for words in (("-",), ()):
            with stdin_of(b"a whole\nmessage"):
                assert mesh("pubsub", "pub", "lines", *words).out == "sent to 1 peer\n"
        expected = ["one", "", "three", "four", "five", *["a whole\\nmessage"] * 2]
        assert [reader.line() for _ in expected] == expected
        with stdin_of(b""):
            nothing = mesh("pubsub", "pub", "lines", "--lines")
        assert (nothing.status, nothing.out) == (0, "no messages\n")


def test_lines_leave_as_they_come(daemon: Running, other: Running) -> None:
    with (
        reading("live", "--path", other.folder) as reader,
        subprocess.Popen(
            [sys.executable, "-m", "mesh", "pubsub", "pub", "live", "--lines", "--to", other.address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as writer,
    ):
        assert writer.stdin is not None
        for word in ("one", "two"):
            writer.stdin.write(f"{word}\n")
            writer.stdin.flush()
            assert reader.line() == word
        writer.send_signal(signal.SIGINT)
        assert writer.wait(DEADLINE_S) == 130


def test_a_node_of_its_own(settings: Path, other: Running, mesh: Mesh, tmp_path: Path) -> None:
    long = os.urandom(700_000)
    (tmp_path / "long").write_bytes(long)
    with reading("own", "--json", "--count", "2", "--to", other.address) as reader:
        assert reader.object()["type"] == "subscribed"
        until(lambda: mesh("pubsub", "peers", "own", "--path", other.folder).status == 0)
        sent = mesh("pubsub", "pub", "own", "hello", "--path", other.folder)
        assert (sent.status, sent.out) == (0, "sent to 1 peer\n")
        heard = reader.object()
        assert (heard["from"], base64.b64decode(heard["data"])) == (other.peer, b"hello")
        with reading("own", "--json", "--count", "1", "--path", other.folder) as theirs:
            assert theirs.object()["type"] == "subscribed"
            done = mesh("pubsub", "pub", "own", "--file", tmp_path / "long", "--to", other.address)
            assert (done.status, done.out, done.err) == (0, "sent to 1 peer\n", "")
            assert base64.b64decode(theirs.object()["data"]) == long
        assert base64.b64decode(reader.object()["data"]) == long
        assert reader.end() == (0, "")
    assert [entry.name for entry in settings.iterdir()] == ["config.toml"]


def test_nobody_in_the_topic(daemon: Running, other: Running, mesh: Mesh) -> None:
    alone = mesh("pubsub", "pub", "nobody", "hello")
    assert (alone.status, alone.out) == (1, "sent to 0 peers\n")
    (told,) = mesh("pubsub", "pub", "nobody", "hello", "--json", "--to", other.address).lines
    assert told["peers"] == 0
    for verb in ("peers", "mesh"):
        outcome = mesh("pubsub", verb, "nobody", "--json")
        assert (outcome.status, outcome.out, outcome.error["code"]) == (1, "", "unknown-topic")


def test_scores_that_nobody_keeps(daemon: Running, other: Running, mesh: Mesh) -> None:
    for words in ((), (other.peer,)):
        outcome = mesh("pubsub", "score", *words)
        assert (outcome.status, outcome.out) == (1, "")
        assert "scores are off" in outcome.err
        assert "node.pubsub.set_scores" in outcome.err
    assert mesh("pubsub", "score", STRANGER, "--json").error["code"] == "unknown-peer"
    assert mesh("pubsub", "score", "nobody", "--json").error["code"] == "usage"


def test_counts_and_rates(daemon: Running, other: Running, mesh: Mesh) -> None:
    mesh("pubsub", "pub", "counted", "hello")
    (stats,) = mesh("pubsub", "stats", "--json").lines
    assert (stats["topics"], stats["peers"], stats["counts"]["published"]) == (0, 1, 1)
    words = mesh("pubsub", "stats").out
    assert words.startswith("topics: 0\npeers: 1\nmesh peers: 0\npublished: 1\n")
    first, second = mesh("pubsub", "stats", "--watch", "--interval-ms", "10", "-c", "2", "--json").lines
    assert first["type"] == second["type"] == "rates"
    (line,) = mesh("pubsub", "stats", "--watch", "--interval-ms", "10", "-c", "1").out.splitlines()
    assert line.startswith("published 0.0/s  delivered 0.0/s  ")
    assert line.endswith("  1 peer, 0 in meshes")


def test_a_live_rate(daemon: Running, mesh: Mesh) -> None:
    with reading("rated", "--rate") as reader:
        until(lambda: "rated" in mesh("pubsub", "ls").out)
        mesh("pubsub", "pub", "rated", "hello")
        assert reader.line() == "hello"
        assert reader.process.stderr is not None
        assert reader.process.stderr.readline() == "subscribed to rated\n"
        while not (line := reader.process.stderr.readline()).endswith(" KiB/s, 1 in all\n"):
            assert line.endswith(" messages/s, 0.0 KiB/s, 0 in all\n")


def test_a_daemon_that_ends(daemon: Running) -> None:
    with reading("x", "--json") as reader:
        assert reader.object()["type"] == "subscribed"
        daemon.end()
        status, err = reader.end()
        assert status == 1
        assert json.loads(err)["error"]["code"] in ("closed", "network")


def test_a_message_too_long(daemon: Running, other: Running, mesh: Mesh, tmp_path: Path) -> None:
    file = tmp_path / "long"
    file.write_bytes(bytes(500_000))
    outcome = mesh("pubsub", "pub", "x", "--file", file, "--json")
    assert (outcome.status, outcome.out, outcome.error["code"]) == (2, "", "too-large")
    assert "a body has at most 524288 bytes" in outcome.error["message"]
    assert "--to ADDR" in outcome.error["message"]
    file.write_bytes(b"short\n" + b"x" * 500_000)
    lines = mesh("pubsub", "pub", "x", "--file", file, "--lines")
    assert (lines.status, lines.out) == (2, "sent to 0 peers\n")
    assert lines.err.startswith("error: line 2: a message of 500000 bytes is too long")
    file.write_bytes(bytes(1024 * 1024 - 4))
    limit = mesh("pubsub", "pub", "x", "--file", file, "--to", other.address)
    assert (limit.status, limit.out) == (1, "")
    assert "is limited to 1048568 (raise gossip.max_rpc_bytes)" in limit.err
    file.write_bytes(bytes(1024 * 1024 + 1))
    for words in ((), ("--lines",)):
        over = mesh("pubsub", "pub", "x", "--file", file, *words, "--json")
        assert (over.status, over.error["code"]) == (2, "usage")
        assert "1048576 bytes" in over.error["message"]


def test_a_limit_of_the_daemon(home: Path, mesh: Mesh, tmp_path: Path) -> None:
    configured(home, SETTINGS + 'max_rpc_bytes = "1KiB"\n')
    (tmp_path / "lines").write_bytes(b"short\n" + b"x" * 1000 + b"\nshort\n")
    with running(home, "--api", "127.0.0.1:0"):
        outcome = mesh("pubsub", "pub", "x", "x" * 1000, "--json")
        assert (outcome.status, outcome.out, outcome.error["code"]) == (1, "", "limit")
        assert "gossip.max_rpc_bytes" in outcome.error["message"]
        lines = mesh("pubsub", "pub", "x", "--lines", "--file", tmp_path / "lines")
        assert (lines.status, lines.out) == (1, "sent to 0 peers\n")
        assert lines.err.startswith("error: line 2: pubsub: a message, its envelope included")
        assert mesh("pubsub", "ls").out == mesh("pubsub", "peers").out == mesh("pubsub", "score").out == ""


@pytest.mark.parametrize(
    "words",
    [("pub", "x", "hello"), ("sub", "x"), ("ls",), ("peers",), ("mesh",), ("score",), ("stats", "--watch")],
)
def test_pubsub_is_off(quiet: Running, mesh: Mesh, words: tuple[str, ...]) -> None:
    outcome = mesh("pubsub", *words, "--path", quiet.folder, "--json")
    assert (outcome.status, outcome.out, outcome.error["code"]) == (2, "", "usage")
    assert outcome.error["message"] == "pubsub is off: set gossip.enabled to true"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A daemon without pubsub."""
    with running(tmp_path_factory.mktemp("quiet") / "home", "--api", "127.0.0.1:0") as started:
        yield started


@pytest.mark.parametrize("words", [("ls",), ("peers",), ("mesh", "x"), ("score",), ("stats",)])
def test_what_needs_the_daemon(mesh: Mesh, words: tuple[str, ...]) -> None:
    assert mesh("pubsub", *words, "--json").error["code"] == "no-daemon"


def test_nowhere_to_start(mesh: Mesh) -> None:
    for words in (("pub", "x", "hello"), ("sub", "x")):
        outcome = mesh("pubsub", *words)
        assert (outcome.status, outcome.out) == (2, "")
        assert outcome.err.startswith("error: no daemon runs here and there is no peer to connect to: ")
        assert "--to ADDR" in outcome.err


def test_peers_that_are_of_no_use(settings: Path, quiet: Running, other: Running, mesh: Mesh) -> None:
    useless = ("--to", quiet.address, "--peer", "/ip4/127.0.0.1/tcp/1")
    outcome = mesh("pubsub", "pub", "x", "hello", *useless, "--json")
    assert (outcome.status, outcome.out, outcome.error["code"]) == (1, "", "dial")
    failures = {each["address"]: each for each in outcome.error["failures"]}
    assert failures[quiet.address]["stage"] == "pubsub"
    assert failures[quiet.address]["cause"] == "the peer does not speak pubsub"
    assert failures["/ip4/127.0.0.1/tcp/1"]["stage"] == "connect"
    with reading("x", "--json", "--path", other.folder) as reader:
        assert reader.object()["type"] == "subscribed"
        assert mesh("pubsub", "pub", "x", "hello", *useless, "--to", other.address).out == "sent to 1 peer\n"


def test_from_the_configured_list(home: Path, other: Running, mesh: Mesh) -> None:
    configured(home, f'[network]\nbootstrap = ["{other.address}"]\n')
    with reading("x", "--json", "--path", other.folder) as reader:
        assert reader.object()["type"] == "subscribed"
        assert mesh("pubsub", "pub", "x", "hello").out == "sent to 1 peer\n"
        assert base64.b64decode(reader.object()["data"]) == b"hello"


def test_wrong_usage(daemon: Running, other: Running, mesh: Mesh, tmp_path: Path) -> None:
    for words in (("--file", "x"), ("--lines",)):
        both = mesh("pubsub", "pub", "x", "data", *words)
        assert (both.status, both.err) == (2, "error: give DATA, or --file and --lines, not both\n")
    missing = mesh("pubsub", "pub", "x", "--file", tmp_path / "file")
    assert missing.status == 3
    assert "cannot be read: No such file" in missing.err
    folder = mesh("pubsub", "pub", "x", "--lines", "--file", tmp_path)
    assert (folder.status, folder.out) == (3, "no messages\n")
    for own in ((), ("--to", other.address)):
        for verb in (("pub", "é" * 3000, "hello"), ("sub", "é" * 3000)):
            long = mesh("pubsub", *verb, *own, "--json")
            assert (long.status, long.error["code"]) == (2, "usage")
            assert "a topic has 1 to 4096 bytes, not 6000" in long.error["message"]
    for verb in (("pub", "\udcff", "hello"), ("sub", "\udcff"), ("peers", "\udcff")):
        assert mesh("pubsub", *verb).err == "error: TOPIC is not UTF-8\n"
    assert "not a multiaddr at position" in mesh("pubsub", "sub", "x", "--to", "/ip4/1/tcp/1").err
    assert "'--count' / '-c'" in mesh("pubsub", "sub", "x", "-c", "-1").err


def test_arguments_of_any_bytes(daemon: Running, other: Running, mesh: Mesh) -> None:
    with reading("bytes", "--json", "--path", other.folder) as reader:
        assert reader.object()["type"] == "subscribed"
        until(lambda: mesh("pubsub", "peers", "bytes").status == 0)
        command: list[str | bytes] = [sys.executable, "-m", "mesh", "pubsub", "pub", "bytes", b"\xff\xfe"]
        subprocess.run(command, timeout=DEADLINE_S, check=True, capture_output=True)
        assert base64.b64decode(reader.object()["data"]) == b"\xff\xfe"


def test_lines_that_were_missed(capsys: pytest.CaptureFixture[str]) -> None:
    lost = {"type": "lost", "messages": 3}
    assert Arrivals(False, 1).show(lost)
    assert capsys.readouterr() == (
        "",
        "warning: 3 messages were missed: they came faster than they are read\n",
    )
    assert Arrivals(True, 1).show(lost)
    assert Arrivals(True, 1).show({"type": "idle"})
    assert capsys.readouterr() == ('{"type":"lost","messages":3}\n', "")


def test_scores_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    parts = {
        "application_score": 0.5,
        "ip_colocation_score": -1.0,
        "behaviour_score": -0.25,
        "behaviour": 1.0,
    }
    topic = {
        "topic": "x\n",
        "score": 2.0,
        "in_mesh": True,
        "time_in_mesh_s": 3.0,
        "first_deliveries": 4.0,
        "mesh_deliveries": 5.0,
        "mesh_deliveries_active": False,
        "mesh_failure": 6.0,
        "invalid": 7.0,
    }
    say_scores([{"peer": "12D3", "score": 1.25, "topics_score": 2.0, **parts, "topics": [topic]}])
    assert capsys.readouterr().out.splitlines() == [
        "12D3  score 1.250  topics 2.000  P5 0.500  P6 -1.000  P7 -0.250",
        "  x\\n  in mesh  score 2.000  P1 3.0 s  P2 4.00  P3 5.00 (not counted yet)  P3b 6.00  P4 7.00",
    ]


def test_lines_travel_together_within_bounds(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    lines = [b"%d" % number for number in range(3 * BATCH_MESSAGES)] + [b"x" * 300_000, b"", b"last"]
    file.write_bytes(b"\n".join(lines))
    found = list(batches(file))
    assert [line for batch in found for line in batch] == lines
    assert max(map(len, found)) == BATCH_MESSAGES
    assert [b"x" * 300_000] in found


@pytest.mark.parametrize(("flag", "told"), [("--pubsub", True), ("--no-pubsub", False)])
def test_a_flag_of_the_daemon(home: Path, flag: str, told: bool) -> None:
    home.mkdir(0o700, exist_ok=True)
    (home / "config.toml").write_text(f"[gossip]\nenabled = {str(not told).lower()}\n")
    with running(home, "--api", "off", flag) as started:
        assert ("pubsub /meshsub/1.3.0" in started.lines) is told


@pytest.mark.parametrize("late", [True, False], ids=["after the loop has ended", "while it ends"])
def test_the_thread_that_reads_ends_with_whoever_listens(late: bool) -> None:
    ended = threading.Event()

    def batches() -> Iterator[list[bytes]]:
        yield [b"first"]
        if late:
            ended.wait()
        yield [b"second"]
        yield [b"third"]
        yield [b"fourth"]

    async def first() -> list[bytes]:
        async with aclosing(_from_thread(batches())) as messages:
            return await anext(messages)

    before = set(threading.enumerate())
    assert asyncio.run(first()) == [b"first"]
    ended.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()
