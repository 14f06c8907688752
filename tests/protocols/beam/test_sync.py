"""What is compared, and what is given: after one exchange both sides hold the newest of everything."""

from __future__ import annotations

from hypothesis import given as checked
from hypothesis import strategies as st

from mesh.codecs.beam_sync import MAX_FRAME_BYTES, MAX_MARKS, MAX_RECORDS, SyncFrame
from mesh.protocols.beam.sync import (
    MAX_GIVEN,
    SERVE_EVERY_S,
    Held,
    Turns,
    differing,
    digests,
    frames,
    given,
    held_of,
)
from tests.protocols.beam.signers import PEERS, name, service

VERSIONS = st.dictionaries(
    st.tuples(st.sampled_from(PEERS[:3]), st.sampled_from("abc")), st.integers(1, 3), max_size=9
)


def records(versions: dict[tuple[object, str], int]) -> list[Held]:
    return [
        Held(peer, "svc", subject, version, version, b"")  # type: ignore[arg-type]
        for (peer, subject), version in versions.items()
    ]


def merged(own: list[Held], came: list[Held]) -> set[tuple[object, str, int]]:
    newest: dict[tuple[object, str], int] = {}
    for each in (*own, *came):
        key = each.origin, each.subject
        newest[key] = max(newest.get(key, 0), each.version)
    return {(*key, version) for key, version in newest.items()}


@checked(VERSIONS, VERSIONS)
def test_one_exchange_makes_both_sides_equal(one: dict, other: dict) -> None:  # type: ignore[type-arg]
    left, right = records(one), records(other)
    at_left, at_right = digests(left), digests(right)
    to_right = given(left, differing(at_right, at_left))
    to_left = given(right, differing(at_left, at_right))
    assert merged(left, to_left) == merged(right, to_right) == merged(left, right)
    assert not differing(at_left, digests(reversed(left)))


def test_what_counts_of_a_record() -> None:
    offered, owned = service(seq=7), name(version=3)
    assert held_of(offered)[:4] == (PEERS[0], "svc", "myapp.local", 7)
    assert held_of(owned)[:4] == (PEERS[0], "name", "myapp", 3)


def test_the_latest_is_given_first_and_not_too_much() -> None:
    many = [Held(PEERS[0], "svc", str(number), 1, number, b"") for number in range(MAX_GIVEN + 5)]
    chosen = given(many, {PEERS[0]})
    assert len(chosen) == MAX_GIVEN
    assert chosen[0].at_ms == MAX_GIVEN + 4
    assert given(many, {PEERS[1]}) == []


def test_frames_are_as_long_as_may_be_and_the_last_is_final() -> None:
    wanted = SyncFrame(wanted=[PEERS[0].to_bytes()] * MAX_MARKS)
    made = frames([Held(PEERS[0], "svc", "a", 1, 1, bytes(12_000))] * 40, wanted)
    assert [each.final for each in made] == [False] * (len(made) - 1) + [True]
    assert sum(len(each.records) for each in made) == 40
    assert all(len(each.encode()) <= MAX_FRAME_BYTES for each in made)
    small = frames([Held(PEERS[0], "svc", "a", 1, 1, b"x")] * (MAX_RECORDS + 1))
    assert [len(each.records) for each in small] == [MAX_RECORDS, 1]
    assert [each.final for each in frames([])] == [True]


def test_a_peer_is_answered_no_more_often_than_may_be() -> None:
    turns = Turns()
    assert turns.take(PEERS[0], 0.0)
    assert not turns.take(PEERS[0], SERVE_EVERY_S - 1)
    assert turns.take(PEERS[1], 1.0)
    assert turns.take(PEERS[0], SERVE_EVERY_S)
