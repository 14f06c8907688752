"""The layers of the configuration, their order, their origins and their complaints."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import get_args

import pytest

from mesh.config import Config, Loaded, NetworkSection, Origin, YamuxSection, data_folder, load, value_of
from mesh.config.profiles import PROFILES
from mesh.config.sections import every_setting
from mesh.config.sources import line_of
from mesh.config.values import MIB
from mesh.console.setup import KeyName, ProfileName
from mesh.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(text, encoding="utf-8")
    return folder


def loaded(folder: Path, text: str = "", **environ: str) -> Loaded:
    return load(written(folder, text), environ=environ)


def test_plain_config_is_quiet() -> None:
    config = Config()
    assert config.node.path is None
    assert config.key_path is None
    assert config.network.listen == (
        "/ip4/127.0.0.1/tcp/4001",
        "/ip4/127.0.0.1/udp/4001/quic-v1",
        "/ip4/127.0.0.1/tcp/4002/ws",
    )
    assert config.network.bootstrap == ()
    assert config.services.serve == ()
    assert config.api.listen == "off"
    assert config == Config()
    assert hash(config) == hash(Config())


def test_values_from_python_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"NetworkSection.max_connections: 0 is below"):
        NetworkSection(max_connections=0)
    with pytest.raises(ConfigError, match=r"NetworkSection.listen: expected a list"):
        NetworkSection(listen="/ip4/127.0.0.1/tcp/1")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="keepalive_s"):
        replace(YamuxSection(), keepalive_s=float("inf"))
    assert NetworkSection(listen=["/ip4/::"]).listen == ("/ip4/::",)  # type: ignore[arg-type]
    assert type(NetworkSection(dial_timeout_s=3).dial_timeout_s) is float
    with pytest.raises(FrozenInstanceError):
        Config().network.listen = ()  # type: ignore[misc]


def test_layers_in_order(tmp_path: Path) -> None:
    written(tmp_path, "[network]\nmax_connections = 2\nlisten_backlog = 3\nmax_pending_upgrades = 4\n")
    result = load(
        tmp_path,
        {"network.max_pending_upgrades": 7, "network.listen": None},
        {"MESH_NETWORK_LISTEN_BACKLOG": "5", "MESH_NETWORK_MAX_PENDING_UPGRADES": "6"},
        "lan",
    )
    network = result.config.network
    assert network.listen == PROFILES["lan"].values["network.listen"]
    assert (network.max_connections, network.listen_backlog, network.max_pending_upgrades) == (2, 5, 7)
    file = tmp_path / "config.toml"
    assert result.file == file
    expected = {
        "node.path": Origin("flag", "--path"),
        "network.listen": Origin("profile", "profile lan"),
        "network.max_connections": Origin("file", f"{file}:2"),
        "network.listen_backlog": Origin("environment", "MESH_NETWORK_LISTEN_BACKLOG"),
        "network.max_pending_upgrades": Origin("flag", "--max-pending-upgrades"),
        "network.close_timeout_s": Origin("default"),
    }
    assert {key: result.origins[key] for key in expected} == expected
    assert result.is_default("ping.timeout_s")
    assert not result.is_default("network.listen")
    assert [str(origin) for origin in expected.values()][-2:] == ["--max-pending-upgrades", "default"]
    assert set(result.origins) == {key for key, _ in every_setting()}


def test_units_in_file_and_environment(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        '[yamux]\nmax_held_bytes = "32 MiB"\nkeepalive_s = "1500ms"\n[log]\nlevels = {network = "debug"}\n',
        MESH_NETWORK_MAX_HELD_BYTES="128MiB",
        MESH_NETWORK_CLOSE_TIMEOUT_S="250ms",
        MESH_NETWORK_LISTEN="/ip4/127.0.0.1/tcp/0, /ip6/::1/tcp/0",
        MESH_LOG_LEVEL="info",
    ).config
    assert config.yamux.max_held_bytes == 32 * MIB
    assert config.yamux.keepalive_s == 1.5
    assert config.log.levels == (("network", "debug"),)
    assert config.network.max_held_bytes == 128 * MIB
    assert config.network.close_timeout_s == 0.25
    assert config.network.listen == ("/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0")
    assert config.log.level == "info"


def test_empty_list_means_none(tmp_path: Path) -> None:
    assert loaded(tmp_path, "[network]\nlisten = []\n").config.network.listen == ()
    assert loaded(tmp_path, "", MESH_NETWORK_LISTEN="").config.network.listen == ()


def test_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "named"
    assert data_folder(environ={"MESH_PATH": str(named)}) == named
    assert data_folder(tmp_path, {"MESH_PATH": str(named)}) == tmp_path
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder(environ={}).name == "mesh"
    result = load(environ={"MESH_PATH": str(named)})
    assert result.config.node.path == named
    assert result.origins["node.path"] == Origin("environment", "MESH_PATH")
    assert result.config.key_path == named / "identity.key"
    assert not named.exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "[network]\nlisen = []",
            r"config.toml:2: unknown setting network.lisen \(did you mean network.listen",
        ),
        ("\n[netwrok]\nlisten = []", r"config.toml:2: unknown section netwrok \(did you mean network\?\)"),
        ("listen = []", r"config.toml:1: unknown section listen \(did you mean network.listen\?\)"),
        ("[quux]\nzzz = 1", r"config.toml:1: unknown section quux$"),
        ("network = 5", r"config.toml:1: \[network\] must be a table"),
        ("[[network]]\nlisten = []", r"config.toml: \[network\] must be a table"),
        ("[log]\n\nlevel = 'loud'", r"config.toml:3: log.level: 'loud' is not one of debug, info"),
        ("[log]\nformat = 'jsn'", r"config.toml:2: log.format: .*did you mean json"),
        ("[log.levels]\nnetwork = 'loud'", r"config.toml:1: log.levels: 'loud' is not one of"),
        ("[network]\nmax_connections = '5'", r"config.toml:2: .*expected a whole number, got '5'"),
        ("network.dial_timeout_s = -1", r"config.toml:1: network.dial_timeout_s: -1 is below"),
        ("[network]\nlisten = '/ip4'", r"config.toml:2: network.listen: expected a list"),
        ("[network]\nlisten = ['ip4']", r"config.toml:2: .*must start with /"),
        ("[node]\npath = '/x'", r"config.toml:2: node.path cannot be set here; use MESH_PATH"),
        ("[network]\nlisten = [\n", r"config.toml:2: not valid TOML: "),
        ("[network]\nlisten = []\nlisten = []\n", r"config.toml:3: not valid TOML: cannot overwrite"),
        ("a = 1\n\tb ! 2\n", r"config.toml:2: not valid TOML: "),
    ],
)
def test_faults_in_the_file(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        loaded(tmp_path, text)
    assert caught.value.exit_status == 3
    assert (tmp_path / "config.toml").read_text() == text


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"# fine\n[log]\n\xff\xfe")
    with pytest.raises(ConfigError, match=r"config.toml:3: not UTF-8"):
        load(tmp_path, environ={})


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("MESH_LOG_LEVEL", "loud", r"^MESH_LOG_LEVEL: log.level: 'loud' is not one of"),
        ("MESH_NETWORK_MAX_CONNECTIONS", "many", r"expected a whole number, got 'many'"),
        (
            "MESH_NETWORK_LISTN",
            "/x",
            r"^MESH_NETWORK_LISTN: unknown setting \(did you mean MESH_NETWORK_LISTEN",
        ),
        ("MESH_NETWROK_LISTEN", "/x", r"did you mean MESH_NETWORK_LISTEN"),
        ("MESH_API_XYZ", "1", r"^MESH_API_XYZ: unknown setting"),
        ("MESH_NODE_PATH", "/x", r"use MESH_PATH"),
        ("MESH_SERVICES_SERVE", "echo,per", r"did you mean perf"),
    ],
)
def test_faults_in_the_environment(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        load(tmp_path, environ={name: text})
    assert caught.value.exit_status == 3


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    environ = {"MESH_DEBUG": "1", "MESH_QUUX": "1", "MESHUGGE": "1", "_MESH_COMPLETE": "x"}
    assert load(tmp_path, environ=environ).config.network == NetworkSection()


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({"api.listen": "nonsense"}, r"^--api: api.listen: 'nonsense' is neither off"),
        ({"network.lissten": ["/x"]}, r"^--lissten: unknown setting"),
        ({"services.serve": "ecko"}, r"^--serve: .*did you mean echo"),
    ],
)
def test_a_wrong_flag_is_wrong_usage(tmp_path: Path, flags: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        load(tmp_path, flags, {})
    assert caught.value.exit_status == 2


def test_unknown_profile(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not one of lan, public.*did you mean server"):
        load(tmp_path, environ={}, profile="sever")


@pytest.mark.parametrize("name", list(PROFILES))
def test_profiles_load(tmp_path: Path, name: str) -> None:
    result = load(tmp_path, environ={}, profile=name)
    changed = {key for key, origin in result.origins.items() if origin.layer == "profile"}
    assert changed == set(PROFILES[name].values)
    assert all(value_of(result.config, key) != value_of(Config(), key) for key in changed)


def test_names_the_console_offers() -> None:
    rules = dict(every_setting())
    assert get_args(ProfileName) == tuple(PROFILES)
    assert get_args(KeyName) == rules["node.key_type"].choices


def test_every_setting_explains_itself() -> None:
    for key, rule in every_setting():
        assert rule.help.endswith("."), key


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("[a]\nb = 1\n", "a.b", 2),
        ("a.b = 1\n", "a.b", 1),
        ("# b = 1\n\n[ a ] # here\n'b' = 1", "a.b", 4),
        ("[a.b]\nc = 1\n", "a.b", 1),
        ("a = {b = 1}", "a.b", 1),
        ("[a]\nb.c = 1", "a.b", 2),
        ("[c]\nb = 1", "a.b", None),
    ],
)
def test_line_of(text: str, key: str, line: int | None) -> None:
    assert line_of(text, key) == line


def test_import_stays_cheap() -> None:
    probe = (
        "import sys, mesh.config; print([n for n in ('tomlkit','typer','platformdirs','tomllib','asyncio') "
    )
    probe += "if n in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=20, check=True
    )
    assert shown.stdout.strip() == "[]"
