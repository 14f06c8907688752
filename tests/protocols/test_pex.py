"""Who agreed to be passed on, and who may ask how often."""

from __future__ import annotations

import random

import pytest

from mesh.codecs.pex import MAX_RECORDS
from mesh.identity.peer_id import PeerId
from mesh.protocols import pex
from mesh.protocols.pex import (
    AGREED_S,
    ANSWERS_AT_ONCE,
    ASK_AT_ONCE,
    ASK_EVERY_S,
    MAX_PEERS,
    PEERS_OF_NETWORK,
    Acquaintances,
)


def peer(number: int) -> PeerId:
    return PeerId.from_bytes(b"\x12\x20" + number.to_bytes(32, "big"))


def table(seed: int = 1) -> Acquaintances:
    return Acquaintances(random.Random(seed).sample)


def filled(count: int) -> Acquaintances:
    known = table()
    for number in range(count):
        assert known.agree(peer(number), number.to_bytes(2, "big"), "", 0.0)
    return known


def test_an_answer_is_a_random_choice_without_the_asker() -> None:
    known = filled(200)
    first, second = known.sample(peer(0), None, 1.0), known.sample(peer(0), None, 1.0)
    assert len(first) == len(set(first)) == MAX_RECORDS
    assert first != second
    asked = {each for _ in range(500) for each in known.sample(peer(0), None, 1.0)}
    assert asked == {number.to_bytes(2, "big") for number in range(1, 200)}


@pytest.mark.parametrize(("wanted", "given"), [(None, 50), (0, 50), (3, 3), (2**32 - 1, 50)])
def test_an_answer_has_a_limit(wanted: int | None, given: int) -> None:
    assert len(filled(200).sample(peer(0), wanted, 1.0)) == given
    assert len(filled(3).sample(peer(0), wanted, 1.0)) == min(2, given)
    assert table().sample(peer(0), wanted, 1.0) == []


def test_agreement_ends_by_time_and_by_wish() -> None:
    known = filled(2)
    known.agree(peer(1), b"newer", "", 100.0)
    assert len(known) == 2
    assert known.sample(peer(9), None, AGREED_S) == [b"newer"]
    known.withdraw(peer(1))
    known.withdraw(peer(7))
    assert known.sample(peer(9), None, 0.0) == [bytes(2)]


def test_a_flood_pushes_nobody_out_and_goes_with_time() -> None:
    known = filled(MAX_PEERS)
    assert not known.agree(peer(MAX_PEERS), b"", "", 1.0)
    assert known.agree(peer(5), b"", "", 1.0)
    assert known.agree(peer(MAX_PEERS), b"", "", AGREED_S)
    assert len(known) == 2


def test_one_network_is_not_the_whole_answer() -> None:
    known = table()
    agreed = [known.agree(peer(number), b"", "192.0.2.0/24", 0.0) for number in range(100)]
    assert sum(agreed) == PEERS_OF_NETWORK
    assert known.agree(peer(200), b"", "198.51.100.0/24", 0.0)
    known.withdraw(peer(0))
    assert known.agree(peer(99), b"", "192.0.2.0/24", 0.0)
    for number in range(300):
        known.withdraw(peer(number))
    assert (len(known), known._networks) == (0, {})


def test_each_may_ask_now_and_then_and_all_together_not_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    known = table()
    assert [known.may_ask(peer(0), 0.0) for _ in range(4)] == [True] * int(ASK_AT_ONCE) + [False] * 2
    assert known.may_ask(peer(0), ASK_EVERY_S)
    assert sum(known.may_ask(peer(number), ASK_EVERY_S) for number in range(1, 500)) == ANSWERS_AT_ONCE - 1
    monkeypatch.setattr(pex, "MAX_TRACKED", 10)
    small = table()
    assert sum(small.may_ask(peer(number), 0.0) for number in range(50)) == 10
    assert small.may_ask(peer(60), 2 * ASK_EVERY_S)


def test_the_same_life_twice() -> None:
    def lived() -> list[list[bytes]]:
        known = table(7)
        for number in range(100):
            known.agree(peer(number), bytes([number]), "", 0.0)
        return [known.sample(peer(1), 5, 1.0) for _ in range(10)]

    assert lived() == lived()
