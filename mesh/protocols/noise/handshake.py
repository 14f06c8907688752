"""The XX handshake with libp2p's payload: who is at the other end, and which muxer follows (libp2p noise).

    -> e                 (payload empty)
    <- e, ee, s, es      (payload: responder's identity)
    -> s, se             (payload: initiator's identity)

Each message travels behind a 2-byte length. Whatever fails ends the handshake with a `Failed` outcome that says which
message and why; the connection must be closed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mesh.codecs.noise import LENGTH, HandshakePayload, NoiseExtensions
from mesh.errors import DecodeError, Malformed, PeerError, UsageError, WrongPeer
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.identity.peer_id import PeerId
from mesh.identity.x25519 import Secret
from mesh.protocols.machine import Buffer, Role
from mesh.protocols.noise.session import Session
from mesh.protocols.noise.symmetric import KEY_BYTES, SymmetricState, diffie_hellman

SIGNATURE_PREFIX = b"noise-libp2p-static-key:"
MAX_MUXERS = 100
"""A longer muxer list is treated as no list at all, as go does."""
CLAUSE = "noise: handshake"
_ENCRYPTED_KEY_BYTES = KEY_BYTES + 16


@dataclass(frozen=True, slots=True)
class Credentials:
    """A Noise static key and the signed payload that binds it to an identity; made once for the life of a node."""

    peer_id: PeerId
    static: Secret
    payload: bytes
    muxers: tuple[str, ...]


def credentials(identity: PrivateKey, static: Secret, muxers: Sequence[str] = ()) -> Credentials:
    """Sign a static key with the node's identity. ``static``: a fresh key, never stored; ``muxers`` in order of liking
    are offered for early muxer negotiation."""
    payload = HandshakePayload(
        identity_key=identity.public.to_protobuf(),
        identity_sig=identity.sign(SIGNATURE_PREFIX + static.public),
        extensions=NoiseExtensions(stream_muxers=list(muxers)) if muxers else None,
    )
    peer_id = PeerId.from_public_key(identity.public)
    return Credentials(peer_id, static, payload.encode(), tuple(muxers))


@dataclass(slots=True)
class Established:
    """The peer is who it says: its key, its id, and the muxer both ends offered early (None: negotiate one)."""

    remote_key: PublicKey
    remote_peer: PeerId
    muxer: str | None


@dataclass(slots=True)
class Failed:
    """The handshake cannot go on; close the connection."""

    error: PeerError


class Handshake:
    """One end of the handshake.

    ``ephemeral``: a fresh key, used for this handshake alone. ``expected_peer``: the id that was dialled, or None.
    ``outcome`` is set when it ends; `finish` then gives the transport session.
    """

    __slots__ = (
        "_buffer",
        "_credentials",
        "_ephemeral",
        "_expected_peer",
        "_output",
        "_remote_ephemeral",
        "_role",
        "_session",
        "_step",
        "_symmetric",
        "outcome",
    )

    def __init__(
        self,
        role: Role,
        own: Credentials,
        ephemeral: Secret,
        *,
        expected_peer: PeerId | None = None,
        prologue: bytes = b"",
    ) -> None:
        self._role = role
        self._credentials = own
        self._ephemeral = ephemeral
        self._expected_peer = expected_peer
        self._symmetric = SymmetricState(prologue)
        self._remote_ephemeral = b""
        self._buffer = bytearray()
        self._output: list[Buffer] = []
        self._session: Session | None = None
        self._step: Callable[[Handshake, bytes], None]
        self.outcome: Established | Failed | None = None
        if role is Role.INITIATOR:
            self._step = Handshake._read_second
            self._write_first()
        else:
            self._step = Handshake._read_first

    def output(self) -> list[Buffer]:
        """What must leave now; empty after it was taken."""
        taken, self._output = self._output, []
        return taken

    def receive(self, data: Buffer) -> None:
        """Take bytes in. What follows the last handshake message is the session's: see `finish`."""
        if self.outcome is not None:
            raise UsageError("noise: the handshake has ended")
        buffer = self._buffer
        buffer += data
        while self.outcome is None and len(buffer) >= LENGTH.size:
            end = LENGTH.size + (buffer[0] << 8 | buffer[1])
            if len(buffer) < end:
                return
            message = bytes(memoryview(buffer)[LENGTH.size : end])
            del buffer[:end]
            try:
                self._step(self, message)
            except DecodeError as error:
                self._fail(str(error))
            except PeerError as error:
                self.outcome = Failed(error)

    def finish(self) -> tuple[Session, bytes]:
        """The session and the bytes that arrived behind the handshake; only after `Established`."""
        if self._session is None:
            raise UsageError("noise: the handshake is not established")
        return self._session, bytes(self._buffer)

    # -- messages ----------------------------------------------------------------------------------------------------

    def _write_first(self) -> None:
        self._send(self._own_ephemeral() + self._symmetric.encrypt_and_hash(b""))

    def _read_first(self, message: bytes) -> None:
        rest = self._their_ephemeral(message, "message 1")
        self._symmetric.decrypt_and_hash(rest)
        own, symmetric = self._credentials, self._symmetric
        reply = bytearray(self._own_ephemeral())
        symmetric.mix_key(diffie_hellman(self._ephemeral, self._remote_ephemeral))
        reply += symmetric.encrypt_and_hash(own.static.public)
        symmetric.mix_key(diffie_hellman(own.static, self._remote_ephemeral))
        reply += symmetric.encrypt_and_hash(own.payload)
        self._send(reply)
        self._step = Handshake._read_third

    def _read_second(self, message: bytes) -> None:
        symmetric = self._symmetric
        rest = self._their_ephemeral(message, "message 2")
        symmetric.mix_key(diffie_hellman(self._ephemeral, self._remote_ephemeral))
        static = self._their_static(rest, "message 2")
        symmetric.mix_key(diffie_hellman(self._ephemeral, static))
        established = self._check_payload(symmetric.decrypt_and_hash(rest[_ENCRYPTED_KEY_BYTES:]), static)

        own = self._credentials
        reply = bytearray(symmetric.encrypt_and_hash(own.static.public))
        symmetric.mix_key(diffie_hellman(own.static, self._remote_ephemeral))
        reply += symmetric.encrypt_and_hash(own.payload)
        self._send(reply)
        self._establish(established)

    def _read_third(self, message: bytes) -> None:
        symmetric = self._symmetric
        static = self._their_static(message, "message 3")
        symmetric.mix_key(diffie_hellman(self._ephemeral, static))
        self._establish(
            self._check_payload(symmetric.decrypt_and_hash(message[_ENCRYPTED_KEY_BYTES:]), static)
        )

    # -- pieces ------------------------------------------------------------------------------------------------------

    def _send(self, message: bytes | bytearray) -> None:
        self._output.append(LENGTH.pack(len(message)) + message)

    def _own_ephemeral(self) -> bytes:
        public = self._ephemeral.public
        self._symmetric.mix_hash(public)
        return public

    def _their_ephemeral(self, message: bytes, where: str) -> bytes:
        if len(message) < KEY_BYTES:
            raise Malformed(f"noise {where}", None, f"{len(message)} bytes are fewer than a key")
        self._remote_ephemeral = message[:KEY_BYTES]
        self._symmetric.mix_hash(self._remote_ephemeral)
        return message[KEY_BYTES:]

    def _their_static(self, message: bytes, where: str) -> bytes:
        if len(message) < _ENCRYPTED_KEY_BYTES:
            raise Malformed(f"noise {where}", None, f"{len(message)} bytes are fewer than an encrypted key")
        return self._symmetric.decrypt_and_hash(message[:_ENCRYPTED_KEY_BYTES])

    def _check_payload(self, data: bytes, static: bytes) -> Established:
        payload = HandshakePayload.decode(data)
        if payload.identity_key is None or payload.identity_sig is None:
            raise Malformed("noise payload", None, "identity key or signature is missing")
        key = PublicKey.from_protobuf(payload.identity_key)
        peer = PeerId.from_public_key(key)
        if self._expected_peer is not None and peer != self._expected_peer:
            raise WrongPeer(
                f"noise: dialled {self._expected_peer} but {peer} answered",
                found=str(peer),
                protocol="/noise",
            )
        if peer == self._credentials.peer_id:
            raise PeerError("noise: the peer shows this node's own identity", protocol="/noise")
        if not key.verify(SIGNATURE_PREFIX + static, payload.identity_sig):
            raise Malformed("noise payload", None, f"signature of {peer} over its static key does not hold")
        return Established(key, peer, self._agree_muxer(payload.extensions))

    def _agree_muxer(self, extensions: NoiseExtensions | None) -> str | None:
        """The initiator's first choice that the responder also offers."""
        theirs: list[str] = [] if extensions is None else extensions.stream_muxers
        if len(theirs) > MAX_MUXERS:
            return None
        ours: Sequence[str] = self._credentials.muxers
        first, second = (ours, theirs) if self._role is Role.INITIATOR else (theirs, ours)
        return next((name for name in first if name in second), None)

    def _establish(self, established: Established) -> None:
        to_responder, to_initiator = self._symmetric.split()
        keys = (to_responder, to_initiator) if self._role is Role.INITIATOR else (to_initiator, to_responder)
        self._session = Session(*keys, self._symmetric.hash)
        self.outcome = established

    def _fail(self, reason: str) -> None:
        self.outcome = Failed(PeerError(f"noise: {reason}", protocol="/noise", clause=CLAUSE))
