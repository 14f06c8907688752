"""Which streams a connection over qh3 has, what of them was told and not consumed, and which ids are new.

The core keeps the last 1,024 streams that are over and would open an older one anew when a belated copy of its bytes
comes; here every id of the peer's is new once.
"""

from __future__ import annotations


class Stream:
    """``held``: bytes told and not consumed; ``received``: all that were told; ``limit``: how many may come in all.
    ``told``: the owner knows of it. ``stopped``: the code of a STOP_SENDING that came before. ``finished``: the core is
    done with it."""

    __slots__ = ("finished", "held", "limit", "reading", "received", "stopped", "told", "writing")

    def __init__(self, told: bool, limit: int) -> None:
        self.held = 0
        self.received = 0
        self.limit = limit
        self.told = told
        self.reading = True
        self.writing = True
        self.finished = False
        self.stopped: int | None = None


class Streams:
    """The streams by id, and ``held_bytes`` of all of them. An entry stays until it is finished and consumed.

    ``window`` is how many bytes may come of a stream before any is consumed.
    """

    __slots__ = ("_gaps", "_next_of_peer", "_parity_of_peer", "_window", "held_bytes", "table")

    def __init__(self, dialer: bool, window: int) -> None:
        self._window = window
        self.table: dict[int, Stream] = {}
        self.held_bytes = 0
        self._parity_of_peer = 1 if dialer else 0
        self._next_of_peer = self._parity_of_peer
        self._gaps: set[int] = set()

    def add(self, stream_id: int, told: bool = True) -> Stream:
        stream = self.table[stream_id] = Stream(told, self._window)
        return stream

    def is_new(self, stream_id: int) -> bool:
        """Whether this is a stream of the peer's that was not asked about before.

        The core holds ids within the peer's limit, so the ids left out below the highest are few.
        """
        if stream_id & 1 != self._parity_of_peer:
            return False
        if stream_id >= self._next_of_peer:
            self._gaps.update(range(self._next_of_peer, stream_id, 4))
            self._next_of_peer = stream_id + 4
            return True
        if stream_id in self._gaps:
            self._gaps.remove(stream_id)
            return True
        return False

    def release(self, stream_id: int, size: int) -> Stream | None:
        """``size`` bytes of a stream were consumed, or will never be read. The stream, if it needs a wider window now: if
        more may come of it, and no more than half of what the peer may send unread."""
        stream = self.table.get(stream_id)
        if stream is None:
            return None
        size = min(size, stream.held)
        stream.held -= size
        self.held_bytes -= size
        if stream.finished and not stream.held:
            del self.table[stream_id]
        left = stream.limit - stream.received + stream.held
        return stream if left <= self._window >> 1 and stream.reading else None

    def finish(self, stream_id: int) -> None:
        """Both directions of a stream are over for the core."""
        stream = self.table.get(stream_id)
        if stream is not None:
            stream.finished = True
            self.release(stream_id, 0)

    def clear(self) -> None:
        self.table.clear()
        self._gaps.clear()
        self.held_bytes = 0
