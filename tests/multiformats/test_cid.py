"""Multihashes and content identifiers beyond the recorded cases."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import DecodeError, Malformed, Truncated, UsageError
from mesh.multiformats import multibase, multihash
from mesh.multiformats.cid import DAG_CBOR, DAG_PB, RAW, Cid
from mesh.multiformats.multihash import MAX_DIGEST_BYTES, Multihash

COMPUTABLE = [
    *("identity", "sha1", "sha2-256", "sha2-384", "sha2-512", "dbl-sha2-256"),
    *("sha3-224", "sha3-256", "sha3-384", "sha3-512", "blake2b-256", "blake2s-256"),
]
HASHES = st.builds(multihash.digest, st.binary(max_size=60), st.sampled_from(COMPUTABLE))
CIDS = st.builds(Cid, st.just(1), st.integers(0, 2**20), HASHES)


@given(HASHES)
def test_multihash_round_trip(hashed: Multihash) -> None:
    assert Multihash.from_bytes(hashed.to_bytes()) == hashed


@given(st.binary(max_size=60), st.sampled_from(COMPUTABLE))
def test_multihash_matches_its_data(data: bytes, name: str) -> None:
    hashed = multihash.digest(data, name)
    assert hashed.name == name
    assert hashed.matches(data)
    assert not hashed.matches(data + b"!")


def test_multihash_lengths() -> None:
    assert Multihash(0x99999, bytes(MAX_DIGEST_BYTES)).name == "0x99999"
    for code, size in ((0x12, 31), (0x12, 33), (0x11, 0), (0x99999, MAX_DIGEST_BYTES + 1), (-1, 3)):
        with pytest.raises(Malformed):
            Multihash(code, bytes(size))
    with pytest.raises(Truncated):
        Multihash.from_bytes(b"\x00\x02a")
    with pytest.raises(Malformed) as raised:
        Multihash.from_bytes(b"\x00\x01ab")
    assert raised.value.offset == 3
    for name, size in (("md5", 1), ("identity", MAX_DIGEST_BYTES + 1)):
        with pytest.raises(UsageError):
            multihash.digest(bytes(size), name)


@given(CIDS, st.sampled_from(multibase.NAMES))
def test_cid_round_trip(cid: Cid, base: str) -> None:
    assert Cid.from_bytes(cid.to_bytes()) == cid
    assert Cid.parse(cid.to_text(base)) == cid
    assert Cid.parse(str(cid)) == cid


@given(st.binary(max_size=50) | st.binary(max_size=40).map(lambda tail: b"\x12\x20" + tail))
def test_hostile_bytes(data: bytes) -> None:
    for read in (Cid.from_bytes, Multihash.from_bytes):
        try:
            value = read(data)
        except DecodeError:
            continue
        assert value.to_bytes() == data


@given(st.text(max_size=60) | st.text("Qm123abcXYZ", min_size=44, max_size=44).map(lambda tail: "Qm" + tail))
def test_hostile_text(text: str) -> None:
    try:
        cid = Cid.parse(text)
    except DecodeError:
        return
    assert Cid.parse(str(cid)) == cid


def test_versions() -> None:
    hashed = multihash.digest(b"x")
    v0 = Cid(0, DAG_PB, hashed)
    assert (v0.version, v0.codec, v0.codec_name, v0.multihash) == (0, DAG_PB, "dag-pb", hashed)
    assert v0.to_v1().version == 1
    assert v0.to_v1().to_v1() == v0.to_v1()
    assert v0 != v0.to_v1()
    for version, codec in ((0, RAW), (2, RAW)):
        with pytest.raises(UsageError):
            Cid(version, codec, hashed)
    with pytest.raises(UsageError):
        v0.to_text("base32")
    with pytest.raises(Malformed, match="no multibase form"):
        Cid.parse(multibase.encode("base58btc", v0.to_bytes()))
    with pytest.raises(Malformed, match="version 2"):
        Cid.from_bytes(b"\x02" + v0.to_v1().to_bytes()[1:])


def test_cid_is_a_value() -> None:
    one, two = sorted([Cid(1, DAG_CBOR, multihash.digest(b"2")), Cid(1, DAG_CBOR, multihash.digest(b"1"))])
    assert one.to_bytes() < two.to_bytes()
    assert len({one, Cid.parse(str(one)), two}) == 2
    assert pickle.loads(pickle.dumps(one)) == one
    assert one != str(one)
    assert repr(one) == f"Cid('{one}')"
    with pytest.raises(AttributeError):
        one.version = 0  # type: ignore[misc]
