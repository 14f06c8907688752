"""What a listener answers to a request for a WebSocket: the one path, the origin rule, the limit of connections.

Answers are those of a Go node byte for byte but for the date (specification, section 3.2).
"""

from __future__ import annotations

import email.utils
from typing import Final
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidMethod, InvalidProtocol
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

PATH: Final = "/ws"
LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PLAIN: Final = "text/plain; charset=utf-8"


def answer_to(protocol: ServerProtocol, request: Request, *, full: bool) -> Response:
    """101 for a request that becomes a WebSocket, else the refusal. ``full`` says that no more connections are taken."""
    if request.path.partition("?")[0] != PATH:
        return _refusal(404, "Not Found", "404 page not found", versioned=False)
    if full:
        return _refusal(503, "Service Unavailable", "Too many connections", versioned=False)
    try:
        accept, _, _ = protocol.process_request(request)
    except (InvalidMethod, InvalidProtocol, InvalidHandshake) as error:
        if isinstance(error, InvalidMethod):
            return _refusal(405, "Method Not Allowed")
        return _refusal(400, "Bad Request")
    if not _is_local(request.headers.get_all("Origin")):
        return _refusal(403, "Forbidden")
    headers = Headers()
    headers["Upgrade"] = "websocket"
    headers["Connection"] = "Upgrade"
    headers["Sec-WebSocket-Accept"] = accept
    return Response(101, "Switching Protocols", headers)


def _is_local(origins: list[str]) -> bool:
    """A page of this machine's own, or no page at all: only browsers send an origin."""
    if not origins:
        return True
    try:
        return len(origins) == 1 and urlsplit(origins[0]).hostname in LOCAL_HOSTS
    except ValueError:
        return False


def _refusal(status: int, phrase: str, text: str = "", *, versioned: bool = True) -> Response:
    body = f"{text or phrase}\n".encode()
    headers = Headers()
    headers["Content-Type"] = _PLAIN
    if versioned:
        headers["Sec-Websocket-Version"] = "13"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Date"] = email.utils.formatdate(usegmt=True)
    headers["Content-Length"] = str(len(body))
    return Response(status, phrase, headers, body)
