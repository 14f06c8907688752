"""Snapshots between nodes of this program: what a replica knows in one signed stream (`mesh.protocols.crdt.snapshot`).

Served with `crdt.serve_snapshots`, to anybody, one at a time. Taken of peers named in `crdt.trusted` alone, by a replica
that is far behind; what came is put beside the replica's own rows and takes their place once it is whole, signed and
checked, so that a transfer that breaks off has changed nothing and is begun anew. See `mesh.services.crdt.history` for
what becomes of the nodes that it stands for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from typing import Final, Protocol

from mesh.codecs.crdt_snapshot import MAX_PART_BYTES, MAX_ROWS, NONCE_BYTES, Part, Request, Row, Status
from mesh.config.crdt import CrdtSection
from mesh.errors import LimitError, Malformed, MeshError, PeerError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.ipld.block import store_name
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.protocols.crdt.layout import UNKNOWN, Layout
from mesh.protocols.crdt.snapshot import KINDS, PROTOCOL_ID, Digest, check_row, check_statement, vouch
from mesh.services.crdt.kept import heads_in
from mesh.services.registry import Registry
from mesh.storage.datastore import LocalDatastore
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

PART_BYTES: Final = 256 * 1024
WHOLE_S: Final = 600.0
"""For a whole snapshot, on either side."""
SILENCE_S: Final = 30.0
AGAIN_S: Final = 60.0
"""A peer is answered, and one is asked, once in this time for each topic."""
MAX_REMEMBERED: Final = 4096


class Served(Protocol):
    """A replica of this node whose rows can be given away."""

    @property
    def namespace(self) -> str: ...

    @property
    def whole(self) -> bool:
        """Whether it lacks nothing that its heads build on."""
        ...


class Host(Protocol):
    """The node."""

    def connection_to(self, peer: PeerId) -> Connection | None: ...


class Snapshots:
    """Serves and takes them. ``find`` gives the running replica of a topic."""

    def __init__(
        self,
        settings: CrdtSection,
        key: PrivateKey,
        host: Host,
        datastore: LocalDatastore,
        find: Callable[[str], Served | None],
        counters: Counters,
    ) -> None:
        self._settings = settings
        self._key = key
        self._host = host
        self._datastore = datastore
        self._find = find
        self._counters = counters
        self._trusted = frozenset(map(PeerId.parse, settings.trusted))
        self._serving = asyncio.Lock()
        self._answered: dict[tuple[PeerId, str], float] = {}
        self._asked: dict[tuple[PeerId, str], float] = {}

    def register(self, registry: Registry) -> None:
        """Serve, if the settings say so. Raises UsageError."""
        if self._settings.serve_snapshots:
            registry.add(PROTOCOL_ID, self.serve)

    def unregister(self, registry: Registry) -> None:
        """Serve no more."""
        if self._settings.serve_snapshots:
            registry.remove(PROTOCOL_ID)

    # -- serving -----------------------------------------------------------------------------------------------------

    async def serve(self, stream: Stream) -> None:
        """Answer one request."""
        async with asyncio.timeout(WHOLE_S):
            request = Request.decode(await stream.read_message(Request.MAX_BYTES))
            topic, nonce = request.topic or "", request.nonce or b""
            if len(nonce) != NONCE_BYTES:
                raise Malformed("Request.nonce", None, f"{len(nonce)} bytes instead of {NONCE_BYTES}")
            replica = self._find(topic)
            status = Status.OK
            if replica is None:
                status = Status.UNKNOWN_TOPIC
            elif not replica.whole:
                status = Status.NOT_WHOLE
            elif self._serving.locked() or not _passed(self._answered, (stream.connection.peer, topic)):
                status = Status.TOO_SOON
            if status is not Status.OK or replica is None:
                self._counters.count("crdt.snapshots_refused")
                await stream.write_message(Part(status=status).encode())
                return
            async with self._serving:
                await self._send(stream, topic, nonce, replica.namespace)
        self._counters.count("crdt.snapshots_served")

    async def _send(self, stream: Stream, topic: str, nonce: bytes, namespace: str) -> None:
        digest, rows, size = Digest(), [], 0
        start = f"{namespace}/"
        with self._datastore.frozen() as scan:
            for kind in KINDS:
                async for stored, value in scan(f"{start}{kind}/".encode()):
                    key = stored[len(start.encode()) :]
                    digest.add(key, value)
                    rows.append(Row(key=key, value=value))
                    size += len(key) + len(value)
                    if size >= PART_BYTES or len(rows) == MAX_ROWS:
                        await stream.write_message(Part(rows=rows).encode())
                        rows, size = [], 0
        statement = vouch(self._key, topic, nonce, digest)
        await stream.write_message(Part(rows=rows, statement=statement).encode())

    # -- taking ------------------------------------------------------------------------------------------------------

    def givers(self, topic: str, peers: list[PeerId]) -> list[PeerId]:
        """Those of these peers that can be asked for a snapshot now."""
        found = []
        for peer in peers:
            connection = self._host.connection_to(peer) if peer in self._trusted else None
            speaks = connection is not None and PROTOCOL_ID in (connection.remote_protocols or ())
            if speaks and time.monotonic() >= self._asked.get((peer, topic), 0.0):
                found.append(peer)
        return found

    async def take(self, peer: PeerId, topic: str, namespace: str) -> Digest:
        """Put a peer's snapshot below a namespace, which is empty. Raises MeshError; what came by then stays there."""
        _passed(self._asked, (peer, topic))
        connection = self._host.connection_to(peer)
        if connection is None:
            raise PeerError(f"{peer} is not connected", protocol=PROTOCOL_ID)
        stream = await connection.open([PROTOCOL_ID], optimistic=True)
        try:
            async with asyncio.timeout(WHOLE_S):
                nonce = secrets.token_bytes(NONCE_BYTES)
                await stream.write_message(Request(topic=topic, nonce=nonce).encode())
                await stream.close_write()
                digest, statement = await self._receive(stream, namespace)
                check_statement(statement, peer, topic, nonce, digest)
                self._check_heads(namespace)
        except TimeoutError:
            stream.reset()
            raise PeerError(f"{peer} let a snapshot wait", protocol=PROTOCOL_ID) from None
        except BaseException:
            stream.reset()
            raise
        with contextlib.suppress(MeshError):
            await stream.close()
        self._counters.count("crdt.snapshots_taken")
        return digest

    async def _receive(self, stream: Stream, namespace: str) -> tuple[Digest, bytes]:
        digest, limit = Digest(), self._settings.max_snapshot_bytes
        writing: asyncio.Task[None] | None = None
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    part = Part.decode(await stream.read_message(MAX_PART_BYTES))
                if part.status:
                    raise PeerError(f"snapshot refused: status {part.status}", protocol=PROTOCOL_ID)
                changes = self._rows(part, digest, namespace)
                if digest.size_bytes > limit:
                    raise LimitError("snapshot", "bytes", limit, "crdt.max_snapshot_bytes")
                if writing is not None:
                    await writing
                writing = asyncio.ensure_future(self._datastore.write(changes))
                if part.statement is not None:
                    await writing
                    return digest, part.statement
        finally:
            if writing is not None and not writing.done():
                await asyncio.wait([writing])

    def _check_heads(self, namespace: str) -> None:
        """Every head is a merged node. Raises Malformed."""
        layout = Layout(namespace)
        for head in heads_in(self._datastore, namespace):
            if self._datastore.get_now(layout.processed(store_name(head))) is None:
                raise Malformed("snapshot", None, f"its head {head} is not among its nodes")

    def _rows(self, part: Part, digest: Digest, namespace: str) -> dict[bytes, bytes]:
        """The rows to write for a part, each of them checked. Raises DecodeError."""
        start, layout = f"{namespace}/".encode(), Layout(namespace)
        changes = {}
        for row in part.rows:
            key, value = row.key or b"", row.value or b""
            check_row(key, value)
            digest.add(key, value)
            changes[start + key] = value
            if key[:1] == b"t" and value == UNKNOWN:
                changes[layout.foretold(key.rpartition(b"\0")[2].decode())] = b""
        return changes


def _passed(since: dict[tuple[PeerId, str], float], who: tuple[PeerId, str]) -> bool:
    """Whether it was long enough ago; it is now."""
    now = time.monotonic()
    if now < since.get(who, 0.0):
        return False
    since.pop(who, None)
    while len(since) >= MAX_REMEMBERED:
        del since[next(iter(since))]
    since[who] = now + AGAIN_S
    return True
