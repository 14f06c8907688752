"""Key files: forms, damage, permissions, and processes that start at the same time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.codecs.keys import KeyType
from mesh.errors import ConfigError, DecodeError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.storage import keystore
from mesh.storage.keystore import KeyForm
from tests.vectors import cases

KEYS = [PrivateKey.from_protobuf(bytes.fromhex(case["private_protobuf"])) for case in cases("keys")]
ALICE = PrivateKey.from_seed(b"\1" * 32)

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX file modes")


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_created_once_and_then_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "node.key"
    key = keystore.load_or_create(path)
    assert key.type is KeyType.ED25519
    assert keystore.load_or_create(str(path), KeyType.SECP256K1) == key
    assert path.read_bytes() == key.to_protobuf()
    assert [each.name for each in path.parent.iterdir()] == ["node.key"]
    told = keystore.inspect(path)
    assert told == keystore.KeyFile(
        path, KeyForm.PROTOBUF, KeyType.ED25519, PeerId.from_public_key(key.public)
    )


@posix
def test_modes(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        keystore.load_or_create(tmp_path / "folder" / "key")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "folder" / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700


@pytest.mark.parametrize("form", KeyForm)
@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.type.name)
def test_forms(tmp_path: Path, key: PrivateKey, form: KeyForm) -> None:
    path = tmp_path / "key"
    keystore.save(path, key, form)
    assert keystore.load(path) == key
    assert keystore.inspect(path).form is form
    assert keystore.import_key(keystore.export_key(key, form)) == (key, form)


def test_base64_with_line_breaks() -> None:
    text = keystore.export_key(ALICE, KeyForm.BASE64)
    broken = b" " + text[:20] + b"\r\n" + text[20:] + b"\n\n"
    assert keystore.import_key(broken) == (ALICE, KeyForm.BASE64)


def test_never_overwritten(tmp_path: Path) -> None:
    path = write(tmp_path / "key", b"something")
    with pytest.raises(ConfigError, match="never overwritten"):
        keystore.save(path, ALICE)
    with pytest.raises(ConfigError, match="damaged"):
        keystore.load_or_create(path)
    assert path.read_bytes() == b"something"
    assert len(list(tmp_path.iterdir())) == 1


WHOLE = ALICE.to_protobuf()


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "is empty"),
        (WHOLE[:-1], "damaged"),
        (WHOLE[:40] + b"\0" + WHOLE[41:], "damaged"),
        (b"not base64!", "damaged"),
        (b"AAA", "looks like base64"),
        (b"\n", "damaged"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "damaged"),
        (b"\x08\x00\x12\x00", "damaged"),
        (b"x" * 20000, "longer than"),
    ],
)
def test_damage_tells_path_cause_and_remedy(tmp_path: Path, data: bytes, cause: str) -> None:
    path = write(tmp_path / "key", data)
    for read in (keystore.load, keystore.load_or_create, keystore.inspect):
        with pytest.raises(ConfigError, match=cause) as raised:
            read(path)
        assert str(path) in str(raised.value)
        assert "backup" in str(raised.value)
    assert path.read_bytes() == data


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_readable_by_others(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "key", WHOLE, mode)
    with pytest.raises(ConfigError, match=f"{mode:04o}.*chmod 600 {path}"):
        keystore.load(path)
    path.chmod(0o400)
    assert keystore.load(path) == ALICE


def test_paths_that_hold_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no key file"):
        keystore.load(tmp_path / "missing")
    with pytest.raises(ConfigError, match="cannot read"):
        keystore.load(write(tmp_path / "file", b"x") / "key")
    with pytest.raises(ConfigError, match="cannot write"):
        keystore.load_or_create(tmp_path / "file" / "folder" / "key")
    with pytest.raises(ConfigError, match="cannot write"):
        keystore.save(tmp_path / "no folder" / "key", ALICE)


@posix
def test_things_that_are_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name in ("pipe", "folder", "dangling"):
        with pytest.raises(ConfigError, match=name):
            keystore.load_or_create(tmp_path / name)
    key = keystore.load_or_create(tmp_path / "key")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    assert keystore.load(tmp_path / "link") == key


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may do everything")
def test_no_permission(tmp_path: Path) -> None:
    path = write(tmp_path / "key", WHOLE, 0o000)
    with pytest.raises(ConfigError, match="cannot read"):
        keystore.load(path)
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot write"):
        keystore.save(tmp_path / "other", ALICE)
    tmp_path.chmod(0o700)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mesh.storage.keystore.os.fsync", fail)
    for write_key in (
        lambda: keystore.save(tmp_path / "key", ALICE),
        lambda: keystore.load_or_create(tmp_path / "key"),
    ):
        with pytest.raises(ConfigError, match="No space left"):
            write_key()
    assert list(tmp_path.iterdir()) == []


def test_losing_the_race_takes_the_winners_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    generate = PrivateKey.generate

    def slow_generate(key_type: KeyType) -> PrivateKey:
        keystore.save(path, ALICE)
        return generate(key_type)

    monkeypatch.setattr("mesh.storage.keystore.PrivateKey.generate", slow_generate)
    assert keystore.load_or_create(path) == ALICE
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_processes_that_start_together_get_one_key(tmp_path: Path) -> None:
    script = (
        "import sys; from mesh.storage import keystore; sys.stdin.read(1); "
        "print(keystore.load_or_create(sys.argv[1]).public.raw.hex())"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "key")]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    found = {process.communicate(timeout=60)[0].strip() for process in started}
    assert found == {keystore.load(tmp_path / "key").public.raw.hex()}
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


@given(st.binary(max_size=120) | st.text(max_size=60).map(str.encode))
@settings(max_examples=150)
def test_hostile_content(data: bytes) -> None:
    with pytest.raises(DecodeError):
        keystore.import_key(data)
