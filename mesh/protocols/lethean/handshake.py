"""The handshake: one plain JSON message each way, then only encrypted ones (section 4).

Both machines take whole WebSocket messages and give whole texts to send as text frames. They end in one event:
`Accepted` with the session, or `Refused`; after either, send what `output` holds; after `Refused` then end TCP, without a
close frame. Only the listener proves its key here. The dialer is proven by the first message that decrypts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mesh.errors import DecodeError, UsageError
from mesh.protocols.lethean.compat import SAFE, Strictness
from mesh.protocols.lethean.envelope import Envelope, require_payload
from mesh.protocols.lethean.identity import Identity, NodeKey, answer_challenge, verify_answer
from mesh.protocols.lethean.messages import Handshake, HandshakeAck
from mesh.protocols.lethean.session import Session

VERSION: Final = "1.0"
VERSIONS: Final = ("1.0",)
CHALLENGE_BYTES: Final = 32
TIMEOUT_S: Final = 10.0
MAX_VERSION_CHARACTERS: Final = 256
"""What of a version we do not speak is told back."""

NOT_AUTHORIZED: Final = "peer not authorized"


@dataclass(frozen=True, slots=True)
class Own:
    """Who we are in a handshake."""

    key: NodeKey
    identity: Identity


@dataclass(frozen=True, slots=True)
class Accepted:
    """The peer was taken. `identity` is what it claims; the secret stays out of the repr."""

    identity: Identity
    session: Session = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """It failed. `reason` says why in words; `told` whether the peer gets it in an ack."""

    reason: str
    told: bool = False


Event = Accepted | Refused


class _Handshake:
    """What both roles share: one deadline, one event."""

    __slots__ = ("_deadline", "_event", "_output", "_own", "_strictness")

    def __init__(self, own: Own, now: float, strictness: Strictness) -> None:
        self._own = own
        self._strictness = strictness
        self._deadline: float | None = now + TIMEOUT_S
        self._event: Event | None = None
        self._output: list[str] = []

    @property
    def finished(self) -> bool:
        """Whether the event has come; further messages are not for this machine."""
        return self._deadline is None

    def output(self) -> list[str]:
        """Texts to send, each a text frame."""
        found, self._output = self._output, []
        return found

    def deadline(self) -> float | None:
        """When it will have taken too long."""
        return self._deadline

    def wake(self, now: float) -> None:
        """Time has passed."""
        if self._deadline is not None and now >= self._deadline:
            self._end(Refused(f"no handshake within {TIMEOUT_S:g} s"))

    def events(self) -> list[Event]:
        """The one event, once."""
        found = [] if self._event is None else [self._event]
        self._event = None
        return found

    def _end(self, event: Event) -> None:
        self._event = event
        self._deadline = None


class Listener(_Handshake):
    """The end that was dialled. `admit` tells whether an identity may connect, by mode, allowlist and registry.

    `ack_id` is a fresh UUID version 4 for the answer.
    """

    __slots__ = ("_ack_id", "_admit")

    def __init__(
        self,
        own: Own,
        admit: Callable[[Identity], bool],
        ack_id: str,
        now: float,
        strictness: Strictness = SAFE,
    ) -> None:
        super().__init__(own, now, strictness)
        self._admit = admit
        self._ack_id = ack_id

    def receive(self, data: bytes | str, now: float, ts: str) -> None:
        """The first message of a connection; `ts` is the time for the answer."""
        if self.finished:
            return
        try:
            message = Envelope.decode(data)
            require_payload(message, "handshake")
            request = message.payload(Handshake)
        except DecodeError as error:
            self._end(Refused(str(error)))
            return
        claimed = request.identity or Identity()
        if request.version not in VERSIONS:
            version = request.version[:MAX_VERSION_CHARACTERS]
            reason = f"incompatible protocol version {version}, supported: [{' '.join(VERSIONS)}]"
            self._reject(claimed, reason, reason, ts)
            return
        try:
            secret = self._own.key.shared_secret(claimed.public_key)
        except DecodeError as error:
            self._end(Refused(str(error)))
            return
        if self._strictness.id_follows_key and not claimed.matches_key():
            self._reject(claimed, NOT_AUTHORIZED, f"the id {claimed.id[:40]!r} is not that of its key", ts)
            return
        if not self._admit(claimed):
            self._reject(claimed, NOT_AUTHORIZED, NOT_AUTHORIZED, ts)
            return
        answer = answer_challenge(secret, request.challenge) if request.challenge else None
        self._send(claimed, HandshakeAck(challenge_response=answer, accepted=True), ts)
        self._end(Accepted(claimed, Session(secret)))

    def _reject(self, claimed: Identity, reason: str, cause: str, ts: str) -> None:
        self._send(claimed, HandshakeAck(accepted=False, reason=reason), ts)
        self._end(Refused(cause, told=True))

    def _send(self, claimed: Identity, ack: HandshakeAck, ts: str) -> None:
        own = self._own.identity
        ack.identity = own
        message = Envelope.of(
            ack, id=self._ack_id, type="handshake_ack", sender=own.id, receiver=claimed.id, ts=ts
        )
        self._output.append(message.encode())


class Dialer(_Handshake):
    """The end that dials. `peer_id` is the id it has for the peer, empty when it knows none.

    `challenge` is 32 fresh random bytes, `message_id` a fresh UUID version 4.
    """

    __slots__ = ("_challenge", "_peer_id", "_peer_key")

    def __init__(
        self,
        own: Own,
        peer_id: str,
        challenge: bytes,
        message_id: str,
        now: float,
        ts: str,
        strictness: Strictness = SAFE,
        peer_key: str = "",
    ) -> None:
        if not challenge:
            raise UsageError("a challenge has at least one byte; without it the listener proves nothing")
        super().__init__(own, now, strictness)
        self._peer_id = peer_id
        self._peer_key = peer_key
        self._challenge = challenge
        request = Handshake(identity=own.identity, challenge=challenge, version=VERSION)
        message = Envelope.of(
            request, id=message_id, type="handshake", sender=own.identity.id, receiver=peer_id, ts=ts
        )
        self._output.append(message.encode())

    def receive(self, data: bytes | str, now: float) -> None:
        """The first message that came back."""
        if self.finished:
            return
        try:
            message = Envelope.decode(data)
            require_payload(message, "handshake_ack")
            ack = message.payload(HandshakeAck)
            if not ack.accepted:
                self._end(Refused(f"handshake rejected: {ack.reason[:200]}"))
                return
            claimed = ack.identity or Identity()
            secret = self._own.key.shared_secret(claimed.public_key)
        except DecodeError as error:
            self._end(Refused(str(error)))
            return
        cause = self._failure(claimed, ack, secret)
        self._end(Accepted(claimed, Session(secret)) if cause is None else Refused(cause))

    def _failure(self, claimed: Identity, ack: HandshakeAck, secret: bytes) -> str | None:
        if not ack.challenge_response:
            return "server did not provide challenge response"
        if not verify_answer(secret, self._challenge, ack.challenge_response):
            return "challenge response verification failed: server may not have matching private key"
        if self._strictness.id_follows_key and not claimed.matches_key():
            return f"the peer claims the id {claimed.id[:40]!r}, which is not that of its key"
        if self._strictness.id_is_expected and self._peer_id and claimed.id != self._peer_id:
            return f"dialled {self._peer_id}, but {claimed.id} answered"
        if self._strictness.key_is_known and self._peer_key and claimed.public_key != self._peer_key:
            return f"{claimed.id} answered with another key than the one that is registered"
        return None
