"""Which answer belongs to which request: of the very peer that was asked, as long as somebody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mesh.errors import UsageError
from mesh.protocols.openclaw.message import ANSWERS, Envelope

MAX_WAITING: Final = 4096


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for a request. ``document`` is the whole message."""

    success: bool
    result: Any
    error: str | None
    document: Mapping[str, Any]


class Requests:
    """Those who wait for answers."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], asyncio.Future[Reply]] = {}

    def expect(self, peer_id: str, request_id: str) -> asyncio.Future[Reply]:
        """The answer to a request, once it is there; `forget` ends the waiting. Raises `UsageError` for too many."""
        if len(self._waiting) >= MAX_WAITING:
            raise UsageError(f"{MAX_WAITING} requests wait for an answer already; wait for some of them")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[peer_id, request_id] = future
        return future

    def forget(self, peer_id: str, request_id: str) -> None:
        """Nobody waits any more."""
        self._waiting.pop((peer_id, request_id), None)

    def awaits(self, peer_id: str, message: Envelope) -> bool:
        """Whether a message is an answer that somebody waits for. From any thread."""
        return message.type in ANSWERS and (peer_id, message.answers) in self._waiting

    def settle(self, peer_id: str, message: Envelope) -> bool:
        """Hand an answer to whoever waits for it; tells whether somebody did."""
        future = self._waiting.get((peer_id, message.answers)) if message.type in ANSWERS else None
        if future is None or future.done():
            return False
        document = message.document
        error = document.get("error")
        future.set_result(
            Reply(
                document.get("success") is True,
                document.get("result"),
                error if isinstance(error, str) else None,
                document,
            )
        )
        return True
