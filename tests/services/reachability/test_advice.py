"""What a user is told to do next."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.config.sections import every_setting
from mesh.protocols.autonat.confidence import Reachability
from mesh.protocols.stun.behaviour import NatClass
from mesh.services.reachability.advice import advise

PUBLIC, PRIVATE, UNKNOWN = Reachability.PUBLIC, Reachability.PRIVATE, Reachability.UNKNOWN


def advice(state: Reachability, nat_class: NatClass = NatClass.UNKNOWN, **changes: Any) -> str:
    known: dict[str, Any] = {"listens_beyond": True, "asks": True, "servers": 1, "stun": ("a:1",)}
    return " ".join(advise(state, nat_class, **known | changes))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (advice(PUBLIC), "Nothing: others can reach this node."),
        (advice(UNKNOWN, listens_beyond=False), "network.listen"),
        (advice(UNKNOWN, asks=False), "autonat.ask"),
        (advice(UNKNOWN, servers=0), "No connected peer serves AutoNAT"),
        (advice(UNKNOWN), "look again in a minute"),
        (advice(UNKNOWN, stun=()), "stun.servers"),
        (advice(UNKNOWN, NatClass.BLOCKED), "UDP may be blocked"),
        (advice(PRIVATE, NatClass.SYMMETRIC), "use a relay"),
        (advice(PRIVATE, NatClass.RESTRICTED), "relay.auto"),
        (advice(PRIVATE), "Forward the listening ports"),
    ],
)
def test_what_is_said(given: str, expected: str) -> None:
    assert expected in given


def test_a_setting_that_is_named_exists() -> None:
    keys = {key for key, _ in every_setting()}
    assert {"network.listen", "autonat.ask", "stun.servers", "relay.auto", "network.bootstrap"} <= keys
