"""Networks of addresses, and how many of one are let in."""

from __future__ import annotations

import pytest

from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.kademlia.diversity import GroupCounts, crowded, group_of, groups_of


def addresses(*texts: str) -> list[Multiaddr]:
    return [Multiaddr.parse(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("/ip4/8.9.10.11/tcp/1", "0809"),
        ("/ip4/8.9.200.1/udp/1/quic-v1", "0809"),
        ("/ip4/17.1.2.3/tcp/1", "11"),
        ("/ip4/17.200.2.3/tcp/1", "11"),
        ("/ip4/38.1.2.3/tcp/1", "26"),
        ("/ip4/16.1.2.3/tcp/1", "1001"),
        ("/ip6/2a00:1450:4001::1/tcp/1", "2a001450"),
        ("/ip6/2a00:1450:8000::2/tcp/1", "2a001450"),
        ("/ip6/::ffff:8.9.1.2/tcp/1", "0809"),
        ("/ip6/64:ff9b::809:102/tcp/1", "0809"),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/1", "fe800000"),
        ("/ip4/8.9.1.1/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N/p2p-circuit", "0809"),
        ("/dns4/example.org/tcp/1", None),
        ("/memory/1", None),
    ],
)
def test_groups(text: str, group: str | None) -> None:
    assert group_of(Multiaddr.parse(text)) == (None if group is None else bytes.fromhex(group))


def test_groups_of_a_peer() -> None:
    mixed = addresses("/ip4/9.9.9.9/tcp/1", "/ip4/9.9.1.1/tcp/1", "/ip4/10.0.0.1/tcp/1", "/dns/a.org/tcp/1")
    assert groups_of(mixed) == (b"\x09\x09",)
    assert groups_of(mixed, exempt_near=False) == (b"\x09\x09", b"\x0a\x00")
    near = addresses("/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1", "/ip4/192.168.1.1/tcp/1", "/ip6/fd00::1/tcp/1")
    assert groups_of(near) == ()
    assert len(groups_of(near, exempt_near=False) or ()) == 4
    assert groups_of(addresses("/dns/a.org/tcp/1")) is None
    assert groups_of([]) is None


def test_counts() -> None:
    counts = GroupCounts(3, 2)
    for bucket in (0, 0, 1):
        assert counts.admits(bucket, [b"a"])
        counts.add(bucket, [b"a"])
    assert not counts.admits(2, [b"a"])
    assert not counts.admits(2, [b"b", b"a"])
    assert counts.admits(2, [b"b"])
    assert counts.admits(0, [b"a"], leaving=(b"a",))
    assert not counts.admits(0, [b"a"], leaving=(b"b",))
    counts.discard(1, [b"a"])
    assert not counts.admits(0, [b"a"])
    assert counts.admits(1, [b"a"])


def test_crowded_groups_of_an_answer() -> None:
    assert crowded([(b"a",), (b"a", b"b"), (b"a",), (b"b",), None, ()], 2) == {b"a"}
    assert crowded([(b"a",)] * 3, 3) == set()
