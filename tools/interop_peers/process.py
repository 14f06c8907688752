"""A peer in a process of its own: requests, answers and events as JSON lines (see the README beside this file)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

Answer = dict[str, Any]

READY_S = 30.0
CALL_S = 60.0
EVENT_S = 10.0
END_S = 5.0
_LINE_BYTES = 4 * 1024 * 1024
_GRACE_S = 5.0
"""How much later than the process itself this side gives up on an answer."""


class CommandFailed(Exception):  # noqa: N818
    """The peer answered that a command failed; ``answer`` is all it said."""

    def __init__(self, command: str, answer: Answer) -> None:
        super().__init__(f"{command}: {answer.get('error', 'no reason given')}")
        self.answer = answer


class ProcessEnded(Exception):  # noqa: N818
    """The process is gone; what it wrote to stderr last is in the message."""


class PeerProcess:
    """Runs ``command`` for the length of an `async with`; it is killed for certain at the end.

    ``events`` are all unsolicited lines so far, `ready` first.
    """

    def __init__(self, *command: str) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._changed = asyncio.Condition()
        self._errors: deque[str] = deque(maxlen=20)
        self._ended = False
        self.events: list[Answer] = []

    # -- life --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=pipe, limit=_LINE_BYTES
        )
        self._readers = [asyncio.create_task(self._read_lines()), asyncio.create_task(self._read_errors())]
        try:
            await self.event("ready", within_s=READY_S)
        except BaseException:
            await self._end(0.0)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end(0.0 if error is not None else END_S)

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "the peer has not been started"
        return self._process

    @property
    def peer(self) -> str:
        """Its peer id."""
        return str(self.events[0]["peer"])

    @property
    def addresses(self) -> list[str]:
        """Where it listens, each with its peer id."""
        return [str(each) for each in self.events[0]["addrs"]]

    @property
    def address(self) -> str:
        """The first of its addresses."""
        return self.addresses[0]

    async def kill(self) -> None:
        """SIGKILL, and wait until the system has taken it back."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    # -- talking -----------------------------------------------------------------------------------------------------

    async def call(self, command: str, *, within_s: float = CALL_S, **arguments: Any) -> Answer:
        """The answer to a command. Raises `CommandFailed`, `ProcessEnded`, `TimeoutError`."""
        number = next(self._numbers)
        request = {"id": number, "cmd": command, "timeout_ms": round(within_s * 1000), **arguments}
        answer = asyncio.get_running_loop().create_future()
        if self._ended:
            raise self._end_error()
        self._waiting[number] = answer
        stdin = self.process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            async with asyncio.timeout(within_s + _GRACE_S):
                reply: Answer = await answer
        finally:
            del self._waiting[number]
        if not reply["ok"]:
            raise CommandFailed(command, reply)
        return reply

    async def event(
        self,
        name: str,
        where: Callable[[Answer], object] = lambda _event: True,
        *,
        after: int = 0,
        within_s: float = EVENT_S,
    ) -> Answer:
        """The first event of a name that ``where`` holds for, past or coming; the first ``after`` events do not count.

        Raises `TimeoutError` that lists the events there were, `ProcessEnded`.
        """
        seen = after
        try:
            async with asyncio.timeout(within_s), self._changed:
                while True:
                    for event in self.events[seen:]:
                        seen += 1
                        if event["event"] == name and where(event):
                            return event
                    if self._ended:
                        raise self._end_error()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(
                f"no event {name!r} of that kind within {within_s:g} s: {self.events}"
            ) from None

    # -- within ------------------------------------------------------------------------------------------------------

    async def _read_lines(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None
        while line := await stdout.readline():
            message: Answer = json.loads(line)
            if "event" in message:
                async with self._changed:
                    self.events.append(message)
                    self._changed.notify_all()
            elif (waiter := self._waiting.get(message["id"])) is not None and not waiter.done():
                waiter.set_result(message)
        await self.process.wait()
        async with self._changed:
            self._ended = True
            self._changed.notify_all()
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(self._end_error())

    async def _read_errors(self) -> None:
        stderr = self.process.stderr
        assert stderr is not None
        while line := await stderr.readline():
            self._errors.append(line.decode(errors="replace").rstrip())

    def _end_error(self) -> ProcessEnded:
        said = "\n  ".join(["", *self._errors])
        return ProcessEnded(f"{self._command[0]} ended with status {self.process.returncode}{said}")

    async def _end(self, patience_s: float) -> None:
        """The end of its input is a request to end; after ``patience_s`` it is killed."""
        process = self.process
        assert process.stdin is not None
        try:
            process.stdin.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.gather(process.wait(), *self._readers)
            with contextlib.suppress(ConnectionError):
                await process.stdin.wait_closed()
