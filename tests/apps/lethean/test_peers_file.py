"""`peers.json` and the allowlist: written whole, some time after the first change, and as Go writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.apps.lethean.peers_file import PeersFile
from mesh.errors import StorageError
from mesh.protocols.lethean.peer import Peer
from mesh.protocols.lethean.registry import PeerRegistry
from tests.protocols.lethean.vectors import TS, group

CASE = group("peers")["persistence"]


def opened(path: Path) -> tuple[PeersFile, PeerRegistry]:
    registry = PeerRegistry()
    return PeersFile(path, registry), registry


def test_go_peers_come_back(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    path.write_text(CASE["peers_json_text"])
    file, registry = opened(path)
    file.load()
    assert [peer.name for peer in registry.peers()] == ["peer one"]
    registry.update_score("abc", 80, 0.0)
    file.close(0.0)
    assert path.read_text() == CASE["peers_json_text"].replace("77", "80")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["peers.json"]


def test_a_change_is_written_after_its_delay(tmp_path: Path) -> None:
    file, registry = opened(tmp_path / "new" / "peers.json")
    file.load()
    registry.add(Peer(id="a"), 100.0, TS)
    assert file.deadline() == 105.0
    file.save_if_due(104.9)
    assert not file.path.exists()
    file.save_if_due(105.0)
    again, loaded = opened(file.path)
    again.load()
    assert loaded.peers() == registry.peers()


def test_the_allowlist_is_written_at_once(tmp_path: Path) -> None:
    file, _ = opened(tmp_path / "peers.json")
    for key in ("zzz=", "aaa=", "aaa="):
        file.allow(key)
    assert file.allowlist_path.read_text() == CASE["allowlist_text"]
    again, loaded = opened(file.path)
    again.load()
    assert loaded.allowlist.keys() == ["aaa=", "zzz="]
    for key in ("zzz=", "aaa=", "aaa="):
        file.revoke(key)
    assert file.allowlist_path.read_text() == CASE["allowlist_empty_text"]


def test_damage(tmp_path: Path) -> None:
    file, _ = opened(tmp_path / "peers.json")
    file.allowlist_path.write_text("{")
    file.load()
    assert "ignored" in file.problem
    file.path.write_text("[{]")
    with pytest.raises(StorageError, match="damaged"):
        file.load()


def test_a_failed_save_is_tried_again(tmp_path: Path) -> None:
    file, registry = opened(tmp_path / "peers.json")
    registry.add(Peer(id="a"), 0.0, TS)
    file.path.mkdir()
    (file.path / "in the way").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        file.save_if_due(5.0)
    assert file.deadline() == 10.0
    assert not file.path.with_name("peers.json.tmp").exists()
    (file.path / "in the way").unlink()
    file.path.rmdir()
    file.save_if_due(10.0)
    assert file.path.read_text() == registry.encode()
