"""The exchange before a hole punch: what each end says, when it dials and as what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.codecs.dcutr import HolePunch, PunchType
from mesh.errors import UsageError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.dcutr import (
    ATTEMPTS,
    EXCHANGE_S,
    MAX_ADDRESSES,
    Answerer,
    Exchange,
    Failed,
    Punch,
    Starter,
    punch_gap_s,
)
from mesh.protocols.machine import Role
from tests.vectors import cases

HERE = Multiaddr.parse("/ip4/11.3.1.2/tcp/4001")
THERE = Multiaddr.parse("/ip4/11.4.1.2/udp/4001/quic-v1")
RELAYED = Multiaddr.parse(
    "/ip4/11.1.1.2/tcp/4001/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X/p2p-circuit"
)
NOW = 100.0


def anything(_address: Multiaddr) -> bool:
    return True


def starter(attempt: int = 1) -> Starter:
    return Starter([HERE], anything, NOW, attempt)


def answerer() -> Answerer:
    return Answerer([THERE], anything, NOW)


def connect(*addresses: Multiaddr) -> bytes:
    return HolePunch(PunchType.CONNECT, [each.to_bytes() for each in addresses]).encode()


SYNC = HolePunch(PunchType.SYNC).encode()


def pass_on(source: Exchange, target: Exchange, now: float) -> None:
    for message in source.output():
        target.receive(message, now)


@pytest.mark.parametrize("attempt", range(1, ATTEMPTS + 1))
def test_both_dial_when_sync_arrives(attempt: int) -> None:
    ours, theirs = starter(attempt), answerer()
    pass_on(ours, theirs, NOW + 0.05)
    pass_on(theirs, ours, NOW + 0.1)
    pass_on(ours, theirs, NOW + 0.15)
    assert isinstance(ours.outcome, Punch)
    assert isinstance(theirs.outcome, Punch)
    assert ours.outcome.at == pytest.approx(theirs.outcome.at)
    assert ours.outcome.round_trip_s == pytest.approx(0.1)
    assert (ours.outcome.addresses, theirs.outcome.addresses) == ((THERE,), (HERE,))
    assert theirs.outcome.role is Role.INITIATOR
    last = attempt == ATTEMPTS
    assert ours.outcome.role is (Role.INITIATOR if last else Role.RESPONDER)


def test_messages_are_those_go_writes() -> None:
    recorded = {case["name"]: bytes.fromhex(case["protobuf"]) for case in cases("dcutr")}
    assert recorded["SYNC"] == SYNC
    found = HolePunch.decode(recorded["CONNECT"])
    addresses = [Multiaddr.from_bytes(each) for each in found.obs_addrs]
    assert connect(*addresses) == recorded["CONNECT"]


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (SYNC, "SYNC where CONNECT was due"),
        (connect(), "none of 0 addresses"),
        (connect(RELAYED), "none of 1 addresses"),
        (b"", "type"),
        (b"\x08\x01", "type"),
        (b"\xff", "HolePunch"),
        (b"\x08\x64\x12\xfc\x1f" + bytes(4092), "4096"),
    ],
)
def test_a_wrong_first_message_ends_it(message: bytes, cause: str) -> None:
    for each in (starter(), answerer()):
        each.output()
        each.receive(message, NOW)
        assert isinstance(each.outcome, Failed)
        assert cause in each.outcome.cause
        assert not each.output()
        assert each.deadline() is None


def test_another_connect_is_no_sync() -> None:
    each = answerer()
    each.receive(connect(HERE), NOW)
    each.receive(connect(HERE), NOW)
    assert isinstance(each.outcome, Failed)
    assert "SYNC was due" in each.outcome.cause


def test_it_is_given_up_in_time() -> None:
    each = starter()
    assert each.deadline() == NOW + EXCHANGE_S
    each.wake(NOW + EXCHANGE_S - 0.1)
    assert each.outcome is None
    each.wake(NOW + EXCHANGE_S)
    assert isinstance(each.outcome, Failed)


def test_nothing_to_offer_and_messages_after_the_end_are_mistakes() -> None:
    with pytest.raises(UsageError):
        Starter([], anything, NOW)
    each = starter()
    each.receive(connect(THERE), NOW)
    with pytest.raises(UsageError):
        each.receive(SYNC, NOW)


def test_few_addresses_are_told_and_dialled() -> None:
    many = [Multiaddr.parse(f"/ip4/11.3.1.2/tcp/{port}") for port in range(1, 41)]
    each = Starter(many, anything, NOW)
    [told] = each.output()
    assert len(HolePunch.decode(bytes(told)).obs_addrs) == MAX_ADDRESSES
    each.receive(connect(*many), NOW)
    assert isinstance(each.outcome, Punch)
    assert each.outcome.addresses == tuple(many[:MAX_ADDRESSES])


def test_only_usable_addresses_are_dialled_each_once() -> None:
    each = Starter([HERE], lambda address: address.has("udp"), NOW)
    peer = f"{THERE}/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"
    each.receive(connect(HERE, THERE, Multiaddr.parse(peer), RELAYED), NOW)
    assert isinstance(each.outcome, Punch)
    assert each.outcome.addresses == (THERE,)


@given(st.lists(st.binary(max_size=64), max_size=4))
def test_no_message_raises(messages: list[bytes]) -> None:
    for each in (starter(), answerer()):
        for message in messages:
            if each.outcome is None:
                each.receive(message, NOW)


@given(st.integers(0, 1000), st.floats(0, 1))
def test_gaps_between_random_packets(number: int, chance: float) -> None:
    assert 0.01 <= punch_gap_s(number, chance) <= 0.2
