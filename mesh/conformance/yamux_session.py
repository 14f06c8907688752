"""A yamux client that does what it is told: raw frames out, everything that comes in kept, pings answered.

It keeps no rule of the specification by itself but the order of bytes: a case breaks what it wants to break. `Stream` has
`send` for bytes whatever the window says, and `write` for bytes within the window.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from mesh.codecs.yamux import ACK, FIN, RST, SYN
from mesh.conformance.streams import StreamFlow
from mesh.conformance.waiting import Awaited, ByteFlow
from mesh.conformance.yamux_frames import (
    DATA,
    GO_AWAY,
    INITIAL_WINDOW_BYTES,
    PING,
    WINDOW_UPDATE,
    Frame,
    FrameReader,
    data,
    window,
)
from mesh.protocols.multistream import NOT_AVAILABLE

MAX_FRAMES = 20_000
PIECE_BYTES = 64 * 1024
MAX_STREAMS = 4096


class Stream(StreamFlow):
    """One stream. ``credit_bytes``: what the target still takes; ``grants``: give back credit for all that arrives.

    Endings: `end of stream`, `reset <code>`, or that of the session.
    """

    def __init__(self, session: Session, stream_id: int) -> None:
        super().__init__(f"stream {stream_id}", session.log, session.limit_s)
        self.session = session
        self.id = stream_id
        self.credit_bytes = INITIAL_WINDOW_BYTES
        self.acknowledged = False
        self.updates = 0
        self.frames_taken = 0
        self.grants = True

    def send(self, payload: bytes, flags: int = 0) -> None:
        for start in range(0, max(1, len(payload)), PIECE_BYTES):
            piece = payload[start : start + PIECE_BYTES]
            last = start + PIECE_BYTES >= len(payload)
            self.session.send_frame(data(self.id, piece, flags if last else 0))
        self.credit_bytes -= len(payload)

    async def write(self, payload: bytes) -> None:
        """Send within the window, waiting for credit. Raises `Deviation` when none comes."""
        view = memoryview(payload)
        while len(view):
            room = await self.until(lambda: max(0, self.credit_bytes) or None, "window update")
            self.send(bytes(view[:room]))
            view = view[room:]

    def grant(self, credit: int) -> None:
        self.session.send_frame(window(self.id, credit))

    def finish(self) -> None:
        """End our side."""
        self.session.send_frame(window(self.id, 0, FIN))

    def send_last(self, payload: bytes) -> None:
        """Send, and end our side in the same piece: no peer sees the one without the other."""
        self.session.send_frame(data(self.id, payload), window(self.id, 0, FIN))

    def reset(self, code: int = 0) -> None:
        self.session.send_frame(window(self.id, code, RST))

    def take(self, frame: Frame) -> None:
        """A frame of this stream came."""
        self.frames_taken += 1
        if frame.flags & ACK:
            self.acknowledged = True
        if frame.flags & RST:
            self.end(f"reset {frame.length:#x}" if frame.type == WINDOW_UPDATE else "reset")
            return
        if frame.type == WINDOW_UPDATE:
            self.credit_bytes += frame.length
            self.updates += bool(frame.length)
        elif frame.body:
            self.feed(frame.body)
            if self.grants:
                self.grant(len(frame.body))
        if frame.flags & FIN:
            self.end("end of stream")
        self.changed()


class Session(Awaited):
    """A session as the client. ``frames`` is everything the target sent; ``go_away`` its code, once it said one.

    ``accepts``: acknowledge streams the target opens and hand them to ``on_stream``; ``answers_pings`` likewise.
    """

    def __init__(self, below: ByteFlow, on_stream: Callable[[Stream], None], accepts: bool = True) -> None:
        super().__init__("session", below.log, below.limit_s)
        self.below = below
        self.frames: list[Frame] = []
        self.streams: dict[int, Stream] = {}
        self.go_away: int | None = None
        self.accepts = accepts
        self.answers_pings = True
        self._on_stream = on_stream
        self._ids = itertools.count(1, 2)
        self._values = itertools.count(0x5EED0001)
        self._reader = FrameReader()
        below.on_end = self._end
        below.rise(self._take)
        if below.ending is not None:
            self._end(below.ending)

    # -- in ----------------------------------------------------------------------------------------------------------

    def _take(self, received: bytes) -> None:
        for frame in self._reader.receive(received):
            self.log.received("yamux", frame.body, str(frame))
            if len(self.frames) < MAX_FRAMES:
                self.frames.append(frame)
            self._dispatch(frame)
        if self._reader.violation is not None:
            self._end(self._reader.violation)
        self.changed()

    def _dispatch(self, frame: Frame) -> None:
        if frame.type == PING:
            if frame.flags & SYN and self.answers_pings:
                self.send_frame(Frame(PING, ACK, 0, frame.length))
        elif frame.type == GO_AWAY:
            self.go_away = frame.length
            self._end(f"go away {frame.length}")
        elif frame.flags & SYN and frame.stream_id not in self.streams:
            if self.accepts and len(self.streams) < MAX_STREAMS:
                self._accept(frame)
        elif frame.stream_id in self.streams:
            self.streams[frame.stream_id].take(frame)

    def _accept(self, frame: Frame) -> None:
        stream = self.streams[frame.stream_id] = Stream(self, frame.stream_id)
        self.send_frame(window(frame.stream_id, 0, ACK))
        stream.take(frame._replace(flags=frame.flags & ~SYN))
        self._on_stream(stream)

    def _end(self, how: str) -> None:
        if self.ending is None:
            self.ending = how
        for stream in list(self.streams.values()):
            stream.end(how)
        self.changed()

    # -- out ---------------------------------------------------------------------------------------------------------

    def send_frame(self, *frames: Frame) -> None:
        """Send frames in one piece, whatever they say."""
        for each in frames:
            self.log.sent("yamux", each.body, str(each))
        self.below.send(b"".join([each.encode() for each in frames]))

    def next_id(self) -> int:
        """An id of ours that was not used yet."""
        return next(self._ids)

    def listens(self) -> None:
        """The target dialed: our own ids are even."""
        self._ids = itertools.count(2, 2)

    def watch(self, stream_id: int) -> Stream:
        """Keep what comes for a stream whose frames the case sends itself."""
        stream = self.streams[stream_id] = Stream(self, stream_id)
        return stream

    def start(self, flags: int = SYN) -> Stream:
        """A new stream, nothing negotiated."""
        stream = self.watch(self.next_id())
        self.send_frame(window(stream.id, 0, flags))
        return stream

    async def open(self, protocol: str) -> Stream:
        """A new stream with the protocol agreed."""
        stream = self.start()
        await stream.negotiate(protocol)
        return stream

    async def frame(
        self, wanted: Callable[[Frame], bool], what: str, within_s: float | None = None, after: int = 0
    ) -> Frame:
        """The first frame from place ``after`` on for which ``wanted`` holds."""
        return await self.until(
            lambda: next((each for each in self.frames[after:] if wanted(each)), None),
            what,
            within_s=within_s,
            beyond_end=False,
        )

    async def alive(self) -> None:
        """The session answers a ping. Raises `Deviation` when it does not."""
        value = next(self._values)
        self.send_frame(Frame(PING, SYN, 0, value))
        await self.frame(
            lambda each: each.type == PING and each.has(ACK) and each.length == value,
            "answer to a ping that shows the session alive",
            within_s=max(3.0, self.limit_s),
        )


def refused(answer: str) -> bool:
    return answer == NOT_AVAILABLE


__all__ = ["DATA", "MAX_FRAMES", "Session", "Stream", "refused"]
