"""What honest nodes do while they are measured: each use opens a connection to a node that it cannot dial, and sends
bytes that have to come back.

Ways are found and kept as the live node does it: circuits by the provider's relays first, chains beside them after a
while, each tried as `RouteTrial` says; then a session with a spare path, measured every second, chosen by `PathChoice`
with the standing that `RouteTable` keeps. A use succeeds when its first byte came within the time that a tunnel gives a
provider, and the last one, however often its path was changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from mesh.codecs.beam_route import RouteStatus
from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.path_choice import CHAINED, RELAYED, PathChoice, PathKey
from mesh.protocols.beam.path_quality import PathMeter
from mesh.protocols.beam.route_trial import RouteTrial, diverse, innocent
from mesh.simulation.beam_nodes import RouteNode
from mesh.simulation.beam_paths import SessionPath, SimulatedEnd, close_path
from mesh.simulation.beam_routing import RELAYS_OF_PROVIDER, Path, RoutingNetwork
from mesh.simulation.figures import share, spread_of

TRY_MS: Final = 3000
"""As a tunnel gives a provider."""
CHAIN_AFTER_MS: Final = 600
RELAY_AFTER_MS: Final = 250
"""Between dials of one peer's addresses."""
MEASURE_MS: Final = 1000
SHUNNED_S: Final = 30.0
WRITE_MS: Final = 250
WRITES: Final = 40
WRITE_BYTES: Final = 1024
GRACE_MS: Final = 8000


class Use:
    """One connection of ``opener`` to ``provider``."""

    def __init__(
        self, network: RoutingNetwork, opener: RouteNode, provider: RouteNode, relays: list[RouteNode]
    ) -> None:
        self.network = network
        self.world = network.world
        self.opener = opener
        self.provider = provider
        self.relays = relays
        self.choice = PathChoice()
        self.began_ms = self.world.now_ms
        self.first_ms: int | None = None
        self.echoed = 0
        self.switches = 0
        self.over = False
        self._meters: dict[PathKey, PathMeter] = {}
        self._shunned: dict[PathKey, float] = {}
        self._paths: dict[int, tuple[PathKey, Path, SessionPath]] = {}
        self._dialled: dict[PathKey, Path] = {}
        self._trial: RouteTrial[PathKey] | None = None
        self._numbers = 0
        self._ends: tuple[SimulatedEnd, SimulatedEnd] | None = None

    @property
    def succeeded(self) -> bool:
        in_time = self.first_ms is not None and self.first_ms - self.began_ms <= TRY_MS
        return in_time and self.echoed == WRITES * WRITE_BYTES

    def start(self) -> None:
        """Look for a way."""
        for number, relay in enumerate(self.relays):
            self.world.after(number * RELAY_AFTER_MS, self._dial, PathKey(RELAYED, (relay.peer,)))
        self.world.after(CHAIN_AFTER_MS, self._chains_if_none)
        self.world.after(TRY_MS, self._given_up)
        self.world.after(TRY_MS + WRITES * WRITE_MS + GRACE_MS, self.end)

    def end(self) -> None:
        """Nothing comes any more."""
        self.over = True
        for _, path, between in self._paths.values():
            between.ended = True
            path.release()
        for path in self._dialled.values():
            path.release()
        self._paths.clear()
        self._dialled.clear()

    # -- finding ways ------------------------------------------------------------------------------------------------

    def _chains_if_none(self) -> None:
        if not self._paths and not self.over:
            self._chains()

    def _given_up(self) -> None:
        if not self._paths and not self._ends:
            self.end()

    def _chains(self) -> None:
        """Try the best chains that are told of, unless that is under way."""
        now = self.world.now_s
        if self._trial is not None and not self._trial.finished:
            return
        living = {key for key, _, _ in self._paths.values()}
        routes = self.opener.routes(self.provider.peer)
        keys = [PathKey(CHAINED, each.relays) for each in routes if each.relays]
        open_ones = [each for each in keys if each not in living and self._shunned.get(each, 0.0) <= now]
        self._trial = RouteTrial(diverse(open_ones, lambda key: key.relays), now)
        self._go_on()

    def _go_on(self) -> None:
        """What the trial has to do now."""
        trial, now = self._trial, self.world.now_s
        if trial is None or self.over:
            return
        for late in trial.overdue(now):
            self._failed(late)
        for key in trial.due(now):
            self._dial(key)
        deadline = trial.deadline()
        if deadline is not None:
            self.world.at(max(round(deadline * 1000), self.world.now_ms + 1), self._go_on)

    def _dial(self, key: PathKey) -> None:
        if self.over:
            return
        nodes, began = [self.network.at(each) for each in key.relays], self.world.now_s

        def done(path: Path | RouteStatus) -> None:
            self._dialled.pop(key, None)
            if isinstance(path, RouteStatus):
                self._failed(key, blame=not innocent(path, self.world.now_s - began))
            else:
                self._reached(key, path)

        if key.kind == CHAINED:
            self._dialled[key] = self.network.dial_chain((self.opener, *nodes, self.provider), done)
        else:
            self._dialled[key] = self.network.dial_relay(self.opener, nodes[0], self.provider, done)

    def _failed(self, key: PathKey, *, blame: bool = True) -> None:
        """A way leads nowhere; whoever is on it is blamed, unless it is a relay that has no reservation."""
        now = self.world.now_s
        self._shunned[key] = now + SHUNNED_S
        if (path := self._dialled.pop(key, None)) is not None:
            path.release()
        if key.kind == CHAINED and blame:
            self._blame(key.relays)
        if self._trial is not None:
            self._trial.failed(key, now)
            self._go_on()

    def _reached(self, key: PathKey, path: Path) -> None:
        if self._trial is not None:
            self._trial.reached(key)
        if self.over or any(key == each for each, _, _ in self._paths.values()):
            path.release()
            return
        self._numbers += 1
        number = self._numbers
        between = SessionPath(path.one_way_ms, path.passes)
        path.on_end = lambda: self._ended(number)
        if self._ends is None:
            self._ends = self._open()
        self._paths[number] = key, path, between
        for end in self._ends:
            end.add_path(number, between, carries=len(self._paths) == 1)
        self._evaluate()

    # -- the session -------------------------------------------------------------------------------------------------

    def _open(self) -> tuple[SimulatedEnd, SimulatedEnd]:
        opener = SimulatedEnd(self.world, True, self._lost, self._came)
        provider = SimulatedEnd(self.world, False, lambda *_: None, lambda data: self._echo(data))
        opener.other, provider.other = provider, opener
        self._write(opener, 0)
        self.world.after(MEASURE_MS, self._look_after)
        return opener, provider

    def _write(self, opener: SimulatedEnd, number: int) -> None:
        if number < WRITES and not self.over:
            opener.write(bytes(WRITE_BYTES))
            self.world.after(WRITE_MS, self._write, opener, number + 1)

    def _echo(self, data: bytes) -> None:
        if self._ends is not None:
            self._ends[1].write(data)

    def _came(self, data: bytes) -> None:
        if self.first_ms is None:
            self.first_ms = self.world.now_ms
        self.echoed += len(data)
        if self.echoed == WRITES * WRITE_BYTES:
            self.end()

    def _ended(self, number: int) -> None:
        """Something in the middle ended a path."""
        if self._ends is not None and number in self._paths:
            close_path(self.world, number, self._paths[number][2], self._ends)

    def _lost(self, number: int, reason: str) -> None:
        found = self._paths.pop(number, None)
        if found is None or self.over:
            return
        key, path, _ = found
        now = self.world.now_s
        path.release()
        self._meter(key).tried(False, now)
        self._blame(key.relays)
        if reason.startswith("silent"):
            self._shunned[key] = now + SHUNNED_S
        self.choice.failed(key, self._scores(), reason, now)
        self.switches += 1
        self._steer()
        self._spare()

    def _look_after(self) -> None:
        if self.over:
            return
        self.world.after(MEASURE_MS, self._look_after)
        assert self._ends is not None
        session, now = self._ends[0].session, self.world.now_s
        for number, (key, _, _) in self._paths.items():
            round_trip_s, heard_at = session.round_trip_s(number), session.heard_at(number)
            if round_trip_s is not None:
                self._meter(key).answered(round_trip_s)
                self._meter(key).tried(True, now)
            if number in session.carriers and heard_at is not None and now - heard_at < MEASURE_MS / 1000:
                self.opener.table.delivered(key.relays, now)
        if len(self._paths) < 2:
            self._spare()
        if (self.choice.deadline() or 0.0) <= now:
            self._evaluate()

    def _spare(self) -> None:
        """One more path, by a relay that is not in use, else by a chain."""
        living, now = {key for key, _, _ in self._paths.values()}, self.world.now_s
        for relay in self.relays:
            key = PathKey(RELAYED, (relay.peer,))
            if key not in living and self._shunned.get(key, 0.0) <= now:
                self._shunned[key] = now + 10.0
                self._dial(key)
                return
        self._chains()

    def _evaluate(self) -> None:
        self.choice.evaluate(self._scores(), self.world.now_s)
        self._steer()

    def _steer(self) -> None:
        assert self._ends is not None
        chosen = {number for number, (key, _, _) in self._paths.items() if key == self.choice.current}
        if chosen:
            self._ends[0].session.carry_by(chosen)
            self._ends[0].settle()

    def _scores(self) -> dict[PathKey, float]:
        now = self.world.now_s
        return {key: self._score(key, now) for key, _, _ in self._paths.values()}

    def _score(self, key: PathKey, now: float) -> float:
        score = self._meter(key).quality(now).seed / (len(key.relays) + 1)
        return score * min((self.opener.table.standing(each, now) for each in key.relays), default=1.0)

    def _meter(self, key: PathKey) -> PathMeter:
        return self._meters.setdefault(key, PathMeter())

    def _blame(self, relays: Iterable[PeerId]) -> None:
        self.opener.table.failed(relays, self.world.now_s)
        for each in relays:
            self.network.blamed[self.network.at(each).kind] += 1


class Uses:
    """Uses at random instants, by random honest nodes, of random ones that are no neighbours of theirs."""

    def __init__(self, network: RoutingNetwork) -> None:
        self.network = network
        self.all: list[Use] = []
        self._chance = network.world.random("uses")

    def run(self) -> None:
        """Let everything happen; uses begin once everybody had the time to tell of its links."""
        network, parameters = self.network, self.network.parameters
        network.start()
        network.expire()
        span_ms = int(parameters.minutes * 60_000)
        for number in range(parameters.uses):
            network.world.at(35_000 + self._chance.randrange(span_ms), self._begin, number % 2 == 0)
        network.world.run(35_000 + span_ms + TRY_MS + WRITES * WRITE_MS + GRACE_MS + 1000)

    def _begin(self, relayed: bool) -> None:
        """The provider cannot be dialled. It has links, and where it is ``relayed`` reservations, as far as relays have
        room for it."""
        network, chance = self.network, self._chance
        opener, provider = chance.choice(network.honest), chance.choice(network.providers)
        while provider is opener or provider.peer in opener.neighbours:
            opener, provider = chance.choice(network.honest), chance.choice(network.providers)
        relays = [
            each
            for each in chance.sample(network.relays_told, RELAYS_OF_PROVIDER * relayed)
            if each.reserve(provider.peer, f"192.{provider.number >> 8}.{provider.number & 255}.1")
        ]
        use = Use(network, opener, provider, relays)
        self.all.append(use)
        use.start()

    def figures(self) -> dict[str, Any]:
        """What came of them; times in ms."""
        done = [each for each in self.all if each.succeeded]
        reasons = Counter(
            "nobody was reached" if each.first_ms is None else "bytes were lost"
            for each in self.all
            if not each.succeeded
        )
        first = spread_of(each.first_ms - each.began_ms for each in self.all if each.first_ms is not None)
        return {
            "uses": len(self.all),
            "success": round(share(len(done), len(self.all)), 5),
            "failures": dict(reasons),
            "first_byte_ms": first.rounded(),
            "paths_lost": sum(each.switches for each in self.all),
        }
