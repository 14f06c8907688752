"""Hole punching on a live node: from a connection through a relay to a direct one (DCUtR; digest, section 17).

Who accepted a relayed connection starts, once it knows who the peer is. Addresses of the peer that could be public are
dialled first; then up to three attempts follow, each an exchange over the relayed connection (`mesh.protocols.dcutr`)
and a moment at which both dial. Over TCP both connect from the ports they listen on, and who is the initiator was
settled before. Over QUIC the answering end dials, and the starter opens its NAT with datagrams that mean nothing. When
nobody came in for a second, the starter also dials plainly. What comes first stands; streams opened from then on take
it, and the relayed connection goes when its last stream has ended.

What became of each attempt is kept in `reports`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final

from mesh.errors import Closed, LimitError, MeshError, PeerError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.ip_ranges import is_public
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.addresses import quic_endpoint, tcp_endpoint
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.network.stream import Stream
from mesh.network.swarm import Swarm
from mesh.protocols.dcutr import (
    ATTEMPTS,
    EXCHANGE_S,
    MAX_ADDRESSES,
    MAX_MESSAGE_BYTES,
    PROTOCOL,
    Answerer,
    Exchange,
    Punch,
    Starter,
    punch_gap_s,
)
from mesh.protocols.machine import Role
from mesh.services.quic_outside import QuicOutside
from mesh.services.registry import Registry
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

PUNCH_S: Final = 5.0
"""How long both sides dial in one attempt."""
PLAIN_S: Final = 2.0
"""How long addresses that should be public are dialled before that: a second SYN has its time, no more."""
AGAIN_S: Final = 0.1
"""Rest after a dial that failed at once, doubled each time: a NAT may refuse what comes before its side has dialled."""
LATE_S: Final = 1.0
"""So long a starter leaves it to the other end to come in. Where its own NAT is symmetric that never happens, but its own
dial may come in there, if the other NAT lets in any port."""
DRAIN_S: Final = 2.0
"""A relayed connection beside a direct one goes when it has had no stream for this long."""
MAX_AT_ONCE: Final = 64
MAX_EXCHANGES: Final = ATTEMPTS
"""Answered over one relayed connection."""
MAX_REPORTS: Final = 256
KNOCK_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class PunchReport:
    """One attempt. ``attempt`` 0 is the plain dial before the first; ``cause`` is empty when a connection over
    ``transport`` (`tcp`, `quic`) stood ``seconds`` after both were to dial, else it has every address with what failed
    there."""

    peer: PeerId
    started: bool
    attempt: int
    addresses: tuple[Multiaddr, ...]
    transport: str
    cause: str
    seconds: float
    round_trip_s: float | None = None


class HolePunching:
    """The service. ``outside`` gives the addresses that others see this node at, ``known`` those of a peer; ``anywhere``
    counts private ones like public ones."""

    def __init__(
        self,
        swarm: Swarm,
        registry: Registry,
        counters: Counters,
        outside: Callable[[], Iterable[Multiaddr]],
        known: Callable[[PeerId], Iterable[Multiaddr]],
        *,
        anywhere: bool,
    ) -> None:
        self._swarm = swarm
        self._registry = registry
        self._counters = counters
        self._outside = outside
        self._known = known
        self._anywhere = anywhere
        self._quic = QuicOutside(swarm, counters, self._own, known)
        self._scope: Scope | None = None
        self._working: dict[PeerId, asyncio.Task[None]] = {}
        self._answering: dict[PeerId, asyncio.Task[None]] = {}
        self._asked: dict[Connection, int] = {}
        self._draining: set[Connection] = set()
        self.reports: deque[PunchReport] = deque(maxlen=MAX_REPORTS)

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self, scope: Scope) -> None:
        """Begin to offer and to answer."""
        self._scope = Scope("hole punching", scope)
        self._registry.add(PROTOCOL, self._serve, limited=True)
        self._swarm.observers.connected.append(self._connected)
        self._swarm.observers.disconnected.append(self._disconnected)

    async def stop(self) -> None:
        """End what is under way."""
        if self._scope is not None:
            self._registry.remove(PROTOCOL)
            self._swarm.observers.connected.remove(self._connected)
            self._swarm.observers.disconnected.remove(self._disconnected)
            await self._scope.close()
            self._scope = None

    def look(self) -> None:
        """Relays hold reservations for this node: who comes through them will be punched to."""
        if self._scope is not None:
            for relay in self._swarm.circuits.relays:
                self._quic.want(relay, self._scope)

    def identified(self, connection: Connection) -> None:
        """A peer said what it speaks: start, if it came through a relay and takes part."""
        peer = connection.peer
        if connection.relay is None:
            self.look()
        if (
            self._scope is not None
            and connection.relay is not None
            and connection.inbound
            and connection not in self._asked
            and peer not in self._working
            and len(self._working) < MAX_AT_ONCE
            and PROTOCOL in (connection.remote_protocols or ())
            and self._direct(peer) is None
        ):
            self._asked[connection] = 0
            task = self._scope.spawn(self._work(connection), "hole punching")
            self._working[peer] = task
            task.add_done_callback(lambda _task: self._worked(connection))

    def _worked(self, relayed: Connection) -> None:
        """An end was put to it. A peer that began anew meanwhile, and came through a relay again, has its turn."""
        self._working.pop(relayed.peer, None)
        for each in self._swarm.connections:
            if each.peer == relayed.peer and each is not relayed and each.usable:
                self.identified(each)

    def _connected(self, connection: Connection) -> None:
        """Where a direct connection stands, the relayed ones of the peer are drained; a relay in use sees all of us."""
        if self._scope is None:
            return
        if connection.relay is not None:
            self._quic.want(connection.relay, self._scope)
        else:
            for each in self._swarm.connections:
                if each.peer == connection.peer and each.relay is not None and each not in self._draining:
                    self._draining.add(each)
                    self._scope.spawn(self._drain(each), "drain")

    def _disconnected(self, connection: Connection) -> None:
        self._asked.pop(connection, None)
        self._draining.discard(connection)
        self._quic.disconnected(connection)

    def is_at(self, peer: PeerId) -> bool:
        """Whether this node is at a direct connection to a peer just now."""
        return peer in self._working or peer in self._answering

    def _direct(self, peer: PeerId) -> Connection | None:
        return self._swarm.connection_to(peer, direct=True)

    async def _drain(self, relayed: Connection) -> None:
        """Close it when it has no stream any more; it stays if the direct connection goes before that."""
        while self._direct(relayed.peer) is not None and relayed.usable:
            await relayed.quiet()
            await asyncio.sleep(DRAIN_S)
            if not relayed.stream_count and self._direct(relayed.peer) is not None:
                self._counters.count("dcutr.relayed:closed")
                await relayed.close()
        self._draining.discard(relayed)

    # -- addresses ---------------------------------------------------------------------------------------------------

    def _own(self) -> list[Multiaddr]:
        return [each for each in dict.fromkeys(self._outside()) if self._usable(each)][:MAX_ADDRESSES]

    def _usable(self, address: Multiaddr) -> bool:
        """Whether a punch can be tried with it: TCP or QUIC, direct, numeric and public."""
        if address.has("p2p-circuit") or (tcp_endpoint(address) or quic_endpoint(address)) is None:
            return False
        if not (address.value("ip4") or address.value("ip6")):
            return False
        return self._anywhere or is_public(address)

    # -- the end that starts -----------------------------------------------------------------------------------------

    async def _work(self, relayed: Connection) -> None:
        peer = relayed.peer
        known = tuple(each for each in self._known(peer) if self._usable(each))[:MAX_ADDRESSES]
        if known and await self._try(peer, True, 0, Punch(known, Role.INITIATOR, time.monotonic())):
            return
        for attempt in range(1, ATTEMPTS + 1):
            if self._direct(peer) is not None:
                return
            punch = await self._agree(relayed, attempt)
            if punch is None or await self._try(peer, True, attempt, punch):
                return
        self._counters.count("dcutr.stays_relayed")
        log.info("%s stays connected through the relay %s: no attempt came through", peer, relayed.relay)

    async def _agree(self, relayed: Connection, attempt: int) -> Punch | None:
        """When to dial what; None, with a report, when nothing was agreed on."""
        own, now = self._own(), time.monotonic()
        if not own:
            self._asked.pop(relayed, None)  # what the peer says next is a reason to try again
            self._report(relayed.peer, True, attempt, (), "no outside address of this node is known", 0.0)
            return None
        try:
            announced = PROTOCOL in (relayed.remote_protocols or ())
            stream = await relayed.open([PROTOCOL], optimistic=announced, allow_limited=True)
            # Made only now: its clock is of the exchange alone, without what came before.
            starter = Starter(own, self._usable, time.monotonic(), attempt)
            cause = await self._exchange(stream, starter)
            if isinstance(starter.outcome, Punch):
                return starter.outcome
        except MeshError as error:
            cause = str(error)
        self._report(relayed.peer, True, attempt, (), f"exchange: {cause}", time.monotonic() - now)
        return None

    # -- the end that answers ----------------------------------------------------------------------------------------

    async def _serve(self, stream: Stream) -> None:
        relayed = stream.connection
        if relayed.relay is None or relayed.inbound:
            raise PeerError(
                "hole punching is asked for by who accepted a relayed connection", protocol=PROTOCOL
            )
        asked = self._asked.get(relayed, 0) + 1
        self._asked[relayed] = asked
        own = self._own()
        if not own or asked > MAX_EXCHANGES:
            raise PeerError(
                "no outside address to offer" if not own else "too many attempts", protocol=PROTOCOL
            )
        answerer = Answerer(own, self._usable, time.monotonic())
        cause = await self._exchange(stream, answerer)
        if not isinstance(answerer.outcome, Punch):
            raise PeerError(cause, protocol=PROTOCOL)
        if self._scope is not None and self._direct(relayed.peer) is None:
            await self._answer(relayed.peer, asked, answerer.outcome)

    async def _answer(self, peer: PeerId, attempt: int, punch: Punch) -> None:
        """Dial beside the stream, which ends; a later attempt takes the place of one that is still under way."""
        before = self._answering.pop(peer, None)
        if before is not None:
            before.cancel()
            await asyncio.wait([before])
        if self._scope is None or len(self._answering) >= MAX_AT_ONCE:
            return
        task = self._scope.spawn(self._try(peer, False, attempt, punch), "hole punch")
        self._answering[peer] = task

        def ended(_task: asyncio.Task[None]) -> None:
            if self._answering.get(peer) is task:
                del self._answering[peer]

        task.add_done_callback(ended)

    # -- both --------------------------------------------------------------------------------------------------------

    @staticmethod
    async def _exchange(stream: Stream, machine: Exchange) -> str:
        """Carry the messages of an exchange; the cause if it failed. Raises `MeshError`."""
        try:
            async with asyncio.timeout(EXCHANGE_S):
                while True:
                    for message in machine.output():
                        await stream.write_message(bytes(message))
                    if machine.outcome is not None:
                        break
                    machine.receive(await stream.read_message(MAX_MESSAGE_BYTES), time.monotonic())
        except TimeoutError:
            machine.wake(machine.deadline() or time.monotonic())
        except BaseException:
            stream.reset()
            raise
        if isinstance(machine.outcome, Punch):
            await stream.close()
            return ""
        stream.reset()
        return machine.outcome.cause if machine.outcome is not None else "not finished"

    async def _try(self, peer: PeerId, started: bool, attempt: int, punch: Punch) -> bool:
        """One attempt; whether a direct connection stands."""
        await asyncio.sleep(max(0.0, punch.at - time.monotonic()))
        begun = time.monotonic()
        failures: dict[Multiaddr, str] = {}
        found = self._direct(peer)
        if found is None:
            plain = not attempt
            works = [self._dial(peer, each, punch.role, plain, failures) for each in punch.addresses]
            if punch.role is Role.RESPONDER:
                works += [self._dial_late(peer, each) for each in punch.addresses]
            found = await self._first(peer, works, punching=not plain)
        elif attempt:
            found.punched = True
        seconds = time.monotonic() - begun
        if found is None:
            cause = "; ".join(f"{address}: {cause}" for address, cause in failures.items())
            self._report(peer, started, attempt, punch.addresses, cause or "nothing came", seconds, punch)
            return False
        transport = "quic" if found.muxer == "quic" else "tcp"
        self._report(peer, started, attempt, punch.addresses, "", seconds, punch, transport)
        return True

    async def _first(
        self, peer: PeerId, works: list[Coroutine[Any, Any, None]], *, punching: bool
    ) -> Connection | None:
        """The first direct connection that stands, whoever dialled it, while ``works`` go on."""
        arrived = asyncio.Event()

        def connected(connection: Connection) -> None:
            if connection.peer == peer and connection.relay is None:
                connection.punched = punching
                arrived.set()

        self._swarm.observers.connected.append(connected)
        tasks = [asyncio.create_task(each, name="hole punch") for each in works]
        waiting = asyncio.create_task(arrived.wait(), name="hole punch")
        try:
            async with asyncio.timeout(PUNCH_S if punching else PLAIN_S):
                await waiting
        except TimeoutError:
            pass
        finally:
            self._swarm.observers.connected.remove(connected)
            for task in (*tasks, waiting):
                task.cancel()
            await asyncio.wait([*tasks, waiting])
        return self._direct(peer)

    async def _dial(
        self, peer: PeerId, address: Multiaddr, role: Role, plain: bool, failures: dict[Multiaddr, str]
    ) -> None:
        """Dial until it works or the time is over. A plain dial must not leave from the port that a punch needs: what a
        NAT remembers of its SYN would spoil the punch."""
        if role is Role.RESPONDER and quic_endpoint(address) is not None:
            failures[address] = "nothing came from there"
            await self._knock(address)
            return
        rest = AGAIN_S
        limit = PLAIN_S if plain else PUNCH_S
        deadline = time.monotonic() + limit
        while (left := deadline - time.monotonic()) > 0:
            failures[address] = f"no answer within {limit:g} s"
            try:
                await self._swarm.dial_as(peer, address, role, left, from_any_port=plain)
            except (LimitError, PeerError, Closed) as error:
                failures[address] = str(error)
                return
            except MeshError as error:
                failures[address] = str(error).removeprefix(f"{address}: ")
            else:
                return
            await asyncio.sleep(rest)
            rest *= 2

    async def _dial_late(self, peer: PeerId, address: Multiaddr) -> None:
        await asyncio.sleep(LATE_S)
        await self._dial(peer, address, Role.INITIATOR, True, {})

    async def _knock(self, address: Multiaddr) -> None:
        """Open this side's NAT for a dial from ``address``, until cancelled."""
        number = 0
        while self._swarm.knock(address, os.urandom(KNOCK_BYTES)):
            await asyncio.sleep(punch_gap_s(number, random.random()))
            number += 1

    def _report(
        self,
        peer: PeerId,
        started: bool,
        attempt: int,
        addresses: tuple[Multiaddr, ...],
        cause: str,
        seconds: float,
        punch: Punch | None = None,
        transport: str = "",
    ) -> None:
        side = "starter" if started else "answerer"
        if attempt:
            self._counters.count(f"dcutr.{side}:{transport or 'failed'}")
        else:
            self._counters.count(f"dcutr.direct_dials:{'success' if transport else 'failed'}")
        log.debug("hole punch %d with %s: %s", attempt, peer, cause or transport)
        trip = punch.round_trip_s if punch is not None else None
        self.reports.append(PunchReport(peer, started, attempt, addresses, transport, cause, seconds, trip))
