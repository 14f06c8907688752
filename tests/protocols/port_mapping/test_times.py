"""When requests are sent again, and when a router's clock says that it has lost what it knew."""

from __future__ import annotations

import itertools

import pytest

from mesh.protocols.port_mapping.epoch import Epoch
from mesh.protocols.port_mapping.exchange import Exchange, nat_pmp_waits, pcp_waits


def test_nat_pmp_sends_nine_times_over_two_minutes() -> None:
    assert list(nat_pmp_waits()) == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    exchange = Exchange(b"request", nat_pmp_waits(), 0.0, 1000.0)
    sent = 0
    now = 0.0
    while not exchange.over:
        sent += exchange.output(now) is not None
        now = exchange.deadline()
    assert (sent, round(now, 2)) == (9, 127.75)


def test_pcp_waits_grow_to_a_quarter_of_an_hour_and_are_spread() -> None:
    assert list(itertools.islice(pcp_waits(0.5), 4)) == [3.0, 6.0, 12.0, 24.0]
    least, most = (list(itertools.islice(pcp_waits(each), 20)) for each in (0.0, 1.0))
    assert [least[0], most[0]] == pytest.approx([2.7, 3.3])
    assert [least[-1], most[-1]] == pytest.approx([0.9 * 1024, 1.1 * 1024])


def test_an_exchange_ends_with_patience() -> None:
    exchange = Exchange(b"request", pcp_waits(0.5), 0.0, 4.0)
    assert [exchange.output(now) for now in (0.0, 1.0, 3.0, 3.5, 4.0)] == [
        b"request",
        None,
        b"request",
        None,
        None,
    ]
    assert exchange.over
    assert exchange.output(9.0) is None


@pytest.mark.parametrize(
    ("told", "follows"),
    [
        ([(0.0, 0), (10.0, 10)], True),
        ([(0.0, 500), (100.0, 598)], True),
        ([(0.0, 500), (100.0, 90)], False),
        ([(0.0, 500), (0.5, 499)], True),
        ([(0.0, 500), (0.5, 498)], False),
        ([(0.0, 0), (1600.0, 1505)], True),
        ([(0.0, 0), (1600.0, 1490)], False),
        ([(0.0, 0), (10.0, 100_000)], False),
        ([(0.0, 2**32 - 1), (10.0, 0)], False),
    ],
)
def test_a_clock_that_does_not_keep_up_has_started_anew(told: list[tuple[float, int]], follows: bool) -> None:
    epoch = Epoch()
    assert [epoch.follows(seconds, now) for now, seconds in told] == [True, follows]
