"""The handshake against a peer that errs or lies: every message, order, points, borders."""

from __future__ import annotations

import pytest

from mesh.codecs.noise import HandshakePayload
from mesh.errors import Malformed, UsageError
from mesh.identity.peer_id import PeerId
from mesh.identity.x25519 import GivenSecret
from mesh.protocols.machine import Role
from mesh.protocols.noise import Credentials, Established, Handshake
from mesh.protocols.noise.symmetric import diffie_hellman
from tests.protocols import (
    A_EPHEMERAL,
    A_STATIC,
    ALICE,
    ALICE_OWN,
    B_EPHEMERAL,
    B_STATIC,
    BOB,
    BOB_ID,
    BOB_OWN,
    BOTH_ROLES,
    PlainXX,
    claim,
    failure,
    flipped,
    framed,
    shown,
    taken,
    unframed,
)

LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


def initiator(own: Credentials = ALICE_OWN, expected: PeerId | None = None) -> Handshake:
    return Handshake(Role.INITIATOR, own, A_EPHEMERAL, expected_peer=expected)


def responder(own: Credentials = BOB_OWN, expected: PeerId | None = None) -> Handshake:
    return Handshake(Role.RESPONDER, own, B_EPHEMERAL, expected_peer=expected)


def honest() -> tuple[bytes, bytes, bytes]:
    first, second = initiator(), responder()
    one = taken(first)
    second.receive(one)
    two = taken(second)
    first.receive(two)
    return one, two, taken(first)


# --- messages -------------------------------------------------------------------------------------------------------


def test_both_ends_establish() -> None:
    one, two, three = honest()
    first, second = initiator(expected=BOB_ID), responder()
    first.receive(two)
    second.receive(one)
    second.receive(three)
    assert first.outcome == Established(BOB.public, BOB_ID, None)
    assert second.outcome == Established(ALICE.public, PeerId.from_public_key(ALICE.public), None)
    (left, _), (right, _) = first.finish(), second.finish()
    assert left.handshake_hash == right.handshake_hash
    for sender, receiver in ((left, right), (right, left)):
        assert receiver.receive(b"".join(sender.seal([b"a", b"b"]))) == [b"ab"]
    with pytest.raises(UsageError):
        first.receive(b"x")


@BOTH_ROLES
@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_every_altered_byte_is_noticed(role: Role, mask: int) -> None:
    one, two, three = honest()
    message = two if role is Role.INITIATOR else three
    for index in range(len(message)):
        altered = flipped(message, index, mask)
        if role is Role.INITIATOR:
            machine = initiator()
        else:
            machine = responder()
            machine.receive(one)
        taken(machine)
        machine.receive(altered)
        if index < 2 and int.from_bytes(altered[:2]) > int.from_bytes(message[:2]):
            assert machine.outcome is None  # waits for the rest of a longer message
        else:
            assert "authentication failed" in failure(machine) or index < 2


@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_altered_message_1_fails_at_the_initiator(mask: int) -> None:
    one = honest()[0]
    for index in range(2, len(one)):
        first, second = initiator(), responder()
        second.receive(flipped(one, index, mask))
        taken(first)
        first.receive(taken(second))
        assert "authentication failed" in failure(first)


@pytest.mark.parametrize("size", [0, 1, 31])
def test_short_first_message(size: int) -> None:
    machine = responder()
    machine.receive(framed(bytes([9]) * size))
    assert f"message 1: {size} bytes are fewer than a key" in failure(machine)


@pytest.mark.parametrize("size", [0, 31, 32, 79])
def test_short_second_message(size: int) -> None:
    machine = initiator()
    taken(machine)
    machine.receive(framed(B_EPHEMERAL.public[:1] * size))
    assert "message 2" in failure(machine)


@pytest.mark.parametrize("size", [0, 47, 48, 63])
def test_short_third_message(size: int) -> None:
    machine = responder()
    machine.receive(honest()[0])
    taken(machine)
    machine.receive(framed(bytes(size)))
    assert ("fewer than an encrypted key" in failure(machine)) is (size < 48)


@pytest.mark.parametrize("size", [1, 300, 65535 - 32])
def test_payload_of_message_1_is_ignored(size: int) -> None:
    machine = responder()
    peer = PlainXX(Role.INITIATOR, A_STATIC, A_EPHEMERAL)
    machine.receive(framed(peer.write(bytes(size))))
    payload = HandshakePayload.decode(peer.read(unframed(taken(machine))))
    assert payload == claim(BOB, B_STATIC.public)
    machine.receive(framed(peer.write(claim(ALICE, A_STATIC.public).encode())))
    assert isinstance(machine.outcome, Established)
    assert machine.finish()[0].handshake_hash == peer.symmetric.hash


def test_first_message_of_65535_random_bytes() -> None:
    machine = responder()
    machine.receive(framed(b"\x09" * 65535))
    assert machine.outcome is None
    assert len(taken(machine)) > 96


def test_replays() -> None:
    one, two, three = honest()
    machine = Handshake(Role.RESPONDER, BOB_OWN, GivenSecret(bytes([0x55]) * 32))
    machine.receive(one)
    taken(machine)
    machine.receive(three)
    assert "authentication failed" in failure(machine)

    for again, reason in ((two, "authentication failed"), (one, "message 3: 32 bytes")):
        machine = responder()
        machine.receive(one)
        taken(machine)
        machine.receive(again)
        assert reason in failure(machine)


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
def test_low_order_points(point: bytes) -> None:
    with pytest.raises(Malformed, match="low order"):
        diffie_hellman(ALICE_OWN.static, point)
    second = responder()
    second.receive(framed(point))
    assert "low order point" in failure(second)
    first = initiator()
    taken(first)
    first.receive(framed(point + bytes(64)))
    assert "low order point" in failure(first)
    for role in Role:
        assert "low order point" in failure(shown(role, b"", shown_static=point))


def test_bytes_behind_the_handshake_are_the_sessions() -> None:
    one, two, three = honest()
    second = responder()
    second.receive(one + three + b"\x00\x10later")
    assert isinstance(second.outcome, Established)
    assert second.finish()[1] == b"\x00\x10later"
    first = initiator()
    first.receive(two + b"\x00")
    assert first.finish()[1] == b"\x00"


@BOTH_ROLES
def test_unfinished(role: Role) -> None:
    machine = Handshake(role, ALICE_OWN, A_EPHEMERAL)
    machine.receive(b"\xff\xff" + bytes(65534))
    assert machine.outcome is None
    with pytest.raises(UsageError):
        machine.finish()
