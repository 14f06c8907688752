"""The section `gossip` of the configuration."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.config.rules import settings_of
from mesh.config.sections import PUBSUB_PROTOCOLS, SIGNATURE_POLICIES, GossipSection
from mesh.errors import ConfigError
from mesh.protocols.gossip import PROTOCOLS, GossipSettings, Limits, MeshSettings, Thresholds
from mesh.protocols.gossip.signing import Policy
from mesh.services.gossip.options import router_settings
from tests.network.live import Nodes
from tests.services.gossip.network import make_node


def test_the_choices_are_what_the_protocol_has() -> None:
    assert tuple(PROTOCOLS) == PUBSUB_PROTOCOLS
    assert tuple(Policy) == SIGNATURE_POLICIES


def test_the_defaults_are_the_routers() -> None:
    settings = router_settings(GossipSection(), Thresholds())
    assert (settings.mesh, settings.gossip, settings.limits) == (MeshSettings(), GossipSettings(), Limits())


@pytest.mark.parametrize(("text", "value"), [("on", True), ("True", True), ("off", False), ("no", False)])
def test_a_switch_is_read_from_text(text: str, value: bool) -> None:
    assert settings_of(GossipSection)["enabled"].from_text(text) is value


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"d": 6, "d_low": 7}, "d_low 7"),
        ({"d": 13}, "d_high 12"),
        ({"d_out": 4}, "d_out 4"),
        ({"history": 2, "history_gossip": 3}, "history_gossip 3"),
        ({"direct": ("/ip4/127.0.0.1/tcp/1",)}, "peer id"),
        ({"protocols": ("/meshsub/9.9.9",)}, "9.9.9"),
        ({"enabled": "perhaps"}, "true or false"),
    ],
)
def test_settings_that_do_not_go_together_are_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        make_node(Nodes(), **settings)
