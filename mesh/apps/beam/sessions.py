"""`/beam/session/1.0.0` on a live node: sessions that others open, and those that this node opens."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from mesh.apps.beam.session_end import SessionEnd
from mesh.codecs.beam_session import (
    MAX_ANSWER_BYTES,
    MAX_OPENING_BYTES,
    SESSION_ID_BYTES,
    SessionAnswer,
    SessionOpening,
    SessionStatus,
)
from mesh.errors import PeerError, ProtocolNotSupported, TimedOut, UsageError
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.network.stream import Stream
from mesh.protocols.beam.session import MAX_PATHS, Session

if TYPE_CHECKING:
    from mesh.node import Node

log = logging.getLogger(__name__)

SESSION_PROTOCOL: Final = "/beam/session/1.0.0"
MAX_SESSIONS: Final = 256
MAX_SESSIONS_OF_PEER: Final = 64
OPENING_S: Final = 10.0
ANSWER_S: Final = 5.0

Serve = Callable[[SessionEnd, PeerId], Awaitable[None]]
PathObserver = Callable[[SessionEnd, int, str], None]


class Sessions:
    """Serves sessions by the protocol that they carry, and opens them. ``on_path_lost`` is told of those of this node's
    own sessions: which session, which path, why."""

    def __init__(self, node: Node, scope: Scope, on_path_lost: PathObserver) -> None:
        self._node = node
        self._scope = scope
        self._on_path_lost = on_path_lost
        self._served: dict[str, Serve] = {}
        self._inbound: dict[tuple[PeerId, bytes], SessionEnd] = {}
        self._ids: dict[SessionEnd, bytes] = {}
        self.refused = 0

    def start(self) -> None:
        """Serve the protocol."""
        self._node.handle(SESSION_PROTOCOL, self._serve)

    def stop(self) -> None:
        """Serve it no more and end every session; safe to call twice."""
        if SESSION_PROTOCOL in self._node.protocols:
            self._node.unhandle(SESSION_PROTOCOL)
        for end in (*self._inbound.values(), *self._ids):
            end.reset()

    def serve(self, protocol: str, serve: Serve) -> None:
        """Sessions of others that carry a protocol go to ``serve``, with the peer that was authenticated."""
        self._served[protocol] = serve

    @property
    def inbound(self) -> int:
        """Sessions of others that stand."""
        return len(self._inbound)

    @property
    def own(self) -> tuple[SessionEnd, ...]:
        """Sessions of this node that stand."""
        return tuple(self._ids)

    # -- opening -----------------------------------------------------------------------------------------------------

    async def open(self, connection: Connection, protocol: str) -> SessionEnd:
        """A session with the peer of a connection, its first path. Raises `ProtocolNotSupported` where the peer has no
        sessions or none for this, `PeerError` for another refusal, `MeshError`."""
        session_id = secrets.token_bytes(SESSION_ID_BYTES)
        stream = await self._ask(connection, session_id, protocol)
        session = Session(True, time.monotonic())
        end = SessionEnd(session, connection.peer, protocol, self._on_path_lost)
        self._ids[end] = session_id
        self._scope.spawn(self._keep(end), "beam session")
        self._scope.spawn(end.carry(end.add_path(stream)), "beam session path")
        return end

    async def join(self, end: SessionEnd, connection: Connection) -> int:
        """A further path of a session, by another connection to its peer; it carries nothing until it is chosen. Raises
        `UsageError`, `MeshError`."""
        if end not in self._ids or end.peer != connection.peer:
            raise UsageError("no session of this node with that peer")
        stream = await self._ask(connection, self._ids[end], "")
        try:
            path = end.add_path(stream, carries=False)
        except UsageError:
            stream.reset()
            raise
        self._scope.spawn(end.carry(path), "beam session path")
        return path

    async def _ask(self, connection: Connection, session_id: bytes, protocol: str) -> Stream:
        try:
            async with asyncio.timeout(ANSWER_S):
                stream = await connection.open([SESSION_PROTOCOL])
                try:
                    await stream.write_message(
                        SessionOpening(session_id=session_id, protocol=protocol).encode()
                    )
                    answer = SessionAnswer.decode(await stream.read_message(MAX_ANSWER_BYTES))
                    _check(answer, connection.peer)
                except BaseException:
                    stream.reset()
                    raise
        except TimeoutError:
            raise TimedOut(f"{connection.peer} answered no session within {ANSWER_S:g} s") from None
        return stream

    async def _keep(self, end: SessionEnd) -> None:
        try:
            await end.ended.wait()
        finally:
            del self._ids[end]

    # -- serving -----------------------------------------------------------------------------------------------------

    async def _serve(self, stream: Stream) -> None:
        """One path that another node opens; this lasts as long as it does."""
        peer = stream.connection.peer
        try:
            async with asyncio.timeout(OPENING_S):
                opening = SessionOpening.decode(await stream.read_message(MAX_OPENING_BYTES))
        except TimeoutError:
            raise TimedOut(f"session: {peer} opened none within {OPENING_S:g} s") from None
        key = peer, opening.session_id
        found = self._inbound.get(key)
        refusal = self._refusal(key, opening.protocol, found)
        if refusal is not None:
            self.refused += 1
            self._node.counters.count(f"beam.session:{refusal.name.lower()}")
            await stream.write_message(SessionAnswer(status=refusal, reason="").encode())
            await stream.close()
            return
        if found is None:
            found = self._begin(key, opening.protocol)
        path = found.add_path(stream)
        await stream.write_message(SessionAnswer().encode())
        await found.carry(path)

    def _refusal(
        self, key: tuple[PeerId, bytes], protocol: str, found: SessionEnd | None
    ) -> SessionStatus | None:
        if found is not None:
            taken = not found.ended.is_set() and len(found.streams) < MAX_PATHS and not protocol
            return None if taken else SessionStatus.BUSY
        if not protocol or len(key[1]) != SESSION_ID_BYTES:
            return SessionStatus.UNKNOWN_SESSION
        if protocol not in self._served:
            return SessionStatus.UNKNOWN_PROTOCOL
        of_peer = sum(peer == key[0] for peer, _ in self._inbound)
        if len(self._inbound) >= MAX_SESSIONS or of_peer >= MAX_SESSIONS_OF_PEER:
            return SessionStatus.BUSY
        return None

    def _begin(self, key: tuple[PeerId, bytes], protocol: str) -> SessionEnd:
        peer = key[0]
        end = SessionEnd(Session(False, time.monotonic()), peer, protocol, _heard)
        self._inbound[key] = end
        self._node.counters.count("beam.session:opened")
        self._scope.spawn(self._attend(key, end, self._served[protocol]), "beam session")
        return end

    async def _attend(self, key: tuple[PeerId, bytes], end: SessionEnd, serve: Serve) -> None:
        """Have a session served, and keep it known until it has ended."""
        try:
            await serve(end, key[0])
            await end.close()
        finally:
            end.reset()
            del self._inbound[key]


def _heard(end: SessionEnd, path: int, reason: str) -> None:
    log.info("session with %s: path %d lost: %s", end.peer, path, reason)


def _check(answer: SessionAnswer, peer: PeerId) -> None:
    """Raises what a refusal means."""
    if answer.status == SessionStatus.OK:
        return
    if answer.status == SessionStatus.UNKNOWN_PROTOCOL:
        raise ProtocolNotSupported(f"{peer} has no sessions for this", protocol=SESSION_PROTOCOL)
    raise PeerError(
        f"{peer} refused a session (status {int(answer.status)})",
        protocol=SESSION_PROTOCOL,
        wire_code=int(answer.status),
    )
