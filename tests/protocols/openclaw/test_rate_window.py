"""100 messages in a window of 60 seconds that begins with the first."""

from __future__ import annotations

from mesh.protocols.openclaw import rate_window
from mesh.protocols.openclaw.rate_window import MAX_PEERS, RateWindow


def test_exactly_a_hundred_of_a_hundred_and_five() -> None:
    window: RateWindow[str] = RateWindow()
    taken = [window.take("a", 10.0 + number / 100) for number in range(105)]
    assert taken[:100] == [0.0] * 100
    assert all(58.9 < each <= 60.0 for each in taken[100:])
    assert window.refused == 5
    assert window.take("b", 11.0) == 0.0


def test_the_window_begins_anew_at_the_first_message_after_it() -> None:
    window: RateWindow[str] = RateWindow(2, 60.0)
    assert [window.take("a", now) for now in (0.0, 59.0, 59.9)][:2] == [0.0, 0.0]
    assert [window.take("a", now) for now in (60.0, 119.0)] == [0.0, 0.0]
    assert window.take("a", 119.5) == 0.5
    assert window.take("a", 120.0) == 0.0


def test_a_clock_that_went_back_blocks_nobody() -> None:
    window: RateWindow[str] = RateWindow(1)
    assert window.take("a", 1000.0) == 0.0
    assert window.take("a", 1.0) == 0.0


def test_a_flood_of_peers_is_bounded_and_swept() -> None:
    window: RateWindow[int] = RateWindow(1)
    for peer in range(MAX_PEERS + 10):
        assert window.take(peer, peer / 1000) == 0.0
    assert len(window) == MAX_PEERS
    assert window.take(MAX_PEERS + 9, 5.0) > 0
    window.sweep(rate_window.WINDOW_S + 4.0)
    assert 0 < len(window) < MAX_PEERS
    window.sweep(1000.0)
    assert len(window) == 0
