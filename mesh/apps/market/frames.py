"""Frames on streams: one message there, one back, 30 seconds for both (sections 2 and 3.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from mesh.codecs.market import Frame, encode_reply
from mesh.errors import Closed, Malformed, TimedOut
from mesh.framing.typed import FrameReader
from mesh.identity.peer_id import PeerId
from mesh.protocols.market import TIMEOUT_S

if TYPE_CHECKING:
    from mesh.network.stream import Stream
    from mesh.node import Node
    from mesh.telemetry.counters import Counters

MAX_HELD_BYTES: Final = 128 * 1024 * 1024
"""Of frames that are being read or answered, all together; a stream that would go beyond it is closed."""
MAX_STREAMS_OF_A_PEER: Final = 32

Answer = Callable[[str, bytes, PeerId], Awaitable[Frame | bytes]]
"""What is answered to type and data of a peer: a frame, or data where the protocol's answers have no type."""


class FrameService:
    """Serves a protocol: `serve` is the handler. What is no frame is closed without a byte, as the real node does."""

    def __init__(self, name: str, answer: Answer, counters: Counters) -> None:
        self._name = name
        self._answer = answer
        self._counters = counters
        self._held_bytes = 0
        self._streams: dict[PeerId, int] = {}

    async def serve(self, stream: Stream) -> None:
        """Answer one frame. Raises `MeshError`, which resets the stream."""
        peer = stream.connection.peer
        if self._streams.get(peer, 0) >= MAX_STREAMS_OF_A_PEER:
            self._counters.count(f"{self._name}:crowded")
            return
        self._streams[peer] = self._streams.get(peer, 0) + 1
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._serve(stream, peer)
        except TimeoutError:
            self._counters.count(f"{self._name}:slow")
            raise TimedOut(f"{peer} took more than {TIMEOUT_S:g} s for one exchange") from None
        finally:
            self._streams[peer] -= 1
            if not self._streams[peer]:
                del self._streams[peer]

    async def _serve(self, stream: Stream, peer: PeerId) -> None:
        reader, held = FrameReader(), 0
        try:
            frame = None
            while frame is None:
                chunk = await stream.read_chunk()
                if not chunk:
                    self._counters.count(f"{self._name}:cut")
                    return
                held += len(chunk)
                self._held_bytes += len(chunk)
                if self._held_bytes > MAX_HELD_BYTES:
                    self._counters.count(f"{self._name}:full")
                    return
                frame = reader.receive(chunk)
            answer = await self._answer(frame.kind, frame.data, peer)
            await stream.write(answer.encode() if isinstance(answer, Frame) else encode_reply(answer))
        except Malformed:
            self._counters.count(f"{self._name}:malformed")
        finally:
            self._held_bytes -= held


async def exchange(
    node: Node, peer: PeerId, protocol: str, frame: Frame, *, typed: bool, timeout_s: float = TIMEOUT_S
) -> Frame:
    """Send a frame to a connected peer on a new stream, and read what it answers; without ``typed`` an answer has no
    type. Raises `MeshError`: `Malformed`, `Closed` for no answer, `TimedOut`, and what dialling and opening raise."""
    try:
        async with asyncio.timeout(timeout_s):
            stream = await node.open(peer, protocol)
            async with stream:
                await stream.write(frame.encode())
                return await _read_answer(stream, typed)
    except TimeoutError:
        raise TimedOut(f"{peer} did not answer {frame.kind} within {timeout_s:g} s") from None


async def _read_answer(stream: Stream, typed: bool) -> Frame:
    reader = FrameReader(typed=typed)
    while True:
        chunk = await stream.read_chunk()
        if not chunk:
            raise Closed(f"{stream.connection.peer} closed {stream.protocol} without an answer")
        frame = reader.receive(chunk)
        if frame is not None:
            return frame
