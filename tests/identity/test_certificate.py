"""TLS certificates: the recorded ones and their verdicts, our own, and everything that is wrong with others."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.codecs.tls_identity import SignedKey, encode_extension
from mesh.errors import CertificateRefused
from mesh.identity import certificate
from mesh.identity.certificate import EXTENSION_OID, SIGNING_PREFIX, Alert, issue, verify
from mesh.identity.keys import KeyType, PrivateKey
from mesh.identity.peer_id import PeerId
from tests.vectors import cases, load

NOW = 1_800_000_000.0
DAY = 86_400.0
RECORDED = cases("tls_certificates")
KEYS = [PrivateKey.from_protobuf(bytes.fromhex(case["private_protobuf"])) for case in cases("keys")]
IDENTITY = PrivateKey.from_seed(bytes(32))
RSA_KEY = rsa.generate_private_key(65537, 2048)
CRITICAL = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")

Key = Any


def extension(key: Key, identity: PrivateKey = IDENTITY, prefix: bytes = SIGNING_PREFIX) -> bytes:
    info = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encode_extension(SignedKey(identity.public.to_protobuf(), identity.sign(prefix + info)))


def made(
    key: Key | None = None,
    *,
    value: bytes | None = None,
    critical: bool = False,
    others: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    signer: Key | None = None,
    digest: Any = hashes.SHA256(),  # noqa: B008 - immutable
    start_s: float = NOW - DAY,
    end_s: float = NOW + DAY,
    **signing: Any,
) -> bytes:
    """A certificate that is right, but for what the arguments change; `value` b"" leaves the extension out."""
    key = ec.generate_private_key(ec.SECP256R1()) if key is None else key
    name = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "1")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.fromtimestamp(start_s, UTC))
        .not_valid_after(datetime.fromtimestamp(end_s, UTC))
    )
    if value != b"":
        unrecognized = x509.UnrecognizedExtension(EXTENSION_OID, value or extension(key))
        builder = builder.add_extension(unrecognized, critical)
    for other, marked in others:
        builder = builder.add_extension(other, marked)
    return builder.sign(signer or key, digest, **signing).public_bytes(Encoding.DER)


def refusal(chain: list[bytes], now: float = NOW) -> CertificateRefused:
    with pytest.raises(CertificateRefused) as caught:
        verify(chain, now)
    return caught.value


# --- recorded -----------------------------------------------------------------------------------------------


def test_the_recorded_group_names_what_the_code_has() -> None:
    group = load("tls_certificates")
    assert group["oid"] == EXTENSION_OID.dotted_string
    assert group["signing_prefix_text"].encode() == SIGNING_PREFIX


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: str(case["name"]))
def test_recorded_certificates(case: dict[str, Any]) -> None:
    chain = [bytes.fromhex(case["certificate"])]
    if case["expected"] == "reject":
        assert refusal(chain).wire_code in (
            Alert.BAD_CERTIFICATE,
            Alert.UNSUPPORTED_CERTIFICATE,
            Alert.CERTIFICATE_EXPIRED,
        )
        return
    found = str(PeerId.from_public_key(verify(chain, NOW)))
    assert found == case.get("peer_id", case.get("go_peer_id"))


# --- our own ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("identity", KEYS, ids=lambda key: key.type.name)
def test_what_is_issued_verifies(identity: PrivateKey) -> None:
    own = issue(identity, NOW)
    assert verify([own.der], NOW) == identity.public
    assert verify([own.der], NOW - 3599) == identity.public
    assert refusal([own.der], NOW - 3601).wire_code == Alert.CERTIFICATE_EXPIRED
    assert verify([own.der], NOW + 99 * 365 * DAY) == identity.public
    assert refusal([own.der], NOW + 101 * 365 * DAY).wire_code == Alert.CERTIFICATE_EXPIRED


def test_a_certificate_seen_before_expires_all_the_same() -> None:
    data = made(P256)
    assert verify([data], NOW) == IDENTITY.public
    assert refusal([data], NOW + 2 * DAY).wire_code == Alert.CERTIFICATE_EXPIRED
    assert verify([data], NOW) == IDENTITY.public
    assert refusal([data, data]).wire_code == Alert.BAD_CERTIFICATE


def test_all_key_types_are_tried() -> None:
    assert {key.type for key in KEYS} == set(KeyType)


def test_the_look_of_our_certificate() -> None:
    own = issue(IDENTITY, NOW)
    read = x509.load_der_x509_certificate(own.der)
    assert read == x509.load_pem_x509_certificate(own.pem) == own.certificate
    key = load_pem_private_key(own.key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert key.public_key() == own.key.public_key() == read.public_key()
    assert [each.oid for each in read.subject] == [x509.NameOID.SERIAL_NUMBER]
    assert [each.oid for each in read.extensions] == [EXTENSION_OID]
    assert own.key_pem.decode() not in repr(own)


def test_each_certificate_has_its_own_key() -> None:
    one, two = issue(IDENTITY, NOW), issue(IDENTITY, NOW)
    assert one.key.public_key() != two.key.public_key()
    assert one.certificate.serial_number != two.certificate.serial_number


# --- others' ------------------------------------------------------------------------------------------------

P256, P384, P521 = (ec.generate_private_key(curve()) for curve in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1))
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
KEY_USAGE = x509.KeyUsage(True, False, False, False, False, False, False, False, False)

ACCEPTED: dict[str, Callable[[], bytes]] = {
    "P-256": lambda: made(P256),
    "P-256, SHA-384": lambda: made(P256, digest=hashes.SHA384()),
    "P-384": lambda: made(P384, digest=hashes.SHA384()),
    "P-521": lambda: made(P521, digest=hashes.SHA512()),
    "Ed25519": lambda: made(ed25519.Ed25519PrivateKey.generate(), digest=None),
    "RSA": lambda: made(RSA_KEY),
    "RSA-PSS": lambda: made(RSA_KEY, rsa_padding=PSS),
    "extension critical": lambda: made(critical=True),
    "unknown extension": lambda: made(others=((CRITICAL, False),)),
    "understood critical extensions": lambda: made(
        others=((x509.BasicConstraints(False, None), True), (KEY_USAGE, True))
    ),
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_accepted(what: str) -> None:
    assert verify([ACCEPTED[what]()], NOW) == IDENTITY.public


def trailing_inside() -> bytes:
    body = extension(P256)
    assert body[1] < 0x80 - 2
    return bytes((body[0], body[1] + 2)) + body[2:] + b"\x05\x00"


def with_key(data: bytes) -> bytes:
    return encode_extension(SignedKey(data, bytes(64)))


REFUSED: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "not DER": (lambda: b"certificate", 42, "not a certificate"),
    "empty": (lambda: b"", 42, "not a certificate"),
    "trailing byte": (lambda: made(P256) + b"\0", 42, "not a certificate"),
    "too long": (lambda: made(P256) + bytes(16 * 1024), 42, "at most 16384"),
    "expired": (lambda: made(P256, end_s=NOW - 1), 45, "expired"),
    "not yet valid": (lambda: made(P256, start_s=NOW + 1), 45, "not valid before"),
    "signed by another key": (lambda: made(P256, signer=P384), 42, "not signed by its own key"),
    "signed by another kind of key": (lambda: made(P256, signer=RSA_KEY), 43, "two kinds"),
    "no extension": (lambda: made(P256, value=b""), 42, "no libp2p extension"),
    "unknown critical": (lambda: made(P256, others=((CRITICAL, True),)), 42, r"1\.2\.3\.4 is critical"),
    "not ASN.1": (lambda: made(P256, value=b"hello"), 42, "constant 30"),
    "trailing after SignedKey": (lambda: made(P256, value=extension(P256) + b"\0"), 42, "left over"),
    "trailing inside SignedKey": (lambda: made(P256, value=trailing_inside()), 42, "left over"),
    "cut SignedKey": (lambda: made(P256, value=extension(P256)[:-1]), 42, "ends inside"),
    "no key": (lambda: made(P256, value=with_key(b"")), 42, "required"),
    "wrong key": (lambda: made(P256, value=with_key(b"\x08\x01\x12\x01a")), 42, "32"),
    "wrong prefix": (lambda: made(P256, value=extension(P256, prefix=b"tls:")), 42, "did not sign"),
    "copied extension": (lambda: made(P256, value=extension(P384)), 42, "did not sign"),
    "another peer's signature": (
        lambda: made(P256, value=with_key(IDENTITY.public.to_protobuf())),
        42,
        "did not sign",
    ),
    "secp256k1 key": (lambda: made(ec.generate_private_key(ec.SECP256K1())), 43, "secp256k1"),
    "P-224 key": (lambda: made(ec.generate_private_key(ec.SECP224R1())), 43, "secp224r1"),
    "Ed448 key": (lambda: made(ed448.Ed448PrivateKey.generate(), digest=None), 43, "of no kind"),
    "short RSA key": (lambda: made(rsa.generate_private_key(65537, 1024)), 43, "1024 bits"),
    "SHA-224": (lambda: made(P256, digest=hashes.SHA224()), 43, "too weak"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    make, alert, reason = REFUSED[what]
    with pytest.raises(CertificateRefused, match=reason) as caught:
        verify([make()], NOW)
    assert caught.value.wire_code == alert
    assert caught.value.protocol == "tls"


def test_a_chain_is_one_certificate() -> None:
    one = made(P256)
    assert refusal([]).wire_code == Alert.CERTIFICATE_REQUIRED
    assert refusal([one, one]).wire_code == Alert.BAD_CERTIFICATE


def test_an_extension_given_twice() -> None:
    other = x509.ObjectIdentifier("1.3.6.1.4.1.53594.1.2")
    value = extension(P256)
    twice = made(P256, others=((x509.UnrecognizedExtension(other, value), False),))
    name = bytes.fromhex("060a2b0601040183a25a0101")
    forged = twice.replace(name[:-1] + b"\x02", name)
    assert forged != twice
    assert refusal([forged]).wire_code == Alert.BAD_CERTIFICATE


# --- anything -----------------------------------------------------------------------------------------------

SEEDS = [bytes.fromhex(case["certificate"]) for case in RECORDED]


def examine(data: bytes) -> None:
    """Only the typed error leaves, whatever comes in, and no warning either."""
    with warnings.catch_warnings(), suppress(CertificateRefused):
        warnings.simplefilter("error")
        verify([data], NOW)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    examine(data)


@settings(max_examples=600, deadline=None)
@given(data=st.data())
def test_any_change(data: st.DataObject) -> None:
    changed = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        if not changed:
            break
    examine(bytes(changed))


def test_a_signature_covers_every_byte_of_the_extension() -> None:
    """Any changed bit of a good certificate is refused: its own signature breaks."""
    good = made(P256)
    for bit in range(0, 8 * len(good), 5):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        refusal([bytes(changed)])


def test_the_limit_holds_our_largest_certificate() -> None:
    assert len(made(RSA_KEY)) * 5 < certificate.MAX_CERTIFICATE_BYTES
