"""From a raw byte stream to a muxed, authenticated connection: negotiation, security, negotiation (libp2p connections).

A machine of machines, as pure as they are: bytes and time go in, bytes and one outcome come out. The dialer is the
initiator of every stage. It proposes one security protocol and sends the first message of its handshake behind it without
waiting, which saves a round trip and rules out a second proposal on the same connection: to its responder that message
would be part of the negotiation. Whoever refuses is dialled again with the next protocol (`mesh.network.dialer`).
When both ends listed a muxer inside the handshake no second negotiation follows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from mesh.errors import MeshError, ProtocolNotSupported, UsageError
from mesh.identity.keys import PublicKey
from mesh.identity.peer_id import PeerId
from mesh.network.memory_counter import MemoryCounter
from mesh.network.security import Channel, Handshake, Security
from mesh.protocols import multistream, yamux
from mesh.protocols.machine import Buffer, Role
from mesh.protocols.noise import Established
from mesh.protocols.noise import Failed as HandshakeFailed

MuxerSettings = yamux.Settings
NEGOTIATION: Final = "security negotiation"
"""The first stage."""


@dataclass(frozen=True, slots=True)
class UpgradeSettings:
    """What every upgrade of a node shares. ``security`` in order of liking, at least one."""

    security: tuple[Security, ...]
    yamux: MuxerSettings
    memory: MemoryCounter
    limits: dict[str, MuxerSettings] = field(init=False)

    def __post_init__(self) -> None:
        """``limits`` has the muxer's settings by security protocol, with batches that fill its records."""
        found = {each.name: replace(self.yamux, batch_bytes=each.batch_bytes) for each in self.security}
        object.__setattr__(self, "limits", found)


@dataclass(slots=True)
class Upgraded:
    """The layers of a finished connection and who is at its other end; ``security`` and ``muxer`` are short names."""

    channel: Channel
    session: yamux.Session
    remote_key: PublicKey
    remote_peer: PeerId
    early_muxer: bool
    security: str
    muxer: str


@dataclass(slots=True)
class Failed:
    """The upgrade ended at ``stage``."""

    stage: str
    error: MeshError


class Upgrade:
    """One end of a connection upgrade; `outcome` is set when it has ended.

    ``proposal`` is the place of the security protocol to propose; a listener takes any.
    """

    __slots__ = (
        "_expected_peer",
        "_handshake",
        "_negotiation",
        "_output",
        "_role",
        "_security",
        "_settings",
        "_step",
        "channel",
        "outcome",
        "stage",
    )

    def __init__(
        self, role: Role, settings: UpgradeSettings, expected_peer: PeerId | None = None, proposal: int = 0
    ) -> None:
        self._role = role
        self._settings = settings
        self._expected_peer = expected_peer
        self._handshake: Handshake | None = None
        self._security = settings.security[proposal]
        self.channel: Channel | None = None
        self.stage = NEGOTIATION
        self.outcome: Upgraded | Failed | None = None
        self._output: list[Buffer] = []
        self._negotiation: multistream.Initiator | multistream.Responder
        self._step: Callable[[Upgrade, Buffer, float], None] = Upgrade._take_security
        if role is Role.INITIATOR:
            self._negotiation = multistream.Initiator([self._security.protocol])
            self._output += self._negotiation.output()
            self._output += self._start_handshake().output()
        else:
            known = {each.protocol for each in settings.security}
            self._negotiation = multistream.Responder(known.__contains__)
            self._output += self._negotiation.output()

    @property
    def listening(self) -> bool:
        """Whether the other end speaks first: what `output` gives before it has may wait for the answer."""
        return self._role is Role.RESPONDER

    def output(self) -> list[Buffer]:
        """What must leave now; empty after it was taken."""
        taken, self._output = self._output, []
        return taken

    def receive(self, data: Buffer, now: float) -> None:
        """Take bytes cut anywhere; those beyond the upgrade are already inside the muxer when it ends."""
        if self.outcome is not None:
            raise UsageError("the upgrade has ended")
        self._step(self, data, now)

    def _take_security(self, data: Buffer, now: float) -> None:
        selected = self._negotiated(data, self._output)
        if selected is None:
            return
        if self._handshake is None:
            protocol = selected.protocol
            self._security = next(each for each in self._settings.security if each.protocol == protocol)
            self._start_handshake()
        self.stage = f"{self._security.name} handshake"
        self._step = Upgrade._take_handshake
        self._take_handshake(selected.leftover, now)

    def _start_handshake(self) -> Handshake:
        self._handshake = self._security.begin(self._role, self._expected_peer)
        return self._handshake

    def _take_handshake(self, data: Buffer, now: float) -> None:
        handshake = self._handshake
        assert handshake is not None
        handshake.receive(data)
        self._output += handshake.output()
        outcome = handshake.outcome
        if isinstance(outcome, HandshakeFailed):
            self._fail(outcome.error)
        elif outcome is not None:
            self.channel, leftover = handshake.finish()
            if outcome.muxer is not None:
                self._finish(leftover, now)
                return
            self.stage = "muxer negotiation"
            if self._role is Role.INITIATOR:
                self._negotiation = multistream.Initiator([yamux.PROTOCOL_ID])
            else:
                self._negotiation = multistream.Responder(yamux.PROTOCOL_ID.__eq__)
            self._seal(self._negotiation.output())
            self._step = Upgrade._take_muxer
            self._take_muxer(leftover, now)

    def _take_muxer(self, data: Buffer, now: float) -> None:
        channel = self.channel
        assert channel is not None
        plaintext = b"".join(channel.receive(data))
        self._output += channel.output()
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
        assert isinstance(established, Established)
        memory = settings.memory
        limits = settings.limits[self._security.name]
        session = yamux.Session(self._role, limits, now, memory.reserve, memory.release)
        for each in (plaintext, *channel.receive(ciphertext)):
            session.receive(each, now)
        self._output += channel.output()
        if channel.failure is not None:
            self._fail(channel.failure)
            return
        self.outcome = Upgraded(
            channel,
            session,
            established.remote_key,
            established.remote_peer,
            early_muxer=established.muxer is not None,
            security=self._security.name,
            muxer="yamux",
        )

    def _fail(self, error: MeshError) -> None:
        if isinstance(error, ProtocolNotSupported) and self.stage == NEGOTIATION:
            proposed = self._settings.security[: self._settings.security.index(self._security) + 1]
            names = ", ".join(each.protocol for each in proposed)
            error = ProtocolNotSupported(f"the peer supports none of {names}", protocol=names)
        self.outcome = Failed(self.stage, error)
