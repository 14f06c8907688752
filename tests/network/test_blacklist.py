"""Peers that fail again and again are left alone, for longer each time."""

from __future__ import annotations

import pytest

from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.network import blacklist
from mesh.network.blacklist import FAILURES, FIRST_S, LONGEST_S, WINDOW_S, Blacklist

A, B, C = (PeerId.from_public_key(PrivateKey.from_seed(bytes([each]) * 32).public) for each in range(3))


def bar(barred: Blacklist, peer: PeerId, now: float) -> None:
    assert [barred.note_failure(peer, now) for _ in range(FAILURES)] == [False] * (FAILURES - 1) + [True]


def test_five_failures_within_ten_minutes_bar() -> None:
    barred = Blacklist()
    bar(barred, A, 100.0)
    assert barred.wait(A, 100.0) == FIRST_S
    assert barred.wait(A, 100.0 + FIRST_S) == 0
    assert barred.wait(B, 100.0) == 0


def test_failures_far_apart_do_not() -> None:
    barred = Blacklist()
    for number in range(50):
        assert not barred.note_failure(A, number * WINDOW_S / (FAILURES - 1))


def test_each_bar_lasts_twice_as_long_up_to_a_day() -> None:
    barred, now, lasted = Blacklist(), 0.0, []
    for _ in range(10):
        bar(barred, A, now)
        lasted.append(barred.wait(A, now))
        now += lasted[-1]
    assert lasted[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert lasted[-1] == LONGEST_S


def test_reaching_a_peer_forgives_everything() -> None:
    barred = Blacklist()
    bar(barred, A, 0.0)
    barred.note_success(A)
    assert (len(barred), barred.wait(A, 0.0)) == (0, 0.0)
    bar(barred, A, 0.0)
    assert barred.wait(A, 0.0) == FIRST_S


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blacklist, "MAX_PEERS", 2)
    barred = Blacklist()
    bar(barred, A, 0.0)
    bar(barred, B, 0.0)
    barred.note_failure(C, 0.0)
    assert len(barred) == 2
    assert barred.wait(A, 0.0) == 0
    assert barred.wait(B, 0.0) == FIRST_S
