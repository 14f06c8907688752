"""A Redis server where two programs of a test leave a word for each other: four commands of its protocol, no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.errors import NetworkError

MAX_REPLY_BYTES = 64 * 1024
POLL_S = 0.1
CONNECT_S = 30.0
_WRONG_TYPE = "WRONGTYPE"


class MeetingPoint:
    """One connection to a server (RESP2). Raises `NetworkError` for its errors and its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def push(self, key: str, value: str) -> None:
        """Leave a value at the end of a list."""
        await self._ask("RPUSH", key, value)

    async def put(self, key: str, value: str) -> None:
        """Leave a value under a key."""
        await self._ask("SET", key, value)

    async def pop(self, key: str, within_s: float) -> str:
        """Wait for the first value of a list, and take it. Raises `NetworkError` when none comes."""
        found = await self._ask("BLPOP", key, str(max(1, round(within_s))))
        if not isinstance(found, list) or len(found) != 2:
            raise NetworkError(f"redis: nothing was left in {key} within {within_s:g} s")
        return str(found[1])

    async def read(self, key: str, within_s: float) -> str:
        """Wait for a value under a key, or for a list there whose first it is."""
        try:
            async with asyncio.timeout(within_s):
                while (found := await self._first(key)) is None:  # noqa: ASYNC110 - another program's doing
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise NetworkError(f"redis: nothing was left under {key} within {within_s:g} s") from None
        return found

    async def _first(self, key: str) -> str | None:
        try:
            found = await self._ask("GET", key)
        except NetworkError as error:
            if _WRONG_TYPE not in str(error):
                raise
            found = await self._ask("LINDEX", key, "0")
        return found if isinstance(found, str) else None

    async def _ask(self, *words: str) -> Reply:
        encoded = [word.encode() for word in words]
        parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(each), each) for each in encoded)]
        self._writer.write(b"".join(parts))
        try:
            return await self._reply()
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise NetworkError(f"redis: {words[0]}: {error}") from None

    async def _reply(self) -> Reply:
        line = (await self._reader.readuntil(b"\r\n"))[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise NetworkError(f"redis: {rest.decode(errors='replace')}")
        if kind in (b"+", b":"):
            return rest.decode(errors="replace")
        size = int(rest)
        if size < 0:
            return None
        if size > MAX_REPLY_BYTES:
            raise NetworkError(f"redis: an answer of {size} parts or bytes")
        if kind == b"$":
            return (await self._reader.readexactly(size + 2))[:-2].decode(errors="replace")
        return [str(await self._reply()) for _ in range(size)]


Reply = str | list[str] | None


@asynccontextmanager
async def meeting_point(address: str) -> AsyncIterator[MeetingPoint]:
    """Connect to ``host:port``, trying again while nothing listens there. Raises `NetworkError`."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await _connected(host, int(port))
    except (TimeoutError, ValueError):
        raise NetworkError(f"redis: no connection to {address}") from None
    try:
        yield MeetingPoint(reader, writer)
    finally:
        writer.close()


async def _connected(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(POLL_S)
