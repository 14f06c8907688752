"""`/tls/1.0.0`: the upgrade against an end of pyOpenSSL that does what it should, or something else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL

from mesh.codecs.tls_identity import SignedKey, encode_extension
from mesh.errors import CertificateRefused, Closed, ConfigError, CutOff, MeshError, PeerError, UsageError
from mesh.identity.certificate import EXTENSION_OID, SIGNING_PREFIX, Certificate, issue
from mesh.identity.keys import KeyType, PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.network.security import NoiseSecurity, make_security
from mesh.network.tls_channel import TlsChannel
from mesh.network.tls_engine import TlsIdentity
from mesh.network.tls_handshake import TlsHandshake
from mesh.network.upgrade import Failed, Upgrade, Upgraded
from mesh.protocols import yamux
from mesh.protocols.machine import Role
from tests.network.raw_tls import AGREED, NOW, STRANGER, Forger, RawTls, meet, settings
from tests.network.test_upgrade import upgrade_both
from tests.protocols import ALICE, BOB, flipped
from tests.vectors import cases

YAMUX = yamux.PROTOCOL_ID.encode()
BOTH_ROLES = pytest.mark.parametrize("role", list(Role))
DAY = 86_400.0
KEYS = [PrivateKey.from_protobuf(bytes.fromhex(case["private_protobuf"])) for case in cases("keys")]


@pytest.fixture(autouse=True)
def _nothing_left() -> None:
    """In place of the package's own check, which needs a loop: nothing here has one."""


def other(role: Role) -> Role:
    return Role.RESPONDER if role is Role.INITIATOR else Role.INITIATOR


def peer_of(identity: PrivateKey) -> PeerId:
    return PeerId.from_public_key(identity.public)


def upgraded(upgrade: Upgrade) -> Upgraded:
    assert isinstance(upgrade.outcome, Upgraded), upgrade.outcome
    return upgrade.outcome


def failed(upgrade: Upgrade) -> MeshError:
    assert isinstance(upgrade.outcome, Failed), upgrade.outcome
    assert upgrade.outcome.stage == "tls handshake"
    return upgrade.outcome.error


# --- both ends are ours -------------------------------------------------------------------------------------


@pytest.mark.parametrize("identity", KEYS, ids=lambda key: key.type.name)
@pytest.mark.parametrize("muxers", [(yamux.PROTOCOL_ID,), ()], ids=["early", "late"])
def test_both_ends_finish(identity: PrivateKey, muxers: Sequence[str]) -> None:
    left = Upgrade(Role.INITIATOR, settings(identity, muxers), peer_of(BOB))
    right = Upgrade(Role.RESPONDER, settings(BOB))
    upgrade_both(left, right)
    for upgrade, peer in ((left, BOB), (right, identity)):
        outcome = upgraded(upgrade)
        assert (outcome.remote_key, outcome.remote_peer) == (peer.public, peer_of(peer))
        assert outcome.early_muxer is bool(muxers)
        assert (outcome.security, outcome.muxer) == ("tls", "yamux")
    for size in (1, 16_384, 16_385, 200_000):
        data = (bytes(range(256)) * (size // 256 + 1))[:size]
        sealed = upgraded(left).channel.seal([data[:10], data[10:]])
        received = upgraded(right).channel.receive(b"".join(map(bytes, sealed)))
        assert b"".join(received) == data


def test_all_key_types_are_tried() -> None:
    assert {key.type for key in KEYS} == set(KeyType)


def test_cut_anywhere() -> None:
    left, right = Upgrade(Role.INITIATOR, settings(ALICE)), Upgrade(Role.RESPONDER, settings(BOB))
    moved = True
    while moved:
        moved = False
        for writer, reader in ((left, right), (right, left)):
            for byte in b"".join(map(bytes, writer.output())):
                moved = True
                if reader.outcome is None:
                    reader.receive(bytes((byte,)), 0.0)
                else:
                    assert upgraded(reader).channel.receive(bytes((byte,))) == []
    assert upgraded(left).remote_peer == peer_of(BOB)
    assert upgraded(right).remote_peer == peer_of(ALICE)
    sealed = b"".join(map(bytes, upgraded(left).channel.seal([b"hello"])))
    found = [upgraded(right).channel.receive(bytes((byte,))) for byte in sealed]
    assert found[-1] == [b"hello"]
    assert not any(found[:-1])


def test_another_peer_than_dialled() -> None:
    left = Upgrade(Role.INITIATOR, settings(ALICE), peer_of(STRANGER))
    right = Upgrade(Role.RESPONDER, settings(BOB))
    upgrade_both(left, right)
    assert str(failed(left)) == f"tls: dialled {peer_of(STRANGER)} but {peer_of(BOB)} answered"
    error = failed(right)
    assert isinstance(error, PeerError)
    assert error.wire_code == 42
    assert "bad_certificate" in str(error)


def test_a_node_does_not_meet_itself() -> None:
    left, right = Upgrade(Role.INITIATOR, settings(BOB)), Upgrade(Role.RESPONDER, settings(BOB))
    upgrade_both(left, right)
    assert "own identity" in str(failed(left))


def test_order_of_use() -> None:
    identity = TlsIdentity(ALICE, (), lambda: NOW)
    with pytest.raises(UsageError):
        TlsHandshake(Role.INITIATOR, identity, None).finish()
    left, right = Upgrade(Role.INITIATOR, settings(ALICE)), Upgrade(Role.RESPONDER, settings(BOB))
    upgrade_both(left, right)
    handshake = right._handshake
    assert handshake is not None
    with pytest.raises(UsageError):
        handshake.receive(b"")


def test_protocols_by_name() -> None:
    made = make_security(["tls", "noise", "tls"], ALICE, [])
    assert [each.protocol for each in made] == ["/tls/1.0.0", "/noise"]
    assert isinstance(made[1], NoiseSecurity)
    with pytest.raises(ConfigError, match=r"network\.security"):
        make_security([], ALICE, [])


def test_openssl_loads_with_the_first_handshake() -> None:
    probe = "import sys, mesh.node; sys.exit('OpenSSL' in sys.modules or 'cryptography.x509' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False, timeout=30).returncode == 0


# --- ALPN, versions, names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([YAMUX, b"libp2p"], YAMUX),
        ([b"libp2p", YAMUX], YAMUX),
        ([b"/mplex/6.7.0", YAMUX, b"libp2p"], YAMUX),
        ([b"libp2p"], b"libp2p"),
        ([b"/mplex/6.7.0", b"libp2p"], b"libp2p"),
        (None, b""),
    ],
    ids=str,
)
def test_what_a_listener_chooses(offered: list[bytes] | None, chosen: bytes) -> None:
    raw = RawTls(Role.INITIATOR, alpn=offered)
    upgrade = Upgrade(Role.RESPONDER, settings(BOB))
    meet(raw, upgrade)
    assert raw.connection.get_alpn_proto_negotiated() == chosen
    if chosen == YAMUX:
        assert upgraded(upgrade).early_muxer
    else:
        assert upgrade.outcome is None
        assert upgrade.stage == "muxer negotiation"


@pytest.mark.parametrize("offered", [[b"h2"], [b"/mplex/6.7.0"], [b"libp2p2"], [b"LIBP2P"]], ids=str)
def test_no_protocol_in_common(offered: list[bytes]) -> None:
    raw = RawTls(Role.INITIATOR, alpn=offered)
    upgrade = Upgrade(Role.RESPONDER, settings(BOB))
    meet(raw, upgrade)
    assert raw.alerts == [120]
    assert "no_application_protocol" in str(failed(upgrade))


def test_a_listener_without_alpn_leaves_the_muxer_to_be_negotiated() -> None:
    upgrade = Upgrade(Role.INITIATOR, settings(ALICE))
    meet(RawTls(Role.RESPONDER, alpn=None), upgrade)
    assert upgrade.stage == "muxer negotiation"


def test_a_name_is_ignored_and_none_is_sent() -> None:
    upgrade = Upgrade(Role.RESPONDER, settings(BOB))
    meet(RawTls(Role.INITIATOR, server_name=b"example.org"), upgrade)
    assert upgraded(upgrade).remote_peer == peer_of(STRANGER)
    raw = RawTls(Role.RESPONDER)
    meet(raw, Upgrade(Role.INITIATOR, settings(ALICE)))
    assert raw.done
    assert raw.connection.get_servername() is None


@BOTH_ROLES
def test_older_versions_are_refused(role: Role) -> None:
    raw = RawTls(other(role), version=SSL.TLS1_2_VERSION)
    upgrade = Upgrade(role, settings(BOB))
    meet(raw, upgrade)
    failed(upgrade)
    assert not raw.done
    if role is Role.RESPONDER:
        assert raw.alerts == [70]


@pytest.mark.parametrize(
    "suite", [b"TLS_AES_128_GCM_SHA256", b"TLS_AES_256_GCM_SHA384", b"TLS_CHACHA20_POLY1305_SHA256"]
)
@BOTH_ROLES
def test_every_suite(role: Role, suite: bytes) -> None:
    upgrade = Upgrade(role, settings(BOB))
    meet(RawTls(other(role), ciphers=suite), upgrade)
    assert upgraded(upgrade).remote_peer == peer_of(STRANGER)


def test_no_session_is_resumed() -> None:
    raw = RawTls(Role.INITIATOR)
    bob = settings(BOB)
    meet(raw, Upgrade(Role.RESPONDER, bob))
    session = raw.connection.get_session()
    assert session is not None
    again = RawTls(Role.INITIATOR, context=raw.context)
    again.connection.set_session(session)
    upgrade = Upgrade(Role.RESPONDER, bob)
    meet(again, upgrade)
    assert upgraded(upgrade).remote_peer == peer_of(STRANGER)
    assert len(again.connection.get_peer_cert_chain() or ()) == 1, "a resumed session sends no certificate"


# --- certificates -------------------------------------------------------------------------------------------


def expired() -> Certificate:
    good = issue(STRANGER, NOW - 10 * DAY)
    extensions = list(good.certificate.extensions)
    return Certificate(rebuilt(good, good.key, extensions, good.key, end_s=NOW - DAY), good.key)


def without_extension() -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    return Certificate(rebuilt(issue(STRANGER, NOW), key, [], key), key)


def signed_by_another() -> Certificate:
    good = issue(STRANGER, NOW)
    extensions = list(good.certificate.extensions)
    return Certificate(rebuilt(good, good.key, extensions, ec.generate_private_key(ec.SECP256R1())), good.key)


def with_critical() -> Certificate:
    good = issue(STRANGER, NOW)
    unknown = x509.Extension(
        x509.ObjectIdentifier("1.2.3.4"),
        True,
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
    )
    return Certificate(rebuilt(good, good.key, [*good.certificate.extensions, unknown], good.key), good.key)


def copied_extension() -> Certificate:
    good, key = issue(STRANGER, NOW), ec.generate_private_key(ec.SECP256R1())
    assert good.certificate.extensions.get_extension_for_oid(EXTENSION_OID)
    return Certificate(rebuilt(good, key, list(good.certificate.extensions), key), key)


def rebuilt(
    good: Certificate,
    key: ec.EllipticCurvePrivateKey,
    extensions: Sequence[x509.Extension[x509.ExtensionType]],
    signer: ec.EllipticCurvePrivateKey,
    end_s: float = NOW + DAY,
    digest: Any = hashes.SHA256(),  # noqa: B008 - immutable
) -> x509.Certificate:
    read = good.certificate
    builder = (
        x509.CertificateBuilder(read.issuer, read.subject, key.public_key(), read.serial_number)
        .not_valid_before(read.not_valid_before_utc)
        .not_valid_after(datetime.fromtimestamp(end_s, UTC))
    )
    for each in extensions:
        builder = builder.add_extension(each.value, each.critical)
    return builder.sign(signer, digest)


def certified(key: Any, digest: Any) -> Certificate:
    """With a key of another kind than ours."""
    info = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signed = SignedKey(STRANGER.public.to_protobuf(), STRANGER.sign(SIGNING_PREFIX + info))
    value = x509.UnrecognizedExtension(EXTENSION_OID, encode_extension(signed))
    extensions = [x509.Extension(EXTENSION_OID, True, value)]
    return Certificate(rebuilt(issue(STRANGER, NOW), key, extensions, key, digest=digest), key)


KINDS: dict[str, Callable[[], Certificate]] = {
    "P-384": lambda: certified(ec.generate_private_key(ec.SECP384R1()), hashes.SHA384()),
    "P-521": lambda: certified(ec.generate_private_key(ec.SECP521R1()), hashes.SHA512()),
    "Ed25519": lambda: certified(ed25519.Ed25519PrivateKey.generate(), None),
    "RSA": lambda: certified(rsa.generate_private_key(65537, 2048), hashes.SHA256()),
}


@pytest.mark.parametrize("kind", KINDS)
@BOTH_ROLES
def test_certificates_with_other_kinds_of_keys(role: Role, kind: str) -> None:
    upgrade = Upgrade(role, settings(BOB))
    meet(RawTls(other(role), certificate=KINDS[kind]()), upgrade)
    assert upgraded(upgrade).remote_peer == peer_of(STRANGER)


BAD: dict[str, tuple[Callable[[], Certificate], int, str]] = {
    "expired": (expired, 45, "expired"),
    "not yet valid": (lambda: issue(STRANGER, NOW + DAY), 45, "not valid before"),
    "no extension": (without_extension, 42, "no libp2p extension"),
    "signed by another key": (signed_by_another, 42, "not signed by its own key"),
    "unknown critical extension": (with_critical, 42, "critical"),
    "copied extension": (copied_extension, 42, "did not sign"),
}


@pytest.mark.parametrize("what", BAD)
@BOTH_ROLES
def test_bad_certificates(role: Role, what: str) -> None:
    make, alert, reason = BAD[what]
    raw = RawTls(other(role), certificate=make())
    upgrade = Upgrade(role, settings(BOB))
    meet(raw, upgrade)
    error = failed(upgrade)
    assert isinstance(error, CertificateRefused)
    assert error.wire_code == alert
    assert reason in str(error)
    assert raw.alerts == [alert]


def test_two_certificates_from_a_listener() -> None:
    raw = RawTls(Role.RESPONDER, chain=[issue(ALICE, NOW)])
    upgrade = Upgrade(Role.INITIATOR, settings(BOB))
    meet(raw, upgrade)
    assert "2 certificates instead of one" in str(failed(upgrade))
    assert raw.alerts == [42]


def test_two_certificates_from_a_dialer() -> None:
    """OpenSSL shows them only when it can send no alert any more: the connection just ends."""
    upgrade = Upgrade(Role.RESPONDER, settings(BOB))
    meet(RawTls(Role.INITIATOR, chain=[issue(ALICE, NOW)]), upgrade)
    error = failed(upgrade)
    assert isinstance(error, CertificateRefused)
    assert "2 certificates instead of one" in str(error)


def test_a_dialer_without_certificate() -> None:
    raw = RawTls(Role.INITIATOR, anonymous=True)
    upgrade = Upgrade(Role.RESPONDER, settings(BOB))
    meet(raw, upgrade)
    assert raw.done, "its own handshake had already ended"
    assert raw.alerts == [116]
    assert "certificate_required" in str(failed(upgrade))


# --- bytes --------------------------------------------------------------------------------------------------


@BOTH_ROLES
@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 64,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
        b"\x15\x03\x03\x00\x02\x02\x28",
    ],
    ids=["zeros", "http", "long record", "alert"],
)
def test_garbage(role: Role, garbage: bytes) -> None:
    upgrade = Upgrade(role, settings(BOB))
    upgrade.receive(AGREED, 0.0)
    upgrade.receive(garbage, 0.0)
    assert isinstance(failed(upgrade), PeerError)


def pair(role: Role) -> tuple[RawTls, Upgraded]:
    """The raw end, and the established end in ``role`` across from it."""
    raw, upgrade = RawTls(other(role)), Upgrade(role, settings(BOB))
    meet(raw, upgrade)
    return raw, upgraded(upgrade)


@BOTH_ROLES
def test_an_altered_record(role: Role) -> None:
    raw, outcome = pair(role)
    channel = outcome.channel
    raw.connection.sendall(b"good")
    good = raw.output()
    raw.connection.sendall(b"altered")
    bad = raw.output()
    assert channel.receive(good + flipped(bad, len(bad) - 1)) == [b"good"]
    assert isinstance(channel.failure, PeerError)
    assert channel.failure.wire_code == 20
    raw.take(b"".join(map(bytes, channel.output())))
    assert raw.alerts == [20]
    assert channel.receive(good) == []
    assert channel.seal([b"nothing leaves any more"]) == []


@BOTH_ROLES
def test_close_notify_from_the_peer(role: Role) -> None:
    raw, outcome = pair(role)
    raw.connection.sendall(b"last words")
    raw.connection.shutdown()
    assert outcome.channel.receive(raw.output()) == [b"last words"]
    assert type(outcome.channel.failure) is Closed
    assert outcome.channel.cut_off() is None


@BOTH_ROLES
def test_close_notify_to_the_peer(role: Role) -> None:
    raw, outcome = pair(role)
    records = [*outcome.channel.seal([b"last words"]), *outcome.channel.close()]
    assert raw.take(b"".join(map(bytes, records))) == b"last words"
    assert raw.failure == "close_notify"
    assert outcome.channel.close() == []
    assert outcome.channel.seal([b"more"]) == []


@BOTH_ROLES
def test_an_end_without_close_notify(role: Role) -> None:
    _, outcome = pair(role)
    assert isinstance(outcome.channel.cut_off(), CutOff)


def test_an_alert_after_the_handshake() -> None:
    """What a dialer gets whose certificate the listener refuses."""
    raw, outcome = pair(Role.INITIATOR)
    forger = Forger(raw.secrets["SERVER_TRAFFIC_SECRET_0"])
    forger.sequence = 2  # the tickets of OpenSSL
    assert outcome.channel.receive(forger.record(21, b"\x02\x2a")) == []
    error = outcome.channel.failure
    assert isinstance(error, PeerError)
    assert error.wire_code == 42
    assert "bad_certificate" in str(error)
    assert "did not accept this node's certificate" in str(error)


# --- key updates --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [True, False])
def test_a_key_update(asked: bool) -> None:
    raw, outcome = pair(Role.RESPONDER)
    channel = outcome.channel
    forger = Forger(raw.secrets["CLIENT_TRAFFIC_SECRET_0"])
    before = len(b"".join(map(bytes, channel.seal([b"before"]))))
    assert channel.receive(forger.key_update(asked=asked)) == []
    assert channel.receive(forger.record(23, b"with new keys")) == [b"with new keys"]
    assert channel.failure is None
    sealed = b"".join(map(bytes, [*channel.output(), *channel.seal([b"answer"])]))
    assert (len(sealed) > before) is asked, "the answer leaves with the next payload"


def test_key_updates_with_payload_between_them_may_go_on() -> None:
    raw, outcome = pair(Role.RESPONDER)
    forger = Forger(raw.secrets["CLIENT_TRAFFIC_SECRET_0"])
    for _ in range(100):
        assert outcome.channel.receive(forger.key_update(asked=True) + forger.record(23, b"x")) == [b"x"]
    mixed = b"".join(forger.key_update(asked=False) + forger.record(23, b"y") for _ in range(100))
    assert b"".join(outcome.channel.receive(mixed)) == b"y" * 100
    assert outcome.channel.failure is None


@pytest.mark.parametrize("together", [True, False])
def test_a_flood_of_key_updates(together: bool) -> None:
    raw, outcome = pair(Role.RESPONDER)
    channel = outcome.channel
    forger = Forger(raw.secrets["CLIENT_TRAFFIC_SECRET_0"])
    flood = [forger.key_update(asked=True) for _ in range(100)]
    for piece in [b"".join(flood)] if together else flood:
        channel.receive(piece)
    assert isinstance(channel, TlsChannel)
    assert isinstance(channel.failure, PeerError)
    assert "without payload" in str(channel.failure)
    assert channel._engine._idle_messages < 70, "it did not go on to the end of the flood"
