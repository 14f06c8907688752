"""`mesh agent wake status` and `retry` beside a daemon whose command fails, and then does not."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.console.conftest import Mesh
from tests.console.test_agent import end, launched

PATIENCE_S = 60.0


def test_wakes_that_were_given_up_are_told_and_tried_again(
    mesh: Mesh, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "may"
    other = launched(tmp_path / "other")
    program = f"import os; raise SystemExit(not os.path.exists({str(mark)!r}))"
    monkeypatch.setenv("MESH_AGENT_WAKE_COMMAND", f"{sys.executable},-c,{program}")
    monkeypatch.setenv("MESH_AGENT_WAKE_ATTEMPTS", "1")
    own = launched(home, "--bootstrap", other.address)
    try:
        sent = mesh(
            "agent", "send", own.peer, "wake up", "--at", own.address, "--path", other.folder, "--json"
        )
        assert sent.status == 0, sent.err
        until(mesh, "givenUp", 1)
        assert "1 given up" in mesh("agent", "wake", "status").out
        mark.touch()
        assert mesh("agent", "wake", "retry").out == "1 wakes are tried again\n"
        until(mesh, "done", 1)
    finally:
        end(own)
        end(other)


def test_an_agent_that_nothing_wakes_says_so(mesh: Mesh, home: Path) -> None:
    own = launched(home)
    try:
        refused = mesh("agent", "wake", "status")
        assert refused.status == 1
        assert "agent.wake_command" in refused.err
    finally:
        end(own)


def until(mesh: Mesh, name: str, value: int) -> None:
    limit = time.monotonic() + PATIENCE_S
    found = None
    while time.monotonic() < limit:
        found = mesh("agent", "wake", "status", "--json").lines[0]
        if found[name] == value:
            return
    raise AssertionError(found)
