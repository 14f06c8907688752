"""Where a node is dialled: TCP connections become WebSockets, up to a limit and in their time, then links."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from mesh.apps.lethean.carrier import Carrier
from mesh.apps.lethean.handshaking import Manners, judge_dialler, split_address
from mesh.errors import AddressInUse, NetworkError
from mesh.network.scope import Scope
from mesh.protocols.lethean.handshake import Accepted

UNOPENED: Final = 64
"""TCP connections beyond the limit of connections that may be there without having become a WebSocket."""
END_S: Final = 2.0


class Reception:
    """The listener of a node, and the keeper of all its TCP connections, dialled ones included.

    ``count_links`` tells how many links there are, ``live`` is awaited with each connection that was accepted.
    """

    def __init__(
        self,
        manners: Manners,
        scope: Scope,
        count_links: Callable[[], int],
        live: Callable[[Carrier, Accepted], Awaitable[None]],
        server_tls: ssl.SSLContext | None,
    ) -> None:
        self._manners = manners
        self._scope = scope
        self._count_links = count_links
        self._live = live
        self._tls = server_tls
        self._carriers: set[Carrier] = set()
        self._opening = 0
        self._server: asyncio.Server | None = None
        self.address = ""

    async def listen(self, address: str) -> None:
        """Take connections at ``host:port``. Raises `AddressInUse`, `NetworkError`."""
        host, port = split_address(address)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._accept, host, port, ssl=self._tls)
        except OSError as error:
            if "in use" in str(error):
                raise AddressInUse(f"lethean.listen {address}: the address is in use") from None
            raise NetworkError(f"lethean.listen {address}: {error.strerror or error}") from None
        bound = self._server.sockets[0].getsockname()
        self.address = f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"

    def stop_listening(self) -> None:
        """Take no more connections; those that are there stay."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """End every TCP connection."""
        self.stop_listening()
        for carrier in list(self._carriers):
            carrier.abort("the node stops")
        await asyncio.gather(*(carrier.wait_ended(END_S) for carrier in list(self._carriers)))
        if self._server is not None:
            await self._server.wait_closed()

    def keep(self, carrier: Carrier) -> None:
        """Have a connection ended by `close`, unless it ends before."""
        self._carriers.add(carrier)
        carrier.on_ended(self._carriers.discard)

    def _accept(self) -> Carrier:
        section = self._manners.section
        carrier = Carrier.listening(self._is_full, self._opened, section.max_message_bytes)
        self.keep(carrier)
        loop = asyncio.get_running_loop()
        late = loop.call_later(section.handshake_timeout_s, self._give_up_unopened, carrier)
        carrier.on_ended(lambda _: late.cancel())
        if len(self._carriers) > section.max_connections + UNOPENED:
            loop.call_soon(carrier.abort, "too many connections")
        return carrier

    def _give_up_unopened(self, carrier: Carrier) -> None:
        if not carrier.opened.done():
            self._manners.counters.count("lethean.upgrade:late")
            carrier.abort("no request in time")

    def _is_full(self) -> bool:
        full = self._count_links() + self._opening >= self._manners.section.max_connections
        if full:
            self._manners.counters.count("lethean.upgrade:full")
        return full

    def _opened(self, carrier: Carrier) -> None:
        if self._scope.closing:
            carrier.abort("the node stops")
            return
        self._opening += 1
        self._scope.spawn(self._shake(carrier), f"handshake of {carrier.peer_address}")

    async def _shake(self, carrier: Carrier) -> None:
        """The listener's handshake; the link lives on in the same task."""
        try:
            accepted = await judge_dialler(carrier, self._manners)
        finally:
            self._opening -= 1
        if accepted is not None:
            await self._live(carrier, accepted)
