"""`mesh crdt`, with two daemons in processes of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.conftest import Mesh
from tests.console.test_swarm import Running, running

SETTINGS = "[blocks]\nenabled = true\nexchange = true\n[gossip]\nenabled = true\nheartbeat_s = 0.2\n"
PATIENCE_S = 30.0


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Running]:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "config.toml").write_text(SETTINGS)
    with running(folder, "--api", "127.0.0.1:0") as started:
        yield started


@pytest.fixture
def daemon(home: Path, other: Running) -> Iterator[Running]:
    home.mkdir()
    (home / "config.toml").write_text(f'{SETTINGS}[network]\npeering = ["{other.address}"]\n')
    with running(home, "--api", "127.0.0.1:0") as started:
        yield started


def test_both_have_what_one_puts(daemon: Running, other: Running, mesh: Mesh, tmp_path: Path) -> None:
    there = ("--path", str(other.folder))
    assert mesh("crdt", "put", "prices", "tea/green", "3").out == "put /tea/green\n"
    assert mesh("crdt", "put", "prices", "/tea/green", "3").out == "has it already: /tea/green\n"
    value = tmp_path / "value"
    value.write_bytes(b"\x00two\n\xff")
    assert mesh("crdt", "put", "prices", "/tea/black", "--file", str(value)).status == 0
    assert mesh("crdt", "get", "prices", "/tea/green").out == "3"
    out = tmp_path / "out"
    assert mesh("crdt", "get", "prices", "/tea/black", "--out", str(out)).status == 0
    assert out.read_bytes() == value.read_bytes()
    until = time.monotonic() + PATIENCE_S
    while mesh("crdt", "get", "prices", "/tea/black", *there).status and time.monotonic() < until:
        time.sleep(0.1)
    assert mesh("crdt", "ls", "prices", *there).out == "/tea/black  \\x00two\\n\\xff\n/tea/green  3\n"
    assert mesh("crdt", "ls", "prices", "/tea/green", "--json").lines == [
        {"type": "entry", "key": "/tea/green", "value": "Mw=="}
    ]
    assert mesh("crdt", "del", "prices", "/tea/black").out == "deleted /tea/black\n"
    assert mesh("crdt", "del", "prices", "/tea/black").out == "had no value: /tea/black\n"
    gone = mesh("crdt", "get", "prices", "/tea/black", "--json")
    assert (gone.status, gone.error["code"]) == (1, "not-found")
    shown = mesh("crdt", "heads", "prices").out.splitlines()
    assert shown[0].endswith("  height 3")
    assert shown[1].startswith("nothing is missing; 1 peers; ")
    assert mesh("crdt", "put", "prices", "/a", "1", "--file", str(value)).status == 2
