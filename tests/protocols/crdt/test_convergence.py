"""Replicas that hear of each other late, twice, in any order or through a crash end with one state."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.multiformats.cid import Cid
from tests.protocols.crdt.network import Host

KEYS = ["/a", "/a/b", "/ab", "/c"]
operations = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(KEYS), st.none() | st.sampled_from([b"1", b"2", b"22"])),
    max_size=12,
)


def change(host: Host, key: str, value: bytes | None) -> None:
    if value is None:
        host.replica.delete(key)
    else:
        host.replica.put(key, value)
    host.settle()


def agree(hosts: list[Host], now: float = 0.0) -> None:
    """Everybody hears of everybody's heads."""
    for host in hosts:
        for other in hosts:
            for data in [*other.sent, *map(head_of, other.replica.heads)]:
                host.hear(data, *hosts, now=now)


def head_of(cid: Cid) -> bytes:
    return b"\x0a\x26\x0a\x24" + cid.to_bytes()


def same(hosts: list[Host]) -> None:
    for host in hosts:
        assert host.mapping == hosts[0].mapping
        assert host.dump() == hosts[0].dump()
        assert not host.replica.behind
        assert host.replica.heads == hosts[0].replica.heads


@settings(max_examples=150, deadline=None)
@given(operations, st.randoms(use_true_random=False))
def test_any_order_gives_one_state(todo: list[tuple[int, str, bytes | None]], chance: random.Random) -> None:
    hosts = [Host(seed=number) for number in range(3)]
    for number, key, value in todo:
        change(hosts[number], key, value)
        if chance.random() < 0.5:
            other = chance.choice(hosts)
            sent = [*hosts[number].sent]
            chance.shuffle(sent)
            for data in sent[: chance.randint(0, len(sent))]:
                other.hear(data, *hosts)
    agree(hosts)
    same(hosts)


@pytest.mark.parametrize("seed", range(12))
def test_loss_partitions_and_crashes(seed: int) -> None:
    """Blocks come when they like, replicas die with what they had not settled, and are told of heads later."""
    chance = random.Random(seed)
    hosts = [Host(seed=number) for number in range(8)]
    waiting: list[tuple[Host, bytes]] = []
    for turn in range(150):
        host = chance.choice(hosts)
        roll = chance.random()
        if roll < 0.4:
            before = len(host.sent)
            change(host, chance.choice(KEYS), chance.choice([None, b"%d" % turn]))
            side = [other for other in hosts if hosts.index(other) % 2 == hosts.index(host) % 2]
            among = side if 50 < turn < 100 else hosts
            waiting += [
                (other, data) for data in host.sent[before:] for other in among if chance.random() < 0.8
            ]
        elif roll < 0.8 and waiting:
            other, data = waiting.pop(chance.randrange(len(waiting)))
            if chance.random() < 0.2:
                waiting.append((other, data))
            other.replica.receive(data, b"", float(turn))
        elif roll < 0.9:
            host.restart(float(turn))
        else:
            host.fetch(*hosts, now=float(turn))
    for now in (1000.0, 2000.0):
        for host in hosts:
            host.restart(now)
            host.fetch(*hosts, now=now)
            host.replica.wake(now + 100)
            host.settle()
        agree(hosts, now)
    same(hosts)


def test_a_newcomer_builds_on_what_it_hears_of_before_it_has_it() -> None:
    old, new = Host(), Host(seed=1)
    for number in range(5):
        change(old, "/a", b"%d" % number)
    new.replica.receive(old.sent[-1], b"", 0.0)
    (tip,) = new.replica.wanted()
    new.replica.arrived(old.store[tip], 0.0)
    change(new, "/a", b"newest")
    assert new.replica.heads[next(iter(new.replica.heads))] == 6
    new.restart(1.0)
    new.fetch(old, now=1.0)
    agree([old, new], 2.0)
    same([old, new])
    assert old.mapping == {"/a": b"newest"}


def test_a_head_is_told_again_when_nobody_mentioned_it() -> None:
    host = Host()
    change(host, "/a", b"1")
    (told,) = host.sent
    at = host.replica.deadline()
    assert 42.0 <= at <= 78.0
    host.replica.wake(at - 0.001)
    host.settle()
    assert host.sent == [told]
    host.replica.wake(at)
    host.settle()
    assert host.sent == [told, told]
    host.replica.receive(told, b"", at)
    host.replica.wake(host.replica.deadline())
    host.settle()
    assert host.sent == [told, told]


def test_a_branch_of_which_nothing_comes_is_asked_for_again() -> None:
    host, other = Host(), Host(seed=1)
    change(other, "/a", b"1")
    change(other, "/b", b"1")
    host.replica.receive(other.sent[1], b"", 0.0)
    (tip,) = host.replica.wanted()
    host.replica.arrived(other.store[tip], 1.0)
    assert len(host.replica.wanted()) == 1
    host.replica.wake(300.9)
    assert host.replica.behind
    host.replica.wake(301.0)
    assert not host.replica.behind
    assert not host.replica.heads
    assert host.replica.counts["branches_lost"] == 1
    host.hear(other.sent[1], other, now=302.0)
    same([host, other])


@pytest.mark.parametrize("given_up", [0, 1])
def test_what_two_branches_share_outlives_one_of_them(given_up: int) -> None:
    root, left, right = Host(), Host(seed=1), Host(seed=2)
    change(root, "/root", b"1")
    for side in (left, right):
        side.hear(root.sent[0], root)
        change(side, f"/{side.seed}", b"1")
    host = Host(seed=3)
    for side in (left, right):
        host.replica.receive(side.sent[0], b"", 0.0)
    tips = host.replica.wanted()
    for tip, side in zip(tips, (left, right), strict=True):
        host.replica.arrived(side.store[tip], 0.0)
    host.replica._lose(tips[given_up], 1.0)
    host.fetch(left, right, now=1.0)
    assert host.mapping == {"/root": b"1", f"/{2 - given_up}": b"1"}
    assert not host.replica.behind


def test_a_head_that_was_built_on_before_it_was_lost_is_no_head_when_it_comes_back() -> None:
    """Found by the simulation: it stood beside what had replaced it."""
    old, new = Host(), Host(seed=1)
    for number in range(3):
        change(old, "/a", b"%d" % number)
    new.replica.receive(old.sent[-1], b"", 0.0)
    (tip,) = new.replica.wanted()
    new.replica.arrived(old.store[tip], 0.0)
    change(new, "/a", b"newest")
    (below,) = new.replica.wanted()
    new.replica.unobtainable(below, 1.0)
    new.settle()
    assert not new.replica.behind
    new.restart(2.0)
    assert new.replica.behind
    new.fetch(old, now=2.0)
    same([new, new])
    assert list(new.replica.heads.values()) == [4]
    agree([old, new], 3.0)
    same([old, new])


def test_what_own_changes_were_built_on_is_asked_for_until_it_comes() -> None:
    old, new = Host(), Host(seed=1)
    change(old, "/a", b"1")
    change(old, "/b", b"2")
    new.replica.receive(old.sent[-1], b"", 0.0)
    (tip,) = new.replica.wanted()
    new.replica.arrived(old.store[tip], 0.0)
    change(new, "/c", b"3")
    new.replica.unobtainable(new.replica.wanted()[0], 1.0)
    new.settle()
    assert new.mapping == {"/c": b"3"}
    new.replica.wake(new.replica.deadline())
    new.fetch(old, now=100.0)
    assert new.mapping == {"/a": b"1", "/b": b"2", "/c": b"3"}
    assert list(new.replica.heads.values()) == [3]
