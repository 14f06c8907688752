"""Two sessions joined by a pipe that loses nothing, against a model of what was sent and delivered."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mesh.errors import Closed
from mesh.protocols.machine import Role
from mesh.protocols.yamux import Session, Settings, Stream, StreamOpened

SETTINGS = Settings(
    max_window_bytes=1 << 20,
    max_growth_bytes=1 << 20,
    accept_backlog=4,
    max_inbound_streams=6,
    batch_bytes=4096,
)
SIDES = st.sampled_from([0, 1])
PICKS = st.integers(0, 11)
PATTERN = bytes(range(251)) * 1300


@dataclass
class Half:
    """One direction of a stream: what its writer sent and its reader got."""

    sent: int = 0
    taken: int = 0
    reset: bool = False


@dataclass
class Side:
    session: Session
    reserved: int = 0
    pipe: bytearray = field(default_factory=bytearray)
    live: list[Stream] = field(default_factory=list)
    every: list[Stream] = field(default_factory=list)


class Pair(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sides = [self.side(Role.INITIATOR), self.side(Role.RESPONDER)]
        self.halves: dict[tuple[int, int], Half] = {}

    def side(self, role: Role) -> Side:
        side = Side(Session(role, SETTINGS, 0.0))

        def reserve(size: int) -> bool:
            side.reserved += size
            return True

        def release(size: int) -> None:
            side.reserved -= size

        side.session = Session(role, SETTINGS, 0.0, reserve, release)
        return side

    def half(self, writer: int, stream: Stream) -> Half:
        return self.halves.setdefault((writer, stream.id), Half())

    def pick(self, number: int, which: int) -> Stream | None:
        live = self.sides[number].live
        return live[which % len(live)] if live else None

    def pump(self, number: int) -> None:
        """Move what one end has to say into the pipe."""
        side = self.sides[number]
        for batch in side.session.output():
            assert 0 < sum(map(len, batch)) <= SETTINGS.batch_bytes
            side.pipe += b"".join(batch)

    def arrive(self, number: int, size: int) -> None:
        """Move bytes out of the pipe into the other end."""
        pipe, other = self.sides[number].pipe, self.sides[1 - number]
        part = bytes(pipe[:size])
        del pipe[:size]
        other.session.receive(part, self.now)
        for event in other.session.events():
            assert isinstance(event, StreamOpened), event
            other.live.append(event.stream)
            other.every.append(event.stream)
        for stream in other.session.ready:
            stream.touched = False
        other.session.ready.clear()

    @rule(number=SIDES, announce=st.booleans())
    def open(self, number: int, announce: bool) -> None:
        side = self.sides[number]
        if side.session.can_open and len(side.live) < 10:
            stream = side.session.open()
            side.live.append(stream)
            side.every.append(stream)
            if announce:
                side.session.announce(stream)

    @rule(number=SIDES, which=PICKS)
    def accept(self, number: int, which: int) -> None:
        stream = self.pick(number, which)
        if stream is not None and stream.inbound:
            self.sides[number].session.accept(stream)
            self.sides[number].session.announce(stream)

    @rule(number=SIDES, which=PICKS, size=st.sampled_from([1, 10, 1500, 5000, 70_000, 300_000]))
    def send(self, number: int, which: int, size: int) -> None:
        stream = self.pick(number, which)
        if stream is None or stream.write_closed or stream.reset_code is not None:
            return
        half = self.half(number, stream)
        start = half.sent % 251
        size = self.sides[number].session.send(stream, PATTERN[start : start + size])
        half.sent += size

    @rule(number=SIDES, which=PICKS, size=st.sampled_from([1, 100, 4000, 1 << 20]))
    def take(self, number: int, which: int, size: int) -> None:
        stream = self.pick(number, which)
        if stream is not None:
            self.read(number, stream, size)

    def read(self, number: int, stream: Stream, size: int) -> bool:
        half = self.half(1 - number, stream)
        part = bytes(self.sides[number].session.take(stream, size))
        start = half.taken % 251
        assert part == PATTERN[start : start + len(part)]
        half.taken += len(part)
        assert half.taken <= half.sent
        return bool(part)

    @rule(number=SIDES, which=PICKS)
    def close_write(self, number: int, which: int) -> None:
        stream = self.pick(number, which)
        if stream is not None and stream.reset_code is None:
            self.sides[number].session.close_write(stream)

    @rule(number=SIDES, which=PICKS, code=st.sampled_from([0, 0x1001, 77]))
    def reset(self, number: int, which: int, code: int) -> None:
        stream = self.pick(number, which)
        if stream is not None:
            self.sides[number].session.reset(stream, code)
            self.spoil(stream)

    @rule(number=SIDES)
    def shed(self, number: int) -> None:
        self.sides[number].session.shed()

    def spoil(self, stream: Stream) -> None:
        for writer in (0, 1):
            self.half(writer, stream).reset = True

    @rule(number=SIDES, size=st.sampled_from([1, 11, 13, 5000, 1 << 20]))
    def transfer(self, number: int, size: int) -> None:
        self.pump(number)
        self.arrive(number, size)

    @rule(number=SIDES, pause=st.sampled_from([0.0, 0.001, 0.5]))
    def wake(self, number: int, pause: float) -> None:
        self.now += pause
        self.sides[number].session.wake(self.now)
        self.pump(number)

    @rule()
    def settle(self) -> None:
        """Everything under way arrives, so that no ping waits too long."""
        while True:
            for number in (0, 1):
                self.pump(number)
            if not any(side.pipe for side in self.sides):
                return
            for number in (0, 1):
                self.arrive(number, len(self.sides[number].pipe))

    @invariant()
    def windows_hold(self) -> None:
        for side in self.sides:
            session = side.session
            side.live = [each for each in side.live if not each.dead or each.queued_bytes]
            assert session.ended is None
            assert session.held_bytes == sum(stream.held_bytes for stream in side.every)
            assert session.inbound_streams == sum(each.inbound for each in session.streams.values())
            assert session.inbound_streams <= SETTINGS.max_inbound_streams
            assert 0 <= session._backlog <= SETTINGS.accept_backlog
            assert 0 <= session._unacknowledged <= SETTINGS.accept_backlog
            grown = sum(each.window_bytes - (1 << 18) for each in session.streams.values())
            assert side.reserved == session._credit.grown_bytes == grown <= SETTINGS.max_growth_bytes
            for stream in session.streams.values():
                assert stream.send_window >= 0
                assert stream.receive_window >= 0
                assert stream.receive_window + stream.queued_bytes <= stream.window_bytes

    def teardown(self) -> None:
        """Close all in order, read all: what was not reset arrived whole, and nothing is left."""
        for _ in range(2):  # closing opens what was never announced
            for side in self.sides:
                for stream in list(side.session.streams.values()):
                    side.session.close_write(stream)
            self.settle()
        for number, side in enumerate(self.sides):
            for stream in side.every:
                while self.read(number, stream, 1 << 20):
                    pass
        self.settle()
        for number, side in enumerate(self.sides):
            session = side.session
            assert not session.streams
            assert (session.held_bytes, session.inbound_streams, side.reserved) == (0, 0, 0)
            assert (session._backlog, session._unacknowledged, session._credit.grown_bytes) == (0, 0, 0)
            for stream in side.every:
                half = self.half(1 - number, stream)
                if stream.reset_code is None and not half.reset:
                    assert half.taken == half.sent
        for side in self.sides:
            side.session.end(Closed("done"))


TestPair = Pair.TestCase
TestPair.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
