"""`mesh id` and `mesh key`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.storage import keystore
from tests.console.conftest import Mesh

FORMS = ("protobuf", "pem", "base64")


def test_id(mesh: Mesh, home: Path) -> None:
    missing = mesh("id")
    assert missing.status == 3
    assert "mesh init" in missing.err
    mesh("init")
    key = keystore.load(home / "identity.key")
    peer = str(PeerId.from_public_key(key.public))
    assert mesh("id").out == f"{peer}\n"
    assert mesh("id", "--json").lines == [
        {"peer_id": peer, "type": "ed25519", "form": "protobuf", "file": str(home / "identity.key")}
    ]


def test_inspect_tells_no_secret(mesh: Mesh, tmp_path: Path, home: Path) -> None:
    mesh("init")
    own = mesh("key", "inspect")
    assert [line.split()[0] for line in own.out.splitlines()] == ["peer_id", "type", "form", "file"]
    file = tmp_path / "other.pem"
    keystore.save(file, PrivateKey.from_seed(bytes(32)), keystore.KeyForm.PEM)
    told = mesh("key", "inspect", file, "--json").lines[0]
    assert (told["form"], told["file"]) == ("pem", str(file))
    assert mesh("key", "inspect", tmp_path / "none").status == 3


@pytest.mark.parametrize("form", FORMS)
def test_export_and_import(mesh: Mesh, tmp_path: Path, form: str) -> None:
    mesh("init")
    peer = mesh("id").out
    out = tmp_path / "exported"
    assert mesh("key", "export", "--format", form, "--out", out).status == 0
    assert out.stat().st_mode & 0o777 == 0o600
    other = tmp_path / "other"
    outcome = mesh("key", "import", out, "--path", other)
    assert (outcome.status, outcome.out) == (0, f"peer {peer}")
    assert other.stat().st_mode & 0o777 == 0o700
    assert mesh("id", "--path", other).out == peer


@pytest.mark.parametrize("form", ["protobuf", "base64"])
def test_export_to_stdout_and_import_from_stdin(mesh: Mesh, tmp_path: Path, form: str) -> None:
    mesh("init")
    command = [sys.executable, "-m", "mesh", "key"]
    exported = subprocess.run(
        [*command, "export", "--format", form], capture_output=True, timeout=20, check=True
    ).stdout
    imported = subprocess.run(
        [*command, "import", "-", "--path", tmp_path / "o"],
        input=exported,
        capture_output=True,
        timeout=20,
        check=True,
    ).stdout
    assert imported.decode() == f"peer {mesh('id').out}"


def test_export_overwrites_nothing(mesh: Mesh, tmp_path: Path) -> None:
    mesh("init")
    out = tmp_path / "exported"
    out.write_text("precious")
    outcome = mesh("key", "export", "--out", out)
    assert outcome.status == 3
    assert "exists already" in outcome.err
    assert out.read_text() == "precious"


def test_import_keeps_backups(mesh: Mesh, tmp_path: Path, home: Path) -> None:
    mesh("init")
    old = (home / "identity.key").read_bytes()
    keys = [PrivateKey.from_seed(bytes([number]) * 32) for number in (1, 2)]
    for number, key in enumerate(keys):
        keystore.save(tmp_path / f"key{number}", key)
    refused = mesh("key", "import", tmp_path / "key0")
    assert refused.status == 3
    assert "--force" in refused.err
    assert (home / "identity.key").read_bytes() == old
    first = mesh("key", "import", tmp_path / "key0", "--force")
    second = mesh("key", "import", tmp_path / "key1", "--force")
    assert first.out.splitlines()[0] == f"backup {home}/identity.key.bak"
    assert second.out.splitlines()[0] == f"backup {home}/identity.key.bak2"
    assert (home / "identity.key.bak").read_bytes() == old
    assert (home / "identity.key.bak2").read_bytes() == keys[0].to_protobuf()
    assert keystore.load(home / "identity.key") == keys[1]
    assert {file.stat().st_mode & 0o777 for file in home.glob("identity*")} == {0o600}


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"\x08\x01\x12\x02xx", b"-----BEGIN nothing", b"x" * 20000]
)
def test_import_of_something_else(mesh: Mesh, tmp_path: Path, home: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    outcome = mesh("key", "import", file)
    assert outcome.status == 3
    assert str(file) in outcome.err
    assert not home.exists()


def test_import_of_nothing(mesh: Mesh, tmp_path: Path) -> None:
    outcome = mesh("key", "import", tmp_path / "none")
    assert outcome.status == 3
    assert "cannot be read" in outcome.err
