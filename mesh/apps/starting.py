"""Starting a program wholly: asyncio kills what it was starting when whoever waits is cancelled, but not the children
that the program may have by then."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any


async def started(
    starting: Coroutine[Any, Any, Process], end: Callable[[Process], Awaitable[object]]
) -> Process:
    """The process that ``starting`` creates. Raises as that does; where the wait is cancelled, the process is started all
    the same and ``end`` gets it."""
    task = asyncio.ensure_future(starting)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError, ValueError):
            await end(await task)
        raise
