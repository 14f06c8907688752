"""Beam's settings, and its own environment variables as aliases."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.config import BeamSection, Config, load
from mesh.errors import ConfigError


def test_everything_is_off_until_configured() -> None:
    assert Config().beam == BeamSection()
    assert not Config().beam.enabled


def test_beams_variables_are_understood(tmp_path: Path) -> None:
    variables = {
        "BEAM_NETWORK_MAX_PEERS": "100",
        "BEAM_NETWORK_BOOTSTRAP_PEERS": "/ip4/192.0.2.1/tcp/4000",
        "BEAM_NETWORK_DISCOVERY_INTERVAL": "30",
        "BEAM_MAX_CONNECTIONS": "1000",
        "BEAM_TIMEOUT": "30000",
        "BEAM_DOMAIN_TTL": "3600",
        "BEAM_DEFAULT_DOMAIN_SUFFIX": ".beam",
        "BEAM_CACHE_SIZE": "10",
        "BEAM_PEER_MODE": "full",
        "BEAM_MODE": "bootstrap",
        "BEAM_AUTH_TOKEN": "",
        "BEAM_REGION": "nobody reads this",
    }
    loaded = load(tmp_path, environ=variables)
    config = loaded.config
    assert config.keeping.high == 100
    assert config.network.bootstrap == ("/ip4/192.0.2.1/tcp/4000",)
    assert config.pex.interval_s == 30.0
    assert config.network.max_connections == 1000
    assert config.network.dial_timeout_s == 30.0
    assert (config.beam.name_ttl_s, config.beam.suffix, config.beam.cache_entries) == (3600, ".beam", 10)
    assert config.beam.participation == "full"
    assert str(loaded.origins["network.dial_timeout_s"]) == "BEAM_TIMEOUT"
    assert config.pex.enabled
    assert not config.beam.enabled


@pytest.mark.parametrize("variable", ["BEAM_AUTH_TOKEN", "BEAM_ENCRYPTION_KEY", "BEAM_PEER_ID"])
def test_what_is_not_done_here_is_refused_and_not_passed_over(tmp_path: Path, variable: str) -> None:
    with pytest.raises(ConfigError, match="unset it") as caught:
        load(tmp_path, environ={variable: "x"})
    assert str(caught.value).count(variable) == 1


def test_a_mode_that_there_is_not_is_told_with_the_one_there_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"BEAM_MODE: is bootstrap or unset, not 'relay'.*BEAM_PEER_MODE"):
        load(tmp_path, environ={"BEAM_MODE": "relay"})


def test_peers_are_written_as_beam_writes_them(tmp_path: Path) -> None:
    places = "node.example:4000, 192.0.2.1:4001,[2001:db8::1]:4002,/ip4/192.0.2.2/tcp/4003"
    loaded = load(tmp_path, environ={"BEAM_BOOTSTRAP_PEERS": places})
    assert loaded.config.network.bootstrap == (
        "/dns/node.example/tcp/4000",
        "/ip4/192.0.2.1/tcp/4001",
        "/ip6/2001:db8::1/tcp/4002",
        "/ip4/192.0.2.2/tcp/4003",
    )
    with pytest.raises(ConfigError, match="BEAM_BOOTSTRAP_PEERS"):
        load(tmp_path, environ={"BEAM_BOOTSTRAP_PEERS": "node.example"})


def test_the_programs_own_variables_win(tmp_path: Path) -> None:
    loaded = load(tmp_path, environ={"BEAM_TIMEOUT": "30000", "MESH_NETWORK_DIAL_TIMEOUT_S": "5"})
    assert loaded.config.network.dial_timeout_s == 5.0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BEAM_MODE", "gateway"),
        ("BEAM_MODE", ""),
        ("BEAM_TIMEOUT", "soon"),
        ("BEAM_PEER_MODE", "bootstrap"),
        ("BEAM_DOMAIN_TTL", "1"),
    ],
)
def test_a_wrong_value_names_its_variable(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        load(tmp_path, environ={variable: value})


@pytest.mark.parametrize("suffix", ["local", ".a.b", ".A", "."])
def test_a_suffix_is_a_dot_and_a_word(suffix: str) -> None:
    with pytest.raises(ConfigError):
        BeamSection(suffix=suffix)
