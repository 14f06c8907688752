"""Tunnels and probes that others open: `/beam/tunnel/tcp/1.0.0` and `/beam/probe/1.0.0`.

The opener names a service in its first message and gets one answer. In a tunnel the service's own bytes follow, both
ways; a probe ends with the answer, which says whether a tunnel would have led to somebody who listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from mesh.apps.beam.carrying import Tally, break_off, carry
from mesh.apps.beam.exposures import Exposures
from mesh.apps.beam.paths import PathStream
from mesh.codecs.beam import MAX_OPENING_BYTES, MAX_REASON_BYTES, Opening, TunnelAnswer, TunnelStatus
from mesh.errors import TimedOut
from mesh.identity.peer_id import PeerId
from mesh.network.stream import Stream

if TYPE_CHECKING:
    from mesh.node import Node

log = logging.getLogger(__name__)

TUNNEL_PROTOCOL: Final = "/beam/tunnel/tcp/1.0.0"
PROBE_PROTOCOL: Final = "/beam/probe/1.0.0"
OPENING_S: Final = 10.0
LOCAL_S: Final = 5.0
"""Time for the program on this machine to take a connection."""


class TunnelServer:
    """Lets others reach what is exposed. ``tally`` counts the bytes of all tunnels."""

    def __init__(self, node: Node, exposures: Exposures) -> None:
        self._node = node
        self._exposures = exposures
        self.tally = Tally()
        self.opened = 0
        self.refused = 0

    def start(self) -> None:
        """Serve the protocols."""
        self._node.handle(TUNNEL_PROTOCOL, self.serve)
        self._node.handle(PROBE_PROTOCOL, self.serve_probe)

    def stop(self) -> None:
        """Serve them no more; safe to call twice."""
        for protocol in (TUNNEL_PROTOCOL, PROBE_PROTOCOL):
            if protocol in self._node.protocols:
                self._node.unhandle(protocol)

    async def serve(self, stream: Stream) -> None:
        """A tunnel over a stream of the node: the opener is who stands at the other end of the connection."""
        await self.serve_from(stream, stream.connection.peer)

    async def serve_from(self, stream: PathStream, opener: PeerId) -> None:
        """A tunnel over any stream whose far end has been authenticated as ``opener``."""
        service_id = await _read_opening(stream, opener)
        refusal = self._exposures.refusal(service_id, opener)
        if refusal is not None:
            await self._refuse(stream, *refusal)
            return
        self._exposures.began(opener)
        try:
            local = await self._reach(service_id)
            if local is None:
                await self._refuse(stream, TunnelStatus.UNAVAILABLE, "the service takes no connections")
                return
            reader, writer = local
            self.opened += 1
            self._node.counters.count("beam.tunnel:opened")
            try:
                await stream.write_message(TunnelAnswer(status=TunnelStatus.OK).encode())
            except BaseException:
                break_off(writer)
                raise
            await carry(stream, reader, writer, self.tally)
        finally:
            self._exposures.ended(opener)

    async def serve_probe(self, stream: Stream) -> None:
        """Say whether a tunnel of this peer would be served."""
        opener = stream.connection.peer
        service_id = await _read_opening(stream, opener)
        refusal = self._exposures.refusal(service_id, opener)
        if refusal is None:
            local = await self._reach(service_id)
            if local is None:
                refusal = TunnelStatus.UNAVAILABLE, "the service takes no connections"
            else:
                local[1].close()
        status, reason = refusal or (TunnelStatus.OK, "")
        await stream.write_message(TunnelAnswer(status=status, reason=reason).encode())

    async def _reach(self, service_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """The program behind a service; None when it takes no connection."""
        exposure = self._exposures.get(service_id)
        if exposure is None:
            return None
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(LOCAL_S):
                return await asyncio.open_connection(exposure.host, exposure.port)
        return None

    async def _refuse(self, stream: PathStream, status: TunnelStatus, reason: str) -> None:
        self.refused += 1
        self._node.counters.count(f"beam.tunnel:{status.name.lower()}")
        await stream.write_message(TunnelAnswer(status=status, reason=reason[:MAX_REASON_BYTES]).encode())
        await stream.close()


async def _read_opening(stream: PathStream, opener: PeerId) -> str:
    try:
        async with asyncio.timeout(OPENING_S):
            return Opening.decode(await stream.read_message(MAX_OPENING_BYTES)).service_id
    except TimeoutError:
        raise TimedOut(f"tunnel: {opener} named no service within {OPENING_S:g} s") from None
