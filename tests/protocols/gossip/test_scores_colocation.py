"""P6: peers that share an address."""

from __future__ import annotations

from dataclasses import replace

from mesh.protocols.gossip.scores import Scores
from mesh.protocols.gossip.settings import ScoreSettings

SETTINGS = ScoreSettings(ip_colocation_weight=-2.0, ip_colocation_threshold=1, retain_s=100.0)


def together(*addresses: list[str], settings: ScoreSettings = SETTINGS) -> list[float]:
    """Scores of peers with these addresses."""
    found: Scores[int] = Scores(settings, 0.0)
    for peer, each in enumerate(addresses):
        found.connected(peer, each, 0.0)
    return [found.score(peer, 0.0) for peer in range(len(addresses))]


def test_the_surplus_counts_squared() -> None:
    assert together(["192.0.2.1"], ["192.0.2.2"]) == [0, 0]
    assert together(["192.0.2.1"], ["192.0.2.1"], ["192.0.2.2"]) == [-2, -2, 0]
    assert together(*[["192.0.2.1"]] * 4) == [-18] * 4


def test_each_address_counts_once_a_peer() -> None:
    assert together(["192.0.2.1", "192.0.2.1"], ["192.0.2.1"]) == [-2, -2]
    assert together(["192.0.2.1", "192.0.2.2"], ["192.0.2.1"], ["192.0.2.2"]) == [-4, -2, -2]


def test_who_has_one_ipv6_address_has_its_subnet() -> None:
    assert together(["2001:db8::1"], ["2001:db8::2"]) == [-2, -2]
    assert together(["2001:db8::1"], ["2001:db8::1"]) == [-4, -4]
    assert together(["2001:db8::1"], ["2001:db8:0:1::1"]) == [0, 0]


def test_one_address_written_otherwise_is_the_same() -> None:
    assert together(["::ffff:192.0.2.1"], ["192.0.2.1"]) == [-2, -2]
    assert together(["2001:db8:0::1"], ["2001:DB8::1"]) == [-4, -4]
    assert together(["fe80::1%eth0"], ["fe80::1%eth1"]) == [-4, -4]


def test_loopback_and_what_is_no_address_do_not_count() -> None:
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "example.org", ""):
        assert together([address], [address]) == [0, 0], address


def test_the_whitelist() -> None:
    settings = replace(SETTINGS, ip_colocation_whitelist=("10.0.0.7/8", "2001:db8::/32"))
    for address, score in (("10.1.2.3", 0), ("11.1.2.3", -2), ("2001:db8::1", 0), ("2001:db9::1", -4)):
        assert together([address], [address], settings=settings) == [score, score], address


def test_a_peer_that_moves_takes_its_share_along() -> None:
    found: Scores[str] = Scores(SETTINGS, 0.0)
    for peer in ("ann", "bob"):
        found.connected(peer, ["192.0.2.1"], 0.0)
    assert found.score("ann", 0.0) == -2
    found.connected("bob", ["192.0.2.2"], 0.0)
    assert found.score("ann", 0.0) == 0
    assert found.score("bob", 0.0) == 0


def test_who_went_counts_until_forgotten() -> None:
    """Else one address could bring up one peer id after another."""
    found: Scores[str] = Scores(SETTINGS, 0.0)
    for peer in ("ann", "bob"):
        found.connected(peer, ["192.0.2.1"], 0.0)
    found.disconnected("bob", 0.0)
    assert found.score("ann", 99.0) == -2
    found.wake(100.0)
    assert found.score("ann", 100.0) == 0
    assert len(found) == 1


def test_without_a_weight_nobody_is_kept_for_an_address() -> None:
    found: Scores[str] = Scores(replace(SETTINGS, ip_colocation_weight=0.0), 0.0)
    for peer in ("ann", "bob"):
        found.connected(peer, ["192.0.2.1"], 0.0)
    assert found.score("ann", 0.0) == 0
    found.disconnected("ann", 0.0)
    assert len(found) == 1
