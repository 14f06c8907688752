"""Who may ask: judged for every request before any route sees it.

The Host header has to name this machine as the API is bound, so that a web page whose name was rebound to loopback gets
nothing; the token keeps out everyone else who can connect; a body has a greatest size, and so has the time for it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.api.answering import ENDING, Answering
from mesh.api.beam_answers import PREFIX as BEAM_PREFIX
from mesh.api.beam_answers import refused
from mesh.api.credentials import LOCAL_HOSTS, bears, named_host
from mesh.api.problem import answer, problem

MAX_BODY_BYTES: Final = 512 * 1024
"""A value of the DHT in base64 fits."""
LONG_BODY_BYTES: Final = 1536 * 1024
"""The largest bundle of the Lethean mesh in base64 fits, and a block of 1 MiB."""
LONG_PATHS: Final = ("/lethean/deploy", "/blocks/put")
BODY_TIMEOUT_S: Final = 10.0
HEALTH: Final = "/health"
METRICS: Final = "/metrics"


class Guard:
    """An ASGI application around another. ``open_paths`` need no token."""

    def __init__(self, app: ASGIApp, token: str, hosts: frozenset[str], open_paths: frozenset[str]) -> None:
        self._answering = Answering(app, self._tell_ending)
        self._token = token.encode()
        self._hosts = hosts | LOCAL_HOSTS
        self._open_paths = open_paths

    def end(self) -> None:
        """Finish every answer under way: streams end where they are, whoever got nothing yet is told."""
        self._answering.end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        if named_host(headers) not in self._hosts:
            await self._refuse(403, "host", "the Host header does not name this API", scope, receive, send)
        elif scope["path"] not in self._open_paths and not bears(headers, self._token):
            detail = "send the token of the data folder's api.token: Authorization: Bearer <token>"
            await self._refuse(401, "token", detail, scope, receive, send)
        else:
            await self._with_body(scope, receive, send)

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the whole body, which is small, and hand it on; what comes later is the end of the connection."""
        limit = LONG_BODY_BYTES if scope["path"].endswith(LONG_PATHS) else MAX_BODY_BYTES
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await _read_body(receive, limit)
        except TimeoutError:
            detail = f"the body did not come within {BODY_TIMEOUT_S:g} s"
            await self._refuse(408, "timed-out", detail, scope, receive, send)
            return
        if body is None:
            detail = f"a body has at most {limit} bytes"
            await self._refuse(413, "too-large", detail, scope, receive, send)
            return
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._answering.answer(scope, replay, send)

    async def _tell_ending(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._refuse(503, "closed", ENDING, scope, receive, send)

    async def _refuse(
        self, status: int, code: str, detail: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        headers = {"connection": "close"}
        if status == 401:
            headers["www-authenticate"] = "Bearer"
        if scope["path"].startswith(f"{BEAM_PREFIX}/"):
            await refused(status, code, detail, headers)(scope, receive, send)
            return
        await answer(problem(status, code, detail), headers)(scope, receive, send)


async def _read_body(receive: Receive, limit: int) -> bytes | None:
    """All of it, or None when it is too large; a caller that goes away has sent what it sent."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body", False):
            return bytes(body)
