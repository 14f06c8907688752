"""Reaching a peer: every address it is known at, raced (happy eyeballs), with one cause kept for each that failed.

Addresses start in the order and at the distance `address_ranking` gives, and sooner when nothing is under way; the first
finished upgrade wins and the others are dropped. Two dials of one peer at the same time share the same race. Addresses
that failed lately wait out a backoff, unless the caller named them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from mesh.errors import Closed, DialError, DialFailure, LimitError, MeshError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.ip_ranges import is_public
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.address_ranking import rank
from mesh.network.backoff import Backoff
from mesh.network.connection import Connection
from mesh.network.dial_causes import failed_connect, failed_upgrade
from mesh.network.resolver import Resolver
from mesh.network.transport import Transport
from mesh.telemetry.counters import Counters

MAX_DIALS = 160
MAX_DIALS_PER_PEER = 8
NEAR_TIMEOUT_S = 5.0
"""Private and loopback addresses answer fast or never."""


@dataclass(frozen=True, slots=True)
class DialSettings:
    """Times in seconds: TCP connect, one address with its upgrade, one peer with all its addresses."""

    connect_s: float
    address_s: float
    peer_s: float


@dataclass(slots=True)
class _Race:
    """What one dial has come to; ``pending`` has the stage of each address that has not failed yet."""

    peer: PeerId | None
    progress: asyncio.Event = field(default_factory=asyncio.Event)
    failures: list[DialFailure] = field(default_factory=list)
    pending: dict[Multiaddr, str] = field(default_factory=dict)
    running: int = 0

    @property
    def whom(self) -> str:
        return f"peer {self.peer}" if self.peer is not None else "the address"

    def fail(self, address: Multiaddr, stage: str, cause: str, error: Exception | None = None) -> None:
        self.pending.pop(address, None)
        self.failures.append(DialFailure(str(address), stage, cause, error))


class Dialer:
    """Dials peers. ``make(peer, proposal)`` gives the connection object of a new attempt, which proposes the security
    protocol at that place; ``refuse(peer, address)`` may say why an address is not to be dialled."""

    def __init__(
        self,
        settings: DialSettings,
        transports: Sequence[Transport],
        resolver: Resolver,
        make: Callable[[PeerId | None, int], Connection],
        counters: Counters,
        refuse: Callable[[PeerId | None, Multiaddr], str | None] = lambda _peer, _address: None,
    ) -> None:
        self._settings = settings
        self._transports = transports
        self._resolver = resolver
        self._make = make
        self._counters = counters
        self._refuse = refuse
        self._backoff = Backoff()
        self._gate = asyncio.Semaphore(MAX_DIALS)
        self._active: dict[PeerId, asyncio.Task[Connection]] = {}
        self._waiting: Counter[asyncio.Task[Connection]] = Counter()

    async def dial(
        self, peer: PeerId | None, named: Iterable[Multiaddr], known: Iterable[Multiaddr] = ()
    ) -> Connection:
        """Connect to ``peer`` (None: whoever answers) at addresses the caller ``named`` or that are ``known``.

        Raises `DialError` with stage and cause of every address.
        """
        if peer is None:
            return await self._race(None, named, known)
        active = self._active.get(peer)
        if active is not None:
            try:
                return await self._result(peer, active)
            except DialError:
                if not (named := list(named)):
                    raise
        task = asyncio.get_running_loop().create_task(self._race(peer, named, known), name="dial")
        self._active[peer] = task
        task.add_done_callback(lambda _task: self._forget(peer, task))
        return await self._result(peer, task)

    async def close(self) -> None:
        """Cancel every dial under way and wait for its end."""
        tasks = list(self._active.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _result(self, peer: PeerId, task: asyncio.Task[Connection]) -> Connection:
        """What the dial of a task comes to; it is given up when nobody waits for it any longer."""
        self._waiting[task] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                if not task.done():
                    self._forget(peer, task)
                    task.cancel()
                    await asyncio.wait([task])

    def _forget(self, peer: PeerId, task: asyncio.Task[Connection]) -> None:
        if self._active.get(peer) is task:
            del self._active[peer]
        if task.done() and not task.cancelled():
            task.exception()

    # -- one race ----------------------------------------------------------------------------------------------------

    async def _race(
        self, peer: PeerId | None, named: Iterable[Multiaddr], known: Iterable[Multiaddr]
    ) -> Connection:
        race = _Race(peer)
        limit = self._settings.peer_s
        try:
            async with asyncio.timeout(limit):
                candidates = await self._candidates(race, named, known)
                connection = await self._run(race, candidates)
        except TimeoutError:
            self._counters.count("dial.failed")
            for address, stage in list(race.pending.items()):
                race.fail(address, stage, f"not finished when the {limit:g} s for all addresses were over")
            raise DialError(f"cannot connect to {race.whom} within {limit:g} s:", race.failures) from None
        if connection is not None:
            return connection
        self._counters.count("dial.failed")
        raise DialError(
            f"cannot connect to {race.whom}:" if race.failures else f"no address of {race.whom} is known",
            race.failures,
        )

    async def _candidates(
        self, race: _Race, named: Iterable[Multiaddr], known: Iterable[Multiaddr]
    ) -> list[Multiaddr]:
        """Resolved addresses that may be tried; the others become failures."""
        named = list(dict.fromkeys(named))
        wanted = dict.fromkeys([*named, *known])
        candidates: list[Multiaddr] = []
        now = time.monotonic()
        race.pending = dict.fromkeys(wanted, "waiting for its turn")
        for address in wanted:
            place = _place(race.peer, address)
            if address not in named and (pause := self._backoff.wait(place, now)):
                times = self._backoff.failures(place)
                cause = f"failed {times} times; next try in {pause:.0f} s"
                race.fail(address, "backoff", cause)
                continue
            race.pending[address] = "resolve"
            try:
                found = await self._resolver.resolve(address, race.peer)
            except MeshError as error:
                race.fail(address, "resolve", str(error), error)
            else:
                del race.pending[address]
                race.pending |= dict.fromkeys(found, "waiting for its turn")
                candidates += found
        return candidates

    async def _run(self, race: _Race, candidates: list[Multiaddr]) -> Connection | None:
        won: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        tasks: set[asyncio.Task[None]] = set()
        gate = asyncio.Semaphore(MAX_DIALS_PER_PEER)
        started = time.monotonic()
        if len(candidates) == 1:
            race.running = 1
            await self._attempt(race, candidates[0], won, gate)
            return won.result() if won.done() else None
        try:
            for delay, address in rank(candidates):
                while race.running and not won.done():
                    rest = started + delay - time.monotonic()
                    if rest <= 0:
                        break
                    await self._wait(race, rest)
                if won.done():
                    break
                race.running += 1
                tasks.add(asyncio.create_task(self._attempt(race, address, won, gate), name="dial address"))
            while race.running and not won.done():
                await self._wait(race, None)
            return won.result() if won.done() else None
        except asyncio.CancelledError:
            if won.done():
                won.result().abort(Closed("the dial was cancelled"))
            raise
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _wait(self, race: _Race, limit: float | None) -> None:
        """Until an attempt has succeeded or failed, or the time is over."""
        race.progress.clear()
        try:
            async with asyncio.timeout(limit):
                await race.progress.wait()
        except TimeoutError:
            return

    async def _attempt(
        self, race: _Race, address: Multiaddr, won: asyncio.Future[Connection], gate: asyncio.Semaphore
    ) -> None:
        connection = self._make(race.peer, 0)
        stage, begun, error = "address", False, None
        try:
            transport = next((each for each in self._transports if each.handles(address)), None)
            refusal = self._refuse(race.peer, address)
            if transport is None or refusal is not None:
                cause = refusal or "no transport for this kind of address"
            else:
                # Through a relay, whose own dial would wait at this gate: it takes no descriptor.
                async with gate, contextlib.nullcontext() if _is_relayed(address) else self._gate:
                    begun = True
                    stage, cause, error = await self._connect(transport, address, connection)
                    while (proposal := connection.other_proposal) is not None:
                        connection = self._make(race.peer, proposal)
                        stage, cause, error = await self._connect(transport, address, connection)
            if cause:
                race.fail(address, stage, cause, error)
                if not isinstance(connection.close_reason, LimitError):
                    self._backoff.note_failure(_place(race.peer, address), time.monotonic())
                connection.abort(Closed(cause))
            elif won.done():
                connection.abort(Closed("another address was faster"))
            else:
                self._backoff.note_success(_place(race.peer, address))
                won.set_result(connection)
        except asyncio.CancelledError:
            if begun:
                race.pending[address] = connection.stage
            connection.abort(Closed("another address was faster" if won.done() else "the dial was given up"))
            raise
        finally:
            race.running -= 1
            race.progress.set()

    async def _connect(
        self, transport: Transport, address: Multiaddr, connection: Connection
    ) -> tuple[str, str, Exception | None]:
        """Stage, cause and error of a failure; empty strings when the connection stands."""
        settings = self._settings
        near = not (is_public(address) or _is_relayed(address))
        address_s = min(settings.address_s, NEAR_TIMEOUT_S) if near else settings.address_s
        deadline = time.monotonic() + address_s
        limit = address_s if _is_relayed(address) else min(settings.connect_s, address_s)
        try:
            async with asyncio.timeout(limit):
                await transport.dial(address, connection)
        except MeshError as error:  # before TimeoutError, which `TimedOut` also is
            return "connect", str(error), error
        except TimeoutError as error:
            return "connect", f"no answer within {limit:g} s", error
        except OSError as error:
            return "connect", failed_connect(error), error
        try:
            await connection.upgraded_within(deadline - time.monotonic())
        except MeshError as error:
            return *failed_upgrade(connection.failed_stage, error, connection.driver.received_bytes), error
        return "", "", None


def _is_relayed(address: Multiaddr) -> bool:
    return address.has("p2p-circuit")


def _place(peer: PeerId | None, address: Multiaddr) -> Multiaddr:
    """What backoffs are kept by: through one relay many peers are reached at the same address."""
    return address / f"/p2p/{peer}" if peer is not None and _is_relayed(address) else address
