"""Streams to peers by the best of several paths: the node's own connection, direct or punched, those through each relay
where the peer says it is reached, and chains of forwarders where too few of these are found.

A tunnel goes in a session where its peer has them: on the path of choice, with a second one beside it that carries
nothing until the first fails. Paths are measured every second, compared every 30 s and whenever one ends. Peers without
sessions get a plain stream on the path of choice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mesh.apps.beam.chains import Chains
from mesh.apps.beam.paths import OrdinaryPaths, PathStream
from mesh.apps.beam.session_end import SessionEnd
from mesh.apps.beam.sessions import SESSION_PROTOCOL, Sessions
from mesh.config import BeamSection
from mesh.errors import MeshError, NetworkError, PeerError, ProtocolNotSupported
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.circuit.addresses import split_circuit
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.protocols.beam.chain_rules import ChainLimits
from mesh.protocols.beam.path_choice import CHAINED, DIRECT, PUNCHED, RELAYED, PathChoice, PathKey, Switch
from mesh.protocols.beam.path_quality import PathMeter, Quality
from mesh.protocols.beam.route_table import Route, RouteTable
from mesh.protocols.beam.route_trial import LIMIT_S, RouteTrial, diverse, innocent
from mesh.protocols.beam.session_outgoing import MAX_HELD_BYTES
from mesh.protocols.machine import Role

if TYPE_CHECKING:
    from mesh.node import Node

log = logging.getLogger(__name__)

WANTED_PATHS: Final = 2
MEASURE_S: Final = 1.0
DIAL_S: Final = 10.0
RETRY_S: Final = 10.0
"""A relay that did not lead to the peer is not asked again sooner."""
SHUNNED_S: Final = 30.0
"""A path that fell silent is not taken again sooner, whatever its connection says."""
CHAIN_AFTER_S: Final = 0.6
"""A connection that takes longer is no longer waited for alone: relays may be black holes, too."""
MAX_PEERS: Final = 256
"""Whose measures are remembered after the last session."""


class QualityPaths:
    """Takes the place of `OrdinaryPaths`. ``protocols`` are those that go in sessions; ``on_refused`` as of `Chains`.
    ``table`` is told which relays delivered and which did not."""

    def __init__(
        self,
        node: Node,
        scope: Scope,
        protocols: Sequence[str],
        settings: BeamSection,
        on_refused: Callable[[PeerId], None],
    ) -> None:
        self._node = node
        self._scope = scope
        self._ordinary = OrdinaryPaths(node)
        self._protocols = frozenset(protocols)
        self._striping = settings.striping
        self._peers: dict[PeerId, _Peer] = {}
        self.table = RouteTable(node.peer_id)
        self.sessions = Sessions(node, scope, self._path_lost)
        limits = ChainLimits(
            settings.max_chains, settings.max_chains_per_peer, settings.chain_s, settings.chain_bytes
        )
        self.chains = Chains(node, scope, settings.forward, limits, on_refused)
        self.own_links: Callable[[], Mapping[PeerId, Quality]] = dict
        """Set by who measures them."""

    async def open(self, peer: PeerId, addresses: Sequence[Multiaddr], protocol: str) -> PathStream:
        state = self._state(peer)
        state.addresses = tuple(addresses)
        connection = await self._connection(state)
        if protocol in self._protocols and await _has_sessions(connection):
            try:
                end = await self.sessions.open(connection, protocol)
            except ProtocolNotSupported:
                pass
            else:
                state.ends[end] = {end.session.paths[0]: self._key(connection)}
                state.attend(self._scope, self._look_after(state))
                return end
        return await self._node.open(connection, protocol)

    def describe(self, peer: PeerId) -> str:
        state = self._peers.get(peer)
        if state is None or state.choice.current is None:
            return self._ordinary.describe(peer)
        return str(state.choice.current)

    def switches(self, peer: PeerId) -> tuple[Switch, ...]:
        """When the path to a peer changed, and why; times are of the monotonic clock."""
        state = self._peers.get(peer)
        return () if state is None else tuple(state.choice.switches)

    def changes(self) -> list[dict[str, Any]]:
        """The last changes of paths, how long ago each was, and why."""
        now = time.monotonic()
        found = [(switch, peer) for peer, state in self._peers.items() for switch in state.choice.switches]
        return [
            {
                "peer": str(peer),
                "before": None if switch.before is None else str(switch.before),
                "after": None if switch.after is None else str(switch.after),
                "reason": switch.reason,
                "ago_s": round(now - switch.at, 3),
            }
            for switch, peer in sorted(found, key=lambda each: -each[0].at)
        ]

    def documents(self) -> list[dict[str, Any]]:
        """Every path that was measured, with both scores."""
        now = time.monotonic()
        return [
            {
                "peer": str(peer),
                "path": str(key),
                "chosen": key == state.choice.current,
                **meter.quality(now).document(),
                "route_score": round(self._score(state, key, now), 4),
            }
            for peer, state in self._peers.items()
            for key, meter in state.meters.items()
        ]

    # -- which connections -------------------------------------------------------------------------------------------

    async def _connection(self, state: _Peer) -> Connection:
        """The one of choice, or whichever the node comes to."""
        self._evaluate(state)
        if state.choice.current is not None:
            return self._living(state)[state.choice.current]
        connecting = self._scope.spawn(self._connect(state), "beam connection")
        await asyncio.wait([connecting], timeout=CHAIN_AFTER_S)
        waiting = {each for each in (connecting,) if not each.done()}
        if not self._living(state):
            waiting.add(self._chain(state))
        while waiting and not self._living(state):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        self._evaluate(state)
        current = state.choice.current
        if current is not None:
            return self._living(state)[current]
        connection = self._node.swarm.connection_to(state.peer)
        if connection is None:
            raise state.cause or NetworkError(f"nothing leads to {state.peer}")
        return connection

    async def _connect(self, state: _Peer) -> None:
        """The node's own way; it goes on when nobody waits for it any more."""
        state.cause = None
        try:
            await self._node.connect(state.peer, state.addresses)
        except MeshError as error:
            state.cause = error

    def _living(self, state: _Peer) -> dict[PathKey, Connection]:
        """The newest usable connection of each path; those that a relay limits carry no tunnels."""
        now = time.monotonic()
        return {
            self._key(each): each
            for each in self._node.swarm.connections
            if each.peer == state.peer
            and each.usable
            and each.limited is None
            and state.shunned.get(self._key(each), 0.0) <= now
        }

    def _key(self, connection: Connection) -> PathKey:
        """What path a connection is."""
        if connection.relay is None:
            return PathKey(PUNCHED if connection.punched else DIRECT)
        chain = self.chains.relays(connection)
        return PathKey(CHAINED, chain) if chain else PathKey(RELAYED, (connection.relay,))

    def _candidates(self, state: _Peer) -> Iterator[tuple[PeerId, Multiaddr]]:
        """Relays that lead to the peer, with the address of the circuit."""
        for address in dict.fromkeys((*state.addresses, *self._node.addresses.of(state.peer))):
            found = split_circuit(address)
            if found is not None:
                yield found[0], address

    async def _dial_spare(self, state: _Peer) -> None:
        """One more path, through a relay that is not in use yet."""
        living, now = self._living(state), time.monotonic()
        for relay, address in self._candidates(state):
            key = PathKey(RELAYED, (relay,))
            if key in living or max(state.tried.get(relay, 0.0), state.shunned.get(key, 0.0)) > now:
                continue
            state.tried[relay] = now + RETRY_S
            try:
                await self._node.swarm.dial_as(state.peer, address, Role.INITIATOR, DIAL_S)
            except MeshError as error:
                state.meter(key).tried(False, time.monotonic())
                log.debug("%s cannot be reached by %s: %s", state.peer, relay, error)
                continue
            state.meter(key).tried(True, time.monotonic())
            return
        if now >= state.chain_after:
            state.chain_after = now + RETRY_S
            self._chain(state)

    def _chain(self, state: _Peer) -> asyncio.Task[None]:
        """What looks for a path through forwarders; one at a time for a peer."""
        if state.chain is None or state.chain.done():
            state.chain = self._scope.spawn(self._try_chains(state), "beam chains")
        return state.chain

    async def _try_chains(self, state: _Peer) -> None:
        """Until one of the best that are told of leads to the peer; those still under way go on, as spare ones."""
        now, living = time.monotonic(), self._living(state)
        routes = [
            each
            for each in self.table.routes(state.peer, self.own_links(), now)
            if each.relays
            and (key := PathKey(CHAINED, each.relays)) not in living
            and state.shunned.get(key, 0.0) <= now
        ]
        trial = RouteTrial(diverse(routes, lambda route: route.relays), now)
        news = asyncio.Event()
        while (deadline := trial.deadline()) is not None:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await news.wait()
            except TimeoutError:
                pass
            news.clear()
            now = time.monotonic()
            trial.overdue(now)
            for route in trial.due(now):
                self._scope.spawn(self._try_chain(state, route, trial, news), "beam chain")

    async def _try_chain(
        self, state: _Peer, route: Route, trial: RouteTrial[Route], news: asyncio.Event
    ) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S):
                await self.chains.dial(route.peers)
        except (MeshError, TimeoutError) as error:
            now = time.monotonic()
            key = PathKey(CHAINED, route.relays)
            state.shunned[key] = now + SHUNNED_S
            status = error.wire_code if isinstance(error, PeerError) else None
            if not innocent(status, now - began):
                self.table.failed(route.relays, now)
            trial.failed(route, now)
            log.debug("%s cannot be reached %s: %s", state.peer, key, error)
        else:
            trial.reached(route)
            state.changed.set()
        news.set()

    # -- measuring and choosing --------------------------------------------------------------------------------------

    async def _look_after(self, state: _Peer) -> None:
        """As long as there are sessions with a peer."""
        while state.living_ends():
            state.changed.clear()
            if len(self._living(state)) < WANTED_PATHS:
                await self._dial_spare(state)
            self._measure(state)
            if (state.choice.deadline() or 0.0) <= time.monotonic() or self._disagrees(state):
                self._evaluate(state)
            for end in state.living_ends():
                await self._provide(state, end)
            try:
                async with asyncio.timeout(MEASURE_S):
                    await state.changed.wait()
            except TimeoutError:
                pass

    def _disagrees(self, state: _Peer) -> bool:
        """Whether the path of choice is gone, or is none yet."""
        return state.choice.current not in self._living(state)

    async def _provide(self, state: _Peer, end: SessionEnd) -> None:
        """A session has the path of choice and one more, and data go by the former; by both if they are to be striped."""
        living = self._living(state)
        scores = self._scores(state, living)
        ranked = sorted(living, key=lambda key: (key != state.choice.current, -scores[key]))
        paths = state.ends.get(end, {})
        for key in ranked[:WANTED_PATHS]:
            if key in paths.values():
                continue
            try:
                paths[await self.sessions.join(end, living[key])] = key
            except MeshError as error:
                state.shunned[key] = time.monotonic() + RETRY_S
                state.meter(key).tried(False, time.monotonic())
                log.debug("%s takes no further path by %s: %s", state.peer, key, error)
        self._steer(state, end)

    def _steer(self, state: _Peer, end: SessionEnd) -> None:
        paths = state.ends.get(end, {})
        chosen = {path for path, key in paths.items() if self._striping or key == state.choice.current}
        if chosen:
            end.carry_by(chosen)

    def _measure(self, state: _Peer) -> None:
        now = time.monotonic()
        for key, connection in self._living(state).items():
            meter = state.meter(key)
            driver = connection.driver
            meter.counted(driver.received_bytes + driver.sent_bytes, now)
            if connection.rtt_s is not None:
                meter.answered(connection.rtt_s)
        for end in state.living_ends():
            outgoing = end.session.outgoing
            for path, key in state.ends.get(end, {}).items():
                round_trip_s = end.session.round_trip_s(path)
                if round_trip_s is not None:
                    state.meter(key).answered(round_trip_s)
                    state.meter(key).tried(True, now)
                if path in end.session.carriers:
                    state.meter(key).waited(outgoing.end - outgoing.acknowledged, MAX_HELD_BYTES)
                    heard_at = end.session.heard_at(path)
                    if heard_at is not None and now - heard_at < MEASURE_S:
                        self.table.delivered(key.relays, now)

    def _scores(self, state: _Peer, keys: Iterable[PathKey]) -> dict[PathKey, float]:
        now = time.monotonic()
        return {key: self._score(state, key, now) for key in keys}

    def _score(self, state: _Peer, key: PathKey, now: float) -> float:
        """What is measured from end to end counts for every hop."""
        score = state.meter(key).quality(now).seed / (len(key.relays) + 1)
        return score * min((self.table.standing(each, now) for each in key.relays), default=1.0)

    def _evaluate(self, state: _Peer) -> None:
        self._switched(
            state, state.choice.evaluate(self._scores(state, self._living(state)), time.monotonic())
        )

    def _switched(self, state: _Peer, switch: Switch | None) -> None:
        if switch is None:
            return
        log.info("path to %s: %s", state.peer, switch)
        self._node.counters.count("beam.path:switched")
        for end in state.living_ends():
            self._steer(state, end)

    def _path_lost(self, end: SessionEnd, path: int, reason: str) -> None:
        """A path of one session ended: others with that peer are told by their own."""
        state = self._peers.get(end.peer)
        key = state.ends.get(end, {}).pop(path, None) if state is not None else None
        if state is None or key is None:
            return
        now = time.monotonic()
        state.meter(key).tried(False, now)
        self.table.failed(key.relays, now)
        self._node.counters.count("beam.path:lost")
        if reason.startswith("silent"):
            state.shunned[key] = now + SHUNNED_S
        log.info("path to %s %s was lost: %s", state.peer, key, reason)
        rest = {
            each: score for each, score in self._scores(state, self._living(state)).items() if each != key
        }
        self._switched(state, state.choice.failed(key, rest, f"{key} was lost: {reason}", now))
        state.changed.set()

    def _state(self, peer: PeerId) -> _Peer:
        state = self._peers.pop(peer, None) or _Peer(peer)
        self._peers[peer] = state
        for each in list(self._peers):
            if len(self._peers) <= MAX_PEERS:
                break
            if not self._peers[each].living_ends():
                del self._peers[each]
        return state


class _Peer:
    """What is known of the paths to one peer."""

    def __init__(self, peer: PeerId) -> None:
        self.peer = peer
        self.addresses: tuple[Multiaddr, ...] = ()
        self.choice = PathChoice()
        self.meters: dict[PathKey, PathMeter] = {}
        self.ends: dict[SessionEnd, dict[int, PathKey]] = {}
        self.tried: dict[PeerId, float] = {}
        self.shunned: dict[PathKey, float] = {}
        self.chain_after = 0.0
        self.chain: asyncio.Task[None] | None = None
        self.cause: MeshError | None = None
        """Why the last connection did not come about."""
        self.changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def meter(self, key: PathKey) -> PathMeter:
        return self.meters.setdefault(key, PathMeter())

    def living_ends(self) -> list[SessionEnd]:
        """Sessions that stand; the others are forgotten."""
        self.ends = {end: paths for end, paths in self.ends.items() if not end.ended.is_set()}
        return list(self.ends)

    def attend(self, scope: Scope, work: Any) -> None:
        """Run the upkeep unless it runs."""
        self.changed.set()
        if self._task is None or self._task.done():
            self._task = scope.spawn(work, "beam paths to a peer")
        else:
            work.close()


async def _has_sessions(connection: Connection) -> bool:
    """Whether the peer announced sessions, as far as it has said."""
    if connection.remote_protocols is None and connection.identified is not None:
        await asyncio.wait([connection.identified])
    return SESSION_PROTOCOL in (connection.remote_protocols or ())
