"""Where a peer is taken to be, as told to `qh3_path.Path` by hand."""

from __future__ import annotations

import pytest

from mesh.network.quic.engine import Address
from mesh.network.quic.protection import OVERHEAD_BYTES
from mesh.network.quic.qh3.path import CHALLENGE_BYTES, EXPIRES_S, MIN_WINDOW_BYTES, Path, is_probing

HOME: Address = ("192.0.2.1", 4001)
NEXT_PORT: Address = ("192.0.2.1", 5002)
ELSEWHERE: Address = ("198.51.100.7", 4001)
PING = b"\x01"
MIB = 1024 * 1024


def moved(to: Address = ELSEWHERE, size: int = 1200) -> Path:
    path = Path(HOME)
    assert path.heard(5, PING, size, to, 10.0, 0.05)
    assert path.peer == to
    return path


def token(path: Path, now: float) -> bytes:
    payload, address = path.challenges(now)[0]
    assert address == path.peer
    assert payload[0] == 0x1A
    return payload[1:9]


def test_the_highest_number_decides() -> None:
    path = Path(HOME)
    path.newest = 7
    assert not path.heard(6, PING, 100, ELSEWHERE, 10.0, None)
    assert not path.heard(7, PING, 100, ELSEWHERE, 10.0, None)
    assert path.peer == HOME
    assert path.heard(8, PING, 100, ELSEWHERE, 10.0, None)
    assert path.peer == ELSEWHERE


def test_a_new_address_gets_three_times_what_came_from_it() -> None:
    path = moved(size=500)
    assert path.limit == 1500
    assert path.spend(1200)
    assert not path.spend(301)
    assert path.spend(300)
    assert not path.spend(1)
    path.heard(6, PING, 100, ELSEWHERE, 10.0, None)
    assert path.limit == 300


def test_both_addresses_are_challenged_and_the_new_one_proves_itself() -> None:
    path = moved()
    (new, to_new), (old, to_old) = path.challenges(10.0)
    assert (to_new, to_old) == (ELSEWHERE, HOME)
    assert new[1:9] != old[1:9]
    assert len(new) == len(old) == 1200
    assert path.limit == 3600 - 1200 - OVERHEAD_BYTES
    assert not path.challenges(10.0)
    path.heard(6, b"\x1b" + old[1:9], 100, ELSEWHERE, 10.1, None)
    assert path.limit is not None
    path.heard(7, b"\x02\x00\x00\x00\x00\x1b" + new[1:9], 100, ELSEWHERE, 10.1, None)
    assert path.limit is None
    assert path.deadline() is None
    assert path.peer == ELSEWHERE
    path.wake(100.0)
    assert path.peer == ELSEWHERE


def test_a_proof_has_to_come_from_the_new_address() -> None:
    path = moved()
    proof = b"\x1b" + token(path, 10.0)
    path.heard(6, proof, 100, NEXT_PORT, 10.1, None)
    assert path.peer == ELSEWHERE
    assert path.limit is not None
    path.heard(7, proof + PING, 100, NEXT_PORT, 10.1, None)
    assert path.peer == NEXT_PORT
    assert path.limit == 300
    path.heard(8, proof, 100, NEXT_PORT, 10.1, None)
    assert path.limit is not None


def test_any_challenge_that_is_open_may_be_answered() -> None:
    path = moved()
    first = token(path, 10.0)
    assert path.deadline() == pytest.approx(10.1)
    second = token(path, 10.1)
    assert first != second
    assert path.deadline() == pytest.approx(10.3)
    path.heard(6, b"\x1b" + first, 50, ELSEWHERE, 10.2, None)
    assert path.limit is None


def test_a_small_limit_makes_a_small_challenge() -> None:
    path = moved(size=40)
    ((frame, _), (old, _)) = path.challenges(10.0)
    assert CHALLENGE_BYTES <= len(frame) == 3 * 40 - OVERHEAD_BYTES
    assert len(old) == 1200
    assert path.limit == 0
    assert path.deadline() == 10.0 + EXPIRES_S
    assert not path.challenges(10.5)
    path.heard(6, PING, 20, ELSEWHERE, 10.6, None)
    assert path.deadline() == pytest.approx(10.1)
    assert len(path.challenges(10.6)) == 1


def test_without_a_proof_it_goes_back() -> None:
    path = moved()
    token(path, 10.0)
    path.wake(10.0 + EXPIRES_S - 0.1)
    assert path.peer == ELSEWHERE
    path.wake(10.0 + EXPIRES_S)
    assert path.peer == HOME
    assert path.limit is None
    slow = Path(HOME)
    slow.heard(5, PING, 1200, ELSEWHERE, 10.0, 2.0)
    slow.wake(10.0 + EXPIRES_S)
    assert slow.peer == ELSEWHERE


def test_back_home_needs_no_proof() -> None:
    path = moved()
    assert path.heard(6, PING, 50, HOME, 10.1, None)
    assert path.peer == HOME
    assert path.limit is None
    assert path.spend(1 << 20)


def test_another_host_begins_with_a_small_window() -> None:
    path = moved()
    path.heard(6, token(path, 10.0), 50, ELSEWHERE, 10.0, None)
    for now, window in ((10.0, MIN_WINDOW_BYTES), (10.25, 4 * MIN_WINDOW_BYTES), (11.0, MIB)):
        assert path.narrow
        assert path.window(MIB, now, 0.1) == window
    assert not path.narrow


def test_another_port_keeps_its_window() -> None:
    path = moved(NEXT_PORT)
    path.heard(6, token(path, 10.0), 50, NEXT_PORT, 10.0, None)
    assert path.limit is None
    assert not path.narrow


@pytest.mark.parametrize(
    ("payload", "probing"),
    [
        (b"\0" * 30, True),
        (b"\x1a" + bytes(8) + b"\0\0", True),
        (b"\x1b" + b"\x01" * 8, True),
        (b"\x18\x01\x00\x08" + b"\x01" * 24, True),
        (b"\x18\x40\x01\x80\x00\x00\x00\x04" + b"\x01" * 20 + b"\x1b" + b"\x01" * 8, True),
        (b"\x18\x40\x01\x80\x00\x00\x00\x04" + b"\x01" * 20 + b"\x01", False),
        (b"\x01", False),
        (b"\x1b" + bytes(8) + b"\x01", False),
        (b"\x02\x00\x00\x00\x00", False),
        (b"\x0a\x00\x01x", False),
    ],
)
def test_what_only_probes(payload: bytes, probing: bool) -> None:
    assert is_probing(payload) is probing


def test_any_bytes_can_be_asked_about() -> None:
    for first in range(256):
        for size in range(12):
            is_probing(bytes([first]) + b"\xff" * size)
            is_probing(b"\x18" + bytes([first]) * size)
