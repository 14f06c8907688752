"""Who may ask: judged for every request before any route sees it.

The Host header has to name this machine as the API is bound, so that a web page whose name was rebound to loopback gets
nothing; the token keeps out everyone else who can connect; a body has a greatest size, and so has the time for it.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from typing import Final

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.api.beam_answers import PREFIX as BEAM_PREFIX
from mesh.api.beam_answers import refused
from mesh.api.problem import answer, problem

MAX_BODY_BYTES: Final = 512 * 1024
"""A value of the DHT in base64 fits."""
LONG_BODY_BYTES: Final = 1536 * 1024
"""The largest bundle of the Lethean mesh in base64 fits, and a block of 1 MiB."""
LONG_PATHS: Final = ("/lethean/deploy", "/blocks/put")
BODY_TIMEOUT_S: Final = 10.0
LOCAL_HOSTS: Final = frozenset(["localhost", "127.0.0.1", "[::1]"])
HEALTH: Final = "/health"
METRICS: Final = "/metrics"
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:]+)(?::[0-9]{1,5})?", re.IGNORECASE)


class Guard:
    """An ASGI application around another. ``open_paths`` need no token."""

    def __init__(self, app: ASGIApp, token: str, hosts: frozenset[str], open_paths: frozenset[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = hosts | LOCAL_HOSTS
        self._open_paths = open_paths
        self._answering: set[asyncio.Task[object]] = set()
        self._ending = False

    def end(self) -> None:
        """Finish every answer under way: streams end where they are, whoever got nothing yet is told."""
        self._ending = True
        for task in self._answering:
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)
        if not self._knows_host(request):
            await self._refuse(403, "host", "the Host header does not name this API", scope, receive, send)
        elif scope["path"] not in self._open_paths and not self._shows_token(request):
            detail = "send the token of the data folder's api.token: Authorization: Bearer <token>"
            await self._refuse(401, "token", detail, scope, receive, send)
        else:
            await self._with_body(scope, receive, send, request)

    def _knows_host(self, request: Request) -> bool:
        named = request.headers.getlist("host")
        found = _HOST.fullmatch(named[0]) if len(named) == 1 else None
        return found is not None and found[1].lower() in self._hosts

    def _shows_token(self, request: Request) -> bool:
        given = request.headers.getlist("authorization")
        scheme, _, shown = (given[0] if len(given) == 1 else "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), self._token)

    async def _with_body(self, scope: Scope, receive: Receive, send: Send, request: Request) -> None:
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

        await self._answer(scope, replay, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent: list[Message] = []

        async def note(message: Message) -> None:
            sent[:] = [message]
            await send(message)

        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        try:
            await self._app(scope, receive, note)
        except asyncio.CancelledError:
            if not self._ending:
                raise
            task.uncancel()
            if not sent:
                await self._refuse(503, "closed", "the daemon is ending", scope, receive, send)
            elif sent[0].get("more_body", True):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._answering.discard(task)

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
