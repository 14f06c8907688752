"""Beam's majority of those asked."""

from __future__ import annotations

import pytest

from mesh.errors import UsageError
from mesh.protocols.kademlia.quorum import Acknowledgements, Outcome, majority


def test_majorities() -> None:
    assert [majority(asked) for asked in (1, 2, 3, 4, 5, 19, 20)] == [1, 2, 2, 3, 3, 10, 11]


def test_eleven_of_twenty() -> None:
    votes = Acknowledgements(20)
    assert [votes.refuse() for _ in range(9)] == [Outcome.OPEN] * 9
    assert [votes.accept() for _ in range(10)] == [Outcome.OPEN] * 10
    assert votes.accept() is Outcome.REACHED
    with pytest.raises(UsageError):
        votes.refuse()


def test_missed_as_soon_as_it_is_hopeless() -> None:
    votes = Acknowledgements(20)
    assert [votes.refuse() for _ in range(10)] == [Outcome.OPEN] * 9 + [Outcome.MISSED]


def test_another_number() -> None:
    assert Acknowledgements(20, needed=1).accept() is Outcome.REACHED
    assert Acknowledgements(0).outcome is Outcome.MISSED
    assert Acknowledgements(2, needed=3).outcome is Outcome.MISSED
    for asked, needed in ((-1, None), (3, 0)):
        with pytest.raises(UsageError):
            Acknowledgements(asked, needed)
