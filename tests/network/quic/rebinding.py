"""A NAT that forgets: the dialer behind it appears somewhere else whenever a test wants."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable


class Rebinding:
    """A NAT in front of a client: what comes in leaves from a socket of its own, which `rebind` replaces."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._inside = self._socket(self._from_client)
        self._outside = self._socket(self._from_server)
        self._client: tuple[str, int] | None = None
        self.port: int = self._inside.getsockname()[1]

    def rebind(self) -> None:
        self._close(self._outside)
        self._outside = self._socket(self._from_server)

    def close(self) -> None:
        self._close(self._inside)
        self._close(self._outside)

    def _socket(self, come: Callable[[], None]) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.bind(("127.0.0.1", 0))
        self._loop.add_reader(made, come)
        return made

    def _close(self, old: socket.socket) -> None:
        self._loop.remove_reader(old)
        old.close()

    def _from_client(self) -> None:
        data, self._client = self._inside.recvfrom(65536)
        self._outside.sendto(data, self._server)

    def _from_server(self) -> None:
        data, _ = self._outside.recvfrom(65536)
        if self._client is not None:
            self._inside.sendto(data, self._client)
