"""The way out as datagrams of a short life find it, through real routers."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pytest

from mesh.lab import Lab
from mesh.lab.topology import RELAY_IP, RELAY_IP6

PROGRAM = """
import asyncio, json, sys
from mesh.network.route_probe import probe_route
found = asyncio.run(probe_route(sys.argv[1]))
print(json.dumps([found.routers, found.longest_bytes, found.beyond]))
"""

PATIENCE_S = 20.0

pytestmark = pytest.mark.usefixtures("laboratory")


def probed(lab: Lab, target: str) -> tuple[list[str], int, bool]:
    """The first routers in their order, the longest packet that passed, and whether any did."""
    found: list[Any] = json.loads(lab.run("homeA", sys.executable, "-c", PROGRAM, target))
    return list(found[0].values()), found[1], found[2]


@pytest.mark.parametrize(
    ("kind", "target", "routers"),
    [
        ("port-restricted", RELAY_IP, ["192.168.1.1", "11.3.1.1", RELAY_IP]),
        ("double", RELAY_IP, ["192.168.1.1", "100.64.0.1", "11.3.1.1", RELAY_IP]),
        ("firewall", RELAY_IP6, ["3fff:0:53::1", "3fff:0:3::1", RELAY_IP6]),
    ],
)
def test_routers_answer_in_their_order(kind: str, target: str, routers: list[str]) -> None:
    """Routers of IPv6 say nothing while their addresses are new, and then only so often: they are asked until they do."""
    until = time.monotonic() + PATIENCE_S
    with Lab(kind) as lab:
        found, longest, _ = probed(lab, target)
        while found[: len(routers)] != routers and time.monotonic() < until:
            found, longest, _ = probed(lab, target)
        assert found[: len(routers)] == routers
        assert longest == 1280


def test_where_udp_is_barred_the_first_router_alone_answers() -> None:
    with Lab("no-udp") as lab:
        assert probed(lab, RELAY_IP) == (["192.168.1.1"], 0, False)


def test_the_longest_packet_that_passes_is_found_where_longer_ones_are_lost() -> None:
    with Lab("port-restricted") as lab:
        rule = ("ip", "length", ">", "1150", "drop")
        lab.run("natA", "nft", "insert", "rule", "inet", "f", "fw_", *rule)
        assert probed(lab, RELAY_IP)[1:] == (1100, True)
