"""Which relays are held and asked, over hours of made-up time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.relay import Holdings, Standing
from mesh.protocols.relay.holdings import MAX_CANDIDATES, REFUSED_BACKOFF_S

RELAYS = [PeerId.from_public_key(PrivateKey.generate().public) for _ in range(MAX_CANDIDATES + 2)]
A, B, C, D = RELAYS[:4]
HOUR = 3600.0


def held(*relays: PeerId, wanted: int = 2) -> Holdings:
    """Holdings of ``relays``, all granted at 0 for an hour."""
    found = Holdings(wanted)
    for relay in relays:
        found.add(relay, named=True)
        found.take_due(0.0)
        found.granted(relay, HOUR, 0.0)
    return found


def test_as_many_are_asked_as_are_missing_the_named_ones_first() -> None:
    holdings = Holdings(2)
    assert holdings.deadline() is None
    holdings.add(A)
    holdings.add(B)
    holdings.add(C, named=True)
    assert holdings.take_due(0.0) == [C, A]
    assert holdings.take_due(0.0) == []
    holdings.failed(C, 0.0)
    assert holdings.take_due(0.0) == [B]
    assert holdings.standing(C) is Standing.CANDIDATE


def test_a_reservation_is_refreshed_two_minutes_before_its_end() -> None:
    holdings = held(A)
    assert holdings.deadline() == HOUR - 120
    assert holdings.take_due(HOUR - 121) == []
    assert holdings.take_due(HOUR - 120) == [A]
    assert holdings.held == [A]
    holdings.granted(A, 2 * HOUR, HOUR - 119)
    assert holdings.deadline() == 2 * HOUR - 120


def test_reservations_that_are_wanted_no_more_are_let_go_and_asked_for_again_later() -> None:
    holdings = held(A, B)
    assert holdings.want(2) == []
    assert holdings.want(1) == [B]
    assert holdings.want(0) == [A]
    assert holdings.held == []
    assert holdings.take_due(1.0) == []
    assert holdings.deadline() is None
    holdings.want(2)
    assert holdings.take_due(1.0) == [A, B]
    assert holdings.granted(A, HOUR, 1.0)
    holdings.want(1)
    assert not holdings.granted(B, HOUR, 1.0), "it is one too many by now"
    assert holdings.held == [A]


def test_another_network_ends_every_pause() -> None:
    holdings = Holdings(2)
    for relay in (A, B):
        holdings.add(relay)
    holdings.take_due(0.0)
    holdings.failed(A, 0.0)
    holdings.failed(B, 0.0, refused=True)
    assert holdings.take_due(1.0) == []
    holdings.hurry(1.0)
    assert holdings.take_due(1.0) == [A, B]


def test_a_short_one_is_refreshed_at_its_half() -> None:
    holdings = Holdings(1)
    holdings.add(A)
    holdings.take_due(0.0)
    holdings.granted(A, 100.0, 0.0)
    assert holdings.deadline() == 50.0


def test_a_failed_refresh_is_tried_again_until_the_end() -> None:
    holdings = held(A)
    holdings.take_due(HOUR - 120)
    holdings.failed(A, HOUR - 119)
    assert holdings.held == [A]
    assert holdings.deadline() == HOUR - 117
    assert holdings.take_due(HOUR - 117) == [A]
    holdings.failed(A, HOUR - 60)
    assert holdings.expire(HOUR) == [A]
    assert (holdings.held, holdings.take_due(HOUR)) == ([], [A])


def test_a_refused_refresh_gives_the_relay_up() -> None:
    holdings = held(A)
    holdings.take_due(HOUR - 120)
    holdings.failed(A, HOUR - 119, refused=True)
    assert holdings.held == []
    assert holdings.deadline() == HOUR - 119 + REFUSED_BACKOFF_S


def test_a_lost_relay_is_replaced_at_once_and_asked_again_soon() -> None:
    holdings = held(A, B)
    holdings.add(C)
    assert holdings.take_due(10.0) == []
    assert holdings.lost(A, 10.0)
    assert not holdings.lost(D, 10.0)
    assert holdings.take_due(10.0) == [C]
    holdings.failed(C, 11.0)
    assert holdings.deadline() == 12.0
    assert holdings.take_due(12.0) == [A]


def test_failures_wait_longer_each_time() -> None:
    holdings = Holdings(1)
    holdings.add(A)
    now, pauses = 0.0, []
    for _ in range(14):
        assert holdings.take_due(now) == [A]
        holdings.failed(A, now)
        after = holdings.deadline()
        assert after is not None
        pauses.append(after - now)
        now = after
    assert pauses[:4] == [2.0, 4.0, 8.0, 16.0]
    assert pauses[-1] == HOUR


def test_found_relays_are_few_and_go_with_their_connection() -> None:
    holdings = Holdings(1)
    assert all(holdings.add(each) for each in RELAYS[:MAX_CANDIDATES])
    assert not holdings.add(RELAYS[-1])
    assert holdings.add(RELAYS[-1], named=True)
    assert holdings.add(A)
    holdings.forget(A)
    assert holdings.standing(A) is None
    holdings.forget(RELAYS[-1])
    assert holdings.standing(RELAYS[-1]) is Standing.CANDIDATE
    holdings.granted(A, HOUR, 0.0)
    holdings.failed(A, 0.0)
    assert holdings.held == []


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "name", "forget", "due", "grant", "fail", "refuse", "lose", "wait"]),
        st.sampled_from(RELAYS[:5]),
    ),
    max_size=80,
)


@given(steps=steps, wanted=st.integers(0, 3))
def test_no_sequence_asks_twice_or_for_more_than_wanted(steps: list[tuple[str, PeerId]], wanted: int) -> None:
    holdings, now, asked = Holdings(wanted), 0.0, set[PeerId]()
    for what, relay in steps:
        if what in ("add", "name"):
            holdings.add(relay, named=what == "name")
        elif what == "forget":
            holdings.forget(relay)
            if holdings.standing(relay) is None:
                asked.discard(relay)
        elif what == "due":
            for each in holdings.take_due(now):
                assert each not in asked
                asked.add(each)
        elif what in ("grant", "fail", "refuse") and relay in asked:
            asked.discard(relay)
            if what == "grant":
                holdings.granted(relay, now + HOUR, now)
            else:
                holdings.failed(relay, now, refused=what == "refuse")
        elif what == "lose" and relay not in asked:
            holdings.lost(relay, now)
            assert relay not in holdings.held
        elif what == "wait":
            now += 900.0
        holdings.expire(now)
        assert len(holdings.held) <= wanted
        deadline = holdings.deadline()
        if what == "due" and deadline is not None:
            assert deadline > now
