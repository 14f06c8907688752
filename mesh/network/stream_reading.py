"""Reading from a stream, built on what is there now and on waiting for more."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator

from mesh.errors import Closed, EndOfStream, Malformed
from mesh.multiformats import varint
from mesh.protocols.machine import Buffer

READ_BYTES = 65536


class Reading:
    """What `mesh.network.stream.Stream` reads with. ``protocol`` is for messages of errors."""

    __slots__ = ()

    protocol: str

    @property
    @abstractmethod
    def pending(self) -> bool: ...

    @abstractmethod
    def take_chunk(self, max_bytes: int = READ_BYTES) -> Buffer | None: ...

    @abstractmethod
    def take_message(self, max: int) -> bytes | None: ...

    @abstractmethod
    def readable(self) -> asyncio.Future[None]: ...

    @abstractmethod
    def _unread(self, data: bytearray) -> None: ...

    async def read_chunk(self, max_bytes: int = READ_BYTES) -> Buffer:
        """The next bytes as they arrived, without copying; b"" at the end of the stream.

        The buffer is the caller's: it never changes, but a memoryview keeps the whole record it came in alive.
        """
        while (chunk := self.take_chunk(max_bytes)) is None:
            await self.readable()
        return chunk

    async def read(self, max_bytes: int = READ_BYTES) -> bytes:
        """Between 1 and ``max_bytes`` bytes, as soon as there are any; b"" at the end of the stream."""
        chunk = await self.read_chunk(max_bytes)
        return chunk if type(chunk) is bytes else bytes(chunk)

    async def read_exactly(self, size: int) -> bytes:
        """Exactly ``size`` bytes; `Closed` when the stream ends before. A cancelled call takes nothing."""
        chunk = await self.read(size) if size else b""
        if len(chunk) == size:
            return chunk
        parts = bytearray(chunk)
        try:
            while chunk and len(parts) < size:
                chunk = await self.read(size - len(parts))
                parts += chunk
        except asyncio.CancelledError:
            self._unread(parts)
            raise
        if len(parts) < size:
            raise Closed(f"{self.protocol}: the peer ended the stream after {len(parts)} of {size} bytes")
        return bytes(parts)

    async def read_message(self, max: int) -> bytes:
        """One message behind its uvarint length, at most ``max`` bytes; `Malformed` when it is longer, `EndOfStream`
        when the peer ended the stream before it. A cancelled call takes nothing."""
        message = self.take_message(max)
        if message is None and not self.pending:
            await self.readable()
            message = self.take_message(max)
        return await self._read_long_message(max) if message is None else message

    async def _read_long_message(self, max: int) -> bytes:
        """A message that did not come in one piece, is too long, or does not come."""
        prefix = bytearray(await self.read(1))
        if not prefix:
            raise EndOfStream(f"{self.protocol}: the peer ended the stream")
        try:
            while prefix[-1] & 0x80:
                if len(prefix) == varint.MAX_BYTES:
                    raise Malformed(f"{self.protocol} message length", 0, "longer than a uvarint may be")
                prefix += await self.read_exactly(1)
            size, _ = varint.decode(bytes(prefix))
            if size > max:
                raise Malformed(
                    f"{self.protocol} message length", 0, f"{size} bytes, at most {max} are taken"
                )
            return await self.read_exactly(size)
        except asyncio.CancelledError:
            self._unread(prefix)
            raise

    async def read_all(self, max: int) -> bytes:
        """Everything up to the end of the stream; `Malformed` when that is more than ``max`` bytes. A cancelled call
        takes nothing."""
        parts = bytearray()
        try:
            while chunk := await self.read_chunk():
                parts += chunk
                if len(parts) > max:
                    raise Malformed(f"{self.protocol} stream", max, f"more than {max} bytes before its end")
        except asyncio.CancelledError:
            self._unread(parts)
            raise
        return bytes(parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self.read():
            yield chunk
