"""The listener's side of Noise XX cut into its steps, for dialers under test."""

from __future__ import annotations

import random
from collections.abc import Sequence

from mesh.codecs.noise import HandshakePayload
from mesh.conformance.noise_client import ENCRYPTED_KEY_BYTES, identity_payload
from mesh.conformance.verdict import Deviation
from mesh.errors import DecodeError
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.identity.x25519 import GivenSecret
from mesh.protocols.noise import Session
from mesh.protocols.noise.handshake import SIGNATURE_PREFIX
from mesh.protocols.noise.symmetric import KEY_BYTES, SymmetricState, diffie_hellman


class NoiseListener:
    """The steps of a responder: `second` answers message 1, `take_third` ends the handshake, then `session`."""

    def __init__(self, rng: random.Random, identity: PrivateKey, muxers: Sequence[str] = ()) -> None:
        self.identity = identity
        self.muxers = tuple(muxers)
        self.static = GivenSecret(rng.randbytes(32))
        self.static_public = self.static.public
        self._ephemeral = GivenSecret(rng.randbytes(32))
        self._symmetric = SymmetricState()
        self.remote_payload = HandshakePayload(identity_key=None, identity_sig=None, extensions=None)

    def payload(self) -> bytes:
        return identity_payload(self.identity, self.static_public, self.muxers).encode()

    def second(self, first: bytes, payload: bytes | None = None) -> bytes:
        """Message 2 in answer to message 1, without its length."""
        symmetric = self._symmetric
        symmetric.mix_hash(first[:KEY_BYTES])
        symmetric.decrypt_and_hash(first[KEY_BYTES:])
        symmetric.mix_hash(self._ephemeral.public)
        symmetric.mix_key(diffie_hellman(self._ephemeral, first[:KEY_BYTES]))
        message = self._ephemeral.public + symmetric.encrypt_and_hash(self.static_public)
        symmetric.mix_key(diffie_hellman(self.static, first[:KEY_BYTES]))
        return message + symmetric.encrypt_and_hash(self.payload() if payload is None else payload)

    def take_third(self, message: bytes) -> None:
        """Read message 3. Raises `Deviation` when it proves nobody."""
        symmetric = self._symmetric
        try:
            static = symmetric.decrypt_and_hash(message[:ENCRYPTED_KEY_BYTES])
            symmetric.mix_key(diffie_hellman(self._ephemeral, static))
            payload = HandshakePayload.decode(symmetric.decrypt_and_hash(message[ENCRYPTED_KEY_BYTES:]))
            key = PublicKey.from_protobuf(payload.identity_key or b"")
        except (DecodeError, ValueError) as error:
            raise Deviation(f"noise message 3 does not hold: {error}") from None
        if not key.verify(SIGNATURE_PREFIX + static, payload.identity_sig or b""):
            raise Deviation("noise message 3: the signature does not verify for its static key")
        self.remote_payload = payload

    def session(self) -> Session:
        to_responder, to_initiator = self._symmetric.split()
        return Session(to_initiator, to_responder, self._symmetric.hash)

    def early_muxer(self) -> str | None:
        """The dialer's first choice that we listed too."""
        extensions = self.remote_payload.extensions
        theirs = extensions.stream_muxers if extensions else []
        return next((each for each in theirs if each in self.muxers), None)
