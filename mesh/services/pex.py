"""Peer exchange on a live node: asks connected peers whom they met, while more peers are wanted, and answers them.

Off until `pex.enabled`. What comes back are records that their peers signed themselves: this node keeps them and dials
some. With `pex.share` it sends its own record along, and so agrees to be passed on.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from ipaddress import ip_network
from typing import Final

from mesh.codecs.pex import MAX_ANSWER_BYTES, MAX_RECORDS, MAX_REQUEST_BYTES, Answer, Request, Status
from mesh.config import PexSection
from mesh.errors import DecodeError, MeshError, PeerError, TimedOut
from mesh.identity.peer_record import PeerRecord, open_peer_record
from mesh.multiformats.ip_ranges import is_loopback
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.network.swarm import Swarm
from mesh.protocols.pex import ASK_EVERY_S, PROTOCOL_ID, Acquaintances
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

EXCHANGE_S: Final = 15.0
ASKED_AT_ONCE: Final = 3
VERIFIED_AT_ONCE: Final = 16
"""Signatures checked before others get their turn."""


class PeerExchange:
    """The service. ``record`` gives this node's signed record for a peer, ``found`` takes each verified record that came,
    ``wanting`` says whether more peers are wanted."""

    def __init__(
        self,
        settings: PexSection,
        swarm: Swarm,
        record: Callable[[Connection], bytes],
        found: Callable[[PeerRecord, bytes], object],
        wanting: Callable[[], bool],
        counters: Counters,
    ) -> None:
        self._settings = settings
        self._swarm = swarm
        self._record = record
        self._found = found
        self._wanting = wanting
        self._counters = counters
        self._awake = asyncio.Event()
        self._fresh: dict[Connection, None] = {}
        generator = random.SystemRandom()
        self.acquaintances = Acquaintances(lambda known, count: generator.sample(known, count))

    # -- answering ---------------------------------------------------------------------------------------------------

    async def serve(self, stream: Stream) -> None:
        """Answer one request. One that breaks the protocol, or names somebody else's record, has its stream reset."""
        connection = stream.connection
        try:
            async with asyncio.timeout(EXCHANGE_S):
                request = Request.decode(await stream.read_message(MAX_REQUEST_BYTES))
                answer = self._answer(request, connection)
                await stream.write_message(answer.encode())
        except TimeoutError:
            raise TimedOut(f"peer exchange: {connection.peer} did not finish in time") from None

    def _answer(self, request: Request, connection: Connection) -> Answer:
        peer, now = connection.peer, time.monotonic()
        if not self.acquaintances.may_ask(peer, now):
            self._counters.count("pex.refused")
            return Answer(status=Status.TOO_SOON, retry_after_s=round(ASK_EVERY_S))
        if request.record is None:
            self.acquaintances.withdraw(peer)
        else:
            record = open_peer_record(request.record)
            if record.peer_id != peer:
                raise PeerError(
                    f"peer exchange: {peer} sent the record of {record.peer_id}", protocol=PROTOCOL_ID
                )
            if record.addresses:
                self.acquaintances.agree(peer, request.record, network_of(connection.remote), now)
        self._counters.count("pex.answered")
        return Answer(status=Status.OK, records=self.acquaintances.sample(peer, request.limit, now))

    # -- asking ------------------------------------------------------------------------------------------------------

    async def ask(self, connection: Connection, limit: int = MAX_RECORDS) -> list[PeerRecord]:
        """Ask a peer whom it met; the records that are what they claim, at most ``limit``.

        Raises `PeerError` when it refuses, `ProtocolNotSupported`, `TimedOut`, `Malformed`, `Closed`.
        """
        record = self._record(connection) if self._settings.share else None
        request = Request(limit=limit, record=record).encode()
        try:
            async with asyncio.timeout(EXCHANGE_S), await connection.open([PROTOCOL_ID]) as stream:
                await stream.write_message(request)
                answer = Answer.decode(await stream.read_message(MAX_ANSWER_BYTES))
        except TimeoutError:
            raise TimedOut(
                f"peer exchange with {connection.peer}: no answer within {EXCHANGE_S:g} s"
            ) from None
        if answer.status not in (None, Status.OK):
            wait = f" for {answer.retry_after_s} s" if answer.retry_after_s else ""
            raise PeerError(
                f"{connection.peer} exchanges no peers now{wait}",
                protocol=PROTOCOL_ID,
                wire_code=answer.status,
            )
        return await self._verified(answer.records[:limit])

    async def _verified(self, envelopes: list[bytes]) -> list[PeerRecord]:
        found: list[PeerRecord] = []
        for number, envelope in enumerate(envelopes):
            if number % VERIFIED_AT_ONCE == VERIFIED_AT_ONCE - 1:
                await asyncio.sleep(0)
            try:
                record = open_peer_record(envelope)
            except DecodeError as error:
                self._counters.count("pex.forged")
                log.debug("peer exchange: a record was left out: %s", error)
                continue
            if record.peer_id != self._swarm.own_id:
                found.append(record)
                self._found(record, envelope)
        return found

    def identified(self, connection: Connection) -> None:
        """A peer said what it speaks: one that exchanges peers is asked soon."""
        if PROTOCOL_ID in (connection.remote_protocols or ()):
            self._fresh[connection] = None
            self._awake.set()

    def hurry(self) -> None:
        """More are wanted now: whoever exchanges peers is asked soon, no more often than it allows."""
        for connection in self._swarm.connections:
            self.identified(connection)

    async def run(self) -> None:
        """Ask newcomers at once, and some others every interval, while more peers are wanted. For ever."""
        while True:
            pause = self._settings.interval_s * random.uniform(0.75, 1.25)
            try:
                async with asyncio.timeout(pause):
                    await self._awake.wait()
                chosen = [each for each in self._fresh if each.usable][:ASKED_AT_ONCE]
            except TimeoutError:
                speakers = [
                    each
                    for each in self._swarm.connections
                    if each.usable and PROTOCOL_ID in (each.remote_protocols or ())
                ]
                chosen = random.sample(speakers, min(ASKED_AT_ONCE, len(speakers)))
            self._fresh = {each: None for each in self._fresh if each.usable and each not in chosen}
            if not self._fresh:
                self._awake.clear()
            if self._wanting():
                await asyncio.gather(*map(self._try, chosen))

    async def _try(self, connection: Connection) -> None:
        try:
            records = await self.ask(connection)
        except MeshError as error:
            self._counters.count(f"pex.failed:{error.code}")
            log.debug("peer exchange with %s: %s", connection.peer, error)
        else:
            self._counters.count("pex.asked")
            log.debug("peer exchange: %s named %d peers", connection.peer, len(records))


def network_of(address: Multiaddr) -> str:
    """The network that a connection came from, as far as it is limited: an IPv4 /24, an IPv6 /48, else empty."""
    four, six = address.value("ip4"), address.value("ip6")
    if is_loopback(address) or not (four or six):
        return ""
    return str(ip_network(f"{four}/24" if four else f"{six}/48", strict=False))
