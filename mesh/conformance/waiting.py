"""Waiting for what a target does, never longer than a case allows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import inf
from typing import TypeVar

from mesh.conformance.verdict import Deviation
from mesh.conformance.wire_log import WireLog
from mesh.errors import DecodeError, Truncated
from mesh.multiformats import varint

T = TypeVar("T")
MAX_BUFFER_BYTES = 4 * 2**20
"""Unread bytes kept of one flow; what comes beyond is counted and dropped."""


class Awaited:
    """Something of the target that changes and ends. ``ending`` is None while it is open."""

    def __init__(self, name: str, log: WireLog, limit_s: float) -> None:
        self.name = name
        self.log = log
        self.limit_s = limit_s
        self.ending: str | None = None
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def until(
        self,
        ready: Callable[[], T | None],
        what: str,
        *,
        within_s: float | None = None,
        beyond_end: bool = False,
    ) -> T:
        """What ``ready`` gives once it is not None. Raises `Deviation` when the end or the limit comes first."""
        limit_s = self.limit_s if within_s is None else within_s
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        while True:
            self._changed.clear()
            found = ready()
            if found is not None:
                return found
            if self.ending is not None and not beyond_end:
                raise Deviation(f"instead of {what}, {self.name} ended ({self.ending})")
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                raise Deviation(f"no {what} within {limit_s:g} s; {self.name} is {self.state}") from None

    @property
    def state(self) -> str:
        return self.ending or "open"

    async def ended(self, what: str = "end", within_s: float | None = None) -> str:
        """Wait for the end, however it comes; whatever arrives before it is left alone."""
        return await self.until(lambda: self.ending, what, within_s=within_s)


class ByteFlow(Awaited):
    """Bytes from the target in order, until they end."""

    def __init__(self, name: str, log: WireLog, limit_s: float) -> None:
        super().__init__(name, log, limit_s)
        self.buffer = bytearray()
        self.total_bytes = 0
        self.dropped_bytes = 0
        self.upper: Callable[[bytes], None] | None = None
        self.on_end: Callable[[str], None] | None = None

    def feed(self, data: bytes) -> None:
        """Bytes arrived; the floor above takes them if there is one."""
        self.total_bytes += len(data)
        if self.upper is not None:
            self.upper(data)
        elif len(self.buffer) + len(data) > MAX_BUFFER_BYTES:
            self.dropped_bytes += len(data)
        else:
            self.buffer += data
        self.changed()

    def end(self, how: str) -> None:
        """Nothing follows; only the first ending counts."""
        if self.ending is None:
            self.ending = how
            self.log.note(self.name, f"ended: {how}")
            if self.on_end is not None:
                self.on_end(how)
        self.changed()

    def rise(self, upper: Callable[[bytes], None]) -> None:
        """Hand all bytes, those that wait included, to the floor above."""
        self.upper = upper
        waiting, self.buffer = bytes(self.buffer), bytearray()
        if waiting:
            upper(waiting)

    def send(self, data: bytes) -> None:
        """Send at once, whatever the target wants."""
        raise NotImplementedError

    @property
    def unsent_bytes(self) -> int:
        """What was sent and waits here all the same."""
        return 0

    # -- reading -----------------------------------------------------------------------------------------------------

    async def exactly(self, size: int, what: str = "", within_s: float | None = None) -> bytes:
        return await self.until(lambda: self._cut(size), what or f"{size} bytes", within_s=within_s)

    def _cut(self, size: int) -> bytes | None:
        if len(self.buffer) < size:
            return None
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    async def token(self, what: str = "multistream token") -> str:
        """The text of the next multistream token, without its newline. What is no token is a deviation."""
        message = await self.message(64 * 1024, what)
        if not message.endswith(b"\n"):
            raise Deviation(f"{what}: {message[:64]!r} does not end in a newline")
        return message[:-1].decode("utf-8", "replace")

    async def message(
        self, max_bytes: int, what: str = "length-delimited message", within_s: float | None = None
    ) -> bytes:
        """The next message behind an unsigned-varint length."""
        return await self.until(lambda: self._cut_message(max_bytes, what), what, within_s=within_s)

    def _cut_message(self, max_bytes: int, what: str) -> bytes | None:
        try:
            size, start = varint.decode(bytes(self.buffer[:16]), 0, max_bytes)
        except Truncated:
            return None
        except DecodeError as error:
            raise Deviation(f"{what}: its length cannot be read: {error.reason}") from None
        if len(self.buffer) < start + size:
            return None
        found = bytes(self.buffer[start : start + size])
        del self.buffer[: start + size]
        return found

    async def rest(self, what: str = "end of stream", within_s: float | None = None) -> bytes:
        """Everything up to the end."""
        await self.ended(what, within_s)
        taken, self.buffer = bytes(self.buffer), bytearray()
        return taken

    async def ended_silently(self, what: str = "end") -> str:
        """Wait for the end; a single byte before it is a deviation."""
        ending = await self.ended(what)
        if self.buffer:
            raise Deviation(f"{len(self.buffer)} bytes before {self.name} ended: {bytes(self.buffer[:64])!r}")
        return ending

    async def silent_for(self, seconds: float) -> None:
        """Nothing comes and nothing ends for so long."""
        before = self.total_bytes
        await asyncio.sleep(seconds)
        if self.ending is not None:
            raise Deviation(f"{self.name} ended ({self.ending})")
        if self.total_bytes != before:
            raise Deviation(f"{self.total_bytes - before} bytes came: {bytes(self.buffer[:64])!r}")

    async def drip(self, data: bytes, pause_s: float, piece_bytes: int = 1, pauses_s: float = inf) -> None:
        """Send in pieces with pauses between them, until the flow ends; without pauses once ``pauses_s`` have gone."""
        until = time.monotonic() + pauses_s
        for start in range(0, len(data), piece_bytes):
            if self.ending is not None:
                return
            self.send(data[start : start + piece_bytes])
            await asyncio.sleep(pause_s if time.monotonic() < until else 0)
