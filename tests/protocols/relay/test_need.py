"""Relays are needed until the node was public for a while, and at once when it is private."""

from __future__ import annotations

from mesh.protocols.relay.need import RELEASE_S, Need


def test_relays_are_wanted_until_others_reach_the_node_for_a_while() -> None:
    need = Need()
    assert need.wanted
    assert need.deadline() is None
    need.note(True, 10.0)
    need.note(True, 20.0)
    assert need.deadline() == 10.0 + RELEASE_S
    need.wake(9.0 + RELEASE_S)
    assert need.wanted
    need.wake(10.0 + RELEASE_S)
    assert not need.wanted
    assert need.deadline() is None


def test_a_verdict_that_does_not_last_lets_nothing_go() -> None:
    need = Need()
    for other in (None, False):
        need.note(True, 0.0)
        need.note(other, RELEASE_S / 2)
        assert need.deadline() is None
        need.wake(10 * RELEASE_S)
        assert need.wanted


def test_private_counts_at_once_and_unknown_changes_nothing() -> None:
    need = Need()
    need.note(True, 0.0)
    need.wake(RELEASE_S)
    need.note(None, 100.0)
    assert not need.wanted
    need.note(False, 101.0)
    assert need.wanted
