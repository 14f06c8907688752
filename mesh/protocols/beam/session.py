"""One end of `/beam/session/1.0.0`: a byte stream over several paths that outlives each of them. Pure.

Bytes are numbered, held by who sends them until the other end has them, and sent again by another path when theirs ends
or falls silent: nothing came on it for two times `KEEPALIVE_S`, though the other end was asked. Data go by the paths
that the opener lets carry them; when none of those lives, by the one heard last, so that a failure needs no word of the
other end. With several that carry, each takes the next segment as soon as it can: faster paths carry more.

Each path is pulled: whoever drives it calls `next_frame` when it can send. What a peer may not say ends the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mesh.codecs.beam_session import SessionFrame
from mesh.errors import Malformed, UsageError
from mesh.protocols.beam.session_incoming import WINDOW_BYTES, Incoming
from mesh.protocols.beam.session_outgoing import Outgoing
from mesh.protocols.machine import Buffer

KEEPALIVE_S: Final = 2.0
"""A path that says nothing for so long is asked; for twice as long, it is given up."""
ORPHANED_S: Final = 30.0
"""A session without a path ends after so long."""
MAX_PATHS: Final = 8
ANNOUNCED_SHARE: Final = 4
"""The other end is told of room once a quarter of the window was read."""


@dataclass(frozen=True, slots=True)
class PathLost:
    """A path ended or fell silent; what it carried goes by others."""

    path: int
    reason: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Nothing comes or goes any more; ``reason`` is empty when both directions came to their ends in order."""

    reason: str


@dataclass(slots=True)
class _Path:
    heard_at: float
    asked_at: float
    carries: bool = True
    told: bool | None = None
    ack_due: bool = True
    ping_due: bool = False
    pong_due: int | None = None
    reset_due: bool = False
    round_trip_s: float | None = None


class Session:
    """``opener`` says which paths carry. Times are seconds of one clock."""

    def __init__(self, opener: bool, now: float) -> None:
        self.opener = opener
        self.outgoing = Outgoing()
        self.incoming = Incoming()
        self.ended: SessionEnded | None = None
        self._paths: dict[int, _Path] = {}
        self._orphaned_at: float | None = now
        self._announced = WINDOW_BYTES
        self._token = 0
        self._asked: dict[int, float] = {}
        self._events: list[PathLost | SessionEnded] = []

    # -- paths -------------------------------------------------------------------------------------------------------

    @property
    def paths(self) -> tuple[int, ...]:
        """Those that live."""
        return tuple(self._paths)

    @property
    def carriers(self) -> tuple[int, ...]:
        """Those by which data go."""
        chosen = tuple(path for path, each in self._paths.items() if each.carries)
        if chosen or not self._paths:
            return chosen
        return (max(self._paths, key=lambda path: self._paths[path].heard_at),)

    def round_trip_s(self, path: int) -> float | None:
        """Of the last ping of a path."""
        held = self._paths.get(path)
        return None if held is None else held.round_trip_s

    def heard_at(self, path: int) -> float | None:
        """When the last frame came by a path; when it was added, if none did."""
        held = self._paths.get(path)
        return None if held is None else held.heard_at

    def add_path(self, path: int, now: float, *, carries: bool = True) -> None:
        """A further path, by a number of its own. Raises `UsageError` for one too many or after the end."""
        if self.ended is not None or path in self._paths or len(self._paths) >= MAX_PATHS:
            raise UsageError(f"no path {path}: the session has ended, has it, or has {MAX_PATHS}")
        self._paths[path] = _Path(now, now, carries)
        self._orphaned_at = None

    def carry_by(self, paths: set[int]) -> None:
        """The opener's choice: data go by these."""
        for path, each in self._paths.items():
            each.carries = path in paths

    def lose_path(self, path: int, reason: str, now: float) -> None:
        """A path is gone; nothing happens for one that is not there."""
        if self._paths.pop(path, None) is None:
            return
        self.outgoing.lost(path)
        for each in self._paths.values():
            each.ack_due = True
        if not self._paths:
            self._orphaned_at = now
        self._events.append(PathLost(path, reason))

    # -- bytes -------------------------------------------------------------------------------------------------------

    def write(self, data: Buffer) -> int:
        """As much as there is room for; how much that was."""
        return 0 if self.ended is not None else self.outgoing.write(data)

    def finish(self) -> None:
        """Nothing more will be written."""
        self.outgoing.finish()

    def read(self, max_bytes: int) -> bytes:
        """Bytes that have come; none when there are none."""
        chunk = self.incoming.take(max_bytes)
        limit = self.incoming.received + self.incoming.window_bytes
        if limit - self._announced >= WINDOW_BYTES // ANNOUNCED_SHARE:
            self._acknowledge_by(None)
        return chunk

    def reset(self, reason: str) -> None:
        """End at once; the other end is told on every path."""
        self._end(reason)
        for each in self._paths.values():
            each.reset_due = True

    # -- frames ------------------------------------------------------------------------------------------------------

    def receive(self, path: int, frame: SessionFrame, now: float) -> None:
        """A frame has come by a path."""
        held = self._paths.get(path)
        if held is None or self.ended is not None:
            return
        held.heard_at = now
        if frame.reset:
            self._end("the other end reset the session")
            return
        try:
            if frame.received is not None:
                self.outgoing.acknowledge(frame.received, frame.window)
            if frame.data or frame.final:
                self._acknowledge_by(path)
                self.incoming.add(frame.offset, frame.data, frame.final)
        except Malformed as error:
            self.reset(str(error))
            return
        if frame.ping is not None:
            held.pong_due = frame.ping
        if frame.pong is not None and (asked_at := self._asked.pop(frame.pong, None)) is not None:
            held.round_trip_s = now - asked_at
        if frame.carries is not None and not self.opener:
            held.carries = frame.carries
        self._check_complete()

    def waiting(self, path: int) -> bool:
        """Whether `next_frame` would give one."""
        held = self._paths.get(path)
        if held is None:
            return False
        return (
            held.ack_due
            or held.ping_due
            or held.reset_due
            or held.pong_due is not None
            or self._choice_due(held)
            or (self.ended is None and path in self.carriers and self.outgoing.waiting())
        )

    def next_frame(self, path: int, now: float) -> SessionFrame | None:
        """What is to be sent by a path now."""
        held = self._paths.get(path)
        if held is None or not self.waiting(path):
            return None
        if held.reset_due:
            held.reset_due = held.ack_due = held.ping_due = False
            held.pong_due = None
            return SessionFrame(reset=True)
        frame = SessionFrame()
        if self.ended is None and path in self.carriers:
            segment = self.outgoing.take(path)
            if segment is not None:
                frame.offset, frame.data, frame.final = segment.offset, bytes(segment.data), segment.final
        frame.received, frame.window = self.incoming.received, self.incoming.window_bytes
        self._announced = frame.received + frame.window
        held.ack_due = False
        if held.ping_due:
            held.ping_due = False
            self._token = (self._token + 1) % 2**32
            self._asked[self._token] = now
            frame.ping = self._token
        frame.pong, held.pong_due = held.pong_due, None
        if self._choice_due(held):
            frame.carries = held.told = held.carries
        self._check_complete()
        return frame

    # -- time --------------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When `wake` is to be called."""
        if self.ended is not None:
            return None
        if self._orphaned_at is not None:
            return self._orphaned_at + ORPHANED_S
        return min(max(each.heard_at, each.asked_at) for each in self._paths.values()) + KEEPALIVE_S

    def wake(self, now: float) -> None:
        """Ask paths that say nothing, give up those that do not answer."""
        if self.ended is not None:
            return
        for path, each in list(self._paths.items()):
            if now < max(each.heard_at, each.asked_at) + KEEPALIVE_S:
                continue
            if each.asked_at > each.heard_at:
                self.lose_path(path, f"silent for {now - each.heard_at:.1f} s", now)
            else:
                each.asked_at = now
                each.ping_due = True
        for token in [token for token, asked_at in self._asked.items() if now - asked_at > ORPHANED_S]:
            del self._asked[token]
        if self._orphaned_at is not None and now >= self._orphaned_at + ORPHANED_S:
            self._end(f"no path for {ORPHANED_S:g} s")

    def events(self) -> list[PathLost | SessionEnded]:
        """What happened since the last call."""
        found, self._events = self._events, []
        return found

    # -- within ------------------------------------------------------------------------------------------------------

    def _choice_due(self, path: _Path) -> bool:
        return self.opener and path.told is not path.carries

    def _acknowledge_by(self, path: int | None) -> None:
        """Tell the other end what has come, by a path or by all."""
        for number, each in self._paths.items():
            if path is None or number == path:
                each.ack_due = True

    def _check_complete(self) -> None:
        """Both directions are through, and the other end has been told."""
        if (
            self.ended is None
            and self.outgoing.complete
            and self.incoming.complete
            and not any(each.ack_due for each in self._paths.values())
        ):
            self._end("")

    def _end(self, reason: str) -> None:
        if self.ended is None:
            self.ended = SessionEnded(reason)
            self._events.append(self.ended)
