"""The opening handshake of WebSocket (RFC 6455, section 4) by the `websockets` package, in at most 16 KiB.

Path `/`, no subprotocol, no extensions, any `Origin` and any path accepted, as go-libp2p does.
"""

from __future__ import annotations

import http
import logging
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from websockets.client import ClientProtocol
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from mesh.errors import PeerError
from mesh.network.addresses import WebSocketEndpoint

MAX_HEAD_BYTES: Final = 16 * 1024
CLAUSE: Final = "RFC 6455, section 4"
_END: Final = b"\r\n\r\n"


class _DebugLog(logging.LoggerAdapter[logging.Logger]):
    """Peers make the package log at info and above; here that is debug."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        super().log(logging.DEBUG, msg, *args, **kwargs)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, kwargs


_NO_CONTEXT: Final[Mapping[str, object]] = {}
_LOG = _DebugLog(logging.getLogger(__name__), _NO_CONTEXT)


class Handshake:
    """One side of it. ``done`` is set when frames follow, ``failure`` when it came to nothing."""

    __slots__ = ("_head", "_protocol", "done", "failure")

    def __init__(self, endpoint: WebSocketEndpoint | None) -> None:
        """``endpoint`` is where a dialer connects to; a listener has none."""
        self._protocol: ClientProtocol | ServerProtocol
        self._head = bytearray()
        self.done = False
        self.failure: PeerError | None = None
        if endpoint is None:
            self._protocol = ServerProtocol(logger=_LOG)
        else:
            uri = WebSocketURI(endpoint.secure, endpoint.name, endpoint.tcp.port, "", "")
            self._protocol = ClientProtocol(uri, logger=_LOG)
            self._protocol.send_request(self._protocol.connect())

    def output(self) -> bytes:
        """What must leave now: request, answer or refusal."""
        return b"".join(self._protocol.data_to_send())

    def receive(self, data: memoryview) -> int:
        """Take bytes cut anywhere; returns how many of them belong to the handshake."""
        known = len(self._head)
        self._head += data[: MAX_HEAD_BYTES - known]
        at = self._head.find(_END, max(0, known - len(_END)))
        taken = at + len(_END) - known if at >= 0 else len(self._head) - known
        protocol = self._protocol
        protocol.receive_data(bytes(data[:taken]))
        events = protocol.events_received()
        if isinstance(protocol, ServerProtocol):
            for event in events:
                assert isinstance(event, Request)
                protocol.send_response(protocol.accept(event))
        self.done = protocol.state is State.OPEN
        if not self.done:
            self._judge(at)
        return taken

    def _judge(self, at: int) -> None:
        """Set `failure` when this handshake cannot succeed any more; ``at`` is the end of the head, or -1."""
        protocol = self._protocol
        cause = protocol.handshake_exc
        too_long = at < 0 and len(self._head) >= MAX_HEAD_BYTES
        if cause is None and at < 0 and not too_long:
            return
        first = bytes(self._head[:80]).partition(b"\r\n")[0].decode("latin-1")
        reason = f"more than {MAX_HEAD_BYTES} bytes of headers" if too_long else str(cause or "refused")
        self.failure = PeerError(
            f"no WebSocket handshake: {reason}; it began with {first!r}", protocol="websocket", clause=CLAUSE
        )
        if isinstance(protocol, ServerProtocol):
            status = http.HTTPStatus.BAD_REQUEST
            if too_long:
                status = http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            if not any(protocol.writes):
                protocol.writes.append(protocol.reject(status, f"{reason}\n").serialize())
