"""What a user is told to do next."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.config.sections import every_setting
from mesh.protocols.autonat.confidence import Reachability
from mesh.protocols.port_mapping.mapping import Port, Transport
from mesh.protocols.stun.behaviour import NatClass
from mesh.services.port_mapping import MappedPort, MappingStatus
from mesh.services.reachability.advice import advise

PUBLIC, PRIVATE, UNKNOWN = Reachability.PUBLIC, Reachability.PRIVATE, Reachability.UNKNOWN


PORT = Port(Transport.TCP, 4001)


def mapping(state: str, **known: Any) -> MappingStatus:
    return MappingStatus(state, "pcp", "192.168.1.1", [MappedPort(PORT, **known)])


def advice(state: Reachability, nat_class: NatClass = NatClass.UNKNOWN, **changes: Any) -> str:
    known: dict[str, Any] = {"listens_beyond": True, "asks": True, "servers": 1, "stun": ("a:1",)} | {
        "mapping": mapping("off")
    }
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
        (advice(PRIVATE), "Forward the listening ports in the router, or let this node ask"),
        (advice(PRIVATE, mapping=mapping("mapped", host="11.3.1.2")), "forwards 11.3.1.2, yet"),
        (advice(UNKNOWN, mapping=mapping("private", host="100.64.0.2")), "100.64.0.2, is a private one"),
        (
            advice(UNKNOWN, mapping=mapping("refused", code=2, reason="not authorized")),
            "(code 2, not authorized)",
        ),
        (advice(PRIVATE, mapping=mapping("silent")), "neither PCP nor NAT-PMP nor UPnP"),
        (advice(PRIVATE, mapping=mapping("no router")), "port_mapping.gateway"),
        (advice(PRIVATE, mapping=mapping("searching")), "look again in a minute"),
    ],
)
def test_what_is_said(given: str, expected: str) -> None:
    assert expected in given


def test_a_setting_that_is_named_exists() -> None:
    keys = {key for key, _ in every_setting()}
    assert {"network.listen", "autonat.ask", "stun.servers", "relay.auto", "network.bootstrap"} <= keys
    assert {"port_mapping.protocol", "port_mapping.gateway"} <= keys
