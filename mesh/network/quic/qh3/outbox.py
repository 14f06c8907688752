"""What waits to be sent on a connection over qh3: how much of it the core has, and of which streams.

The core makes a frame of every stream that has something, up to sixteen at once, before it knows how many of them it may
send. When its window is full while some wait, they keep acknowledgements back as well, and two such ends wait for each
other until timers break it. So the core has bytes of few streams at a time and the others' wait here for their turn; one
that the peer's windows hold up is passed over. `Trial` has a reason of its own to give the core little.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from qh3._hazmat import QuicConnectionCore

from mesh.network.quic.qh3.datagrams import Trial
from mesh.protocols.machine import Buffer

MAX_STREAMS: Final = 4
"""Of how many streams the core has bytes at a time."""
TURN_BYTES: Final = 64 * 1024
"""What a stream gets in its turn while others wait."""


def is_full(core: QuicConnectionCore) -> bool:
    """Whether the core's window leaves no room for another datagram."""
    return core.congestion_window - core.bytes_in_flight < core.active_path[5]


class Waiting:
    """What waits of one stream, in ``pieces`` of together ``size`` bytes, and whether its end follows."""

    __slots__ = ("fin", "pieces", "size")

    def __init__(self) -> None:
        self.pieces: deque[memoryview] = deque()
        self.size = 0
        self.fin = False

    def add(self, data: Buffer, fin: bool) -> None:
        if data:
            self.pieces.append(memoryview(bytes(data)))
            self.size += len(data)
        self.fin = fin

    def take(self, most: int) -> memoryview:
        """The next piece, of at most ``most`` bytes."""
        if not self.pieces:
            return memoryview(b"")
        piece = self.pieces.popleft()
        if len(piece) > most:
            self.pieces.appendleft(piece[most:])
            piece = piece[:most]
        self.size -= len(piece)
        return piece


class Outbox:
    """``staged`` is what waits here, by stream."""

    __slots__ = ("_active", "_core", "staged", "trial")

    def __init__(self, core: QuicConnectionCore, trial: Trial | None) -> None:
        self.trial = trial
        self.staged: dict[int, Waiting] = {}
        self._core = core
        self._active: list[int] = []

    def write(self, stream_id: int, data: Buffer, fin: bool) -> None:
        """Queue bytes and perhaps the end. Raises as the core does when the stream is over."""
        if not self.staged and self._fits(stream_id, len(data)):
            self._core.send_stream(stream_id, data, fin)
            return
        if stream_id not in self.staged:
            self.staged[stream_id] = Waiting()
        self.staged[stream_id].add(data, fin)

    def _fits(self, stream_id: int, size: int) -> bool:
        """Whether the core may have this as well, which then counts as given."""
        active = self._active
        if active != [stream_id]:
            active = self._prune()
            if stream_id not in active:
                if len(active) == MAX_STREAMS:
                    return False
                active.append(stream_id)
        return self.trial is None or self._core.get_send_buffer_size(stream_id) + size <= self.trial.room

    def _prune(self) -> list[int]:
        size_of = self._core.get_send_buffer_size
        self._active = [stream_id for stream_id in self._active if size_of(stream_id)]
        return self._active

    def unsent_bytes(self, stream_id: int) -> int:
        waiting = self.staged.get(stream_id)
        return self._core.get_send_buffer_size(stream_id) + (0 if waiting is None else waiting.size)

    def drop(self, stream_id: int) -> None:
        """Nothing more of this stream is to be sent."""
        self.staged.pop(stream_id, None)

    def feed(self) -> bool:
        """Give the core what is next, as far as it has sent what it was given; whether it got something."""
        return bool(self.staged) and self._give(without=self._prune())

    def pass_over(self) -> bool:
        """The core has no datagram to send. If the peer's windows are why and others wait here, it gets theirs."""
        core = self._core
        if not self.staged or is_full(core):
            return False
        timer = core.get_timer()
        if timer is not None and timer[0] == "pacing":
            return False
        held_up, self._active = self._active, []
        return self._give(without=held_up)

    def _give(self, without: list[int]) -> bool:
        given = False
        for stream_id in [*self.staged]:
            if len(self._active) >= MAX_STREAMS:
                break
            if stream_id not in without:
                self._pass_on(stream_id)
                given = True
        return given

    def _pass_on(self, stream_id: int) -> None:
        waiting = self.staged.pop(stream_id)
        most = TURN_BYTES if self.trial is None else self.trial.piece(stream_id, waiting.size)
        piece = waiting.take(most)
        if waiting.pieces:
            self.staged[stream_id] = waiting
        self._active.append(stream_id)
        try:
            self._core.send_stream(stream_id, piece, waiting.fin and not waiting.pieces)
        except (ValueError, RuntimeError):
            self.drop(stream_id)
