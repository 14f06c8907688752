"""One peer: a stream for our wants, and another for our answers to its own. It writes to us on streams that it opens.

Both are opened when there is something to say and stay open. One that ends is opened again when it is needed; a peer that
ends three in a row before it took anything is asked no more until it identifies anew.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from mesh.errors import Closed, MeshError
from mesh.identity.peer_id import PeerId
from mesh.multiformats import varint
from mesh.network.scope import Spawn
from mesh.network.stream import Stream
from mesh.protocols.bitswap import message
from mesh.protocols.bitswap.client import Client
from mesh.protocols.bitswap.version import Version
from mesh.services.bitswap.host import Host
from mesh.telemetry.counters import Counters

MAX_TRIES: Final = 3
PAUSE_S: Final = 0.1
WRITE_S: Final = 60.0
"""One message has to be taken within this time, or the stream is reset."""
ENTRIES_PER_S: Final = 20_000
ENTRIES_BURST: Final = 20_000
"""Entries of wantlists that are read of one peer; with more, its streams are not read on for a while."""


class Owner(Protocol):
    """What a link tells the service."""

    def unusable(self, link: Link) -> None:
        """The peer takes no wants."""

    def answered(self, link: Link) -> None:
        """The answer under way has left, or never will: the next may follow."""


class Link:
    """Streams to one peer. ``busy`` while an answer is under way; at most one is."""

    __slots__ = (
        "_answering",
        "_answers",
        "_asking",
        "_client",
        "_counters",
        "_entries_at",
        "_entries_left",
        "_host",
        "_owner",
        "_spawn",
        "_wants",
        "peer",
        "version",
    )

    def __init__(
        self,
        peer: PeerId,
        version: Version,
        host: Host,
        owner: Owner,
        client: Client,
        spawn: Spawn,
        counters: Counters,
    ) -> None:
        self.peer = peer
        self.version = version
        self._host = host
        self._owner = owner
        self._client = client
        self._spawn = spawn
        self._counters = counters
        self._wants: Stream | None = None
        self._answers: Stream | None = None
        self._asking: asyncio.Task[None] | None = None
        self._answering: asyncio.Task[None] | None = None
        self._entries_left = float(ENTRIES_BURST)
        self._entries_at = time.monotonic()

    @property
    def busy(self) -> bool:
        return self._answering is not None

    def close(self) -> None:
        """End both streams; the peer is gone, or we stop."""
        for task in (self._asking, self._answering):
            if task is not None:
                task.cancel()
        for stream in (self._wants, self._answers):
            if stream is not None:
                stream.reset()
        self._wants = self._answers = None

    # -- our wants ---------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Send what the client has to tell the peer, as far as it is accepted at once; a task sends the rest."""
        if self._asking is not None:
            return
        stream = self._wants
        if stream is None:
            self._asking = self._spawn(self._ask(b""), "bitswap wants")
            return
        framed = self._next_wants()
        while framed:
            if not stream.try_write(framed):
                self._asking = self._spawn(self._ask(framed), "bitswap wants")
                return
            framed = self._next_wants()

    def _next_wants(self) -> bytes:
        entries, full = self._client.output(self.peer)
        return _framed(message.wants(entries, full)) if entries else b""

    async def _ask(self, framed: bytes) -> None:
        tries = 0
        try:
            while tries < MAX_TRIES:
                try:
                    if self._wants is None:
                        self._wants = await self._open()
                        self._client.restarted(self.peer, time.monotonic())
                        framed = b""
                    while framed := framed or self._next_wants():
                        async with asyncio.timeout(WRITE_S):
                            await self._wants.write(framed)
                        framed, tries = b"", 0
                    self._wants.when_readable(lambda stream=self._wants: self._ended(stream))  # type: ignore[misc]
                    return
                except (MeshError, TimeoutError):
                    self._counters.count("bitswap.wants_lost")
                    self._drop_wants()
                    tries += 1
                    await asyncio.sleep(PAUSE_S * tries)
            self._counters.count("bitswap.given_up")
            self._owner.unusable(self)
        finally:
            self._asking = None

    def _drop_wants(self) -> None:
        if self._wants is not None:
            self._wants.reset()
            self._wants = None

    def _ended(self, stream: Stream) -> None:
        """Something came over a stream that only this node writes to: its end, as a rule."""
        if stream is self._wants and self._asking is None:
            self._drop_wants()

    # -- our answers -------------------------------------------------------------------------------------------------

    def answer(self, data: bytes) -> bool:
        """Send an answer: whether it left at once. Otherwise `Owner.answered` will be called."""
        framed = _framed(data)
        if self._answers is not None and self._answers.try_write(framed):
            return True
        self._answering = self._spawn(self._answer(framed), "bitswap answer")
        return False

    async def _answer(self, framed: bytes) -> None:
        try:
            for _ in range(2):
                reused = self._answers is not None
                try:
                    if self._answers is None:
                        self._answers = await self._open()
                    async with asyncio.timeout(WRITE_S):
                        await self._answers.write(framed)
                    return
                except (MeshError, TimeoutError):
                    if self._answers is not None:
                        self._answers.reset()
                        self._answers = None
                    if not reused:
                        break
            self._counters.count("bitswap.answers_lost")
        finally:
            self._answering = None
            self._owner.answered(self)

    async def _open(self) -> Stream:
        connection = self._host.connection_to(self.peer)
        if connection is None:
            raise Closed(f"{self.peer} is not connected")
        return await connection.open([self.version.value], optimistic=True)

    # -- its wants ---------------------------------------------------------------------------------------------------

    def pause_s(self, entries: int) -> float:
        """How long to wait before more is read, after so many entries of wantlists."""
        now = time.monotonic()
        self._entries_left += (now - self._entries_at) * ENTRIES_PER_S - entries
        self._entries_left = min(self._entries_left, ENTRIES_BURST)
        self._entries_at = now
        return max(0.0, -self._entries_left / ENTRIES_PER_S)


def _framed(data: bytes) -> bytes:
    return varint.encode(len(data)) + data
