"""Multibase and the positional bases."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import DecodeError, Malformed, UsageError
from mesh.multiformats import multibase
from mesh.multiformats.positional import BASE36, BASE58, MAX_BYTES, PositionalBase, b58decode, b58encode

PUBLISHED = {
    "base16": "f796573206d616e692021",
    "base16upper": "F796573206D616E692021",
    "base32": "bpfsxgidnmfxgsibb",
    "base32upper": "BPFSXGIDNMFXGSIBB",
    "base36": "k2lcpzo5yikidynfl",
    "base36upper": "K2LCPZO5YIKIDYNFL",
    "base58btc": "z7paNL19xttacUY",
    "base64": "meWVzIG1hbmkgIQ",
    "base64pad": "MeWVzIG1hbmkgIQ==",
    "base64url": "ueWVzIG1hbmkgIQ",
    "base64urlpad": "UeWVzIG1hbmkgIQ==",
}


def test_every_base_has_a_published_vector() -> None:
    assert set(PUBLISHED) == set(multibase.NAMES)


@pytest.mark.parametrize(("name", "text"), PUBLISHED.items())
def test_published(name: str, text: str) -> None:
    assert multibase.encode(name, b"yes mani !") == text
    assert multibase.decode(text) == b"yes mani !"


@pytest.mark.parametrize(("name", "text"), PUBLISHED.items())
def test_letter_case_is_free_below_base_58(name: str, text: str) -> None:
    if name.startswith(("base16", "base32", "base36")):
        assert multibase.decode(text[0] + text[1:].swapcase()) == b"yes mani !"


@given(st.sampled_from(multibase.NAMES), st.binary(max_size=80))
def test_round_trip(name: str, data: bytes) -> None:
    assert multibase.decode(multibase.encode(name, data)) == data


@given(st.text(max_size=40) | st.from_regex(r"[fFbBkKzmMuU][0-9a-zA-Z+/=_-]{0,40}", fullmatch=True))
@settings(max_examples=300)
def test_text_is_refused_or_has_one_spelling(text: str) -> None:
    try:
        data = multibase.decode(text)
    except DecodeError:
        return
    again = [multibase.encode(name, data) for name in multibase.NAMES]
    assert text in again or text.lower() in [each.lower() for each in again]


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("", 0),
        ("\0abc", 0),
        ("?abc", 0),
        ("zab0", 3),
        ("k1_0", 2),
        ("bpfsxgidnmfxgsibb=", None),
        ("mQ", None),
        ("f" * 70_000, None),
    ],
)
def test_refusals_tell_the_position(text: str, offset: int | None) -> None:
    with pytest.raises(Malformed) as raised:
        multibase.decode(text)
    assert raised.value.offset == offset


def test_bits_beyond_the_last_byte_are_refused() -> None:
    assert multibase.decode("mQQ") == b"A"
    assert multibase.decode("bie") == b"A"
    for text in ("mQR", "bif", "MQR=="):
        with pytest.raises(Malformed):
            multibase.decode(text)


def test_unknown_base() -> None:
    with pytest.raises(UsageError, match="base58btc"):
        multibase.encode("base1", b"")


@pytest.mark.parametrize("base", [BASE58, BASE36], ids=lambda base: base.name)
def test_leading_zeros_and_limits(base: PositionalBase) -> None:
    zero = base.encode(b"\0")
    assert base.encode(b"\0\0\x01").startswith(zero * 2)
    for data in (b"", b"\0", b"\0\0\0", b"\0\xff", b"\xff" * MAX_BYTES):
        assert base.decode(base.encode(data)) == data
    with pytest.raises(UsageError):
        base.encode(bytes(MAX_BYTES + 1))
    for text in (zero * (MAX_BYTES + 1), "z" * 7000):
        with pytest.raises(Malformed):
            base.decode(text)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("", ""),
        ("61", "2g"),
        ("626262", "a3gV"),
        ("516b6fcd0f", "ABnLTmg"),
        ("00000000000000000000", "1111111111"),
    ],
)
def test_base58_vectors(data: str, text: str) -> None:
    assert b58encode(bytes.fromhex(data)) == text
    assert b58decode(text).hex() == data
