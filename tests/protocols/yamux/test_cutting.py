"""However the bytes are cut, a session does the same; it is a function of its input, and nothing a peer sends escapes."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mesh.protocols.yamux import Session, Stream
from tests.protocols.yamux.frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    UPDATE,
    WINDOW,
    data,
    frame,
    incoming,
    responder,
    sent,
    update,
    wire,
)

quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

IDS = st.sampled_from([0, 1, 2, 3, 5, 7, 2**32 - 1])
LAWFUL_IDS = st.sampled_from([1, 3, 5, 2])
FLAGS = st.sampled_from([0, 0, 0, SYN, ACK, FIN, RST, SYN | FIN, SYN | RST, 0xFFFF])
LENGTHS = st.sampled_from([0, 1, 32, WINDOW, WINDOW + 1, 2**24, 2**24 + 1, 2**31, 2**32 - 1])
BODIES = st.one_of(st.binary(max_size=40), st.integers(0, 3000).map(lambda size: b"\x07" * size))

lawful_frames = st.one_of(
    st.builds(data, LAWFUL_IDS, BODIES, st.sampled_from([0, 0, 0, FIN])),
    st.builds(update, LAWFUL_IDS, st.integers(0, 5000), st.sampled_from([0, ACK, FIN])),
    st.builds(update, LAWFUL_IDS, st.integers(0, 0x1008), st.just(RST)),
    st.builds(frame, st.just(PING), st.sampled_from([SYN, ACK, 0]), st.just(0), st.integers(0, 3)),
)
any_frames = st.one_of(
    st.builds(data, IDS, BODIES, FLAGS),
    st.builds(frame, st.sampled_from([DATA, UPDATE, PING, GO_AWAY, 4, 255]), FLAGS, IDS, LENGTHS),
    st.builds(frame, st.just(UPDATE), st.just(SYN), IDS, st.just(0), version=st.sampled_from([0, 0, 1])),
)
OPENINGS = update(1, flags=SYN) + data(3, b"first", SYN) + update(5, 100_000, SYN)
lawful = st.lists(lawful_frames, max_size=20).map(lambda frames: OPENINGS + b"".join(frames))
lawless = st.lists(st.one_of(any_frames, lawful_frames), max_size=20).map(
    lambda frames: OPENINGS + b"".join(frames)
)
mutated = st.tuples(lawless, st.randoms(use_true_random=False), st.integers(1, 4)).map(
    lambda drawn: mutate(*drawn)
)


def mutate(wire_bytes: bytes, rng: random.Random, times: int) -> bytes:
    changed = bytearray(wire_bytes)
    for _ in range(times):
        at = rng.randrange(len(changed))
        how = rng.randrange(3)
        if how == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif how == 1 and len(changed) > 1:
            del changed[at : at + rng.randrange(1, 14)]
            changed = changed or bytearray(1)
        else:
            changed[at:at] = rng.randbytes(rng.randrange(1, 14))
    return bytes(changed)


def pieces(whole: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    return [whole[start:end] for start, end in itertools.pairwise(edges)]


def subject() -> Session:
    session = responder(max_queued_pongs=4)
    session.announce(session.open())
    session.wake(0.0)
    session.output()
    return session


def life(parts: list[bytes]) -> object:
    """All that can be seen of a session that received these bytes and was then read to the end."""
    session = subject()
    for part in parts:
        session.receive(part, 0.5)
    check(session)
    events = session.events()
    seen: list[Stream] = [event.stream for event in events if hasattr(event, "stream")]
    out = wire(session)
    streams = [
        (
            stream.id,
            stream.reset_code,
            stream.reset_by_peer,
            stream.read_closed,
            stream.write_closed,
            stream.send_window,
            stream.receive_window,
            stream.queued_bytes,
            b"".join(bytes(session.take(stream, 700)) for _ in range(stream.queued_bytes + 1)),
        )
        for stream in seen
    ]
    check(session)
    ready = sorted(stream.id for stream in session.ready)
    names = [type(event).__name__ for event in events]
    return (
        names,
        repr(session.ended),
        out,
        streams,
        sent(session),
        ready,
        list(session.streams),
        session.rtt_s,
    )


def check(session: Session) -> None:
    assert session.held_bytes >= 0
    assert session.inbound_streams == sum(stream.inbound for stream in session.streams.values())
    for stream in session.streams.values():
        assert stream.receive_window >= 0
        assert 0 <= stream.send_window < 2**32
        assert stream.receive_window + stream.queued_bytes <= stream.window_bytes
        assert stream.held_bytes >= stream.queued_bytes >= 0
        assert not stream.dead


@quick
@given(lawful, st.lists(st.integers(0, 2**16), max_size=12))
def test_lawful_frames_cut_anywhere(whole: bytes, cuts: list[int]) -> None:
    expected = life([whole])
    assert life(pieces(whole, cuts)) == expected
    assert life([*pieces(whole, cuts), b""]) == expected


@quick
@given(lawless, st.lists(st.integers(0, 2**16), max_size=12))
@example(data(1, b"x" * 3000, SYN | FIN) + data(1, b"x"), [13, 14])
@example(frame(DATA, SYN, 1, WINDOW + 1) + b"x", [11, 12])
def test_lawless_frames_cut_anywhere(whole: bytes, cuts: list[int]) -> None:
    assert life(pieces(whole, cuts)) == life([whole])


@quick
@given(mutated, st.lists(st.integers(0, 2**16), max_size=12))
def test_mutated_frames_cut_anywhere(whole: bytes, cuts: list[int]) -> None:
    assert life(pieces(whole, cuts)) == life([whole])


@settings(quick, max_examples=25)
@given(st.one_of(lawful, lawless, mutated))
def test_byte_by_byte(whole: bytes) -> None:
    assert life([whole[at : at + 1] for at in range(len(whole))]) == life([whole])


@quick
@given(mutated, st.lists(st.integers(0, 2**16), max_size=5))
def test_a_session_is_a_function_of_its_input(whole: bytes, cuts: list[int]) -> None:
    assert life(pieces(whole, cuts)) == life(pieces(whole, cuts))


@quick
@given(st.lists(st.binary(max_size=300), max_size=10))
def test_noise_never_raises(parts: list[bytes]) -> None:
    session = subject()
    for part in parts:
        session.receive(part, 0.0)
        check(session)


@pytest.mark.parametrize("cut", range(1, 40))
def test_every_cut_of_a_full_frame(cut: int) -> None:
    session = responder()
    stream = incoming(session)
    whole = data(1, b"0123456789") + update(1, 5) + data(1, b"ab", FIN)
    session.receive(whole[:cut], 0.0)
    session.receive(whole[cut:], 0.0)
    assert bytes(stream.fetch(100)[0]) == b"0123456789ab"
    assert stream.send_window == WINDOW + 5
    assert stream.read_closed
