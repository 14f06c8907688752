"""Running one coroutine to its end on the quickest loop that is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")


def run_async(main: Coroutine[object, object, T]) -> T:
    """Run ``main`` on a new loop; the first interrupt cancels it and becomes `KeyboardInterrupt`."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
