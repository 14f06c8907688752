"""One lookup on a live node: `mesh.protocols.kademlia.lookup` driven by requests to peers.

Each request is a task of the service's scope. Those still under way when the lookup ends go on by themselves, within
their time: their streams stay usable, and the table learns from them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from mesh.codecs.kademlia import Answer, Message, Peer
from mesh.errors import Closed, DecodeError, MeshError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.kademlia import (
    Candidate,
    Lookup,
    LookupSettings,
    Result,
    RoundTrips,
    RoutingTable,
    key_of,
    trace,
)
from mesh.protocols.kademlia.diversity import groups_of
from mesh.protocols.kademlia.providers import usable_addresses
from mesh.services.kademlia.links import Links
from mesh.services.kademlia.membership import Membership, Spawn
from mesh.telemetry.counters import Counters

MAX_PEERS_REMEMBERED: Final = 8192
MAX_NAMED_BYTES: Final = 4096
"""A peer of an answer that takes more is passed over; dozens of addresses fit."""

Step = trace.Step[PeerId]
OnStep = Callable[[Step], None]
OnAnswer = Callable[[PeerId, Answer], bool]
"""Called with each answer; True ends the lookup."""


@dataclass(frozen=True, slots=True)
class Search:
    """What lookups of one node share."""

    table: RoutingTable[PeerId]
    membership: Membership
    links: Links
    round_trips: RoundTrips[PeerId]
    settings: LookupSettings
    spawn: Spawn
    counters: Counters

    async def run(
        self,
        target: bytes,
        message: Message,
        on_answer: OnAnswer | None = None,
        on_step: OnStep | None = None,
    ) -> Result[PeerId]:
        """Look up the key of ``target`` by sending ``message`` to ever closer peers."""
        running = _Running(self, target, message.encode(), on_answer, on_step)
        try:
            result = await running.done
            self.counters.count(f"kademlia.lookup:{result.ending.name.lower()}")
            return result
        finally:
            running.stop()


class _Running:
    """A lookup under way."""

    __slots__ = (
        "_addresses",
        "_message",
        "_on_answer",
        "_on_step",
        "_search",
        "_timer",
        "_timer_at",
        "done",
        "lookup",
    )

    def __init__(
        self,
        search: Search,
        target: bytes,
        message: bytes,
        on_answer: OnAnswer | None,
        on_step: OnStep | None,
    ) -> None:
        table = search.table
        key = key_of(target)
        self._search = search
        self._message = message
        self._on_answer = on_answer
        self._on_step = on_step
        self._addresses: dict[int, list[bytes]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.done: asyncio.Future[Result[PeerId]] = asyncio.get_running_loop().create_future()
        seeds = [each.candidate for each in table.closest(key, search.settings.k)]
        self.lookup = Lookup(
            key,
            seeds,
            search.settings,
            search.round_trips,
            time.monotonic(),
            exclude=(table.local_key,),
            trace=on_step is not None,
        )
        self._go_on()

    def stop(self) -> None:
        """Nobody waits any more."""
        self.lookup.stop(time.monotonic())
        if self._timer is not None:
            self._timer.cancel()

    def _go_on(self) -> None:
        """Send the requests that are due and see to the next deadline, or tell that it is over."""
        lookup = self.lookup
        for peer in lookup.requests():
            self._search.spawn(self._ask(peer), "kademlia request").add_done_callback(self._asked)
        if self._on_step is not None:
            for step in lookup.events():
                self._on_step(step)
        if self.done.done():
            return
        if lookup.finished:
            self.done.set_result(lookup.result())
            return
        deadline = lookup.deadline()
        if deadline is None or (self._timer is not None and self._timer_at <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        delay = max(0.0, deadline - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _asked(self, task: asyncio.Task[None]) -> None:
        """A request ended; only the end of the service cancels one."""
        if task.cancelled() and not self.done.done():
            self.done.set_exception(Closed("the DHT was stopped"))

    def _wake(self) -> None:
        self._timer = None
        self.lookup.wake(time.monotonic())
        self._go_on()

    async def _ask(self, peer: PeerId) -> None:
        search = self._search
        limit_s = search.settings.request_limit_s
        try:
            answer = await search.links.request(peer, self._known_addresses(peer), self._message, limit_s)
        except MeshError as error:
            self.lookup.failed(peer, time.monotonic(), str(error))
            search.membership.failed(peer)
        else:
            search.membership.answered(peer)
            self.lookup.answered(peer, self._candidates(answer.closer_peers), time.monotonic())
            if self._on_answer is not None and not self.done.done() and self._on_answer(peer, answer):
                self.lookup.stop(time.monotonic())
        self._go_on()

    def _candidates(self, encoded: Sequence[bytes]) -> list[Candidate[PeerId]]:
        """Those of an answer that have a valid id and an address to go to."""
        addresses = self._addresses
        found: list[Candidate[PeerId]] = []
        for each in encoded:
            named = _read_named(each) if len(each) <= MAX_NAMED_BYTES else None
            if named is not None:
                if named.candidate.key not in addresses:
                    addresses[named.candidate.key] = named.addresses
                found.append(named.candidate)
        return found

    def _known_addresses(self, peer: PeerId) -> Iterator[Multiaddr]:
        """What others said of where a peer is; read only if it has to be dialled."""
        given = self._addresses.get(key_of(peer.to_bytes()), ())
        yield from self._search.membership.admits(usable_addresses(given, peer))


class Named(NamedTuple):
    """A peer of an answer and where it is said to be."""

    candidate: Candidate[PeerId]
    addresses: list[bytes]


def read_named(encoded: bytes) -> Named | None:
    """One closer peer of an answer; None when it cannot be read, or names no address."""
    return _read_named(encoded) if len(encoded) <= MAX_NAMED_BYTES else None


@lru_cache(maxsize=MAX_PEERS_REMEMBERED)
def _read_named(encoded: bytes) -> Named | None:
    """The same peers are named over and over."""
    try:
        named = Peer.decode(encoded)
        peer = PeerId.from_bytes(named.id)
    except DecodeError:
        return None
    if not named.addrs:
        return None
    groups = groups_of(usable_addresses(named.addrs, peer))
    return Named(Candidate(peer, key_of(named.id), groups), named.addrs)
