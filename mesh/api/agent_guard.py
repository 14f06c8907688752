"""Who may ask the agent API: judged for every request and WebSocket before any route sees it.

The Host header has to name this machine as the API is bound, and an Origin header an origin that is let in, so that no
web page gets at the agent of whoever looks at it. Callers beyond loopback need the token of the data folder's
``agent.token``, all callers where the settings say so; a listener of events may show it as ``token`` in its query, since
browsers let it set no header. A body has a greatest size, and so have all bodies that are being read together.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from typing import ClassVar, Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mesh.api.agent_answers import error_answer
from mesh.api.answering import ENDING, Answering
from mesh.api.credentials import LOCAL_HOSTS, bears, is_token, named_host

MAX_BODY_BYTES: Final = 7 * 1024 * 1024
"""A message of 1 MiB in JSON, should each of its characters be written as an escape."""
MAX_BODIES_BYTES: Final = 64 * 1024 * 1024
BODY_TIMEOUT_S: Final = 30.0
EVENTS: Final = "/events"
CORS_METHODS: Final = "GET, POST, PUT, DELETE"
CORS_HEADERS: Final = "authorization, content-type, last-event-id"
_REFUSED: Final = 1008


class AgentGuard:
    """An ASGI application around another. ``hosts`` are names in the Host header besides loopback's, with ``any_address``
    every IP address as well (which no foreign page can go by); ``origins`` are those of web pages besides the API's own;
    ``all_need_token``, or only who is not on loopback; ``open_paths`` need none."""

    token_file: ClassVar[str] = "agent.token"
    origins_key: ClassVar[str] = "agent.api_origins"

    def __init__(
        self,
        app: ASGIApp,
        token: str,
        *,
        hosts: frozenset[str],
        origins: frozenset[str],
        any_address: bool = False,
        all_need_token: bool,
        open_paths: frozenset[str] = frozenset(),
    ) -> None:
        self._answering = Answering(app, _tell_ending)
        self._token = token.encode()
        self._hosts = hosts | LOCAL_HOSTS
        self._origins = origins
        self._any_address = any_address
        self._all_need_token = all_need_token
        self._open_paths = open_paths
        self._bodies_bytes = 0

    def end(self) -> None:
        """Finish every answer under way: event streams end where they are."""
        self._answering.end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        refusal = self._refusal(scope, headers, origin)
        if refusal is not None:
            await _refuse(scope, receive, send, *refusal)
            return
        if origin is not None and origin in self._origins:
            send = _with_origin(send, origin)
            if scope["type"] == "http" and scope["method"] == "OPTIONS":
                allowed = {
                    "access-control-allow-methods": CORS_METHODS,
                    "access-control-allow-headers": CORS_HEADERS,
                }
                await Response(status_code=204, headers=allowed)(scope, receive, send)
                return
        if scope["type"] == "http":
            await self._with_body(scope, receive, send)
        else:
            await self._answering.answer(scope, receive, send)

    # -- judging -----------------------------------------------------------------------------------------------------

    def _refusal(self, scope: Scope, headers: Headers, origin: str | None) -> tuple[int, str] | None:
        if not self._knows_host(headers):
            return 403, "the Host header does not name this API"
        if origin is not None and origin not in self._origins and not _own_origin(origin, headers):
            return 403, f"pages of this origin may not use this API ({self.origins_key})"
        preflight = scope.get("method") == "OPTIONS"
        if preflight or scope["path"] in self._open_paths or self._needs_no_token(scope):
            return None
        if not self._shows_token(scope, headers):
            shown = "Authorization: Bearer <token>"
            return 401, f"send the token of the data folder's {self.token_file}: {shown}"
        return None

    def _knows_host(self, headers: Headers) -> bool:
        host = named_host(headers)
        if host is None:
            return False
        return host in self._hosts or (self._any_address and _address_of(host) is not None)

    def _needs_no_token(self, scope: Scope) -> bool:
        return not self._all_need_token and _on_loopback(scope.get("client"))

    def _shows_token(self, scope: Scope, headers: Headers) -> bool:
        if bears(headers, self._token):
            return True
        if scope["path"] != EVENTS:
            return False
        asked = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=16, errors="replace")
        return is_token(asked.get("token", [""])[0], self._token)

    # -- bodies and answers ------------------------------------------------------------------------------------------

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                refusal = await self._read(receive, body)
            if refusal is not None:
                await _refuse(scope, receive, send, *refusal)
                return
            waiting: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

            async def replay() -> Message:
                return waiting.pop() if waiting else await receive()

            await self._answering.answer(scope, replay, send)
        except TimeoutError:
            await _refuse(scope, receive, send, 408, f"the body did not come within {BODY_TIMEOUT_S:g} s")
        finally:
            self._bodies_bytes -= len(body)

    async def _read(self, receive: Receive, body: bytearray) -> tuple[int, str] | None:
        """All of the body, or why it is refused; a caller that goes away has sent what it sent."""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            piece = message.get("body", b"")
            if len(body) + len(piece) > MAX_BODY_BYTES:
                return 413, f"a body has at most {MAX_BODY_BYTES} bytes"
            if self._bodies_bytes + len(piece) > MAX_BODIES_BYTES:
                return 429, "too many bodies are being read; try again"
            body += piece
            self._bodies_bytes += len(piece)
            if not message.get("more_body", False):
                return None


async def _tell_ending(scope: Scope, receive: Receive, send: Send) -> None:
    await _refuse(scope, receive, send, 503, ENDING)


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _REFUSED, "reason": text})
        return
    headers = {"connection": "close"}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    await error_answer(status, text, headers)(scope, receive, send)


def _own_origin(origin: str, headers: Headers) -> bool:
    """Whether a page of this very API asks."""
    scheme, _, host = origin.partition("://")
    return scheme in ("http", "https") and host.lower() == headers.get("host", "").lower()


def _on_loopback(client: tuple[str, int] | None) -> bool:
    address = _address_of(client[0]) if client else None
    mapped = getattr(address, "ipv4_mapped", None)
    return address is not None and (mapped or address).is_loopback


def _address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None


def _with_origin(send: Send, origin: str) -> Callable[[Message], Awaitable[None]]:
    """Let the page of an origin that is let in read the answer."""

    async def allowing(message: Message) -> None:
        if message["type"] == "http.response.start":
            added = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin")]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return allowing
