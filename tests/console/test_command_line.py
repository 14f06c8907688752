"""Help, versions, usage errors, tracebacks and pipes: what all verbs share."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time

import pytest

from mesh import __version__
from mesh.console import application
from mesh.errors import DialError, DialFailure, MeshError, NetworkError
from tests.console.conftest import Mesh

MESH = [sys.executable, "-m", "mesh"]
HEAVY = ("asyncio", "rich", "tomlkit", "cryptography", "nacl", "uvloop", "platformdirs", "mesh.network")


def test_help_lists_verbs_and_exit_codes(mesh: Mesh) -> None:
    outcome = mesh("--help")
    assert outcome.status == 0
    text = " ".join(outcome.out.split())
    for verb in (
        "init",
        "daemon",
        "relay",
        "id",
        "identify",
        "ping",
        "dht",
        "bootstrap",
        "swarm",
        "diag",
        "config",
        "key",
        "version",
    ):
        assert f" {verb} " in text
    assert "0 done; 1 the peer or the network failed; 2 wrong usage; 3 wrong configuration" in text


@pytest.mark.parametrize(
    "verb", ["init", "daemon", "relay", "id", "identify", "ping", "version", "config", "key"]
)
def test_help_of_verbs(mesh: Mesh, verb: str) -> None:
    outcome = mesh(verb, "--help")
    assert outcome.status == 0
    assert outcome.out.startswith(f"Usage: mesh {verb}")
    assert outcome.err == ""


def test_help_loads_nothing_heavy() -> None:
    probe = "import sys\nfrom mesh.console.application import run\nstatus = run(['--help'])\n"
    probe += f"print(status, [name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"


def test_help_is_quick() -> None:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([*MESH, "--help"], capture_output=True, timeout=20, check=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 1.0


def test_version(mesh: Mesh) -> None:
    assert mesh("version").out == mesh("--version").out == f"mesh {__version__}\n"
    assert mesh("version", "--json").lines == [{"version": __version__}]


@pytest.mark.parametrize("arguments", [(), ("config",), ("key",), ("--debug",)])
def test_no_verb_shows_help(mesh: Mesh, arguments: tuple[str, ...]) -> None:
    outcome = mesh(*arguments)
    assert outcome.status == 2
    assert outcome.err.startswith("Usage: mesh")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pnig",), "No such command 'pnig'"),
        (("ping",), "Missing argument 'ADDR'"),
        (("ping", "/ip4/127.0.0.1/tcp/1", "-c", "-1"), "'--count' / '-c'"),
        (("ping", "/ip4/127.0.0.1/tcp/1", "-c", "x"), "'--count' / '-c'"),
        (("init", "--profile", "huge"), "--profile"),
        (("daemon", "--what"), "No such option"),
    ],
)
def test_wrong_usage(mesh: Mesh, arguments: tuple[str, ...], message: str) -> None:
    outcome = mesh(*arguments)
    assert outcome.status == 2
    assert outcome.out == ""
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_wrong_usage_as_json(mesh: Mesh) -> None:
    outcome = mesh("ping", "--json")
    assert outcome.status == 2
    assert outcome.error == {"code": "usage", "message": "Missing argument 'ADDR'.", "failures": []}


@pytest.mark.parametrize("verb", ["ping", "identify"])
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nonsense", "not a multiaddr at position 0"),
        ("/ip4/127.0.0.1/tpc/1", "at position 15"),
        ("/ip4/127.0.0.1/udp/1/quic", "has neither /tcp nor /quic-v1"),
    ],
)
def test_an_address_that_cannot_be_dialled(mesh: Mesh, verb: str, address: str, message: str) -> None:
    outcome = mesh(verb, address, "--json")
    assert outcome.status == 2
    assert message in outcome.error["message"]
    assert address in outcome.error["message"]


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object) -> None:
        raise error

    importlib.import_module("mesh.console.settings")  # else it would keep what stands in for `say`
    monkeypatch.setattr("mesh.console.output.say", fail)
    monkeypatch.setattr("mesh.console.settings.say", fail)


def test_errors_are_one_message(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, NetworkError("no \x1b[31mroute"))
    outcome = mesh("config", "path")
    assert (outcome.status, outcome.out, outcome.err) == (1, "", "error: no \\x1b[31mroute\n")


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_traceback_only_on_request(mesh: Mesh, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    failing(monkeypatch, NetworkError("no route"))
    if how == "variable":
        monkeypatch.setenv("MESH_DEBUG", "1")
    outcome = mesh("config", "path", *(["--debug"] if how == "flag" else []))
    assert outcome.status == 1
    assert "Traceback" in outcome.err
    assert outcome.err.endswith("error: no route\n")


def test_error_as_json(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = DialFailure("/ip4/127.0.0.1/tcp/1", "connect", "refused")
    failing(monkeypatch, DialError("no address could be used", [failure]))
    outcome = mesh("config", "show", "--json")
    assert outcome.status == 1
    assert outcome.error == {
        "code": "dial",
        "message": "no address could be used",
        "failures": [{"address": "/ip4/127.0.0.1/tcp/1", "stage": "connect", "cause": "refused"}],
    }


def test_errors_out_of_a_group(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    group = BaseExceptionGroup("two", [BaseExceptionGroup("one", [NetworkError("gone")]), NetworkError("x")])
    failing(monkeypatch, group)
    outcome = mesh("config", "path")
    assert (outcome.status, outcome.err) == (1, "error: gone\n")


def test_a_bug_is_not_hidden(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, BaseExceptionGroup("two", [NetworkError("gone"), ZeroDivisionError("bug")]))
    with pytest.raises(BaseExceptionGroup):
        mesh("config", "path")
    failing(monkeypatch, ZeroDivisionError("bug"))
    with pytest.raises(ZeroDivisionError):
        mesh("config", "path")


def test_interrupt(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert mesh("config", "path").status == application.INTERRUPTED


def test_every_error_has_a_status() -> None:
    pending, statuses = [MeshError], set()
    while pending:
        kind = pending.pop()
        statuses.add(kind.exit_status)
        pending += kind.__subclasses__()
    assert statuses <= {1, 2, 3}


@pytest.mark.parametrize(
    ("arguments", "unbuffered"),
    [(["config", "show"], ""), (["config", "show"], "1"), (["--help"], ""), (["key", "export"], "")],
)
def test_a_reader_that_has_gone(mesh: Mesh, arguments: list[str], unbuffered: str) -> None:
    mesh("init")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(
            [*MESH, *arguments], stdout=writing, stderr=subprocess.PIPE, env=environ, timeout=20, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("arguments", [["config", "show"], ["config", "show", "--json"], ["key", "export"]])
def test_a_full_disk(mesh: Mesh, arguments: list[str]) -> None:
    mesh("init")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*MESH, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, check=False
        )
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "stdout cannot be written: No space left on device" in done.stderr


def test_stdout_closed() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *MESH, "config", "path"],
        stderr=subprocess.PIPE,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_stdout_closed_for_a_result_that_nobody_else_gets(mesh: Mesh) -> None:
    mesh("init")
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *MESH, "key", "export"],
        stderr=subprocess.PIPE,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (3, b"error: stdout is closed; give a file with --out\n")


@pytest.mark.parametrize(("words", "expected"), [("mesh per", "perf"), ("mesh key ex", "export")])
def test_completion(words: str, expected: str) -> None:
    environ = {**os.environ, "_MESH_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environ["COMP_CWORD"] = str(len(words.split()) - 1)
    done = subprocess.run(MESH, capture_output=True, text=True, env=environ, timeout=20, check=False)
    assert done.stdout.split() == [expected]
