"""Answers under way, which the end of a daemon finishes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

ENDING: Final = "the daemon is ending"


class Answering:
    """Lets ``app`` answer. ``refuse`` tells a caller who has got nothing yet that the daemon is ending."""

    def __init__(self, app: ASGIApp, refuse: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app
        self._refuse = refuse
        self._tasks: set[asyncio.Task[object]] = set()
        self._ending = False

    def end(self) -> None:
        """Finish every answer: streams end where they are, whoever got nothing yet is told."""
        self._ending = True
        for task in self._tasks:
            task.cancel()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One answer, in the task that asks."""
        sent: list[Message] = []

        async def note(message: Message) -> None:
            sent[:] = [message]
            await send(message)

        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._app(scope, receive, note)
        except asyncio.CancelledError:
            if not self._ending:
                raise
            task.uncancel()
            if not sent:
                await self._refuse(scope, receive, send)
            elif scope["type"] == "http" and sent[0].get("more_body", True):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._tasks.discard(task)
