"""The handshake of `/tls/1.0.0`: who is at the other end, and which muxer follows (libp2p digest, section 7).

A dialer has finished before the listener has seen its certificate: that it was refused shows as an alert when the channel
is first read.
"""

from __future__ import annotations

from mesh.errors import PeerError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.network.tls_channel import TlsChannel
from mesh.network.tls_engine import TlsEngine, TlsIdentity
from mesh.protocols.machine import Buffer, Role
from mesh.protocols.noise import Established, Failed


class TlsHandshake:
    """One end of the handshake; ``outcome`` is set when it has ended."""

    __slots__ = ("_engine", "_muxers", "outcome")

    def __init__(self, role: Role, identity: TlsIdentity, expected_peer: PeerId | None) -> None:
        self._engine = TlsEngine(role, identity, expected_peer)
        self._muxers = identity.muxers
        self.outcome: Established | Failed | None = None
        if role is Role.INITIATOR:
            self._go_on(b"")

    def output(self) -> list[Buffer]:
        """What must leave now; empty after it was taken."""
        return self._engine.drain()

    def receive(self, data: Buffer) -> None:
        """Take bytes in, cut anywhere. What follows the handshake is the channel's: see `finish`."""
        if self.outcome is not None:
            raise UsageError("tls: the handshake has ended")
        self._go_on(data)

    def finish(self) -> tuple[TlsChannel, bytes]:
        """The channel, which has what came behind the handshake; only after `Established`."""
        if not isinstance(self.outcome, Established):
            raise UsageError("tls: the handshake is not established")
        return TlsChannel(self._engine), b""

    def _go_on(self, data: Buffer) -> None:
        engine = self._engine
        if engine.handshake(data):
            key = engine.remote_key
            assert key is not None
            muxer = engine.chosen
            self.outcome = Established(
                key, PeerId.from_public_key(key), muxer if muxer in self._muxers else None
            )
        elif engine.failure is not None:
            error = engine.failure
            assert isinstance(error, PeerError)
            self.outcome = Failed(error)
