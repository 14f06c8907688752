"""`mesh block`, `file`, `pin` and `repo`, with two daemons in processes of their own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.ipld.block import Block
from mesh.multiformats.cid import RAW
from tests.console.conftest import Mesh
from tests.console.test_swarm import Running, running

CONTENT = random.Random(1).randbytes(600_000)
SETTINGS = "[blocks]\nenabled = true\nexchange = true\n"


@pytest.fixture
def giver(tmp_path: Path) -> Iterator[Running]:
    folder = tmp_path / "giver"
    folder.mkdir()
    (folder / "config.toml").write_text(SETTINGS)
    with running(folder, "--api", "127.0.0.1:0") as started:
        yield started


@pytest.fixture
def daemon(home: Path, giver: Running) -> Iterator[Running]:
    home.mkdir()
    (home / "config.toml").write_text(f'{SETTINGS}[network]\npeering = ["{giver.address}"]\n')
    with running(home, "--api", "127.0.0.1:0") as started:
        yield started


def test_blocks_files_and_pins(daemon: Running, giver: Running, mesh: Mesh, tmp_path: Path) -> None:
    folder = tmp_path / "things"
    (folder / "inner").mkdir(parents=True)
    (folder / "a file").write_bytes(CONTENT)
    (folder / "inner" / "empty").write_bytes(b"")
    there = ("--path", str(giver.folder))
    root = mesh("file", "add", str(folder), *there).out.strip()
    listed = mesh("file", "ls", root).out.splitlines()
    assert [line.split("  ")[-1] for line in listed] == ["a file", "inner"]
    out = tmp_path / "out"
    got = mesh("file", "get", f"/ipfs/{root}/a file", "--out", str(out), "--json")
    assert (got.status, got.lines[0]["size"]) == (0, len(CONTENT))
    assert out.read_bytes() == CONTENT
    assert mesh("pin", "add", root, "--name", "things").out == f"pinned {root}\n"
    assert mesh("pin", "ls").out == f"{root}  recursive  things\n"
    small = tmp_path / "small"
    small.write_bytes(b"a small block")
    cid = str(Block.of(b"a small block", RAW).cid)
    assert mesh("block", "put", str(small), *there).out == f"{cid}\n"
    assert mesh("block", "get", cid).out == "a small block"
    assert mesh("block", "stat", cid).out == f"{cid}  13 bytes\n"
    assert "received" in mesh("repo", "stat").out
    assert mesh("repo", "gc").out == "removed 1 blocks, 13 bytes; kept 7\n"
    assert mesh("block", "rm", cid).out == f"not here: {cid}\n"
    assert mesh("pin", "rm", root).out == f"unpinned {root}\n"
    assert mesh("repo", "gc", "--json").lines[0]["removed"] == 7
    missing = mesh("block", "get", str(Block.of(b"nobody", RAW).cid), "--limit", "300ms", "--json")
    assert (missing.status, missing.error["code"]) == (1, "timed-out")
    assert mesh("block", "get", cid, "--limit", "soon").status == 2
    assert mesh("file", "add", str(tmp_path / "nothing")).status == 2
