"""`/beam/route/1.0.0` on a live node: chains of up to three forwarders, through which two ends have a secured connection.

A forwarder joins streams of peers that it is directly connected to, dials nobody, and cannot read what passes. A node
forwards where `beam.forward` is on, within `ChainLimits`; every node of Beam may be the end of a chain.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from mesh.codecs.beam_route import (
    MAX_ANSWER_BYTES,
    MAX_REQUEST_BYTES,
    RouteAnswer,
    RouteRequest,
    RouteStatus,
)
from mesh.errors import DecodeError, MeshError, NetworkError, PeerError, TimedOut, UsageError
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.network.stream import Stream
from mesh.protocols.beam.chain_rules import Chain, ChainLimits, ForwardedChains, leads_back
from mesh.protocols.beam.route_table import check_route
from mesh.protocols.machine import Role
from mesh.protocols.relay import Limit
from mesh.services.relay.piping import Pipe

if TYPE_CHECKING:
    from mesh.node import Node

log = logging.getLogger(__name__)

ROUTE_PROTOCOL: Final = "/beam/route/1.0.0"
REQUEST_S: Final = 5.0
STRETCH_S: Final = 5.0
"""For all stretches from one peer on."""
UPGRADE_S: Final = 10.0
LOOK_S: Final = 10.0
"""How often chains that carry nothing are looked for."""

Refused = Callable[[PeerId], None]


class Chains:
    """Opens chains, ends them, and forwards those of others where ``forward`` says so. ``on_refused`` is told of each
    peer that asked for more than ``limits`` let it have."""

    def __init__(
        self, node: Node, scope: Scope, forward: bool, limits: ChainLimits, on_refused: Refused
    ) -> None:
        self._node = node
        self._scope = scope
        self._forward = forward
        self._on_refused = on_refused
        self._own: dict[Connection, tuple[PeerId, ...]] = {}
        self._pipes: dict[Chain, Pipe] = {}
        self.passing = ForwardedChains(limits)
        self.admits: Callable[[PeerId], bool] = lambda _peer: True
        """Whose chains may pass; set by who trusts peers or not."""

    def start(self) -> None:
        """Serve the protocol."""
        self._node.handle(ROUTE_PROTOCOL, self._serve)
        if self._forward:
            self._scope.spawn(self._end_idle(), "beam idle chains")

    def stop(self) -> None:
        """Serve it no more; safe to call twice."""
        if ROUTE_PROTOCOL in self._node.protocols:
            self._node.unhandle(ROUTE_PROTOCOL)

    @property
    def forwarded(self) -> int:
        """Chains of others that lead through this node now."""
        return len(self.passing)

    def relays(self, connection: Connection) -> tuple[PeerId, ...]:
        """The forwarders of a connection that was opened here as a chain; none for another one."""
        return self._own.get(connection, ())

    # -- opening -----------------------------------------------------------------------------------------------------

    async def dial(self, peers: Sequence[PeerId]) -> Connection:
        """A connection with the last of ``peers`` through the others, the first of which is connected directly. Raises
        `UsageError` for no chain, `MeshError`."""
        check_route(self._node.peer_id, peers)
        if len(peers) < 2:
            raise UsageError("a chain has a forwarder")
        stream = await self._stretch(peers)
        connection = await self._node.swarm.connect_over(stream, Role.INITIATOR, peers[-1], UPGRADE_S)
        self._own = {each: relays for each, relays in self._own.items() if not each.closed}
        self._own[connection] = tuple(peers[:-1])
        return connection

    async def _stretch(self, peers: Sequence[PeerId]) -> Stream:
        """A stream to the first of ``peers`` that leads to the last."""
        outer = self._node.swarm.connection_to(peers[0], direct=True)
        if outer is None:
            raise NetworkError(f"{peers[0]} is not directly connected")
        try:
            async with asyncio.timeout(STRETCH_S):
                stream = await outer.open([ROUTE_PROTOCOL])
                try:
                    hops = [each.to_bytes() for each in peers[1:]]
                    await stream.write_message(RouteRequest(hops=hops).encode())
                    answer = RouteAnswer.decode(await stream.read_message(MAX_ANSWER_BYTES))
                    if answer.status != RouteStatus.OK:
                        raise PeerError(
                            f"{peers[0]} leads no further (status {int(answer.status)})",
                            protocol=ROUTE_PROTOCOL,
                            wire_code=int(answer.status),
                        )
                except BaseException:
                    stream.reset()
                    raise
        except TimeoutError:
            raise TimedOut(f"the chain by {peers[0]} was not made within {STRETCH_S:g} s") from None
        return stream

    # -- serving -----------------------------------------------------------------------------------------------------

    async def _serve(self, stream: Stream) -> None:
        """One stretch that leads here; this lasts as long as the chain."""
        try:
            async with asyncio.timeout(REQUEST_S):
                request = RouteRequest.decode(await stream.read_message(MAX_REQUEST_BYTES))
            hops = [PeerId.from_bytes(each) for each in request.hops]
        except TimeoutError:
            raise TimedOut(f"{stream.connection.peer} named no route within {REQUEST_S:g} s") from None
        except DecodeError:
            self._node.counters.count("beam.route:malformed")
            raise
        if not hops:
            await stream.write_message(RouteAnswer().encode())
            connection = await self._node.swarm.connect_over(stream, Role.RESPONDER, None, UPGRADE_S)
            await connection.ended()
            return
        before = stream.connection.peer
        refusal = self._refusal(before, stream.connection, hops)
        if refusal is not None:
            await self._refuse(stream, refusal)
            return
        chain, ending = self.passing.began(before, time.monotonic())
        if ending is not None:
            self._end(ending, "displaced")
        try:
            await self._pass_on(stream, hops, chain)
        finally:
            self.passing.ended(chain)

    async def _pass_on(self, stream: Stream, hops: Sequence[PeerId], chain: Chain) -> None:
        try:
            further = await self._stretch(hops)
        except MeshError as error:
            log.debug("a chain ends here: %s", error)
            busy = isinstance(error, PeerError) and error.wire_code == RouteStatus.BUSY
            await self._refuse(stream, RouteStatus.BUSY if busy else RouteStatus.FAILED)
            return
        try:
            if chain not in self.passing:
                further.reset()
                await self._refuse(stream, RouteStatus.BUSY)
                return
            await stream.write_message(RouteAnswer().encode())
        except BaseException:
            further.reset()
            raise
        self._node.counters.count("beam.route:forwarded")
        limits = self.passing.limits
        limit = Limit(math.ceil(limits.duration_s), limits.data_bytes)

        def passed(size: int) -> None:
            self.passing.passed(chain, size, time.monotonic())

        pipe = self._pipes[chain] = Pipe(stream, further, limit, self._scope, passed)
        try:
            how = await pipe.run()
        finally:
            del self._pipes[chain]
        if how == "expired" or pipe.exhausted:
            self.passing.cut += 1
            self._node.counters.count("beam.route:cut")

    async def _end_idle(self) -> None:
        """End chains that carry nothing, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            for chain in self.passing.expire(time.monotonic()):
                self._end(chain, "idle")

    def _end(self, chain: Chain, why: str) -> None:
        self._node.counters.count(f"beam.route:{why}")
        pipe = self._pipes.get(chain)
        if pipe is not None:
            pipe.end("reset")

    def _refusal(self, before: PeerId, outer: Connection, hops: Sequence[PeerId]) -> RouteStatus | None:
        if outer.relay is not None or leads_back(self._node.peer_id, before, hops):
            return RouteStatus.BAD_ROUTE
        if not self._forward or not self.admits(before):
            return RouteStatus.BUSY
        if not self.passing.asked(before, time.monotonic()):
            self._on_refused(before)
            return RouteStatus.BUSY
        if self._node.swarm.connection_to(hops[0], direct=True) is None:
            return RouteStatus.NOT_CONNECTED
        return None

    async def _refuse(self, stream: Stream, status: RouteStatus) -> None:
        self._node.counters.count(f"beam.route:{status.name.lower()}")
        await stream.write_message(RouteAnswer(status=status).encode())
        await stream.close()
