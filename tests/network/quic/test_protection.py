"""Packets with a short header, opened and sealed with a vector of RFC 9001 (appendix A.5) and against themselves."""

from __future__ import annotations

import os

import pytest

from mesh.network.quic import protection
from mesh.network.quic.protection import (
    AES_128_GCM_SHA256,
    AES_256_GCM_SHA384,
    CHACHA20_POLY1305_SHA256,
    HEAD_BYTES,
    MIN_PAYLOAD_BYTES,
    OVERHEAD_BYTES,
    Protection,
)

SECRET = bytes.fromhex("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b")
PACKET = bytes.fromhex("4cfe4189655e5cd55c41f69080575d7999c25a5bfb")
NUMBER = 654_360_564
SUITES = {AES_128_GCM_SHA256: 32, AES_256_GCM_SHA384: 48, CHACHA20_POLY1305_SHA256: 32}
"""Cipher suites and the length of their secrets."""
ID = bytes(range(8))


@pytest.fixture(params=SUITES.items(), ids=lambda item: f"{item[0]:#x}")
def ends(request: pytest.FixtureRequest) -> tuple[Protection, Protection]:
    suite, size = request.param
    secret = os.urandom(size)
    return Protection(suite, secret), Protection(suite, secret)


@pytest.mark.parametrize("expected", [NUMBER, NUMBER - 100, NUMBER + (1 << 22)])
def test_the_vector_of_the_specification(expected: int) -> None:
    vector = Protection(CHACHA20_POLY1305_SHA256, SECRET)
    opened = vector.open(PACKET, 0, expected)
    assert opened is not None
    assert opened == (NUMBER, b"", b"\x01")
    assert vector.newest == NUMBER
    assert vector.number_of(PACKET[:HEAD_BYTES], 0, expected) == NUMBER


def test_what_is_sealed_opens(ends: tuple[Protection, Protection]) -> None:
    sealing, opening = ends
    for number in (0, 1, 255, 65_535, 65_536, 1_000_000):
        for size in (MIN_PAYLOAD_BYTES, 3, 100, 1200):
            payload = os.urandom(size)
            packet = sealing.seal(number, ID, payload)
            assert len(packet) <= size + OVERHEAD_BYTES
            assert packet[1:9] == ID
            assert packet[0] & 0xC0 == 0x40
            assert opening.open(packet, 8, number + 30_000) == (number, ID, payload)
            assert opening.number_of(packet[:HEAD_BYTES], 8, number) == number
    assert sealing.newest == opening.newest == 1_000_000


def test_a_number_far_from_the_one_expected_is_tried(ends: tuple[Protection, Protection]) -> None:
    sealing, opening = ends
    packet = sealing.seal(5 * 65_536 + 9, ID, b"far off")
    assert opening.open(packet, 8, 0) is None
    assert opening.open(packet, 8, 0, tries=5) is None
    assert opening.open(packet, 8, 0, tries=6) == (5 * 65_536 + 9, ID, b"far off")


def test_nothing_else_opens(ends: tuple[Protection, Protection]) -> None:
    sealing, opening = ends
    packet = sealing.seal(7, ID, b"genuine")
    for at in range(len(packet)):
        broken = bytearray(packet)
        broken[at] ^= 1 << at % 8
        assert opening.open(bytes(broken), 8, 7) is None
    for size in range(len(packet)):
        assert opening.open(packet[:size], 8, 7) is None
    assert opening.number_of(packet[:20], 8, 7) is None
    assert opening.open(packet, 7, 7) is None
    assert opening.newest == -1


def test_keys_are_updated(ends: tuple[Protection, Protection]) -> None:
    sealing, opening = ends
    packets = []
    for generation in range(5):
        sealing.follow(generation)
        packets.append(sealing.seal(generation, ID, b"of %d" % generation))
    for generation, packet in enumerate(packets):
        opening.follow(generation)
        assert opening.open(packet, 8, generation) == (generation, ID, b"of %d" % generation)
        for other in {0, 1, 2, 3, 4} - {generation}:
            assert opening.open(packets[other], 8, other) is None


def test_updates_that_nobody_told_of_are_found(ends: tuple[Protection, Protection]) -> None:
    sealing, opening = ends
    for generation in (0, 1, 8, 30):
        sealing.follow(generation)
        packet = sealing.seal(100 * generation, ID, b"later")
        assert opening.catch_up(packet, 8, 100 * generation) is not None
        assert opening.generation == generation


def test_what_never_opens_changes_no_keys(ends: tuple[Protection, Protection]) -> None:
    sealing, opening = ends
    packet = sealing.seal(7, ID, b"genuine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protection, "MAX_UPDATES", 20)
        assert opening.catch_up(packet, 7, 7) is None
    assert opening.generation == 0
    assert opening.catch_up(packet, 8, 7) is not None
