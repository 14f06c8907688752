"""Public, private and loopback addresses."""

from __future__ import annotations

import pytest

from mesh.multiformats.ip_ranges import is_loopback, is_private, is_public
from mesh.multiformats.multiaddr import Multiaddr
from tests.vectors import load

RELAY = load("actors")["relay"]["peer_id"]

PUBLIC, PRIVATE, LOOPBACK, NEITHER = "public", "private", "loopback", "neither"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("/ip4/1.1.1.1/tcp/1", PUBLIC),
        ("/ip4/172.15.255.255", PUBLIC),
        ("/ip4/172.32.0.0", PUBLIC),
        ("/ip4/192.0.0.64", PUBLIC),
        ("/ip4/10.1.2.3", PRIVATE),
        ("/ip4/172.31.255.255", PRIVATE),
        ("/ip4/192.168.0.1", PRIVATE),
        ("/ip4/100.64.0.1", PRIVATE),
        ("/ip4/169.254.1.1", PRIVATE),
        ("/ip4/127.0.0.1", LOOPBACK),
        ("/ip4/0.0.0.0", NEITHER),
        ("/ip4/192.0.2.1", NEITHER),
        ("/ip4/224.0.0.1", NEITHER),
        ("/ip4/255.255.255.255", NEITHER),
        ("/ip6/2606:4700::1", PUBLIC),
        ("/ip6/64:ff9b::102:304", PUBLIC),
        ("/ip6/2001:db8::1", NEITHER),
        ("/ip6/::", NEITHER),
        ("/ip6/ff02::1", NEITHER),
        ("/ip6/fd00::1", PRIVATE),
        ("/ip6/fe80::1", PRIVATE),
        ("/ip6zone/eth0/ip6/fe80::1", PRIVATE),
        ("/ip6/::1", LOOPBACK),
        ("/ip6/::ffff:127.0.0.1", LOOPBACK),
        ("/ip6/::ffff:10.0.0.1", PRIVATE),
        ("/ip6/::ffff:1.1.1.1", NEITHER),
        ("/dns4/example.com", PUBLIC),
        ("/dnsaddr/bootstrap.libp2p.io", PUBLIC),
        ("/dns/notlocalhost", PUBLIC),
        ("/dns/localhost", LOOPBACK),
        ("/dns6/A.LOCALHOST.", LOOPBACK),
        ("/dns/printer.local", NEITHER),
        ("/dns/a.home.arpa", NEITHER),
        ("/dns/x.test", NEITHER),
        ("/dns/x.invalid", NEITHER),
        ("/unix/a", NEITHER),
        ("/memory/1", NEITHER),
        ("/ip6zone/eth0", NEITHER),
        (f"/ip4/1.1.1.1/tcp/1/p2p/{RELAY}/p2p-circuit", PUBLIC),
        (f"/ip4/10.0.0.1/tcp/1/p2p/{RELAY}/p2p-circuit", PRIVATE),
    ],
)
def test_verdict(text: str, verdict: str) -> None:
    address = Multiaddr.parse(text)
    assert is_public(address) is (verdict == PUBLIC)
    assert is_private(address) is (verdict in (PRIVATE, LOOPBACK))
    assert is_loopback(address) is (verdict == LOOPBACK)


def test_nothing_is_said_of_the_empty_address() -> None:
    empty = Multiaddr.parse("/tls").decapsulate("tls")
    assert not is_public(empty)
    assert not is_private(empty)
    assert not is_loopback(empty)
