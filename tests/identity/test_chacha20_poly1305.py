"""One cipher of two makers: what either writes the other reads, under every count, and nothing altered passes."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from mesh.identity import chacha20_poly1305
from mesh.identity.chacha20_poly1305 import NONCE, SHORT_BYTES, Cipher

KEY = bytes(range(32))
COUNTS = st.integers(0, 2**64 - 1)
SIZES = st.sampled_from(
    [0, 1, 16, 255, SHORT_BYTES - 16, SHORT_BYTES - 1, SHORT_BYTES, SHORT_BYTES + 1, 10_000]
)


def openssl(count: int, text: bytes, associated: bytes) -> bytes:
    return ChaCha20Poly1305(KEY).encrypt(NONCE.pack(0, count), text, associated)


@given(COUNTS, SIZES, st.binary(max_size=64))
def test_it_writes_what_openssl_writes(count: int, size: int, associated: bytes) -> None:
    text = b"mesh" * (size // 4) + b"!" * (size % 4)
    sealed = openssl(count, text, associated)
    cipher = Cipher(KEY)
    for kind in (bytes, bytearray, memoryview):
        assert cipher.encrypt(count, kind(text), associated) == sealed
        assert cipher.decrypt(count, kind(sealed), associated) == text


@given(COUNTS, SIZES, st.integers(0, 2**32))
def test_an_altered_bit_is_not_authentic(count: int, size: int, place: int) -> None:
    sealed = bytearray(Cipher(KEY).encrypt(count, bytes(size)))
    at = place % (8 * len(sealed))
    sealed[at // 8] ^= 1 << at % 8
    with pytest.raises(InvalidTag):
        Cipher(KEY).decrypt(count, sealed)


@pytest.mark.parametrize("size", [0, 1, 15])
def test_less_than_a_tag_is_not_authentic(size: int) -> None:
    with pytest.raises(InvalidTag):
        Cipher(KEY).decrypt(0, bytes(size))


def test_another_count_or_associated_text_is_not_authentic() -> None:
    sealed = Cipher(KEY).encrypt(256, b"text", b"associated")
    for count, associated in ((1, b"associated"), (257, b"associated"), (256, b"")):
        with pytest.raises(InvalidTag):
            Cipher(KEY).decrypt(count, sealed, associated)


def test_without_aws_lc_openssl_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chacha20_poly1305, "_source", lambda: (lambda _key: None, InvalidTag))
    cipher = Cipher(KEY)
    sealed = cipher.encrypt(7, b"text")
    assert sealed == openssl(7, b"text", b"")
    assert cipher.decrypt(7, sealed) == b"text"
