"""The wake command: its arguments are the operator's alone, the text comes on its input, nothing of it stays behind."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from mesh.apps.agent.waking.channels import channel_of
from mesh.apps.agent.waking.command import Command
from mesh.apps.agent.waking.hook import WebHook
from mesh.apps.agent.waking.queue import Batch, Wake
from mesh.apps.agent.waking.waking import CallFailed
from mesh.config import AgentSection
from mesh.errors import ConfigError
from tests.apps.starts import noted_start, written
from tests.network.live import eventually

BATCH = Batch(1, "12D3KooWpeer", "the-key", 1, (Wake(1, "$(touch hacked); id", "t"),))
PROGRAM = """
import json, os, sys
found = {"argv": sys.argv[2:], "text": sys.stdin.read(), "env": dict(os.environ)}
open(sys.argv[1], "w").write(json.dumps(found))
"""


def python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, *arguments)


async def test_the_text_comes_on_its_input_and_no_shell_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCLAW_HOOKS_TOKEN", "secret")
    monkeypatch.setenv("MESH_AGENT_NAME", "private")
    monkeypatch.setenv("OF_THE_OPERATOR", "kept")
    monkeypatch.chdir(tmp_path)
    command = Command(python("-c", PROGRAM, str(tmp_path / "out"), "$HOME; `id`"), 20.0)
    assert await command.call("hello $(touch hacked)\n", BATCH) == "command 0"
    found = json.loads((tmp_path / "out").read_text())
    assert found["argv"] == ["$HOME; `id`"]
    assert found["text"] == "hello $(touch hacked)\n"
    env = found["env"]
    assert (env["MESH_WAKE_KEY"], env["MESH_WAKE_PEER"]) == ("the-key", "12D3KooWpeer")
    assert json.loads(env["MESH_WAKE_MESSAGES"]) == ["$(touch hacked); id"]
    assert env["OF_THE_OPERATOR"] == "kept"
    assert "secret" not in env.values()
    assert "private" not in env.values()
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (python("-c", "raise SystemExit(3)"), "exit status 3"),
        (("/nowhere/at-all",), "cannot be started"),
        (python("-c", "\0"), "NUL"),
    ],
)
async def test_what_fails_says_why(arguments: tuple[str, ...], reason: str) -> None:
    with pytest.raises(CallFailed, match=reason):
        await Command(arguments, 20.0).call("x", BATCH)


async def test_a_command_that_reads_nothing_may_succeed() -> None:
    assert await Command(python("-c", "pass"), 20.0).call("x" * 1_000_000, BATCH) == "command 0"


async def test_a_command_that_is_too_slow_is_ended() -> None:
    with pytest.raises(CallFailed, match="did not end within"):
        await Command(python("-c", "import time; time.sleep(600)"), 0.1).call("x", BATCH)


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
@pytest.mark.parametrize("soon", [False, True], ids=["while it runs", "before its start is known"])
async def test_children_of_a_command_end_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soon: bool
) -> None:
    child = "import os, sys, time; open(sys.argv[1], 'w').write(f'{os.getpid()} '); time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}, sys.argv[1]])"
    file = tmp_path / "pid"
    begun = noted_start(monkeypatch)
    calling = asyncio.create_task(Command(python("-c", parent, str(file)), 600.0).call("x", BATCH))
    await begun.wait()
    number = await written(file, " ", turns=not soon)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await eventually(lambda: not _lives(int(number)))


def _lives(number: int) -> bool:
    """Whether a process runs; one that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return False
        return not Path("/proc/self/stat").exists()


def test_the_settings_choose_the_channel(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    hook = AgentSection(gateway_url="http://127.0.0.1:18789", gateway_token_file=token)
    assert channel_of(AgentSection(), {}) is None
    assert isinstance(channel_of(hook, {}), WebHook)
    assert isinstance(channel_of(AgentSection(wake_command=("true",)), {}), Command)
    named = channel_of(AgentSection(), {"OPENCLAW_HOOKS_TOKEN": "x"})
    assert named is not None
    assert named.name == "web hook of http://127.0.0.1:18789"
    named = channel_of(hook, {"OPENCLAW_HOOKS_TOKEN": "x", "OPENCLAW_GATEWAY_URL": "http://[::1]:1"})
    assert named is not None
    assert named.name == "web hook of http://[::1]:1"


@pytest.mark.parametrize(
    ("content", "environment", "reason"),
    [
        ("", {}, "is empty"),
        (None, {}, "cannot be read"),
        ("é", {}, "cannot be read"),
        ("a b", {}, "no header"),
        ("x", {"OPENCLAW_GATEWAY_URL": "ftp://host"}, "gateway_url"),
        ("x", {"OPENCLAW_HOOKS_TOKEN": "a\nb"}, "no header"),
    ],
)
def test_a_gateway_without_a_usable_token_is_an_error_that_does_not_show_it(
    tmp_path: Path, content: str | None, environment: dict[str, str], reason: str
) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)
    settings = AgentSection(gateway_url="http://127.0.0.1:1", gateway_token_file=token)
    with pytest.raises(ConfigError, match=reason):
        channel_of(settings, environment)


def test_a_gateway_without_a_token_file_is_an_error() -> None:
    with pytest.raises(ConfigError, match="gateway_token_file"):
        channel_of(AgentSection(gateway_url="http://127.0.0.1:1"), {})
