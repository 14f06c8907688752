"""A layer between a socket and the protocol that uses it, such as TLS or WebSocket framing.

Towards the socket it is an asyncio protocol, towards the protocol above an asyncio transport. This class passes
everything through; a layer overrides what it changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from mesh.protocols.machine import Buffer


class Layer(asyncio.BufferedProtocol, asyncio.Transport):
    """``above`` is the protocol that uses this layer; it also lends the receive buffer."""

    __slots__ = ("_above", "_below")

    _below: asyncio.Transport

    def __init__(self, above: asyncio.BufferedProtocol) -> None:
        super().__init__()
        self._above = above

    # -- towards the socket: a protocol ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._below = cast("asyncio.Transport", transport)
        self._above.connection_made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return cast("memoryview", self._above.get_buffer(sizehint))

    def buffer_updated(self, nbytes: int) -> None:
        self._above.buffer_updated(nbytes)

    def eof_received(self) -> bool | None:
        return self._above.eof_received()

    def pause_writing(self) -> None:
        self._above.pause_writing()

    def resume_writing(self) -> None:
        self._above.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._above.connection_lost(exc)

    # -- towards the protocol above: a transport -----------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._below.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()

    def is_reading(self) -> bool:
        return self._below.is_reading()

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def write(self, data: Buffer) -> None:
        self._below.write(data)

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        self._below.writelines(list_of_data)

    def can_write_eof(self) -> bool:
        return self._below.can_write_eof()

    def write_eof(self) -> None:
        self._below.write_eof()

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def close(self) -> None:
        self._below.close()

    def abort(self) -> None:
        self._below.abort()
