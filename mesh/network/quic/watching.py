"""Being called when a socket can be read or written, also after an error is pending on it.

uvloop (libuv) stops watching a descriptor for good at the first bare error condition, which an ICMP message is enough
to raise on a UDP socket that wants to hear of them. Where the system has epoll, the loop therefore watches an epoll
descriptor of our own, which never has errors, and that one watches the socket.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable


class Watch:
    """Calls ``readable`` when there is something to read, or an error; ``writable`` too while `want_write` says so.

    Raises `NotImplementedError` where the loop cannot watch sockets.
    """

    __slots__ = ("_epoll", "_loop", "_readable", "_socket", "_writable", "_writes")

    def __init__(
        self, sock: socket.socket, readable: Callable[[], None], writable: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._readable = readable
        self._writable = writable
        self._writes = False
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        try:
            if self._epoll is None:
                self._loop.add_reader(sock, readable)
            else:
                self._epoll.register(sock, select.EPOLLIN)
                self._loop.add_reader(self._epoll, self._ready)
        except BaseException:
            if self._epoll is not None:
                self._epoll.close()
            raise

    def want_write(self, wanted: bool) -> None:
        """Whether ``writable`` is to be called."""
        self._writes = wanted
        if self._epoll is not None:
            self._epoll.modify(self._socket, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))
        elif wanted:
            self._loop.add_writer(self._socket, self._writable)
        else:
            self._loop.remove_writer(self._socket)

    def close(self) -> None:
        """Call no more; before the socket is closed."""
        if self._epoll is None:
            self._loop.remove_writer(self._socket)
            self._loop.remove_reader(self._socket)
        elif not self._epoll.closed:
            self._loop.remove_reader(self._epoll)
            self._epoll.close()

    def _ready(self) -> None:
        if self._writes:
            self._writable()
        if self._epoll is not None and not self._epoll.closed:
            self._readable()
