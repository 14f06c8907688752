"""Rules that deny and allow: which one decides, their text, and the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.errors import StorageError, UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.gater import Denied, Gater

ALICE = PeerId.from_public_key(PrivateKey.from_seed(b"\1" * 32).public)
BOB = PeerId.from_public_key(PrivateKey.from_seed(b"\2" * 32).public)
HERE = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")


def judge(gater: Gater, address: str) -> bool:
    return gater.refusal(None, Multiaddr.parse(address)) is None


def test_no_rules_pass() -> None:
    gater = Gater()
    gater.check_peer_dial(ALICE)
    gater.check_address_dial(None, HERE)
    gater.check_accept(HERE)
    gater.check_secured(ALICE, HERE)
    gater.check_upgraded(ALICE, HERE)
    assert gater.rules() == []


HOOKS: list[tuple[str, Callable[[Gater], None], bool, bool]] = [
    ("peer dial", lambda gater: gater.check_peer_dial(ALICE), True, False),
    ("address dial", lambda gater: gater.check_address_dial(ALICE, HERE), True, True),
    ("accept", lambda gater: gater.check_accept(HERE), False, True),
    ("secured", lambda gater: gater.check_secured(ALICE, HERE), True, True),
    ("upgraded", lambda gater: gater.check_upgraded(ALICE, HERE), True, True),
]


@pytest.mark.parametrize(("hook", "check", "by_peer", "by_address"), HOOKS, ids=[each[0] for each in HOOKS])
def test_hooks(hook: str, check: Callable[[Gater], None], by_peer: bool, by_address: bool) -> None:
    for rule, applies in ((str(ALICE), by_peer), ("192.0.2.0/24", by_address), ("*", by_peer)):
        gater = Gater()
        gater.deny(rule)
        if not applies:
            check(gater)
            continue
        with pytest.raises(Denied, match=f"{hook}: .* denied by the rule: deny") as caught:
            check(gater)
        assert (caught.value.hook, caught.value.rule) == (hook, rule)


def test_the_narrowest_rule_decides() -> None:
    gater = Gater()
    gater.allow("10.1.0.0/16")
    gater.deny("10.0.0.0/8")
    gater.deny("10.1.2.3")
    assert not judge(gater, "/ip4/10.2.0.1/tcp/1")
    assert judge(gater, "/ip4/10.1.0.1/tcp/1")
    assert not judge(gater, "/ip4/10.1.2.3/udp/1/quic-v1")
    assert judge(gater, "/ip4/11.0.0.1/tcp/1")
    gater.deny("*")
    gater.allow(str(ALICE))
    gater.check_peer_dial(ALICE)
    with pytest.raises(Denied, match=r"deny \*"):
        gater.check_peer_dial(BOB)


def test_peer_and_address_have_to_pass_both() -> None:
    gater = Gater()
    gater.allow(str(ALICE))
    gater.deny("192.0.2.0/24")
    with pytest.raises(Denied, match=r"deny 192\.0\.2\.0/24"):
        gater.check_secured(ALICE, HERE)


def test_kinds_of_addresses() -> None:
    gater = Gater()
    for rule in ("0.0.0.0/0", "2001:db8::/32", "fe80::1"):
        gater.deny(rule)
    assert not judge(gater, "/ip6/::ffff:192.0.2.1/tcp/1")
    assert not judge(gater, "/ip6/2001:db8:1::1/tcp/1")
    assert not judge(gater, "/ip6zone/eth0/ip6/fe80::1/tcp/1")
    assert not judge(gater, f"/ip4/192.0.2.1/tcp/1/p2p/{ALICE}/p2p-circuit")
    assert judge(gater, "/ip6/2001:db9::1/tcp/1")
    assert judge(gater, "/dns4/example.org/tcp/1")
    assert judge(gater, "/memory/1")


def test_last_word_and_dropping() -> None:
    gater = Gater()
    gater.deny("192.0.2.1")
    gater.allow("/ip4/192.0.2.1/ipcidr/32")
    assert [str(rule) for rule in gater.rules()] == ["allow 192.0.2.1/32"]
    gater.deny(f"/p2p/{ALICE}")
    assert gater.drop(str(ALICE))
    assert not gater.drop(str(ALICE))
    gater.check_peer_dial(ALICE)
    gater.deny("::ffff:10.0.0.0/104")
    assert str(gater.rules()[-1]) == "deny 10.0.0.0/8"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a rule"),
        ("deny 10.0.0.1", "not a rule"),
        ("10.0.0.1/8", "the network is 10.0.0.0/8"),
        ("10.0.0.1/33", "neither an IP address nor a network"),
        ("10.0.0", "neither an IP address nor a network"),
        ("12D3KooW", "neither a peer id nor an IP address"),
        ("/ip4/10.0.0.1/tcp/4001", "only /ip4/<ip>"),
        ("/ip4/::1", "not an address of ip4"),
        ("/dns4/example.org", "not a rule"),
    ],
)
def test_text_that_is_no_rule(text: str, words: str) -> None:
    gater = Gater()
    with pytest.raises(UsageError, match=words):
        gater.deny(text)
    assert gater.rules() == []


def test_rules_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "data" / "rules.json"
    gater = Gater(path)
    assert not path.exists()
    gater.deny("10.0.0.0/8")
    gater.allow(str(ALICE))
    gater.deny("*")
    again = Gater(path)
    assert again.rules() == gater.rules()
    assert [str(rule) for rule in again.rules()] == ["deny 10.0.0.0/8", f"allow {ALICE}", "deny *"]
    assert [each.name for each in path.parent.iterdir()] == ["rules.json"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"format": 2, "rules": []}',
        b'{"format": 1}',
        b'{"format": 1, "rules": [{"deny": 1}]}',
        b'{"format": 1, "rules": [{"ban": "10.0.0.1"}]}',
        b'{"format": 1, "rules": [{"deny": "10.0.0"}]}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_stops_the_start(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "rules.json"
    path.write_bytes(data)
    with pytest.raises(StorageError, match=r"damaged: .*; correct it"):
        Gater(path)
    assert path.read_bytes() == data


def test_a_rule_that_cannot_be_written_does_not_apply(tmp_path: Path) -> None:
    gater = Gater(tmp_path / "rules.json")
    gater.deny("10.0.0.0/8")
    (tmp_path / "rules.json").unlink()
    (tmp_path / "rules.json").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        gater.deny("11.0.0.0/8")
    assert len(gater.rules()) == 1
    assert judge(gater, "/ip4/11.0.0.1/tcp/1")


def test_the_file_is_plain(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    Gater(path).deny("10.0.0.0/8")
    assert json.loads(path.read_text()) == {"format": 1, "rules": [{"deny": "10.0.0.0/8"}]}


def test_why_a_rule_was_made_is_kept_with_it(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    gater = Gater(file)
    gater.deny(str(ALICE), "sends forged records")
    gater.deny(str(BOB))
    gater.allow("192.0.2.0/24")
    assert [each.reason for each in Gater(file).rules()] == ["sends forged records", "", ""]
    gater.deny("192.0.2.0/24", "noise")
    gater.allow("192.0.2.0/24")
    assert gater.drop(str(ALICE))
    assert [(each.text, each.reason) for each in Gater(file).rules()] == [
        (str(BOB), ""),
        ("192.0.2.0/24", ""),
    ]
    with pytest.raises(UsageError, match="at most 256"):
        gater.deny(str(ALICE), "x" * 257)
    file.write_text(json.dumps({"format": 1, "rules": [{"deny": str(ALICE), "reason": 5}]}))
    with pytest.raises(StorageError):
        Gater(file)
