"""`/beam/sync/1.0.0` on a live node: what others know of services and names, and this node does not, and the other way.

Every few minutes up to five of the connected peers are asked, three of them those that have been there longest; whoever
comes while nobody else is there is asked soon. Records count by their signatures alone.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from mesh.codecs.beam_sync import MAX_FRAME_BYTES, MAX_MARKS, Mark, SyncFrame, SyncStatus
from mesh.errors import DecodeError, MeshError, PeerError, TimedOut
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.protocols.beam.abuse import AbuseWatch
from mesh.protocols.beam.name_record import open_name
from mesh.protocols.beam.service_record import open_service
from mesh.protocols.beam.sync import (
    LONG_LIVED,
    MAX_GIVEN,
    PEERS,
    PROTOCOL_ID,
    Held,
    Record,
    Turns,
    differing,
    digests,
    frames,
    given,
)

if TYPE_CHECKING:
    from mesh.node import Node

log = logging.getLogger(__name__)

EXCHANGE_S: Final = 30.0
SOON_S: Final = 5.0
"""After somebody came while nobody was there: rumours have passed by then."""
MAX_SERVED: Final = 8
MAX_FRAMES: Final = MAX_GIVEN
MANY: Final = 1024
VERIFIED_AT_ONCE: Final = 16
"""Signatures checked before others get their turn."""


class Sync:
    """``held`` gives the records that count now, ``take`` gets each verified one that came; whether it was news."""

    def __init__(
        self,
        node: Node,
        every_s: float,
        abuse: AbuseWatch,
        held: Callable[[], Iterable[Held]],
        take: Callable[[Record], bool],
    ) -> None:
        self._node = node
        self._every_s = every_s
        self._abuse = abuse
        self._held = held
        self._take = take
        self._turns = Turns()
        self._serving = 0
        self._hurried = asyncio.Event()
        self.exchanges = self.learnt = self.given = 0

    def start(self) -> None:
        """Serve the protocol. Raises `UsageError`."""
        self._node.handle(PROTOCOL_ID, self._serve)

    def stop(self) -> None:
        """Serve it no more; safe to call twice."""
        if PROTOCOL_ID in self._node.protocols:
            self._node.unhandle(PROTOCOL_ID)

    def connected(self, connection: Connection) -> None:
        """A peer came."""
        if self._node.swarm.peers == [connection.peer]:
            self._hurried.set()

    async def run(self) -> None:
        """Ask some peers from time to time, for ever; nobody where the time between is 0."""
        while True:
            soon = False
            try:
                async with asyncio.timeout(self._every_s * random.uniform(0.75, 1.25) or None):
                    await self._hurried.wait()
                soon = True
            except TimeoutError:
                pass
            self._hurried.clear()
            if not self._every_s:
                continue
            if soon:
                await asyncio.sleep(min(SOON_S, self._every_s))
            for connection in self._chosen():
                try:
                    await self.exchange(connection)
                except MeshError as error:
                    log.debug("no exchange with %s: %s", connection.peer, error)

    async def exchange(self, connection: Connection) -> int:
        """Compare with a peer, and have what it knows better; how many records were news. Raises `PeerError` when it
        refuses, `MeshError`."""
        own, states = await self._state()
        chosen = list(states) if len(states) <= MAX_MARKS else random.sample(list(states), MAX_MARKS)
        marks = [Mark(origin=each.to_bytes(), digest=states[each]) for each in chosen]
        try:
            async with asyncio.timeout(EXCHANGE_S), await connection.open([PROTOCOL_ID]) as stream:
                await _send(stream, [SyncFrame(marks=marks, final=True)])
                wanted, learnt = await self._receive(stream, connection.peer)
                await self._give(stream, own, wanted & set(chosen))
        except TimeoutError:
            raise TimedOut(f"sync: {connection.peer} took longer than {EXCHANGE_S:g} s") from None
        self.exchanges += 1
        self._node.counters.count("beam.sync:asked")
        return learnt

    # -- serving -----------------------------------------------------------------------------------------------------

    async def _serve(self, stream: Stream) -> None:
        """One exchange that a peer begins."""
        peer = stream.connection.peer
        refusal = None
        if self._serving >= MAX_SERVED:
            refusal = SyncStatus.BUSY
        elif not self._turns.take(peer, time.monotonic()):
            refusal = SyncStatus.TOO_SOON
        if refusal is not None:
            self._node.counters.count(f"beam.sync:{refusal.name.lower()}")
            await _send(stream, [SyncFrame(status=refusal, final=True)])
            await stream.close()
            return
        self._serving += 1
        try:
            async with asyncio.timeout(EXCHANGE_S):
                await self._answer(stream, peer)
        except TimeoutError:
            raise TimedOut(f"sync: {peer} took longer than {EXCHANGE_S:g} s") from None
        finally:
            self._serving -= 1

    async def _answer(self, stream: Stream, peer: PeerId) -> None:
        asked = SyncFrame.decode(await stream.read_message(MAX_FRAME_BYTES))
        theirs = {PeerId.from_bytes(each.origin): bytes(each.digest) for each in asked.marks}
        own, states = await self._state()
        wanted = sorted(differing(states, theirs))
        lacking = differing(theirs, states)
        if len(asked.marks) == MAX_MARKS:
            lacking &= theirs.keys()
        first = SyncFrame(wanted=[each.to_bytes() for each in wanted])
        chosen = given(own, lacking)
        await _send(stream, frames(chosen, first))
        self.given += len(chosen)
        await self._receive(stream, peer)
        self._node.counters.count("beam.sync:answered")
        await stream.close()

    # -- records -----------------------------------------------------------------------------------------------------

    async def _state(self) -> tuple[list[Held], dict[PeerId, bytes]]:
        """What is held now, and its digests: many are worked out aside."""
        own = list(self._held())
        return own, digests(own) if len(own) < MANY else await asyncio.to_thread(digests, own)

    async def _receive(self, stream: Stream, peer: PeerId) -> tuple[set[PeerId], int]:
        """Take the other side's records; whose records it wants, and how many were news."""
        wanted: set[PeerId] = set()
        learnt = came = 0
        for _ in range(MAX_FRAMES):
            frame = SyncFrame.decode(await stream.read_message(MAX_FRAME_BYTES))
            if frame.status != SyncStatus.OK:
                raise PeerError(
                    f"{peer} exchanges no records now (status {int(frame.status)})",
                    protocol=PROTOCOL_ID,
                    wire_code=int(frame.status),
                )
            wanted |= {PeerId.from_bytes(each) for each in frame.wanted}
            came += len(frame.records)
            if came > MAX_GIVEN or len(wanted) > MAX_MARKS:
                break
            learnt += await self._learn(peer, frame.records)
            if frame.final:
                self.learnt += learnt
                return wanted, learnt
        self._abuse.bad_record(peer, time.monotonic())
        raise PeerError(
            f"{peer} sends more than {MAX_GIVEN} records, or wants those of more than {MAX_MARKS} peers",
            protocol=PROTOCOL_ID,
        )

    async def _learn(self, peer: PeerId, envelopes: Sequence[bytes]) -> int:
        learnt = 0
        for number, envelope in enumerate(envelopes, 1):
            if number % VERIFIED_AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                record = _open(envelope)
            except DecodeError:
                self._node.counters.count("beam.sync:forged")
                self._abuse.bad_record(peer, time.monotonic())
                raise
            learnt += record.counts(time.time()) and self._take(record)
        return learnt

    async def _give(self, stream: Stream, own: Sequence[Held], wanted: set[PeerId]) -> None:
        chosen = given(own, wanted)
        await _send(stream, frames(chosen))
        self.given += len(chosen)

    def _chosen(self) -> list[Connection]:
        """Whom to ask now."""
        able = [
            each
            for each in self._node.swarm.connections
            if each.usable and each.limited is None and PROTOCOL_ID in (each.remote_protocols or ())
        ]
        once = list({each.peer: each for each in able}.values())
        stable, rest = once[:LONG_LIVED], once[LONG_LIVED:]
        return stable + random.sample(rest, min(len(rest), PEERS - len(stable)))


def _open(envelope: bytes) -> Record:
    """A record of either kind, verified. Raises `DecodeError`."""
    try:
        return open_service(envelope)
    except DecodeError:
        return open_name(envelope)


async def _send(stream: Stream, parts: Iterable[SyncFrame]) -> None:
    for each in parts:
        await stream.write_message(each.encode())
