"""What taking part turns on, and what it leaves as somebody chose it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.apps.beam.beam import Beam
from mesh.config import BeamSection, KademliaSection, load
from mesh.console.serving import _with_beam
from mesh.errors import ConfigError
from tests.apps.beam.beams import Beams


@pytest.mark.parametrize(
    ("level", "mode", "relays"),
    [("light", "client", False), ("medium", "server", False), ("full", "server", True)],
)
def test_each_level(tmp_path: Path, level: str, mode: str, relays: bool) -> None:
    loaded = load(tmp_path, {"beam.enabled": True, "beam.participation": level}, environ={})
    config = _with_beam(loaded).config
    assert config.kademlia.prefix == "/beam"
    assert config.kademlia.mode == mode
    assert config.relay.serve is relays
    assert config.gossip.enabled is relays
    assert config.identify.agent_version.endswith(" beam/1.0.0")


def test_what_was_chosen_stays(tmp_path: Path) -> None:
    flags = {
        "beam.enabled": True,
        "beam.participation": "full",
        "kademlia.mode": "client",
        "relay.serve": False,
    }
    config = _with_beam(load(tmp_path, flags, environ={})).config
    assert config.kademlia.mode == "client"
    assert not config.relay.serve
    assert _with_beam(load(tmp_path, {}, environ={})).config == load(tmp_path, {}, environ={}).config


async def test_records_do_not_go_into_the_public_dht(beams: Beams) -> None:
    node = await beams.start(mode="server", prefix="/ipfs")
    with pytest.raises(ConfigError, match="/beam"):
        Beam(node, BeamSection(enabled=True))
    assert KademliaSection().prefix == "/ipfs"


async def test_beam_can_be_started_again_on_a_node(beams: Beams) -> None:
    one = await beams.beam()
    await one.stop()
    again = Beam(one.node, one.settings)
    async with again:
        assert "beam" in one.node.dht.validators.namespaces
    assert "beam" not in one.node.dht.validators.namespaces
