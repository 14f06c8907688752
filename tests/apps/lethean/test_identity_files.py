"""Key and identity on the disk: 0600 from the first byte, never overwritten, and of one node."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from mesh.apps.lethean.identity_files import LetheanPaths, default_paths, delete, load, load_or_create
from mesh.errors import ConfigError
from tests.protocols.lethean.vectors import ALICE, BOB, TS, group

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")


@pytest.fixture
def paths(tmp_path: Path) -> LetheanPaths:
    return default_paths({}, tmp_path, "linux")


def test_the_places_of_a_go_node(tmp_path: Path) -> None:
    places = group("live")["default_paths"]
    found = default_paths({"XDG_DATA_HOME": "", "XDG_CONFIG_HOME": "relative"}, Path("/h"), "linux")
    for name, key in (("key", "private_key"), ("identity", "identity"), ("peers", "peers")):
        assert str(getattr(found, name)) == places[key].replace("$HOME", "/h")
    moved = default_paths({"XDG_DATA_HOME": "/d", "XDG_CONFIG_HOME": "/c"}, Path("/h"), "linux")
    assert moved.key == Path("/d/lethean-desktop/node/private.key")
    assert moved.identity == Path("/c/lethean-desktop/node.json")
    mac = default_paths({"XDG_DATA_HOME": "/d"}, Path("/h"), "darwin")
    assert mac.miners == Path("/h/Library/Application Support/lethean-desktop/miners")


def test_made_once_and_then_the_same(paths: LetheanPaths) -> None:
    assert load(paths) is None
    made = load_or_create(paths, ALICE.private, "alice", TS, "worker")
    assert paths.key.read_bytes() == ALICE.private
    assert paths.identity.read_text() == made.identity.encode_indented()
    again = load_or_create(paths, BOB.private, "bob", TS)
    assert again.identity == made.identity
    loaded = load(paths)
    assert loaded is not None
    assert loaded.key.id == ALICE.id
    delete(paths)
    assert load(paths) is None


@POSIX
def test_modes(paths: LetheanPaths) -> None:
    load_or_create(paths, ALICE.private, "alice", TS)
    assert stat.S_IMODE(paths.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.key.parent.stat().st_mode) == 0o700
    paths.key.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load(paths)


def test_a_key_whose_identity_is_missing_gets_it_anew(paths: LetheanPaths) -> None:
    load_or_create(paths, ALICE.private, "alice", TS)
    paths.identity.unlink()
    with pytest.raises(ConfigError, match="no identity"):
        load(paths)
    found = load_or_create(paths, BOB.private, "", TS)
    assert (found.identity.id, found.identity.name) == (ALICE.id, "lethean-node")


def test_an_identity_without_its_key_is_not_replaced(paths: LetheanPaths) -> None:
    load_or_create(paths, ALICE.private, "alice", TS)
    paths.key.unlink()
    with pytest.raises(ConfigError, match="no key"):
        load(paths)
    with pytest.raises(ConfigError, match="no key"):
        load_or_create(paths, BOB.private, "bob", TS)
    assert not paths.key.exists()


def test_files_of_two_nodes_are_refused(paths: LetheanPaths) -> None:
    load_or_create(paths, ALICE.private, "alice", TS)
    paths.identity.write_text(BOB.identity("bob", TS).encode_indented())
    with pytest.raises(ConfigError, match="another node"):
        load(paths)
    assert paths.key.read_bytes() == ALICE.private


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(33), b"x" * 44])
def test_a_damaged_key_stays_as_it_is(paths: LetheanPaths, data: bytes) -> None:
    load_or_create(paths, ALICE.private, "alice", TS)
    paths.key.write_bytes(data)
    with pytest.raises(ConfigError, match="32 raw bytes"):
        load_or_create(paths, BOB.private, "bob", TS)
    assert paths.key.read_bytes() == data


@pytest.mark.parametrize("text", ["", "[]", '{"id":1}', "x" * 70_000])
def test_a_damaged_identity_is_refused(paths: LetheanPaths, text: str) -> None:
    load_or_create(paths, ALICE.private, "alice", TS)
    paths.identity.write_text(text)
    with pytest.raises(ConfigError, match=r"node\.json"):
        load(paths)


def test_the_files_go_wrote_are_read(paths: LetheanPaths) -> None:
    [case] = [case for case in group("identity") if "node_json_text" in case]
    load_or_create(paths, bytes.fromhex(case["private_key_file_hex"]), "x", TS)
    paths.identity.write_text(case["node_json_text"], encoding="utf-8")
    found = load(paths)
    assert found is not None
    assert found.identity.id == case["node_id"]
    assert found.identity.encode_indented() == case["node_json_text"]
