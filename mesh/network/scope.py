"""Tasks with an owner: whoever opens a scope ends it, and nothing of it is left behind.

A scope takes the place of a resident `asyncio.TaskGroup` per connection, which needs a task of its own to stand in its
`async with` (about 3 KiB per idle connection); a scope without tasks is one small object. The rules are the same: a task
belongs to exactly one scope, and `close` cancels and awaits all of them, children first.

Here is the connection and service supervisor: the one broad `except` over foreign code (protocol handlers, validators).
It logs, counts, and tells the owner through ``on_crash``; `supervised` is the same for a plain call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from mesh.errors import MeshError, UsageError

log = logging.getLogger(__name__)

A = TypeVar("A")
T = TypeVar("T")

Spawn = Callable[[Coroutine[Any, Any, Any], str], asyncio.Task[None]]
"""`Scope.spawn` as services are handed it: runs a coroutine, under a name for logs, as one of their tasks."""


class Scope:
    """Owns tasks and child scopes. ``crashes`` counts tasks that ended with an unforeseen exception. ``name`` is put into
    words only for an error."""

    __slots__ = ("_children", "_closing", "_name", "_parent", "_tasks", "crashes")

    def __init__(self, name: object, parent: Scope | None = None) -> None:
        self._name = name
        self._parent = parent
        self._tasks: set[asyncio.Task[None]] | None = None
        self._children: set[Scope] | None = None
        self._closing = False
        self.crashes = 0
        if parent is not None:
            parent._adopt(self)

    @property
    def closing(self) -> bool:
        """Whether no more tasks are taken."""
        return self._closing

    def spawn(
        self,
        work: Coroutine[Any, Any, Any],
        name: str,
        on_error: Callable[[MeshError], None] | None = None,
        on_crash: Callable[[Exception], None] | None = None,
    ) -> asyncio.Task[None]:
        """Run a coroutine as a task of this scope.

        ``on_error`` gets a `MeshError` that ended it (without it such an end is only logged at debug level);
        ``on_crash`` any other exception, which is also logged with its traceback. Raises `UsageError` on a closed scope.
        """
        if self._closing:
            work.close()
            raise UsageError(f"{self._name} is closing; {name} cannot start")
        task = asyncio.get_running_loop().create_task(
            self._supervise(work, name, on_error, on_crash), name=name
        )
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._task_ended(ended, work))
        return task

    async def close(self) -> None:
        """Cancel every task of this scope and of its children, and wait until they have ended."""
        self._closing = True
        for child in list(self._children or ()):
            await child.close()
        current = asyncio.current_task()
        tasks = [task for task in self._tasks or () if task is not current]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._parent is not None and self._parent._children is not None:
            self._parent._children.discard(self)

    def cancel(self) -> None:
        """Cancel without waiting: for a connection that was lost; the tasks end in the loop's next turns."""
        self._closing = True
        for child in list(self._children or ()):
            child.cancel()
        for task in list(self._tasks or ()):
            task.cancel()
        self._leave_parent()

    def _task_ended(self, task: asyncio.Task[None], work: Coroutine[Any, Any, Any]) -> None:
        work.close()  # a task cancelled before its first step never began it
        if self._tasks is not None:
            self._tasks.discard(task)
            if not self._tasks:
                self._tasks = None
        if self._closing:
            self._leave_parent()

    def _leave_parent(self) -> None:
        """A scope that was cancelled stays with its parent until its last task has ended."""
        if self._parent is not None and self._parent._children is not None and not self._tasks:
            self._parent._children.discard(self)

    def _adopt(self, child: Scope) -> None:
        if self._closing:
            raise UsageError(f"{self._name} is closing; {child._name} cannot start")
        if self._children is None:
            self._children = set()
        self._children.add(child)

    async def _supervise(
        self,
        work: Coroutine[Any, Any, Any],
        name: str,
        on_error: Callable[[MeshError], None] | None,
        on_crash: Callable[[Exception], None] | None,
    ) -> None:
        try:
            await work
        except MeshError as error:
            log.debug("%s: %s", name, error)
            if on_error is not None:
                on_error(error)
        except Exception as error:
            self.crashes += 1
            log.exception("%s: unforeseen %s", name, type(error).__name__)
            if on_crash is not None:
                on_crash(error)


def supervised(function: Callable[[A], T], argument: A, name: str) -> T | None:
    """What foreign code returns for ``argument``; None when it raised, which is logged with its traceback."""
    try:
        return function(argument)
    except Exception:
        log.exception("%s: unforeseen exception", name)
        return None
