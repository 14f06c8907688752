"""The stream from a peer, read where its bytes come in: no task wakes for them."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from mesh.errors import MeshError
from mesh.network.stream import Stream
from mesh.services.gossip.frames import Frames

CHUNK_BYTES: Final = 64 * 1024


class Owner(Protocol):
    """Who holds what was read."""

    held_up: bool
    """It holds as much as it wants: nothing is read until it calls `Inlet.pump`."""

    def take(self, rpcs: list[bytes]) -> None:
        """RPCs came."""


class Inlet:
    """Cuts one stream into RPCs. ``ended`` is done at the stream's end, with an error that ended it, or with `Malformed`
    for what is no RPC."""

    __slots__ = ("_frames", "_owner", "_stream", "ended")

    def __init__(self, stream: Stream, max_rpc_bytes: int, owner: Owner) -> None:
        self._stream = stream
        self._owner = owner
        self._frames = Frames(max_rpc_bytes)
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
                    return
                if not chunk:
                    self.close()
                    return
                rpcs = frames.receive(chunk)
                if rpcs:
                    owner.take(rpcs)
        except MeshError as error:
            self._stream.follow(None)
            self.ended.set_exception(error)

    def close(self) -> None:
        """Read no more."""
        self._stream.follow(None)
        if not self.ended.done():
            self.ended.set_result(None)
