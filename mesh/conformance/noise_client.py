"""The dialer's side of Noise XX cut into its steps, with a hook at each; and the channel behind it.

`mesh.protocols.noise` is the same handshake for honest use: this one keeps its symmetric state, and lets every message,
payload and record be something else.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from mesh.codecs.noise import LENGTH, HandshakePayload, NoiseExtensions
from mesh.conformance.verdict import Deviation
from mesh.conformance.waiting import ByteFlow
from mesh.errors import DecodeError
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.identity.peer_id import PeerId
from mesh.identity.x25519 import GivenSecret
from mesh.protocols.noise import Session
from mesh.protocols.noise.handshake import SIGNATURE_PREFIX
from mesh.protocols.noise.symmetric import KEY_BYTES, SymmetricState, diffie_hellman

MAX_MESSAGE_BYTES = 65535
ENCRYPTED_KEY_BYTES = KEY_BYTES + 16


def framed(message: bytes) -> bytes:
    """A handshake message or record behind its two bytes of length."""
    return LENGTH.pack(len(message)) + message


def identity_payload(
    identity: PrivateKey, static_public: bytes, muxers: Sequence[str] = (), prefix: bytes = SIGNATURE_PREFIX
) -> HandshakePayload:
    """What proves that the static key is this identity's; ``muxers`` are offered early."""
    return HandshakePayload(
        identity_key=identity.public.to_protobuf(),
        identity_sig=identity.sign(prefix + static_public),
        extensions=NoiseExtensions(stream_muxers=list(muxers)) if muxers else None,
    )


class NoiseClient:
    """The steps of an initiator: `first`, `take_second`, `third`, `session`. Messages are without their length."""

    def __init__(
        self, rng: random.Random, identity: PrivateKey, muxers: Sequence[str] = (), prologue: bytes = b""
    ) -> None:
        self.identity = identity
        self.muxers = tuple(muxers)
        self.static = GivenSecret(rng.randbytes(32))
        self.static_public = self.static.public
        self.ephemeral = GivenSecret(rng.randbytes(32))
        self.symmetric = SymmetricState(prologue)
        self.remote_ephemeral = b""
        self.remote_static = b""
        self.remote_payload = HandshakePayload(identity_key=None, identity_sig=None, extensions=None)

    def first(self, payload: bytes = b"") -> bytes:
        public = self.ephemeral.public
        self.symmetric.mix_hash(public)
        return public + self.symmetric.encrypt_and_hash(payload)

    def take_second(self, message: bytes) -> HandshakePayload:
        """Read the responder's message. Raises `Deviation` when it is not one for this handshake."""
        symmetric = self.symmetric
        self.remote_ephemeral = message[:KEY_BYTES]
        symmetric.mix_hash(self.remote_ephemeral)
        rest = message[KEY_BYTES:]
        try:
            symmetric.mix_key(diffie_hellman(self.ephemeral, self.remote_ephemeral))
            self.remote_static = symmetric.decrypt_and_hash(rest[:ENCRYPTED_KEY_BYTES])
            symmetric.mix_key(diffie_hellman(self.ephemeral, self.remote_static))
            self.remote_payload = HandshakePayload.decode(
                symmetric.decrypt_and_hash(rest[ENCRYPTED_KEY_BYTES:])
            )
        except (DecodeError, ValueError) as error:
            raise Deviation(f"noise message 2 does not hold: {error}") from None
        return self.remote_payload

    def remote_peer(self) -> PeerId:
        """Who signed the responder's static key. Raises `Deviation` when nobody did."""
        payload = self.remote_payload
        if payload.identity_key is None or payload.identity_sig is None:
            raise Deviation("noise message 2 has no identity key or no signature")
        try:
            key = PublicKey.from_protobuf(payload.identity_key)
        except DecodeError as error:
            raise Deviation(f"noise message 2: its identity key cannot be read: {error}") from None
        if not key.verify(SIGNATURE_PREFIX + self.remote_static, payload.identity_sig):
            raise Deviation("noise message 2: the signature does not verify for its static key")
        return PeerId.from_public_key(key)

    def payload(self) -> bytes:
        return identity_payload(self.identity, self.static_public, self.muxers).encode()

    def third(self, payload: bytes | None = None) -> bytes:
        symmetric = self.symmetric
        message = symmetric.encrypt_and_hash(self.static_public)
        symmetric.mix_key(diffie_hellman(self.static, self.remote_ephemeral))
        return message + symmetric.encrypt_and_hash(self.payload() if payload is None else payload)

    def session(self) -> Session:
        to_responder, to_initiator = self.symmetric.split()
        return Session(to_responder, to_initiator, self.symmetric.hash)

    def early_muxer(self) -> str | None:
        """Our first choice that the responder listed too."""
        extensions = self.remote_payload.extensions
        theirs = extensions.stream_muxers if extensions else []
        return next((each for each in self.muxers if each in theirs), None)


class NoiseChannel(ByteFlow):
    """The encrypted bytes of a finished handshake, over a wire or any other flow."""

    def __init__(self, below: ByteFlow, session: Session) -> None:
        super().__init__("noise", below.log, below.limit_s)
        self.below = below
        self.noise = session
        below.on_end = self.end
        below.rise(self._take)
        if below.ending is not None:
            self.end(below.ending)

    def _take(self, data: bytes) -> None:
        for plaintext in self.noise.receive(data):
            self.log.received("noise", plaintext)
            self.feed(plaintext)
        if self.noise.failure is not None:
            self.end(f"broken record from the target: {self.noise.failure}")

    def record(self, plaintext: bytes) -> bytes:
        """One record with its length, of any plaintext that fits, an empty one too; it takes the next nonce."""
        if plaintext:
            return b"".join(self.noise.seal([plaintext]))
        return framed(self._seal_empty())

    def _seal_empty(self) -> bytes:
        noise = self.noise
        noise.send_nonce += 1
        return noise._encrypt(noise.send_nonce - 1, b"")

    @property
    def unsent_bytes(self) -> int:
        return self.below.unsent_bytes

    def send(self, data: bytes) -> None:
        self.log.sent("noise", data)
        self.below.send(self.record(data))
