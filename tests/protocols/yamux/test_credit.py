"""How far windows grow beyond the initial one: pace, bounds, and the account of it."""

from __future__ import annotations

import pytest

from mesh.protocols.yamux import Settings, Stream
from mesh.protocols.yamux.credit import Credit
from tests.protocols.yamux.frames import WINDOW


class Account:
    """What `Credit` asks its owner."""

    def __init__(self, refuse: bool = False) -> None:
        self.refuse = refuse
        self.asked: list[int] = []
        self.released: list[int] = []

    def reserve(self, size: int) -> bool:
        self.asked.append(size)
        return not self.refuse


def credit(account: Account | None = None, **settings: float) -> Credit:
    account = account or Account()
    return Credit(Settings(**settings), account.reserve, account.released.append)  # type: ignore[arg-type]


def stream(number: int = 1) -> Stream:
    return Stream(number, True, 0, 0.0)


def test_a_window_doubles_and_is_given_back_whole() -> None:
    account = Account()
    grown, one = credit(account), stream()
    assert [grown.grow(one, 0.0, None) for _ in range(2)] == [WINDOW, 2 * WINDOW]
    assert (one.window_bytes, grown.grown_bytes) == (4 * WINDOW, 3 * WINDOW)
    grown.give_back(one)
    assert (grown.grown_bytes, account.released) == (0, [3 * WINDOW])


def test_a_window_that_never_grew_gives_nothing_back() -> None:
    account = Account()
    credit(account).give_back(stream())
    assert account.released == []


@pytest.mark.parametrize(
    ("rtt_s", "pause", "grows"),
    [(0.5, 1.9, True), (0.5, 2.0, False), (None, 0.009, True), (None, 0.01, False), (0.0, 0.01, False)],
)
def test_only_a_grant_used_up_soon_grows(rtt_s: float | None, pause: float, grows: bool) -> None:
    one = stream()
    assert bool(credit(tuning_floor_s=0.01).grow(one, pause, rtt_s)) is grows
    assert one.updated_at == pause, "the next pace counts from here"


def test_a_slow_reader_is_not_reserved_for() -> None:
    account = Account()
    assert credit(account, tuning_floor_s=0.01).grow(stream(), 1.0, None) == 0
    assert account.asked == []


def test_a_refusal_changes_nothing() -> None:
    account = Account(refuse=True)
    grown, one = credit(account), stream()
    assert grown.grow(one, 0.0, None) == 0
    assert (account.asked, one.window_bytes, grown.grown_bytes) == ([WINDOW], WINDOW, 0)


def test_growth_stops_at_both_bounds() -> None:
    grown, one, two = credit(max_window_bytes=3 * WINDOW, max_growth_bytes=3 * WINDOW), stream(1), stream(3)
    assert [grown.grow(one, 0.0, None) for _ in range(3)] == [WINDOW, WINDOW, 0]
    assert [grown.grow(two, 0.0, None) for _ in range(2)] == [WINDOW, 0]
    grown.give_back(one)
    assert grown.grow(two, 0.0, None) == WINDOW, "what one gave back another may have"
