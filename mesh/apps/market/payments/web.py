"""JSON to an http address and JSON back, within bounds. httpx is loaded when the first service is opened."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from mesh.errors import ConfigError, NetworkError, TimedOut

if TYPE_CHECKING:
    import httpx

MAX_ANSWER_BYTES: Final = 4 * 2**20
CONNECT_LIMIT_S: Final = 3.0
MAX_CONNECTIONS: Final = 64


class WebService:
    """One address that takes JSON, for the length of an `async with`; ``noun`` begins its errors."""

    def __init__(self, url: str, noun: str, limit_s: float) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"{noun} wants an http:// or https:// address, not {url!r}")
        self._url = url.rstrip("/")
        self._noun = noun
        self._limit_s = limit_s
        self._client: httpx.AsyncClient | None = None

    @property
    def client(self) -> httpx.AsyncClient:
        """The client, while the service is open."""
        if self._client is None:
            raise NetworkError(f"{self._noun} is not open")
        return self._client

    async def __aenter__(self) -> Self:
        import httpx

        self._client = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(self._limit_s, connect=min(CONNECT_LIMIT_S, self._limit_s)),
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def post(self, path: str, body: bytes) -> Any:
        """The JSON that answers. Raises `NetworkError` for anything but a status of 200 with JSON of at most 4 MiB, in
        time."""
        import httpx

        try:
            async with (
                asyncio.timeout(self._limit_s),
                self.client.stream(
                    "POST", self._url + path, content=body, headers={"content-type": "application/json"}
                ) as answer,
            ):
                data = await self._read(answer)
        except (TimeoutError, httpx.TimeoutException):
            raise TimedOut(f"{self._noun}: no answer within {self._limit_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NetworkError(f"{self._noun}: {type(error).__name__}: {error}") from None
        if answer.status_code != 200:
            raise NetworkError(f"{self._noun}: status {answer.status_code}")
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise NetworkError(f"{self._noun}: the answer is no JSON") from None

    async def _read(self, answer: httpx.Response) -> bytes:
        data = bytearray()
        async for piece in answer.aiter_bytes():
            data += piece
            if len(data) > MAX_ANSWER_BYTES:
                raise NetworkError(f"{self._noun}: an answer of more than {MAX_ANSWER_BYTES} bytes")
        return bytes(data)
