"""Both makers of Curve25519 say the same: AWS-LC's and libsodium's signatures, AWS-LC's and OpenSSL's agreements."""

from __future__ import annotations

import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.identity import aws_lc, libsodium, x25519
from mesh.identity.keys import KeyType, PublicKey
from mesh.identity.x25519 import GivenSecret

pytestmark = pytest.mark.skipif(sys.implementation.name != "cpython", reason="AWS-LC comes with qh3")

SEEDS = st.binary(min_size=32, max_size=32)
MESSAGES = st.binary(max_size=300)
LOW_ORDER = (
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
)


def public_of(seed: bytes) -> bytes:
    from nacl.bindings import crypto_sign_seed_keypair

    public: bytes = crypto_sign_seed_keypair(seed)[0]
    return public


@given(SEEDS, MESSAGES)
def test_signatures_are_the_same(seed: bytes, message: bytes) -> None:
    signature = aws_lc.signer(seed)(message)
    assert signature == libsodium.signer(seed)(message)
    assert aws_lc.verifier(public_of(seed))(message, signature)
    assert libsodium.verify(public_of(seed), message, signature)


@given(SEEDS, MESSAGES, st.integers(0, 96 * 8 - 1))
def test_an_altered_bit_is_refused_by_both(seed: bytes, message: bytes, bit: int) -> None:
    altered = bytearray(public_of(seed) + aws_lc.signer(seed)(message))
    altered[bit // 8] ^= 1 << bit % 8
    public, signature = bytes(altered[:32]), bytes(altered[32:])
    assert not aws_lc.verifier(public)(message, signature)
    assert not libsodium.verify(public, message, signature)


def test_keys_of_small_order_have_no_signature() -> None:
    prime = 2**255 - 19
    for y in (0, 1, prime - 1, prime, prime + 1):
        for sign in (0, 1 << 255):
            public = (y | sign).to_bytes(32, "little")
            for engine in (aws_lc, libsodium):
                assert not engine.verifier(public)(b"", b"\x01" + bytes(63)), public.hex()


def test_other_threads_work_beside_a_verification() -> None:
    seed, message = bytes(32), b"message"
    key, signature = PublicKey(KeyType.ED25519, public_of(seed)), libsodium.signer(seed)(message)
    may_run, ran = threading.Event(), threading.Event()

    def run() -> None:
        may_run.wait()
        ran.set()

    other = threading.Thread(target=run)
    other.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(3600.0)  # from now on no thread has to let go of the interpreter's lock
    try:
        may_run.set()
        calls = 0
        while not ran.is_set() and calls < 1_000_000:
            assert key.verify_beside(message, signature)
            calls += 1
        assert ran.is_set()
    finally:
        sys.setswitchinterval(interval)
        other.join()
    assert not key.verify_beside(b"another message", signature)
    assert not key.verify_beside(message, signature[:-1])


@given(SEEDS)
def test_agreements_are_the_same(seed: bytes) -> None:
    given_one, fresh = GivenSecret(seed), aws_lc.Secret()
    assert len(fresh.public) == 32
    assert given_one.exchange(fresh.public) == fresh.exchange(given_one.public)


@pytest.mark.parametrize("make", [x25519.fresh, GivenSecret])
@pytest.mark.parametrize(
    "public", [*LOW_ORDER, b"", bytes(31), b"\x09" * 33], ids=lambda each: each.hex()[:8]
)
def test_points_that_give_no_secret(make: type[GivenSecret], public: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        make().exchange(public)


def test_no_fresh_key_comes_twice() -> None:
    assert isinstance(x25519.fresh(), aws_lc.Secret)
    assert len({x25519.fresh().public for _ in range(100)}) == 100
