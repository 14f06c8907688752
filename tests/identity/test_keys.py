"""Keys beyond the recorded cases: generation, PEM, hostile input."""

from __future__ import annotations

import base64
import pickle
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import DecodeError, Malformed, UsageError
from mesh.identity.keys import KeyType, PrivateKey, PublicKey
from tests.vectors import cases

KEYS = {
    KeyType[case["type"].upper()]: PrivateKey.from_protobuf(bytes.fromhex(case["private_protobuf"]))
    for case in cases("keys")
}
SECP256K1_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
P256_ORDER = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551


def spki(
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | dsa.DSAPublicKey | x25519.X25519PublicKey,
) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("key_type", [KeyType.ED25519, KeyType.SECP256K1, KeyType.ECDSA])
def test_generated_keys_differ_and_work(key_type: KeyType) -> None:
    one, two = PrivateKey.generate(key_type), PrivateKey.generate(key_type)
    assert one.type is one.public.type is key_type
    assert one != two
    assert PrivateKey.from_protobuf(one.to_protobuf()) == one
    assert one.public.verify(b"message", one.sign(b"message"))
    assert not two.public.verify(b"message", one.sign(b"message"))


def test_generated_rsa_key() -> None:
    key = PrivateKey.generate(KeyType.RSA)
    assert len(key.sign(b"message")) == 256
    assert PrivateKey.from_protobuf(key.to_protobuf()).public.verify(b"message", key.sign(b"message"))


@pytest.mark.parametrize("bits", [1024, 2047, 8193])
def test_rsa_sizes_that_are_not_made(bits: int) -> None:
    with pytest.raises(UsageError):
        PrivateKey.generate(KeyType.RSA, bits)


@pytest.mark.parametrize("key_type", KeyType)
def test_pem_round_trip(key_type: KeyType) -> None:
    key = KEYS[key_type]
    text = key.to_pem()
    assert text.startswith("-----BEGIN PRIVATE KEY-----")
    again = PrivateKey.from_pem(text)
    assert again == key
    assert again.to_protobuf() == key.to_protobuf()


def test_other_pem_forms() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    sec1 = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    assert PrivateKey.from_pem(sec1).type is KeyType.ECDSA
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode()
    foreign = x25519.X25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    for text, reason in (
        (locked, "encrypted"),
        (foreign.decode(), "no libp2p form"),
        ("-----BEGIN nothing", "not a private key"),
        ("x" * 20000, "longer"),
        ("\ud800", "not a private key"),
    ):
        with pytest.raises(Malformed, match=reason):
            PrivateKey.from_pem(text)


@pytest.mark.parametrize("key_type", KeyType)
@given(message=st.binary(max_size=100), noise=st.binary(max_size=80))
@settings(max_examples=10, deadline=None)
def test_signatures(key_type: KeyType, message: bytes, noise: bytes) -> None:
    key = KEYS[key_type]
    signature = key.sign(message)
    assert key.sign(message) == signature
    for verify in (key.public.verify, key.public.verify_beside):
        assert verify(message, signature)
        assert not verify(message, noise)
        assert not verify(message, signature + b"\0")
        assert not verify(message + b"\0", signature)


@pytest.mark.parametrize(
    ("key_type", "order"), [(KeyType.SECP256K1, SECP256K1_ORDER), (KeyType.ECDSA, P256_ORDER)]
)
def test_low_s_is_made_and_high_s_accepted(key_type: KeyType, order: int) -> None:
    key = KEYS[key_type]
    for message in (bytes([n]) for n in range(16)):
        r, s = decode_dss_signature(key.sign(message))
        assert s <= order // 2
        assert key.public.verify(message, encode_dss_signature(r, order - s))
    for r, s in ((0, 1), (1, 0), (order, 1), (1 << 2000, 1)):
        assert not key.public.verify(b"", encode_dss_signature(r, s))


@pytest.mark.parametrize("size", [0, 31, 63, 65, 95, 97])
def test_ed25519_private_lengths(size: int) -> None:
    with pytest.raises(Malformed):
        PrivateKey(KeyType.ED25519, bytes(size))


def test_ed25519_seed_and_public_half_must_agree() -> None:
    key = PrivateKey.from_seed(bytes(32))
    for public in (bytes(32), PrivateKey.from_seed(b"\1" * 32).public.raw):
        with pytest.raises(Malformed, match="not the seed's"):
            PrivateKey(KeyType.ED25519, bytes(32) + public)
    assert PrivateKey(KeyType.ED25519, bytes(32) + key.public.raw * 2) == key
    with pytest.raises(Malformed):
        PrivateKey.from_seed(bytes(31))


def test_small_order_ed25519_keys_verify_nothing() -> None:
    identity = PublicKey(KeyType.ED25519, b"\x01" + bytes(31))
    assert not identity.verify(b"any message", b"\x01" + bytes(63))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        bytes(33),
        b"\x02" + b"\xff" * 32,
        b"\x04" + bytes(32),
        b"\x02" + bytes(31),
        b"\x00" * 32 + b"\x01",
    ],
    ids=bytes.hex,
)
def test_points_that_are_not_on_secp256k1(raw: bytes) -> None:
    with pytest.raises(Malformed):
        PublicKey(KeyType.SECP256K1, raw)


def test_secp256k1_only_compressed() -> None:
    key = ec.generate_private_key(ec.SECP256K1()).public_key()
    with pytest.raises(Malformed):
        PublicKey(KeyType.SECP256K1, key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


@pytest.mark.parametrize("scalar", [0, SECP256K1_ORDER, 2**256 - 1])
def test_secp256k1_scalars_out_of_range(scalar: int) -> None:
    with pytest.raises(Malformed):
        PrivateKey(KeyType.SECP256K1, scalar.to_bytes(32, "big"))


def test_ecdsa_curves() -> None:
    for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()):
        key = ec.generate_private_key(curve)
        data = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        private = PrivateKey(KeyType.ECDSA, data)
        assert private.public == PublicKey(KeyType.ECDSA, spki(key.public_key()))
        assert private.public.verify(b"m", private.sign(b"m"))
    for other in (ec.SECP256K1(), ec.SECP224R1(), ec.BrainpoolP256R1()):
        foreign = ec.generate_private_key(other)
        with pytest.raises(Malformed):
            PublicKey(KeyType.ECDSA, spki(foreign.public_key()))
        with pytest.raises(Malformed):
            PrivateKey(
                KeyType.ECDSA, foreign.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            )


def test_der_of_another_kind_of_key() -> None:
    x_key = spki(x25519.X25519PrivateKey.generate().public_key())
    for key_type in (KeyType.RSA, KeyType.ECDSA):
        with pytest.raises(Malformed):
            PublicKey(key_type, x_key)
    for private in (KEYS[KeyType.RSA], KEYS[KeyType.ECDSA]):
        swapped = KeyType.RSA if private.type is KeyType.ECDSA else KeyType.ECDSA
        with pytest.raises(Malformed):
            PublicKey(swapped, private.public.raw)


@pytest.mark.parametrize(
    ("exponent", "modulus"),
    [
        (65537, (1 << 1023) + 1),
        (65537, (1 << 2046) + 1),
        (65537, (1 << 8192) + 1),
        ((1 << 31) + 1, (1 << 2047) + 1),
        ((1 << 2000) + 1, (1 << 2047) + 1),
        (65537, 1 << 2047),
    ],
    ids=["1024 bits", "2047 bits", "8193 bits", "exponent 2^31", "exponent 2^2000", "even modulus"],
)
def test_rsa_keys_out_of_bounds(exponent: int, modulus: int) -> None:
    def integer(value: int) -> bytes:
        return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))

    def tlv(tag: int, content: bytes) -> bytes:
        size = len(content)
        length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
        return bytes([tag]) + length + content

    numbers = tlv(0x30, integer(modulus) + integer(exponent))
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    with pytest.raises(Malformed):
        PublicKey(KeyType.RSA, tlv(0x30, algorithm + tlv(3, b"\0" + numbers)))


@st.composite
def damaged(draw: st.DrawFn, whole: tuple[bytes, ...]) -> bytes:
    data = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(1, 3))):
        data[draw(st.integers(0, min(len(data), 80) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)


PUBLIC = tuple(key.public.to_protobuf() for key in KEYS.values())
PRIVATE = tuple(key.to_protobuf() for key in KEYS.values() if key.type is not KeyType.RSA)


@given(st.binary(max_size=100) | damaged(PUBLIC))
@settings(max_examples=200, deadline=None)
def test_hostile_public_keys(data: bytes) -> None:
    try:
        key = PublicKey.from_protobuf(data)
    except DecodeError:
        return
    assert PublicKey.from_protobuf(key.to_protobuf()) == key
    assert not key.verify(b"message", bytes(64))


@given(st.binary(max_size=100) | damaged(PRIVATE))
@settings(max_examples=150, deadline=None)
def test_hostile_private_keys(data: bytes) -> None:
    try:
        key = PrivateKey.from_protobuf(data)
    except DecodeError:
        return
    assert key.public.verify(b"message", key.sign(b"message"))


@given(st.sampled_from(KeyType), st.binary(max_size=120))
def test_hostile_raw_keys(key_type: KeyType, raw: bytes) -> None:
    for kind in (PublicKey, PrivateKey):
        try:
            kind(key_type, raw)
        except DecodeError:
            continue


def test_keys_are_values_and_secrets_stay_secret() -> None:
    key = KEYS[KeyType.ED25519]
    assert pickle.loads(pickle.dumps(key.public)) == key.public
    assert len({key.public, PublicKey.from_protobuf(key.public.to_protobuf())}) == 1
    assert len({key, PrivateKey.from_protobuf(key.to_protobuf())}) == 1
    assert key != key.public
    assert key.public != key
    secret = key.to_protobuf()[4:36]
    for shown in (repr(key), str(key), repr(key.public)):
        assert secret.hex() not in shown
        assert base64.b64encode(secret).decode() not in shown
    with pytest.raises(TypeError, match="on purpose"):
        pickle.dumps(key)


def test_ed25519_alone_does_not_load_openssl() -> None:
    script = (
        "import sys; from mesh.identity.keys import PrivateKey; "
        "from mesh.identity import peer_id, envelope, peer_record; PrivateKey.generate().sign(b'');"
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
