"""Which addresses belong to which network."""

from __future__ import annotations

import pytest

from mesh.multiformats.multiaddr import Multiaddr
from mesh.services.kademlia.address_filter import FILTERS, address_filter, with_relayed

RELAY = "/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA/p2p-circuit"
PUBLIC = ["/ip4/8.8.8.8/tcp/4001", "/ip6/2606:4700::1/udp/4001/quic-v1", "/dns4/example.org/tcp/443/wss"]
PRIVATE = [
    "/ip4/10.0.0.1/tcp/1",
    "/ip4/127.0.0.1/tcp/1",
    "/ip4/192.168.1.1/udp/1/quic-v1",
    "/ip6/fe80::1/tcp/1",
]
NOWHERE = ["/ip4/0.0.0.0/tcp/1", "/ip4/192.0.2.1/tcp/1", "/ip4/224.0.0.1/udp/1", "/memory/7"]
RELAYED = [f"/ip4/8.8.8.8/tcp/4001{RELAY}", f"/ip4/10.0.0.1/tcp/1{RELAY}"]
ALL = [Multiaddr.parse(each) for each in (*PUBLIC, *PRIVATE, *NOWHERE, *RELAYED)]


@pytest.mark.parametrize(
    ("name", "kept"),
    [("public", PUBLIC), ("private", PRIVATE), ("all", [*PUBLIC, *PRIVATE, *NOWHERE, *RELAYED])],
)
def test_what_belongs(name: str, kept: list[str]) -> None:
    assert list(map(str, FILTERS[name](iter(ALL)))) == kept


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("public", [*PUBLIC, RELAYED[0]]),
        ("private", [*PRIVATE, RELAYED[1]]),
        ("all", [*PUBLIC, *PRIVATE, *NOWHERE, *RELAYED]),
    ],
)
def test_what_is_told_of_a_peer(name: str, kept: list[str]) -> None:
    assert list(map(str, with_relayed(FILTERS[name])(iter(ALL)))) == kept


@pytest.mark.parametrize(
    ("name", "prefix", "chosen"),
    [
        ("auto", "/ipfs", "public"),
        ("auto", "/ipfs/lan", "private"),
        ("auto", "/mine", "all"),
        ("all", "/ipfs", "all"),
        ("private", "/ipfs", "private"),
        ("public", "/mine", "public"),
    ],
)
def test_which_filter(name: str, prefix: str, chosen: str) -> None:
    assert address_filter(name, prefix) is FILTERS[chosen]
