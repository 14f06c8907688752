"""JSON to an http address and JSON back, within bounds, over connections that are kept.

By h11 and not by httpx, which costs the seller a millisecond of CPU a request: a paid call makes two or three. Everything
that is posted here may be posted twice: reading a ledger changes nothing, and an authorization is settled once. So a
request for which a kept connection turns out to be closed goes out again on a new one.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import certifi
import h11

from mesh.errors import ConfigError, NetworkError, TimedOut
from mesh.go_json.parsing import check_bounds

MAX_ANSWER_BYTES: Final = 4 * 2**20
MAX_HEAD_BYTES: Final = 64 * 1024
CONNECT_LIMIT_S: Final = 3.0
MAX_CONNECTIONS: Final = 64
_READ_BYTES: Final = 64 * 1024


class Stale(Exception):  # noqa: N818 - a condition of a kept connection
    """A connection that was kept has been closed at the other end."""


class WebService:
    """One address that takes JSON, for the length of an `async with`; ``noun`` begins its errors."""

    def __init__(self, url: str, noun: str, limit_s: float) -> None:
        """Raises `ConfigError` for what is no address."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{noun} wants an http:// or https:// address, not {url!r}")
        secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = port or (443 if secure else 80)
        self._name = parts.netloc.rpartition("@")[2]
        self._path = parts.path.rstrip("/")
        self._secure = secure
        self._tls: ssl.SSLContext | None = None
        self._noun = noun
        self._limit_s = limit_s
        self._kept: deque[_Line] = deque()
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        self._open = False

    async def __aenter__(self) -> Self:
        if self._secure:
            self._tls = ssl.create_default_context(cafile=certifi.where())
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        while self._kept:
            await self._kept.pop().close()

    async def post(self, path: str, body: bytes) -> Any:
        """The JSON that answers. Raises `NetworkError` for anything but a status of 200 with JSON of at most 4 MiB, in
        time."""
        try:
            async with asyncio.timeout(self._limit_s), self._turns:
                status, data = await self._ask(self._path + path or "/", body)
        except TimeoutError:
            raise TimedOut(f"{self._noun}: no answer within {self._limit_s:g} s") from None
        except (OSError, UnicodeError) as error:
            raise NetworkError(f"{self._noun}: {getattr(error, 'strerror', '') or error}") from None
        except h11.ProtocolError as error:
            raise NetworkError(f"{self._noun}: not HTTP: {error}") from None
        if status != 200:
            raise NetworkError(f"{self._noun}: status {status}")
        try:
            text = data.decode()
            check_bounds(text)
            return json.loads(text)
        except ValueError:
            raise NetworkError(f"{self._noun}: the answer is no JSON") from None

    async def _ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body, by a connection that was kept, or a new one."""
        if not self._open:
            raise NetworkError(f"{self._noun} is not open")
        headers = [("host", self._name), ("content-type", "application/json"), ("accept", "application/json")]
        headers.append(("content-length", str(len(body))))
        request = h11.Request(method="POST", target=path, headers=headers)
        while self._kept:
            line = self._kept.pop()
            with suppress(Stale):
                return await self._ask_by(line, request, body)
        try:
            return await self._ask_by(await self._connect(), request, body)
        except Stale:
            raise NetworkError(f"{self._noun}: closed without an answer") from None

    async def _ask_by(self, line: _Line, request: h11.Request, body: bytes) -> tuple[int, bytes]:
        try:
            answer = await line.ask(request, body)
        except BaseException:
            line.abort()
            raise
        if line.reusable and self._open:
            self._kept.append(line)
        else:
            line.abort()
        return answer

    async def _connect(self) -> _Line:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        return _Line(reader, writer, self._noun)


class _Line:
    """A connection, for one request after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, noun: str) -> None:
        self._reader = reader
        self._writer = writer
        self._noun = noun
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)

    @property
    def reusable(self) -> bool:
        """Whether another request may follow; it is then ready for it."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def ask(self, request: h11.Request, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises `Stale` where nothing at all came back, `NetworkError` for too much."""
        send = self._http.send
        pieces = (send(request), send(h11.Data(data=body)), send(h11.EndOfMessage()))
        self._writer.write(b"".join(piece for piece in pieces if piece))
        status, data, heard = 0, bytearray(), False
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                heard = await self._hear(heard)
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                data += event.data
                if len(data) > MAX_ANSWER_BYTES:
                    raise NetworkError(f"{self._noun}: an answer of more than {MAX_ANSWER_BYTES} bytes")
            elif isinstance(event, h11.EndOfMessage):
                return status, bytes(data)

    async def _hear(self, heard: bool) -> bool:
        try:
            chunk = await self._reader.read(_READ_BYTES)
        except ConnectionError:
            if heard:
                raise
            raise Stale from None
        if not chunk and not heard:
            raise Stale
        self._http.receive_data(chunk)
        return True

    def abort(self) -> None:
        """Drop it."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """End it in order."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
