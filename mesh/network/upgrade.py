"""From a raw byte stream to a muxed, authenticated connection: negotiation, Noise, negotiation (libp2p connections).

A machine of machines, as pure as they are: bytes and time go in, bytes and one outcome come out. The dialer is the
initiator of every stage, and sends its first handshake message behind its only proposal without waiting. When both ends
listed a muxer inside the handshake no second negotiation follows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mesh.errors import MeshError, PeerError, UsageError
from mesh.identity.keys import PublicKey
from mesh.identity.peer_id import PeerId
from mesh.network.memory_counter import MemoryCounter
from mesh.protocols import multistream, noise, yamux
from mesh.protocols.machine import Buffer, Role


@dataclass(frozen=True, slots=True)
class UpgradeSettings:
    """What every upgrade of a node shares."""

    credentials: noise.Credentials
    yamux: yamux.Settings
    memory: MemoryCounter
    entropy: Callable[[int], bytes]


@dataclass(slots=True)
class Upgraded:
    """The layers of a finished connection and who is at its other end."""

    channel: noise.Session
    session: yamux.Session
    remote_key: PublicKey
    remote_peer: PeerId
    early_muxer: bool


@dataclass(slots=True)
class Failed:
    """The upgrade ended at ``stage``."""

    stage: str
    error: MeshError


class Upgrade:
    """One end of a connection upgrade; `outcome` is set when it has ended."""

    __slots__ = (
        "_expected_peer",
        "_handshake",
        "_negotiation",
        "_output",
        "_role",
        "_settings",
        "_step",
        "channel",
        "outcome",
        "stage",
    )

    def __init__(self, role: Role, settings: UpgradeSettings, expected_peer: PeerId | None = None) -> None:
        self._role = role
        self._settings = settings
        self._expected_peer = expected_peer
        self._handshake: noise.Handshake | None = None
        self.channel: noise.Session | None = None
        self.stage = "security negotiation"
        self.outcome: Upgraded | Failed | None = None
        self._output: list[Buffer] = []
        self._negotiation = self._negotiate(noise.PROTOCOL_ID)
        self._output += self._negotiation.output()
        self._step: Callable[[Buffer, float], None] = self._take_security
        if role is Role.INITIATOR:
            self._output += self._start_handshake().output()

    def output(self) -> list[Buffer]:
        """What must leave now; empty after it was taken."""
        taken, self._output = self._output, []
        return taken

    def receive(self, data: Buffer, now: float) -> None:
        """Take bytes cut anywhere; those beyond the upgrade are already inside the muxer when it ends."""
        if self.outcome is not None:
            raise UsageError("the upgrade has ended")
        self._step(data, now)

    def _negotiate(self, protocol: str) -> multistream.Initiator | multistream.Responder:
        if self._role is Role.INITIATOR:
            return multistream.Initiator([protocol])
        return multistream.Responder(protocol.__eq__)

    def _take_security(self, data: Buffer, now: float) -> None:
        selected = self._negotiated(data, self._output)
        if selected is None:
            return
        self.stage = "noise handshake"
        if self._handshake is None:
            self._start_handshake()
        self._step = self._take_handshake
        self._take_handshake(selected.leftover, now)

    def _start_handshake(self) -> noise.Handshake:
        settings = self._settings
        self._handshake = noise.Handshake(
            self._role, settings.credentials, settings.entropy(32), expected_peer=self._expected_peer
        )
        return self._handshake

    def _take_handshake(self, data: Buffer, now: float) -> None:
        handshake = self._handshake
        assert handshake is not None
        handshake.receive(data)
        self._output += handshake.output()
        outcome = handshake.outcome
        if isinstance(outcome, noise.Failed):
            self._fail(outcome.error)
        elif outcome is not None:
            self.channel, leftover = handshake.finish()
            if outcome.muxer is not None:
                self._finish(leftover, now)
                return
            self.stage = "muxer negotiation"
            self._negotiation = self._negotiate(yamux.PROTOCOL_ID)
            self._seal(self._negotiation.output())
            self._step = self._take_muxer
            if leftover:
                self._take_muxer(leftover, now)

    def _take_muxer(self, data: Buffer, now: float) -> None:
        channel = self.channel
        assert channel is not None
        plaintext = b"".join(channel.receive(data))
        if plaintext:
            answer: list[Buffer] = []
            selected = self._negotiated(plaintext, answer)
            self._seal(answer)
            if selected is not None:
                self._finish(b"", now, selected.leftover)
        if channel.failure is not None and self.outcome is None:
            self._fail(channel.failure)

    def _negotiated(self, data: Buffer, answer: list[Buffer]) -> multistream.Selected | None:
        negotiation = self._negotiation
        negotiation.receive(data)
        answer += negotiation.output()
        outcome = negotiation.outcome
        if isinstance(outcome, multistream.Failed):
            self._fail(outcome.error)
            return None
        return outcome

    def _seal(self, plaintext: list[Buffer]) -> None:
        if plaintext:
            assert self.channel is not None
            self._output += self.channel.seal(plaintext)

    def _finish(self, ciphertext: bytes, now: float, plaintext: bytes = b"") -> None:
        settings = self._settings
        handshake, channel = self._handshake, self.channel
        assert handshake is not None
        assert channel is not None
        established = handshake.outcome
        assert isinstance(established, noise.Established)
        memory = settings.memory
        session = yamux.Session(self._role, settings.yamux, now, memory.reserve, memory.release)
        for each in (plaintext, *channel.receive(ciphertext)):
            session.receive(each, now)
        if channel.failure is not None:
            self._fail(channel.failure)
            return
        early = established.muxer is not None
        self.outcome = Upgraded(channel, session, established.remote_key, established.remote_peer, early)

    def _fail(self, error: MeshError) -> None:
        if not isinstance(error, PeerError):
            raise AssertionError(error)
        self.outcome = Failed(self.stage, error)
