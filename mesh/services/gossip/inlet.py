"""The stream from a peer, read where its bytes come in: no task wakes for them.

An RPC that comes whole goes to the owner past the stream's queue. All else is cut by `Frames`: what comes in pieces, is
long, or came while the owner held enough.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from mesh.errors import MeshError
from mesh.network.stream import Stream
from mesh.services.gossip.frames import Frames, too_long

CHUNK_BYTES: Final = 64 * 1024


class Owner(Protocol):
    """Who holds what was read."""

    @property
    def held_up(self) -> bool:
        """It holds as much as it wants: nothing is read until it calls `Inlet.pump`."""

    def take(self, rpc: bytes) -> None:
        """An RPC came."""


class Inlet:
    """Cuts one stream into RPCs. ``ended`` is done at the stream's end, with an error that ended it, or with `Malformed`
    for what is no RPC."""

    __slots__ = ("_direct", "_frames", "_max_rpc_bytes", "_owner", "_stream", "ended")

    def __init__(self, stream: Stream, max_rpc_bytes: int, owner: Owner) -> None:
        self._stream = stream
        self._owner = owner
        self._max_rpc_bytes = max_rpc_bytes
        self._frames = Frames(max_rpc_bytes)
        self._direct = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stream.follow(self.pump)
        self.pump()

    def pump(self) -> None:
        """Take what is there, unless the owner holds enough."""
        stream, frames, owner = self._stream, self._frames, self._owner
        try:
            while not self.ended.done() and not owner.held_up:
                chunk = stream.take_chunk(CHUNK_BYTES)
                if chunk is None:
                    self._follow(direct=not frames.begun)
                    return
                if not chunk:
                    self.close()
                    return
                for rpc in frames.receive(chunk):
                    owner.take(rpc)
        except MeshError as error:
            self._end(error)

    def _take(self, rpc: bytes) -> None:
        """A whole RPC came."""
        if len(rpc) > self._max_rpc_bytes:
            self._end(too_long(len(rpc), self._max_rpc_bytes))
        elif rpc:
            self._owner.take(rpc)
            if self._owner.held_up:
                self._follow(direct=False)

    def _follow(self, *, direct: bool) -> None:
        if direct is not self._direct:
            self._direct = direct
            self._stream.follow(self.pump, self._take if direct else None)

    def _end(self, error: MeshError) -> None:
        self._stream.follow(None)
        if not self.ended.done():
            self.ended.set_exception(error)

    def close(self) -> None:
        """Read no more."""
        self._stream.follow(None)
        if not self.ended.done():
            self.ended.set_result(None)
