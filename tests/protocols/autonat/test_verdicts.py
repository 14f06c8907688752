"""What answers add up to, in both versions."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.autonat.address_states import (
    MAX_ADDRESSES,
    MAX_ASKED,
    MAX_REFUSED_S,
    RECHECK_S,
    REFUSED_S,
    SPACING_S,
    AddressStates,
)
from mesh.protocols.autonat.confidence import BOOT_S, FULL, REFRESH_S, RETRY_S, Confidence, Reachability

PUBLIC, PRIVATE, UNKNOWN = Reachability.PUBLIC, Reachability.PRIVATE, Reachability.UNKNOWN
ADDRESS = Multiaddr.parse("/ip4/11.3.1.2/tcp/4001")
OTHER = Multiaddr.parse("/ip4/11.3.1.2/udp/4001/quic-v1")
SERVERS = [bytes([number]) for number in range(5)]


def test_three_answers_make_it_sure_and_the_next_question_late() -> None:
    confidence = Confidence(0.0)
    assert confidence.deadline() == BOOT_S
    assert confidence.note(PRIVATE, 20.0)
    assert (confidence.verdict, confidence.level) == (PRIVATE, 0)
    for level in (1, 2, 3, 3):
        assert not confidence.note(PRIVATE, 100.0)
        assert confidence.level == level
        assert confidence.deadline() == 100.0 + (REFRESH_S if level == FULL else RETRY_S)


def test_one_success_outweighs_failures_but_not_the_reverse() -> None:
    confidence = Confidence(0.0)
    for _ in range(5):
        confidence.note(PRIVATE, 0.0)
    assert confidence.note(PUBLIC, 0.0)
    assert (confidence.verdict, confidence.level) == (PUBLIC, 0)
    for _ in range(3):
        confidence.note(PUBLIC, 0.0)
    for left in (2, 1, 0):
        assert not confidence.note(PRIVATE, 0.0)
        assert (confidence.verdict, confidence.level) == (PUBLIC, left)
    assert confidence.note(PRIVATE, 0.0)
    assert confidence.verdict is PRIVATE


def test_answers_that_say_nothing_wear_it_away() -> None:
    confidence = Confidence(0.0)
    confidence.note(PUBLIC, 0.0)
    confidence.note(PUBLIC, 0.0)
    assert not confidence.note(UNKNOWN, 0.0)
    assert confidence.note(UNKNOWN, 0.0)
    assert confidence.verdict is UNKNOWN
    confidence.hurry(0.0)
    assert confidence.deadline() == BOOT_S


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(Reachability), max_size=40))
def test_confidence_stays_in_bounds(answers: list[Reachability]) -> None:
    confidence = Confidence(0.0)
    for at, answer in enumerate(answers):
        before = confidence.verdict
        assert confidence.note(answer, float(at)) == (confidence.verdict is not before)
        assert 0 <= confidence.level <= FULL
        assert confidence.deadline() > at
        if answer is PUBLIC:
            assert confidence.verdict is PUBLIC


def tracked(*addresses: Multiaddr) -> AddressStates:
    states = AddressStates()
    states.track(addresses or (ADDRESS,), 0.0)
    return states


def test_two_servers_decide_and_three_are_sure() -> None:
    states = tracked()
    assert not states.note(ADDRESS, SERVERS[0], True, 0.0)
    assert states.states()[0].state is UNKNOWN
    assert states.note(ADDRESS, SERVERS[1], True, 1.0)
    [state] = states.states()
    assert (state.state, state.successes, state.confidence) == (PUBLIC, 2, 2)
    assert states.deadline() == 1.0 + SPACING_S
    states.note(ADDRESS, SERVERS[2], True, 2.0)
    assert states.states()[0].confidence == 3
    assert states.deadline() == 2.0 + RECHECK_S


def test_one_server_asked_often_counts_once() -> None:
    states = tracked()
    for at in range(10):
        states.note(ADDRESS, SERVERS[0], False, float(at))
    assert states.states()[0].state is UNKNOWN
    states.note(ADDRESS, SERVERS[1], False, 10.0)
    assert states.states()[0].state is PRIVATE


def test_servers_that_disagree_leave_it_open() -> None:
    states = tracked()
    for number, server in enumerate(SERVERS[:4]):
        states.note(ADDRESS, server, number % 2 == 0, 0.0)
    assert states.states()[0].state is UNKNOWN


def test_whoever_has_not_answered_yet_is_asked_the_neediest_address_first() -> None:
    states = tracked(ADDRESS, OTHER)
    assert states.choose([], 0.0) is None
    assert states.choose(SERVERS, 0.0) == (SERVERS[0], [ADDRESS, OTHER])
    states.note(ADDRESS, SERVERS[0], True, 0.0)
    assert states.choose(SERVERS, 0.0) == (SERVERS[0], [OTHER])
    states.note(OTHER, SERVERS[0], True, 0.0)
    assert states.choose(SERVERS, 0.0) is None
    later = SPACING_S
    assert states.choose(SERVERS[:1], later) is None
    assert states.choose(SERVERS, later) == (SERVERS[1], [ADDRESS, OTHER])
    assert states.choose(SERVERS[:1], RECHECK_S) == (SERVERS[0], [ADDRESS, OTHER])


def test_refusals_wait_longer_each_time() -> None:
    states = tracked()
    for times in range(20):
        states.refuse([ADDRESS, OTHER], 0.0)
        assert states.deadline() == min(REFUSED_S * 2**times, MAX_REFUSED_S)
    states.note(ADDRESS, SERVERS[0], True, 0.0)
    assert states.deadline() == SPACING_S


def test_addresses_are_few_and_those_that_stay_are_remembered() -> None:
    states = tracked()
    states.note(ADDRESS, SERVERS[0], True, 0.0)
    many = [Multiaddr.parse(f"/ip4/11.3.1.2/tcp/{port}") for port in range(1, 100)]
    states.track([ADDRESS, *many], 1.0)
    assert len(states.states()) == MAX_ADDRESSES
    assert states.states()[0].successes == 1
    chosen = states.choose(SERVERS[1:], 1.0)
    assert chosen is not None
    assert len(chosen[1]) == MAX_ASKED
    states.track([], 2.0)
    assert (states.states(), states.deadline()) == ([], None)
    assert not states.note(ADDRESS, SERVERS[0], True, 2.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=60))
def test_a_verdict_needs_a_lead_of_two(answers: list[tuple[int, bool]]) -> None:
    states = tracked()
    for at, (server, reached) in enumerate(answers):
        before = states.states()[0].state
        changed = states.note(ADDRESS, bytes([server]), reached, float(at))
        [state] = states.states()
        assert changed == (state.state is not before)
        lead = state.successes - state.failures
        expected = PUBLIC if lead >= 2 else PRIVATE if lead <= -2 else UNKNOWN
        assert state.state is expected
        assert 0 <= state.confidence <= 3
