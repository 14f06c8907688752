"""Who the other end says it is, and which muxer both ends offered: the payloads of the handshake."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mesh.codecs import keys as key_codec
from mesh.codecs.noise import HandshakePayload, NoiseExtensions
from mesh.identity.keys import KeyType, PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.machine import Role
from mesh.protocols.noise import Established, Handshake, credentials
from mesh.protocols.noise.handshake import SIGNATURE_PREFIX
from tests.protocols import (
    A_EPHEMERAL,
    A_STATIC,
    ALICE,
    B_EPHEMERAL,
    B_STATIC,
    BOB,
    BOB_ID,
    BOTH_ROLES,
    CAROL,
    claim,
    failure,
    flipped,
    shown,
    taken,
)

# --- identity -------------------------------------------------------------------------------------------------------


def small_rsa() -> bytes:
    public = rsa.generate_private_key(65537, 1024).public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key_codec.PublicKey(type=KeyType.RSA, data=der).encode()


def bob_says(*, key: bytes | None = b"\x00", signature: bytes | None = b"\x00", behind: bytes = b"") -> bytes:
    """Bob's honest payload with parts replaced (None: left out)."""
    true = claim(BOB, B_STATIC.public)
    return (
        HandshakePayload(
            identity_key=true.identity_key if key == b"\x00" else key,
            identity_sig=true.identity_sig if signature == b"\x00" else signature,
        ).encode()
        + behind
    )


TRUE_TEXT = SIGNATURE_PREFIX + B_STATIC.public
LIES: dict[str, tuple[Callable[[], bytes], str]] = {
    "signature altered": (lambda: bob_says(signature=flipped(BOB.sign(TRUE_TEXT), 5)), "does not hold"),
    "no prefix": (lambda: bob_says(signature=BOB.sign(B_STATIC.public)), "does not hold"),
    "wrong prefix": (
        lambda: bob_says(signature=BOB.sign(b"noise-libp2p-static-key;" + B_STATIC.public)),
        "does not hold",
    ),
    "other static": (lambda: claim(BOB, A_EPHEMERAL.public).encode(), "does not hold"),
    "signed by another": (lambda: bob_says(signature=CAROL.sign(TRUE_TEXT)), "does not hold"),
    "another's key": (lambda: bob_says(key=CAROL.public.to_protobuf()), "does not hold"),
    "empty signature": (lambda: bob_says(signature=b""), "does not hold"),
    "no key": (lambda: bob_says(key=None), "is missing"),
    "no signature": (lambda: bob_says(signature=None), "is missing"),
    "empty payload": (lambda: b"", "is missing"),
    "empty key": (lambda: bob_says(key=b""), "PublicKey"),
    "not protobuf": (lambda: b"\xff" * 40, "HandshakePayload"),
    "cut protobuf": (lambda: bob_says()[:-1], "HandshakePayload"),
    "key type 9": (lambda: bob_says(key=b"\x08\x09\x12\x20" + BOB.public.raw), "PublicKey"),
    "short key": (lambda: bob_says(key=b"\x08\x01\x12\x1f" + BOB.public.raw[:31]), ""),
    "RSA 1024": (lambda: bob_says(key=small_rsa()), "1024"),
    "signature too long": (lambda: bob_says(key=None) + b"\x12\x81\x08" + bytes(1025), "identity_sig"),
}


@BOTH_ROLES
@pytest.mark.parametrize("lie", LIES)
def test_false_identities(role: Role, lie: str) -> None:
    make, reason = LIES[lie]
    assert reason in failure(shown(role, make()))


@BOTH_ROLES
def test_unknown_fields_are_accepted(role: Role) -> None:
    for behind in (b"\x1a\x03abc", b"\x28\x05", b"\x35" + bytes(4), b"\x22\x04\x1a\x02ab"):
        machine = shown(role, bob_says(behind=behind), expected=BOB_ID)
        assert machine.outcome == Established(BOB.public, BOB_ID, None)


@BOTH_ROLES
@pytest.mark.parametrize("kind", [KeyType.SECP256K1, KeyType.ECDSA, KeyType.RSA])
def test_every_key_type_is_accepted(role: Role, kind: KeyType) -> None:
    identity = CAROL if kind is KeyType.SECP256K1 else PrivateKey.generate(kind)
    machine = shown(role, credentials(identity, B_STATIC).payload)
    assert isinstance(machine.outcome, Established)
    assert machine.outcome.remote_key == identity.public


@BOTH_ROLES
def test_own_identity_is_refused(role: Role) -> None:
    machine = shown(role, claim(ALICE, B_STATIC.public).encode())
    assert "own identity" in failure(machine)


@BOTH_ROLES
def test_wrong_peer_is_refused_before_its_signature_is_checked(role: Role) -> None:
    carol = PeerId.from_public_key(CAROL.public)
    for payload in (bob_says(), bob_says(signature=b"no")):
        reason = failure(shown(role, payload, expected=carol))
        assert reason == f"noise: dialled {carol} but {BOB_ID} answered"


# --- early muxer ----------------------------------------------------------------------------------------------------

YAMUX = "/yamux/1.0.0"
OTHERS = [f"/mux/{number}" for number in range(99)]
MUXERS = [
    # the initiator's list, the responder's list, what both choose
    (["/a", "/b"], ["/b", "/a"], "/a"),
    (["/x", YAMUX], [YAMUX], YAMUX),
    ([YAMUX], ["/x", YAMUX], YAMUX),
    (["/x"], [YAMUX], None),
    (["/YAMUX/1.0.0"], [YAMUX], None),
    ([], [YAMUX], None),
    ([YAMUX], [], None),
    ([], [], None),
    ([YAMUX, YAMUX], [YAMUX], YAMUX),
    ([*OTHERS, YAMUX], [YAMUX], YAMUX),
    ([YAMUX], [*OTHERS, YAMUX], YAMUX),
]


@pytest.mark.parametrize(("first", "second", "chosen"), MUXERS)
def test_early_muxer(first: list[str], second: list[str], chosen: str | None) -> None:
    left = Handshake(Role.INITIATOR, credentials(ALICE, A_STATIC, first), A_EPHEMERAL)
    right = Handshake(Role.RESPONDER, credentials(BOB, B_STATIC, second), B_EPHEMERAL)
    right.receive(taken(left))
    left.receive(taken(right))
    right.receive(taken(left))
    for end in (left, right):
        assert isinstance(end.outcome, Established)
        assert end.outcome.muxer == chosen


@BOTH_ROLES
@pytest.mark.parametrize(("size", "chosen"), [(99, YAMUX), (100, None), (1023, None)])
def test_long_muxer_lists_are_no_lists(role: Role, size: int, chosen: str | None) -> None:
    payload = claim(BOB, B_STATIC.public)
    payload.extensions = NoiseExtensions(stream_muxers=[YAMUX, *["/x"] * size])
    machine = shown(role, payload.encode(), own=credentials(ALICE, A_STATIC, [YAMUX]))
    assert isinstance(machine.outcome, Established)
    assert machine.outcome.muxer == chosen


@BOTH_ROLES
def test_empty_extension_and_certificate_hashes(role: Role) -> None:
    for extensions in (NoiseExtensions(), NoiseExtensions(webtransport_certhashes=[b"\x12\x20" + bytes(32)])):
        payload = claim(BOB, B_STATIC.public)
        payload.extensions = extensions
        machine = shown(role, payload.encode(), own=credentials(ALICE, A_STATIC, [YAMUX]))
        assert machine.outcome == Established(BOB.public, BOB_ID, None)
