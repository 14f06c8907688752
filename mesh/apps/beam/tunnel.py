"""A local port that leads to a service: each connection goes to the best provider that answers.

A connection that was carried when its provider died ends with a reset: its bytes cannot move to another program. New
connections go to the other providers at once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from mesh.apps.beam.carrying import Tally, break_off, carry
from mesh.apps.beam.finding import Found, Provider
from mesh.apps.beam.paths import Paths, PathStream
from mesh.apps.beam.tunnel_server import TUNNEL_PROTOCOL
from mesh.apps.beam.watchman import Watchman, check_answer, timed_out
from mesh.codecs.beam import MAX_ANSWER_BYTES, Opening
from mesh.errors import AddressInUse, MeshError, NetworkError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.network.scope import Scope
from mesh.telemetry.log import printable

log = logging.getLogger(__name__)

TRY_S: Final = 3.0
"""A provider that has not answered by then gives its turn to the next one."""
MAX_CONNECTIONS: Final = 1024
ASK_ANEW_S: Final = 5.0
"""Between lookups because no provider answered."""

Find = Callable[[bool], Awaitable[Found]]


class Tunnel:
    """Listens while it is started. ``find`` gives the providers as they are known, or (``True``) looks them up anew."""

    def __init__(
        self,
        number: int,
        target: str,
        find: Find,
        paths: Callable[[], Paths],
        watchman: Watchman,
        scope: Scope,
    ) -> None:
        self.number = number
        self.target = target
        self.host, self.port = "127.0.0.1", 0
        self.tally = Tally()
        self.opened = self.failed = self.failovers = 0
        self.provider: PeerId | None = None
        """Who served the last connection."""
        self.cause = ""
        """Why the last connection found nobody."""
        self._find = find
        self._asks_at = 0.0
        self._paths = paths
        self._watchman = watchman
        self._scope = Scope(f"tunnel {number}", scope)
        self._server: asyncio.Server | None = None
        self._connections = 0

    async def start(self, port: int) -> None:
        """Listen on loopback; port 0 is any free one. Raises `AddressInUse`, `NetworkError`."""
        try:
            self._server = await asyncio.start_server(self._accepted, self.host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(f"{self.host}:{port} is in use; choose another with --local") from None
            raise NetworkError(f"{self.host}:{port}: cannot listen: {error.strerror}") from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End every connection; safe to call twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self._scope.close()
        if server is not None:
            await server.wait_closed()

    def document(self) -> dict[str, Any]:
        return {
            "id": self.number,
            "target": self.target,
            "local": f"{self.host}:{self.port}",
            "connections": self._connections,
            "opened": self.opened,
            "failed": self.failed,
            "failovers": self.failovers,
            "provider": None if self.provider is None else str(self.provider),
            "path": "none" if self.provider is None else self._paths().describe(self.provider),
            "bytes_sent": self.tally.out_bytes,
            "bytes_received": self.tally.in_bytes,
            "cause": self.cause,
        }

    async def reach(self) -> PathStream:
        """A stream to whichever provider answers first in order of health; when none does, they may have moved, which is
        looked up anew. Raises the last one's error."""
        found = await self._find(False)
        if not found.providers:
            raise UsageError(f"nobody provides {self.target}")
        try:
            return await self._first(found)
        except MeshError:
            moved = await self._moved(found)
            if not moved.providers:
                raise
        return await self._first(moved)

    async def _first(self, found: Found) -> PathStream:
        """As `reach`, of those that were found."""
        providers = {each.record.peer_id: each for each in found.providers}
        last: MeshError | None = None
        for tried, peer in enumerate(self._watchman.ranked(found.service_id, providers)):
            try:
                stream = await self._open(found.service_id, providers[peer])
            except MeshError as error:
                self._watchman.health(found.service_id, peer).failed(str(error))
                last = error
                log.info("%s: %s does not serve: %s", self.target, peer, printable(str(error)))
                continue
            self.failovers += tried > 0
            if self.provider not in (None, peer):
                log.info("%s: now at %s, %s", self.target, peer, self._paths().describe(peer))
            self.provider = peer
            return stream
        assert last is not None
        raise last

    async def _moved(self, found: Found) -> Found:
        """Who provides it, or where, is known anew: those that were not known so, where that was not asked lately."""
        now = time.monotonic()
        if now < self._asks_at:
            return replace(found, providers=())
        self._asks_at = now + ASK_ANEW_S
        known = {(each.record.envelope, each.addresses) for each in found.providers}
        try:
            fresh = await self._find(True)
        except MeshError as error:
            log.info("%s: not found anew: %s", self.target, printable(str(error)))
            return replace(found, providers=())
        left = [each for each in fresh.providers if (each.record.envelope, each.addresses) not in known]
        return replace(fresh, providers=tuple(left))

    # -- within ------------------------------------------------------------------------------------------------------

    async def _open(self, service_id: str, provider: Provider) -> PathStream:
        peer = provider.record.peer_id
        began = time.monotonic()
        try:
            async with asyncio.timeout(TRY_S):
                stream = await self._paths().open(peer, provider.addresses, TUNNEL_PROTOCOL)
                try:
                    await stream.write_message(Opening(service_id=service_id).encode())
                    check_answer(await stream.read_message(MAX_ANSWER_BYTES), peer)
                except BaseException:
                    stream.reset()
                    raise
        except TimeoutError:
            raise timed_out(peer, TRY_S) from None
        self._watchman.health(service_id, peer).answered(time.monotonic() - began, time.time())
        return stream

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._scope.closing or self._connections >= MAX_CONNECTIONS:
            break_off(writer)
            return
        self._scope.spawn(self._carry(reader, writer), "tunnel connection")

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        carried = False
        try:
            stream = await self.reach()
            self.opened += 1
            carried = True
            await carry(stream, reader, writer, self.tally)
        except MeshError as error:
            self.failed += 1
            self.cause = str(error)
            log.info("%s: no connection: %s", self.target, printable(self.cause))
        finally:
            self._connections -= 1
            if not carried:
                break_off(writer)
