"""Sessions between simulated nodes: the real machine at both ends, frames that take their time, paths that end or fall
silent."""

from __future__ import annotations

from collections.abc import Callable

from mesh.codecs.beam_session import SessionFrame
from mesh.protocols.beam.session import PathLost, Session
from mesh.simulation.world import Alarm, World

READ_BYTES = 1 << 20


class SessionPath:
    """What lies between both ends. ``passes`` says whether a frame that leaves now arrives; with ``frame_ms`` above 0 the
    next one leaves each way only so much later."""

    __slots__ = ("_free_ms", "ended", "frame_ms", "one_way_ms", "passes")

    def __init__(self, one_way_ms: int, passes: Callable[[], bool], frame_ms: int = 0) -> None:
        self.one_way_ms = one_way_ms
        self.passes = passes
        self.frame_ms = frame_ms
        self.ended = False
        self._free_ms = {True: 0, False: 0}

    def free_ms(self, opener: bool) -> int:
        """When the next frame of an end may leave."""
        return self._free_ms[opener]

    def leaves(self, opener: bool, now_ms: int) -> None:
        """A frame of an end leaves."""
        self._free_ms[opener] = now_ms + self.frame_ms


class SimulatedEnd:
    """One end of a session; ``on_lost`` gets paths by number and why, ``on_data`` what has come in order."""

    __slots__ = ("_alarm", "_on_data", "_on_lost", "_pumping", "_world", "other", "paths", "session")

    def __init__(
        self,
        world: World,
        opener: bool,
        on_lost: Callable[[int, str], None],
        on_data: Callable[[bytes], None],
    ) -> None:
        self._world = world
        self._on_lost = on_lost
        self._on_data = on_data
        self._pumping: set[int] = set()
        self._alarm = Alarm(world, self._wake)
        self.session = Session(opener, world.now_s)
        self.paths: dict[int, SessionPath] = {}
        self.other: SimulatedEnd | None = None

    def add_path(self, number: int, path: SessionPath, *, carries: bool = True) -> None:
        """A further path, by the number that both ends have for it."""
        self.paths[number] = path
        self.session.add_path(number, self._world.now_s, carries=carries)
        self.settle()

    def lose(self, number: int, reason: str) -> None:
        """The connection of a path is closed."""
        self.session.lose_path(number, reason, self._world.now_s)
        self.settle()

    def write(self, data: bytes) -> int:
        """How much there was room for."""
        taken = self.session.write(data)
        self.settle()
        return taken

    def settle(self) -> None:
        """Act on what the machine wants now."""
        session = self.session
        for event in session.events():
            if isinstance(event, PathLost):
                self.paths.pop(event.path, None)
                self._on_lost(event.path, event.reason)
        for number, path in list(self.paths.items()):
            self._pump(number, path)
        if session.incoming.readable:
            self._on_data(session.read(READ_BYTES))
        self._alarm.set(session.deadline())

    def receive(self, number: int, frame: SessionFrame) -> None:
        """A frame has come."""
        if number in self.paths:
            self.session.receive(number, frame, self._world.now_s)
            self.settle()

    def _pump(self, number: int, path: SessionPath) -> None:
        session, world = self.session, self._world
        while session.waiting(number):
            if path.frame_ms and path.free_ms(session.opener) > world.now_ms:
                if number not in self._pumping:
                    self._pumping.add(number)
                    world.at(path.free_ms(session.opener), self._pump_again, number)
                return
            frame = session.next_frame(number, world.now_s)
            if frame is None or self.other is None:
                return
            if frame.data:
                path.leaves(session.opener, world.now_ms)
            if path.passes():
                world.after(path.one_way_ms, self.other.receive, number, frame)

    def _pump_again(self, number: int) -> None:
        self._pumping.discard(number)
        path = self.paths.get(number)
        if path is not None:
            self._pump(number, path)

    def _wake(self) -> None:
        self.session.wake(self._world.now_s)
        self.settle()


def close_path(world: World, number: int, path: SessionPath, ends: tuple[SimulatedEnd, SimulatedEnd]) -> None:
    """What carries a path is closed in the middle: both ends learn of it."""
    if not path.ended:
        path.ended = True
        for end in ends:
            world.after(max(path.one_way_ms // 2, 1), end.lose, number, "closed")
