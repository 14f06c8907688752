"""Noise does the same whatever its input is and wherever it is cut, and never raises for what a peer sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mesh.identity.peer_id import PeerId
from mesh.identity.x25519 import GivenSecret
from mesh.protocols.machine import Role
from mesh.protocols.noise import Established, Failed, Handshake, Session, credentials
from tests.protocols import ALICE, BOB, flipped, ways

KEY, OTHER = bytes([1]) * 32, bytes([2]) * 32
POINTS = st.lists(st.integers(0, 1000), max_size=6)
ROLES = st.sampled_from(list(Role))
MUXER_LISTS = st.sampled_from([("/yamux/1.0.0",), ("/x", "/yamux/1.0.0"), ()])


@dataclass(frozen=True)
class Opened:
    plaintext: bytes
    failure: str
    nonce: int
    waiting: int


def opened(pieces: Iterable[bytes], nonce: int) -> Opened:
    session = Session(OTHER, KEY, b"", receive_nonce=nonce)
    plaintext = b"".join(plain for piece in pieces for plain in session.receive(piece))
    failure = "" if session.failure is None else str(session.failure)
    return Opened(plaintext, failure, session.receive_nonce, session.partial_bytes)


PLAINTEXTS = st.lists(st.binary(max_size=40), max_size=6)
MUTATION = st.one_of(st.none(), st.tuples(st.integers(0, 1000), st.integers(1, 255)))


def mutated(data: bytes, mutation: tuple[int, int] | None) -> bytes:
    if mutation is None or not data:
        return data
    return flipped(data, mutation[0] % len(data), mutation[1])


@settings(max_examples=150, deadline=None)
@given(PLAINTEXTS, MUTATION, POINTS, st.sampled_from([0, 7, 2**32 - 2, 2**64 - 3]), st.binary(max_size=4))
@example(plaintexts=[b"0", b"0"], mutation=None, points=[], nonce=2**64 - 3, behind=bytes(2))
def test_session(
    plaintexts: list[bytes],
    mutation: tuple[int, int] | None,
    points: list[int],
    nonce: int,
    behind: bytes,
) -> None:
    room = 2**64 - 1 - nonce
    plaintexts = [plain for plain in plaintexts if plain][:room]
    sender = Session(KEY, OTHER, b"", send_nonce=nonce)
    data = mutated(b"".join(b"".join(sender.seal([plain])) for plain in plaintexts) + behind, mutation)
    results = [opened(pieces(), nonce) for pieces in ways(data, points)]
    assert results == [results[0]] * len(results)
    if mutation is None:
        assert results[0].plaintext == b"".join(plaintexts)


@dataclass(frozen=True)
class Ending:
    output: bytes
    outcome: str
    leftover: bytes
    binding: bytes


def end_of(role: Role, muxers: tuple[str, ...], expected: bool) -> Handshake:
    identity, static, ephemeral = (
        (ALICE, b"\x05", b"\x06") if role is Role.INITIATOR else (BOB, b"\x07", b"\x08")
    )
    peer = BOB if role is Role.INITIATOR else ALICE
    return Handshake(
        role,
        credentials(identity, GivenSecret(static * 32), muxers),
        GivenSecret(ephemeral * 32),
        expected_peer=PeerId.from_public_key(peer.public) if expected else None,
    )


@cache
def transcript(role: Role, muxers: tuple[str, ...]) -> bytes:
    """All that ``role`` receives in an undisturbed handshake, and one record behind it."""
    ends = {each: end_of(each, muxers, True) for each in Role}
    received = dict.fromkeys(Role, b"")
    for writer, reader in ((Role.INITIATOR, Role.RESPONDER), (Role.RESPONDER, Role.INITIATOR)) * 2:
        message = b"".join(ends[writer].output())
        if message:
            received[reader] += message
            ends[reader].receive(message)
    other = Role.RESPONDER if role is Role.INITIATOR else Role.INITIATOR
    return received[role] + b"".join(ends[other].finish()[0].seal([b"application data"]))


def ending(handshake: Handshake, pieces: Iterable[bytes]) -> Ending:
    output = b"".join(handshake.output())
    behind = b""
    for piece in pieces:
        if handshake.outcome is not None:
            behind += piece
            continue
        handshake.receive(piece)
        output += b"".join(handshake.output())
    match handshake.outcome:
        case Established(key, peer, muxer):
            session, leftover = handshake.finish()
            sealed = b"".join(session.seal([b"check"]))
            return Ending(output, f"{key} {peer} {muxer}", leftover + behind, session.handshake_hash + sealed)
        case Failed(error):
            return Ending(output, str(error), b"", b"")
        case None:
            return Ending(output, "open", b"", b"")


@settings(max_examples=80, deadline=None)
@given(ROLES, MUXER_LISTS, MUTATION, POINTS, st.booleans())
def test_handshake(
    role: Role,
    muxers: tuple[str, ...],
    mutation: tuple[int, int] | None,
    points: list[int],
    expected: bool,
) -> None:
    data = mutated(transcript(role, muxers), mutation)
    results = [ending(end_of(role, muxers, expected), pieces()) for pieces in ways(data, points)]
    assert results == [results[0]] * len(results)
    if mutation is None:
        assert results[0].leftover == data[-34:]
        assert results[0].binding


@settings(max_examples=80, deadline=None)
@given(ROLES, st.lists(st.binary(max_size=120), max_size=4), st.binary(max_size=40), POINTS)
def test_handshake_with_a_stranger(
    role: Role, messages: list[bytes], behind: bytes, points: list[int]
) -> None:
    data = b"".join(len(message).to_bytes(2) + message for message in messages) + behind
    results = [ending(end_of(role, (), False), pieces()) for pieces in ways(data, points)]
    assert results == [results[0]] * len(results)
    assert not results[0].binding
