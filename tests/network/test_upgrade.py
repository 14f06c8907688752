"""The upgrade of a connection, both ends in memory: what it agrees on, where it fails, and where its input is cut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.codecs.multistream import encode_token
from mesh.errors import ProtocolNotSupported, UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.identity.x25519 import GivenSecret
from mesh.network.memory_counter import MemoryCounter
from mesh.network.security import NoiseSecurity
from mesh.network.upgrade import Failed, Upgrade, Upgraded, UpgradeSettings
from mesh.protocols import yamux
from mesh.protocols.machine import Role
from mesh.protocols.multistream import HEADER, NOT_AVAILABLE, opening
from mesh.protocols.noise import PROTOCOL_ID as NOISE
from mesh.protocols.noise import Established, Handshake, Session, credentials
from tests.protocols import ALICE, BOB, flipped, ways

YAMUX = yamux.PROTOCOL_ID
HELLO, NA = encode_token(HEADER), encode_token(NOT_AVAILABLE)
IDENTITY = {Role.INITIATOR: ALICE, Role.RESPONDER: BOB}
PING = pack(">BBHII", 0, 2, 1, 0, 7)
"""A yamux ping that asks for an answer."""
PONG = pack(">BBHII", 0, 2, 2, 0, 7)
BOTH_ROLES = pytest.mark.parametrize("role", list(Role))


@pytest.fixture(autouse=True)
def _nothing_left() -> None:
    """In place of the package's own check, which needs a loop: nothing here has one."""


def other(role: Role) -> Role:
    return Role.RESPONDER if role is Role.INITIATOR else Role.INITIATOR


def peer_of(identity: PrivateKey) -> PeerId:
    return PeerId.from_public_key(identity.public)


@cache
def own_settings(role: Role, early: bool) -> UpgradeSettings:
    secret = 5 if role is Role.INITIATOR else 6
    own = credentials(IDENTITY[role], GivenSecret(bytes([secret]) * 32), [YAMUX] if early else [])
    memory = MemoryCounter(1 << 20)
    security = NoiseSecurity(own, lambda: GivenSecret(bytes([secret + 2]) * 32))
    return UpgradeSettings((security,), yamux.Settings(), memory)


def end(role: Role, early: bool, expected: PeerId | None = None) -> Upgrade:
    return Upgrade(role, own_settings(role, early), expected)


def upgrade_both(left: Upgrade, right: Upgrade) -> tuple[bytes, bytes]:
    """Let both talk until nothing moves; what each of them received."""
    received = {id(left): b"", id(right): b""}
    moved = True
    while moved:
        moved = False
        for writer, reader in ((left, right), (right, left)):
            data = b"".join(writer.output())
            if data:
                moved = True
                received[id(reader)] += data
                if reader.outcome is None:
                    reader.receive(data, 0.0)
    return received[id(left)], received[id(right)]


def upgraded(upgrade: Upgrade) -> Upgraded:
    assert isinstance(upgrade.outcome, Upgraded), upgrade.outcome
    return upgrade.outcome


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_both_ends_finish(first: bool, second: bool) -> None:
    left = end(Role.INITIATOR, first, peer_of(BOB))
    right = end(Role.RESPONDER, second)
    upgrade_both(left, right)
    for upgrade, identity in ((left, BOB), (right, ALICE)):
        outcome = upgraded(upgrade)
        assert outcome.remote_key == identity.public
        assert outcome.remote_peer == peer_of(identity)
        assert outcome.early_muxer is (first and second)
        assert outcome.channel is upgrade.channel
        with pytest.raises(UsageError):
            upgrade.receive(b"", 0.0)
    sealed = b"".join(upgraded(left).channel.seal([b"hello"]))
    assert upgraded(right).channel.receive(sealed) == [b"hello"]


@dataclass(frozen=True)
class Recorded:
    """What one end receives in an undisturbed upgrade, and records that may follow."""

    upgrade: bytes
    behind: bytes


@cache
def recorded(role: Role, early: bool) -> Recorded:
    ends = {each: end(each, early) for each in Role}
    received = upgrade_both(ends[role], ends[other(role)])[0]
    channel = upgraded(ends[other(role)]).channel
    behind = channel.seal([PING[:5]]) + channel.seal([PING[5:]])
    return Recorded(received, b"".join(behind))


@dataclass(frozen=True)
class Result:
    output: bytes
    outcome: str
    muxer_output: bytes
    muxer_events: tuple[str, ...]


def run(upgrade: Upgrade, pieces: Iterable[bytes]) -> Result:
    """Feed to the end and on, as the owner of a connection does."""
    output = b"".join(upgrade.output())
    outcome = upgrade.outcome
    for piece in pieces:
        if isinstance(outcome, Upgraded):
            for plain in outcome.channel.receive(piece):
                outcome.session.receive(plain, 0.0)
        elif outcome is None:
            upgrade.receive(piece, 0.0)
            output += b"".join(upgrade.output())
            outcome = upgrade.outcome
    match outcome:
        case Upgraded(channel, session, key, peer, early):
            frames = b"".join(b"".join(batch) for batch in session.output())
            events = tuple(type(event).__name__ for event in session.events())
            return Result(output, f"{key} {peer} {early} {channel.failure}", frames, events)
        case Failed(stage, error):
            return Result(output, f"{stage}: {type(error).__name__}: {error}", b"", ())
        case None:
            return Result(output, f"open: {upgrade.stage}", b"", ())


ROLES = st.sampled_from(list(Role))
POINTS = st.lists(st.integers(0, 2000), max_size=6)


@settings(max_examples=40, deadline=None)
@given(ROLES, st.booleans(), st.integers(0, 2000), POINTS)
def test_cuts_do_not_matter(role: Role, early: bool, size: int, points: list[int]) -> None:
    script = recorded(role, early)
    for data in (script.upgrade + script.behind, script.upgrade[: size % len(script.upgrade)]):
        results = [run(end(role, early), pieces()) for pieces in ways(data, points)]
        assert results == [results[0]] * len(results)
    whole = run(end(role, early), [script.upgrade + script.behind])
    assert whole.output == recorded(other(role), early).upgrade
    assert whole.outcome.endswith(f"{early} None")
    assert PONG in whole.muxer_output


@settings(max_examples=80, deadline=None)
@given(ROLES, st.booleans(), st.integers(0, 2000), st.integers(1, 255), POINTS)
def test_cuts_do_not_matter_to_altered_input(
    role: Role, early: bool, index: int, mask: int, points: list[int]
) -> None:
    script = recorded(role, early)
    data = flipped(script.upgrade, index % len(script.upgrade), mask) + script.behind
    results = [run(end(role, early), pieces()) for pieces in ways(data, points)]
    assert results == [results[0]] * len(results)
    assert results[0].outcome.startswith(("open", "security", "noise", "muxer"))


@settings(max_examples=60, deadline=None)
@given(ROLES, st.binary(max_size=80), st.sampled_from([b"", HELLO, HELLO + encode_token(NOISE)]), POINTS)
def test_strangers_never_raise(role: Role, data: bytes, before: bytes, points: list[int]) -> None:
    results = [run(end(role, True), pieces()) for pieces in ways(before + data, points)]
    assert results == [results[0]] * len(results)


# --- stages ---------------------------------------------------------------------------------------------------------


def test_refused_security() -> None:
    upgrade = end(Role.INITIATOR, True)
    assert b"".join(upgrade.output()).startswith(opening(NOISE))
    upgrade.receive(HELLO + NA, 0.0)
    assert isinstance(upgrade.outcome, Failed)
    assert upgrade.outcome.stage == "security negotiation"
    assert isinstance(upgrade.outcome.error, ProtocolNotSupported)
    assert NOISE in str(upgrade.outcome.error)


def test_muxer_instead_of_security_is_refused() -> None:
    upgrade = end(Role.RESPONDER, True)
    upgrade.receive(opening(YAMUX), 0.0)
    assert b"".join(upgrade.output()) == HELLO + NA
    assert upgrade.outcome is None
    assert upgrade.stage == "security negotiation"


def test_wrong_peer() -> None:
    left, right = end(Role.INITIATOR, True, peer_of(ALICE)), end(Role.RESPONDER, True)
    upgrade_both(left, right)
    assert isinstance(left.outcome, Failed)
    assert left.outcome.stage == "noise handshake"
    assert str(peer_of(BOB)) in str(left.outcome.error)
    assert right.outcome is None


def secured(role: Role) -> tuple[Upgrade, Session, bytes]:
    """An upgrade in ``role`` that waits for the muxer, the peer's end of its channel, and what it said there."""
    upgrade = end(role, True)
    (own,) = own_settings(other(role), False).security
    assert isinstance(own, NoiseSecurity)
    peer = Handshake(other(role), own.credentials, GivenSecret(bytes([9]) * 32))
    opened = b"".join(upgrade.output())
    upgrade.receive(HELLO + encode_token(NOISE), 0.0)
    said = b"".join(upgrade.output())
    if role is Role.RESPONDER:
        assert opened == HELLO
        assert said == encode_token(NOISE)
        upgrade.receive(b"".join(peer.output()), 0.0)
        peer.receive(b"".join(upgrade.output()))
        upgrade.receive(b"".join(peer.output()), 0.0)
    else:
        assert opened.startswith(opening(NOISE))
        assert not said
        peer.receive(opened.removeprefix(opening(NOISE)))
        upgrade.receive(b"".join(peer.output()), 0.0)
        message = b"".join(upgrade.output())
        peer.receive(message)
    assert isinstance(peer.outcome, Established)
    assert upgrade.stage == "muxer negotiation"
    channel, leftover = peer.finish()
    return upgrade, channel, b"".join(channel.receive(leftover + b"".join(upgrade.output())))


def failed(upgrade: Upgrade) -> str:
    assert isinstance(upgrade.outcome, Failed)
    assert upgrade.outcome.stage == "muxer negotiation"
    return str(upgrade.outcome.error)


def test_both_ends_open_the_muxer_negotiation_at_once() -> None:
    assert secured(Role.INITIATOR)[2] == opening(YAMUX)
    assert secured(Role.RESPONDER)[2] == HELLO


def test_responder_refuses_other_muxers_and_keeps_the_payload() -> None:
    upgrade, channel, _ = secured(Role.RESPONDER)
    proposals = HELLO + encode_token("/mplex/6.7.0") + encode_token(YAMUX) + PING
    upgrade.receive(b"".join(channel.seal([proposals])), 0.0)
    assert channel.receive(b"".join(upgrade.output())) == [NA + encode_token(YAMUX)]
    assert PONG in b"".join(b"".join(batch) for batch in upgraded(upgrade).session.output())
    assert not upgraded(upgrade).early_muxer


@pytest.mark.parametrize("together", [True, False])
def test_a_token_a_record(together: bool) -> None:
    upgrade, channel, _ = secured(Role.RESPONDER)
    names = [HEADER, "/mplex/6.7.0", YAMUX]
    records = [b"".join(channel.seal([encode_token(name)])) for name in names]
    for piece in [b"".join(records)] if together else records:
        upgrade.receive(piece, 0.0)
    assert b"".join(channel.receive(b"".join(upgrade.output()))) == NA + encode_token(YAMUX)
    assert not upgraded(upgrade).early_muxer


def test_initiator_whose_muxer_is_refused() -> None:
    upgrade, channel, _ = secured(Role.INITIATOR)
    upgrade.receive(b"".join(channel.seal([HELLO + NA])), 0.0)
    assert failed(upgrade) == f"peer supports none of {YAMUX}"


@BOTH_ROLES
def test_muxer_negotiation_with_bad_records_and_bad_words(role: Role) -> None:
    upgrade, channel, _ = secured(role)
    upgrade.receive(b"".join(channel.seal([b"\x00"])), 0.0)
    assert "token cannot be read" in failed(upgrade)

    upgrade, channel, _ = secured(role)
    upgrade.receive(flipped(b"".join(channel.seal([HELLO])), 5), 0.0)
    assert failed(upgrade) == "noise: record 0 is not authentic"


@BOTH_ROLES
def test_half_a_record_during_the_muxer_negotiation(role: Role) -> None:
    upgrade, channel, _ = secured(role)
    upgrade.receive(b"".join(channel.seal([HELLO]))[:-1], 0.0)
    upgrade.receive(b"", 0.0)
    assert upgrade.outcome is None
    assert upgrade.output() == []


@BOTH_ROLES
def test_bad_record_right_behind_an_early_muxer(role: Role) -> None:
    upgrade = end(role, True)
    upgrade.receive(recorded(role, True).upgrade + b"\x00\x01x", 0.0)
    assert isinstance(upgrade.outcome, Failed)
    assert "shorter than its tag" in str(upgrade.outcome.error)


@BOTH_ROLES
@pytest.mark.parametrize("early", [True, False])
def test_muxer_fault_right_behind_the_upgrade_is_the_muxers(role: Role, early: bool) -> None:
    ends = {each: end(each, early) for each in Role}
    data = upgrade_both(ends[role], ends[other(role)])[0]
    channel = upgraded(ends[other(role)]).channel
    upgrade = end(role, early)
    upgrade.receive(data + b"".join(channel.seal([b"\x09" * 12])), 0.0)
    assert any(isinstance(event, yamux.Ended) for event in upgraded(upgrade).session.events())


@pytest.mark.parametrize("together", [True, False])
def test_what_came_before_a_bad_record_counts(together: bool) -> None:
    upgrade, channel, _ = secured(Role.RESPONDER)
    records = [b"".join(channel.seal([HELLO + encode_token("/mplex/6.7.0")])), b"\x00\x01x"]
    answers = b""
    for piece in [b"".join(records)] if together else records:
        upgrade.receive(piece, 0.0)
        answers += b"".join(upgrade.output())
    assert channel.receive(answers) == [NA]
    assert "shorter than its tag" in failed(upgrade)
