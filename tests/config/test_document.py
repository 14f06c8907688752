"""Writing configuration files: rendered, changed in place, never damaged."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mesh.config import load, value_of
from mesh.config.document import parse_value, refuse_existing, render, set_value, write_atomically
from mesh.config.profiles import PROFILES
from mesh.config.sections import every_setting
from mesh.errors import ConfigError, MeshError, StorageError, UsageError


@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_only_deviating_values_are_active(tmp_path: Path, profile: str | None) -> None:
    text = render(profile)
    active = {f"{section}.{key}" for section, table in tomllib.loads(text).items() for key in table}
    assert active == (set(PROFILES[profile].values) if profile else set())
    file = tmp_path / "config.toml"
    write_atomically(file, text)
    written = load(tmp_path, environ={})
    file.unlink()
    assert written.config == load(tmp_path, environ={}, profile=profile).config


def test_commented_defaults_are_valid(tmp_path: Path) -> None:
    lines = [
        line.removeprefix("# ")
        if line.startswith("# ") and " = " in line and '"debug".' not in line
        else line
        for line in render().splitlines()
    ]
    write_atomically(tmp_path / "config.toml", "\n".join(lines))
    result = load(tmp_path, environ={})
    assert {key for key, origin in result.origins.items() if origin.layer == "file"} == {
        key for key, _ in every_setting() if key != "node.path"
    }
    (tmp_path / "config.toml").unlink()
    assert result.config == load(tmp_path, environ={}).config


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("network.listen", '["/ip4/127.0.0.1/tcp/5"]', ("/ip4/127.0.0.1/tcp/5",)),
        ("network.listen", "/ip4/127.0.0.1/tcp/5,/ip6/::1/tcp/5", ("/ip4/127.0.0.1/tcp/5", "/ip6/::1/tcp/5")),
        ("network.listen", "[]", ()),
        ("network.max_connections", "5", 5),
        ("network.max_held_bytes", "64 MiB", 64 << 20),
        ("network.max_held_bytes", '"64 MiB"', 64 << 20),
        ("network.dial_timeout_s", "250ms", 0.25),
        ("log.level", "info", "info"),
        ("log.level", '"info"', "info"),
        ("log.levels", '{network = "debug"}', (("network", "debug"),)),
        ("log.levels", "network=debug", (("network", "debug"),)),
        ("identify.agent_version", "mine", "mine"),
    ],
)
def test_set_a_value(tmp_path: Path, key: str, text: str, value: object) -> None:
    file = tmp_path / "config.toml"
    for before in ("", render(), render("server")):
        file.write_text(before)
        set_value(file, key, parse_value(key, text))
        assert value_of(load(tmp_path, environ={}).config, key) == value
        comments = [line for line in before.splitlines() if line.startswith("# ") and " = " not in line]
        assert [line for line in file.read_text().splitlines() if line in comments] == comments


def test_set_takes_the_place_of_the_commented_default(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(render())
    set_value(file, "network.max_connections", 9)
    lines = file.read_text().splitlines()
    index = lines.index("max_connections = 9")
    assert lines[index - 1] == "# Connections at once; further ones are refused."
    assert "# max_connections = 4096" not in lines


def test_set_creates_folder_and_file(tmp_path: Path) -> None:
    file = tmp_path / "new" / "config.toml"
    set_value(file, "log.level", "info")
    assert file.read_text() == '[log]\nlevel = "info"\n'
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("key", "text", "complaint"),
    [
        ("network.lisen", "[]", "did you mean network.listen"),
        ("network.listen", "[5]", "expected text, got 5"),
        ("network.max_connections", "many", "whole number"),
        ("network.max_connections", "0", "below the least"),
        ("node.path", "/x", "MESH_PATH"),
        ("log.level", "loud", "not one of"),
    ],
)
def test_wrong_values_are_not_parsed(key: str, text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_value(key, text)


@pytest.mark.parametrize("text", ["[log\nlevel = 1", "log = 5\n", "\xff"])
def test_a_damaged_file_is_not_overwritten(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError):
        set_value(file, "log.level", "info")
    assert file.read_bytes() == text.encode("latin-1")
    assert list(tmp_path.iterdir()) == [file]


def test_an_existing_file_is_not_made_anew(tmp_path: Path) -> None:
    refuse_existing(tmp_path / "config.toml")
    (tmp_path / "config.toml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="exists already"):
        refuse_existing(tmp_path / "config.toml")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.toml", tmp_path / "config.toml"
    real.write_text("")
    link.symlink_to(real)
    set_value(link, "log.level", "info")
    assert link.is_symlink()
    assert real.read_text() == '[log]\nlevel = "info"\n'


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "config.toml", "")
    with pytest.raises(MeshError):
        set_value(tmp_path / "file" / "config.toml", "log.level", "info")
