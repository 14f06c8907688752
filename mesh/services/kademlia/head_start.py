"""Work that mostly needs no waiting: begun without a task, and given to one only when it does wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

ResultT = TypeVar("ResultT")


class HeadStart(Generic[ResultT]):
    """The rest of a coroutine that was run up to its first wait; awaited, once, it gives the result.

    ``waiting`` is what `Coroutine.send` returned there. Until it is awaited the coroutine has no task: so far it must not
    have asked for the current one, as `asyncio.timeout` does.
    """

    __slots__ = ("_coroutine", "_waiting")

    def __init__(self, coroutine: Coroutine[Any, None, ResultT], waiting: object) -> None:
        self._coroutine = coroutine
        self._waiting = waiting

    def __await__(self) -> Generator[Any, None, ResultT]:
        if isinstance(self._waiting, asyncio.Future):
            over = asyncio.get_running_loop().create_future()
            self._waiting.add_done_callback(lambda _waiting: None if over.done() else over.set_result(None))
            try:
                yield from over
            except asyncio.CancelledError:
                self._coroutine.close()
                raise
        return (yield from self._coroutine.__await__())

    def drop(self) -> None:
        """Nobody will await it."""
        self._coroutine.close()
