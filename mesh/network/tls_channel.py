"""The records of an established TLS connection, with the doors of a Noise session."""

from __future__ import annotations

from mesh.errors import Closed, CutOff, MeshError, PeerError
from mesh.network.tls_alerts import CLOSE_NOTIFY
from mesh.network.tls_engine import TlsEngine
from mesh.protocols.machine import Buffer


class TlsChannel:
    """Both directions of an encrypted byte stream.

    ``failure``: nothing more can be read. The peer's alert or close_notify, or what was wrong with its records.
    """

    __slots__ = ("_engine", "failure")

    def __init__(self, engine: TlsEngine) -> None:
        self._engine = engine
        self.failure: MeshError | None = None

    def receive(self, data: Buffer) -> list[bytes]:
        """Decrypt every record that is complete. After a failure the result is what was authentic before it."""
        if self.failure is not None:
            return []
        engine = self._engine
        plaintexts = engine.read(data)
        if engine.failure is not None:
            self._fail(engine.failure)
        return plaintexts

    def seal(self, frames: list[Buffer]) -> list[Buffer]:
        """Encrypt the frames' bytes as one stream, in records as large as they go; returns buffers to send in order."""
        return self._engine.write(frames)

    def output(self) -> list[Buffer]:
        """Answers to key updates, and the alert after a failure."""
        return self._engine.drain()

    def close(self) -> list[Buffer]:
        """The alert close_notify."""
        self._engine.close()
        return self._engine.drain()

    def cut_off(self) -> MeshError | None:
        """Without close_notify, whoever can cut the connection could have cut what was said."""
        if self.failure is not None:
            return None
        return CutOff("tls: the connection ended without close_notify: what came last may be missing")

    def _fail(self, error: MeshError) -> None:
        if isinstance(error, PeerError) and error.wire_code == CLOSE_NOTIFY:
            error = Closed("the peer closed the connection")
        self.failure = error
