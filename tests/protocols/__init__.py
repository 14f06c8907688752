"""What the tests of the machines share: fixed identities, a Noise XX end that may lie, input cut in any way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest

from mesh.codecs.noise import LENGTH, HandshakePayload
from mesh.errors import UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.identity.x25519 import GivenSecret, Secret
from mesh.protocols.machine import Role
from mesh.protocols.noise import Credentials, Failed, Handshake, Session, credentials
from mesh.protocols.noise.handshake import SIGNATURE_PREFIX
from mesh.protocols.noise.symmetric import SymmetricState, diffie_hellman
from tests.vectors import load

ACTORS = load("actors")
ALICE = PrivateKey.from_protobuf(bytes.fromhex(ACTORS["alice"]["private_protobuf"]))
BOB = PrivateKey.from_protobuf(bytes.fromhex(ACTORS["bob"]["private_protobuf"]))
CAROL = PrivateKey.from_protobuf(bytes.fromhex(ACTORS["carol_secp256k1"]["private_protobuf"]))

PATTERN = (("e",), ("e", "ee", "s", "es"), ("s", "se"))


def fixed_credentials(identity: PrivateKey, static: Secret, payload: bytes) -> Credentials:
    """Credentials with a payload that is sent as it is."""
    return Credentials(PeerId.from_public_key(identity.public), static, payload, ())


def claim(identity: PrivateKey, static_public: bytes) -> HandshakePayload:
    """What an honest peer says about itself."""
    signature = identity.sign(SIGNATURE_PREFIX + static_public)
    return HandshakePayload(identity_key=identity.public.to_protobuf(), identity_sig=signature)


class PlainXX:
    """The XX pattern over `SymmetricState`, without libp2p: any payload, no check, and a static key that may lie."""

    def __init__(
        self,
        role: Role,
        static: Secret,
        ephemeral: Secret,
        *,
        prologue: bytes = b"",
        shown_static: bytes = b"",
    ) -> None:
        self.role = role
        self.static = static
        self.shown_static = shown_static or static.public
        self.ephemeral = ephemeral
        self.remote = {"e": b"", "s": b""}
        self.symmetric = SymmetricState(prologue)
        self.turn = 0

    def write(self, payload: bytes = b"") -> bytes:
        message = b""
        for token in PATTERN[self.turn]:
            if token == "e":
                public = self.ephemeral.public
                self.symmetric.mix_hash(public)
                message += public
            elif token == "s":
                message += self.symmetric.encrypt_and_hash(self.shown_static)
            else:
                self._mix(token)
        self.turn += 1
        return message + self.symmetric.encrypt_and_hash(payload)

    def read(self, message: bytes) -> bytes:
        for token in PATTERN[self.turn]:
            if token == "e":
                self.remote["e"], message = message[:32], message[32:]
                self.symmetric.mix_hash(self.remote["e"])
            elif token == "s":
                self.remote["s"] = self.symmetric.decrypt_and_hash(message[:48])
                message = message[48:]
            else:
                self._mix(token)
        self.turn += 1
        return self.symmetric.decrypt_and_hash(message)

    def session(self) -> Session:
        first, second = self.symmetric.split()
        keys = (first, second) if self.role is Role.INITIATOR else (second, first)
        return Session(*keys, self.symmetric.hash)

    def _mix(self, token: str) -> None:
        own, remote = tuple(token) if self.role is Role.INITIATOR else tuple(reversed(token))
        secret = self.ephemeral if own == "e" else self.static
        self.symmetric.mix_key(diffie_hellman(secret, self.remote[remote]))


def framed(message: bytes) -> bytes:
    return LENGTH.pack(len(message)) + message


def unframed(data: bytes) -> bytes:
    """The one message in ``data``."""
    assert len(data) == LENGTH.size + LENGTH.unpack_from(data)[0]
    return data[LENGTH.size :]


def cut(data: bytes, points: Iterable[int]) -> Iterator[bytes]:
    """``data`` in pieces that end at ``points`` (taken modulo its size; equal ones give empty pieces)."""
    start = 0
    for point in sorted(point % (len(data) + 1) for point in points):
        yield data[start:point]
        start = point
    yield data[start:]


def ways(data: bytes, points: Sequence[int]) -> Iterator[Callable[[], Iterator[bytes]]]:
    """Whole (twice, so that a second run is compared as well), byte by byte, and at the given points."""
    yield lambda: iter([data])
    yield lambda: iter([data])
    yield lambda: (data[index : index + 1] for index in range(len(data)))
    yield lambda: cut(data, points)


def flipped(data: bytes, index: int, mask: int = 1) -> bytes:
    """``data`` with bits of one byte changed."""
    changed = bytearray(data)
    changed[index] ^= mask
    return bytes(changed)


A_STATIC, B_STATIC, A_EPHEMERAL, B_EPHEMERAL = (
    GivenSecret(bytes([value]) * 32) for value in (0x11, 0x22, 0x33, 0x44)
)
ALICE_OWN = credentials(ALICE, A_STATIC)
BOB_OWN = credentials(BOB, B_STATIC)
BOB_ID = PeerId.from_public_key(BOB.public)
BOTH_ROLES = pytest.mark.parametrize("role", list(Role))


def taken(machine: Handshake) -> bytes:
    return b"".join(machine.output())


def failure(machine: Handshake) -> str:
    assert isinstance(machine.outcome, Failed)
    assert machine.outcome.error.protocol == "/noise"
    assert machine.output() == []
    with pytest.raises(UsageError):
        machine.finish()
    with pytest.raises(UsageError):
        machine.receive(b"")
    return str(machine.outcome.error)


def shown(
    role: Role,
    payload: bytes,
    *,
    own: Credentials = ALICE_OWN,
    expected: PeerId | None = None,
    shown_static: bytes = b"",
) -> Handshake:
    """A handshake in ``role`` whose peer, with the static key of `B_STATIC`, sends ``payload``."""
    machine = Handshake(role, own, A_EPHEMERAL, expected_peer=expected)
    other = Role.RESPONDER if role is Role.INITIATOR else Role.INITIATOR
    peer = PlainXX(other, B_STATIC, B_EPHEMERAL, shown_static=shown_static)
    if role is Role.RESPONDER:
        machine.receive(framed(peer.write()))
    peer.read(unframed(taken(machine)))
    machine.receive(framed(peer.write(payload)))
    return machine
