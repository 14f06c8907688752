"""One lookup on a live node: `mesh.protocols.kademlia.lookup` driven by requests to peers.

Requests still under way when the lookup ends go on by themselves, within their time: their streams stay usable, and the
table learns from them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import filterfalse
from typing import Final, NamedTuple

from mesh.codecs.kademlia import Answer, Message, MessageType, Peer
from mesh.errors import Closed, DecodeError, MeshError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.scope import Spawn, supervised
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
from mesh.protocols.kademlia.placement import Placement
from mesh.protocols.kademlia.providers import usable_addresses
from mesh.services.kademlia.links import Links, OnOutcome, Outcome
from mesh.services.kademlia.membership import Membership
from mesh.services.kademlia.writes import Write, write
from mesh.telemetry.counters import Counters

MAX_PEERS_REMEMBERED: Final = 8192
MAX_HEARD: Final = 512
"""Peers that one lookup knows again by the very bytes they are named with: most answers name the same ones."""
MAX_NAMED_BYTES: Final = 4096
"""A peer of an answer that takes more is passed over; dozens of addresses fit."""

Step = trace.Step[PeerId]
OnStep = Callable[[Step], None]
OnAnswer = Callable[[PeerId, Answer], bool]
"""Called with each answer; True ends the lookup."""
OnVerdict = Callable[[PeerId, bool], None]
"""Called with each peer whose answer to a lookup agreed with what others said (True) or contradicted it."""
Judge = Callable[[], Mapping[PeerId, bool]]
"""What the answers to a lookup were worth beyond the peers that they named."""


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
    observers: list[OnVerdict] = field(default_factory=list)

    async def run(
        self,
        target: bytes,
        message: Message,
        on_answer: OnAnswer | None = None,
        on_step: OnStep | None = None,
        judge: Judge | None = None,
    ) -> Result[PeerId]:
        """Look up the key of ``target`` by sending ``message`` to ever closer peers. ``judge`` is asked at the end."""
        running = _Running(self, target, message.encode(), on_answer, on_step, self.settings)
        running.go_on(time.monotonic())
        try:
            result = await running.done
            self.counters.count(f"kademlia.lookup:{result.ending.name.lower()}")
            self._tell(running.lookup.credibility(), None if judge is None else judge())
            return result
        finally:
            running.stop()

    async def place(
        self,
        target: bytes,
        send: Callable[[PeerId, Iterable[Multiaddr], OnOutcome], object],
        on_step: OnStep | None = None,
    ) -> Write:
        """Write at the peers closest to the key of ``target``, which ``send`` does for one of them; see `Placement`."""
        message = Message(MessageType.FIND_NODE, target).encode()
        running = _Running(self, target, message, None, on_step, replace(self.settings, follow_up=False))
        running.place()
        try:
            result = await running.done
        finally:
            running.stop()
        self.counters.count(f"kademlia.lookup:{result.ending.name.lower()}")
        self._tell(running.lookup.credibility(), None)
        return await write(
            running.stores(), lambda peer, told: send(peer, running.known_addresses(peer), told)
        )

    def _tell(self, named: Mapping[PeerId, bool], given: Mapping[PeerId, bool] | None) -> None:
        """One verdict of each peer: whoever contradicts others in anything does. Where values were asked for, it says
        nothing in favour of a peer that it named others."""
        if not self.observers:
            return
        bad = {peer: False for peer, good in named.items() if not good}
        verdicts = dict(named if given is None else given) | bad
        for peer, verdict in verdicts.items():
            for observe in self.observers:
                supervised(partial(observe, peer), verdict, "kademlia verdict")


class _Running:
    """A lookup under way."""

    __slots__ = (
        "_addresses",
        "_forgotten",
        "_heard",
        "_least_wait_s",
        "_message",
        "_on_answer",
        "_on_step",
        "_placement",
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
        settings: LookupSettings,
    ) -> None:
        table = search.table
        key = key_of(target)
        self._search = search
        self._message = message
        self._on_answer = on_answer
        self._on_step = on_step
        self._addresses: dict[int, list[bytes]] = {}
        self._heard: dict[bytes, Candidate[PeerId]] = {}
        self._forgotten = 0
        self._least_wait_s = min(search.round_trips.least_timeout_s, settings.request_limit_s)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.done: asyncio.Future[Result[PeerId]] = asyncio.get_running_loop().create_future()
        self._placement: Placement[PeerId] | None = None
        seeds = [each.candidate for each in table.closest(key, settings.k)]
        self.lookup = Lookup(
            key,
            seeds,
            settings,
            search.round_trips,
            time.monotonic(),
            exclude=(table.local_key,),
            trace=on_step is not None,
        )

    def place(self) -> None:
        """Search in order to write at what is found."""
        table, k = self._search.table, self._search.settings.k
        self._placement = Placement(self.lookup, table.reach(k), k)
        self.go_on(time.monotonic())

    def stores(self) -> list[PeerId]:
        """Where to write."""
        assert self._placement is not None
        return self._placement.stores()

    def stop(self) -> None:
        """Nobody waits any more."""
        self.lookup.stop(time.monotonic())
        if self._timer is not None:
            self._timer.cancel()

    def go_on(self, now: float) -> None:
        """Send the requests that are due and see to the next deadline, or tell that it is over."""
        lookup = self.lookup
        links, limit_s = self._search.links, self._search.settings.request_limit_s
        for peer in lookup.requests():
            links.ask(peer, self.known_addresses(peer), self._message, limit_s, partial(self._told, peer))
        if self._placement is not None:
            for peer in self._placement.connections():
                links.prepare(peer, self.known_addresses(peer))
        if self._on_step is not None:
            for step in lookup.events():
                supervised(self._on_step, step, "kademlia step")
        if self.done.done():
            return
        if lookup.finished:
            self.done.set_result(lookup.result())
            return
        if self._timer is not None and self._timer_at <= now + self._least_wait_s:
            return
        deadline = lookup.deadline()
        if deadline is None or (self._timer is not None and self._timer_at <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        delay = max(0.0, deadline - now)
        self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = time.monotonic()
        self.lookup.wake(now)
        self.go_on(now)

    def _told(self, peer: PeerId, outcome: Outcome) -> None:
        """What became of a request."""
        search, lookup = self._search, self.lookup
        if search.links.stopped:
            if not self.done.done():
                self.done.set_exception(Closed("the DHT was stopped"))
            return
        now = time.monotonic()
        if isinstance(outcome, MeshError):
            lookup.failed(peer, now, str(outcome))
            search.membership.failed(peer)
        else:
            search.membership.answered(peer, now)
            fresh: dict[bytes, Candidate[PeerId]] = {}
            if lookup.answered(peer, self._candidates(outcome.closer_peers, fresh), now) and fresh:
                self._remember(fresh)
            if self._on_answer is not None and not self.done.done():
                on_answer = partial(self._on_answer, peer)
                if supervised(on_answer, outcome, "kademlia answer"):
                    lookup.stop(now)
        self.go_on(now)

    def _candidates(
        self, encoded: Sequence[bytes], fresh: dict[bytes, Candidate[PeerId]]
    ) -> list[Candidate[PeerId]]:
        """Those of an answer that have a valid id and an address to go to; new ones are put into ``fresh``. Most were
        named before, and are left out unless the lookup wants them again."""
        lookup, heard = self.lookup, self._heard
        if lookup.forgotten != self._forgotten:
            self._forgotten = lookup.forgotten
            heard.clear()
        encoded = encoded[: self._search.settings.max_per_answer]
        found: list[Candidate[PeerId]] = []
        for each in encoded if lookup.wants_repeats else filterfalse(heard.__contains__, encoded):
            candidate = heard.get(each)
            if candidate is None:
                named = read_named(each)
                if named is None:
                    continue
                fresh[each] = candidate = named.candidate
                self._addresses.setdefault(candidate.key, named.addresses)
            found.append(candidate)
        return found

    def _remember(self, fresh: dict[bytes, Candidate[PeerId]]) -> None:
        if len(self._heard) < MAX_HEARD:
            self._heard.update(fresh)

    def known_addresses(self, peer: PeerId) -> Iterator[Multiaddr]:
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
