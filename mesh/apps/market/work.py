"""Who does an agent's work: a Python callable, a command, or an HTTP endpoint.

A worker gets the task's text and gives the output's; whatever goes wrong is a `WorkFailed`, whose text the buyer is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mesh.apps.feeding import feed
from mesh.apps.market.payments.till import WorkFailed
from mesh.apps.starting import started
from mesh.errors import ConfigError, Malformed
from mesh.go_json.parsing import Members, parse

log = logging.getLogger(__name__)

PASSED_ON: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TZ",
    "SYSTEMROOT",
    "PYTHONPATH",
    "VIRTUAL_ENV",
)
"""Variables that a command gets besides what it is told of its task; nothing that could hold a key."""
MAX_TOLD: Final = 300
MAX_THREADS: Final = 16
_READ_BYTES: Final = 64 * 1024

Function = Callable[[str], str | Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Task:
    """What an agent is asked: the text, who asks as far as it says, and the id of the purchase."""

    input: str
    caller: str = ""
    purchase_id: str = ""


class Worker(Protocol):
    """Does the work of an agent."""

    async def run(self, task: Task, max_output_bytes: int) -> str:
        """The output. Raises `WorkFailed`; is cancelled when it takes too long."""
        ...

    def close(self) -> None:
        """Let go of what it holds; nothing is run any more."""


class CallableWorker:
    """``function(text)``, a coroutine function or a plain one, which runs in a thread. A thread cannot be ended: one that
    is stuck stays so."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._threads: ThreadPoolExecutor | None = None

    async def run(self, task: Task, max_output_bytes: int) -> str:
        working = asyncio.ensure_future(self._call(task.input))
        try:
            await asyncio.wait([working])
        finally:
            working.cancel()
        error = working.exception()
        if error is not None:
            log.info("an agent's function raised %r", error)
            raise WorkFailed(f"{type(error).__name__}: {error}"[:MAX_TOLD]) from error
        output: Any = working.result()
        if not isinstance(output, str):
            raise WorkFailed(f"the agent gave a {type(output).__name__}, not text")
        return _checked(output.encode("utf-8", "replace"), max_output_bytes)

    async def _call(self, text: str) -> object:
        if inspect.iscoroutinefunction(self._function):
            return await self._function(text)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(MAX_THREADS, "market agent")
        output = await asyncio.get_running_loop().run_in_executor(self._threads, self._function, text)
        return await output if inspect.isawaitable(output) else output

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


class CommandWorker:
    """A program: the task on its standard input, its standard output is the output; another exit status than 0 is a
    failure, which the last line on standard error explains."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """Raises `ConfigError` for no program."""
        if not arguments or not arguments[0]:
            raise ConfigError("an agent's command names a program")
        self._arguments = tuple(arguments)

    async def run(self, task: Task, max_output_bytes: int) -> str:
        try:
            starting = asyncio.create_subprocess_exec(
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=_environment(task),
                start_new_session=os.name == "posix",
            )
            process = await started(starting, _ended)
        except OSError as error:
            raise WorkFailed(f"the agent's program cannot be run: {error.strerror}") from None
        try:
            output, told = await _converse(process, task.input.encode(), max_output_bytes)
            status = await process.wait()
        finally:
            await _ended(process)
        if status:
            words = told.decode("utf-8", "replace").strip().rpartition("\n")[2][:MAX_TOLD]
            raise WorkFailed(words or f"the agent's program ended with status {status}")
        return _checked(output, max_output_bytes)

    def close(self) -> None:
        return None


class HttpWorker:
    """An endpoint: the task is posted as `{"input": ...}`, the answer is `{"output": ...}` or the output as text."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def run(self, task: Task, max_output_bytes: int) -> str:
        import httpx  # only nodes with such an agent pay for it

        body = {"input": task.input, "caller": task.caller, "purchaseId": task.purchase_id}
        try:
            async with (
                httpx.AsyncClient(timeout=None, trust_env=False) as client,
                client.stream("POST", self._url, json=body) as answer,
            ):
                data = bytearray()
                async for piece in answer.aiter_bytes():
                    data += piece
                    if len(data) > max_output_bytes + 64:
                        raise WorkFailed(f"the agent's output is longer than {max_output_bytes} bytes")
                if answer.is_error:
                    raise WorkFailed(f"the agent's endpoint answered {answer.status_code}")
                is_json = "json" in answer.headers.get("content-type", "")
        except httpx.HTTPError as error:
            raise WorkFailed(f"the agent's endpoint failed: {type(error).__name__}") from None
        return _checked(_output_of(bytes(data)) if is_json else bytes(data), max_output_bytes)

    def close(self) -> None:
        return None


def load_function(name: str) -> Function:
    """The callable that ``module:function`` names; the present folder is looked in first. Raises `ConfigError`."""
    module_name, _, attribute = name.partition(":")
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{name!r} names no function, as module:function does: {error}") from None
    if not callable(found):
        raise ConfigError(f"{name!r} is no function")
    function: Function = found
    return function


async def _converse(
    process: asyncio.subprocess.Process, text: bytes, max_output_bytes: int
) -> tuple[bytes, bytes]:
    """Write the task and read both outputs, each no further than it may be."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    writing = asyncio.create_task(feed(process.stdin, text))
    reading = asyncio.create_task(_tail(process.stderr))
    try:
        output = await _head(process.stdout, max_output_bytes)
        await writing
        return output, await reading
    finally:
        for task in (writing, reading):
            task.cancel()
        await asyncio.wait([writing, reading])


async def _head(pipe: asyncio.StreamReader, most: int) -> bytes:
    data = bytearray()
    while piece := await pipe.read(_READ_BYTES):
        data += piece
        if len(data) > most:
            raise WorkFailed(f"the agent's output is longer than {most} bytes")
    return bytes(data)


async def _tail(pipe: asyncio.StreamReader) -> bytes:
    data = b""
    while piece := await pipe.read(_READ_BYTES):
        data = (data + piece)[-4 * MAX_TOLD :]
    return data


async def _pass_over(pipe: asyncio.StreamReader | None) -> None:
    while pipe is not None and await pipe.read(_READ_BYTES):
        pass


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Kill what still runs, with its children where the system has groups of processes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        elif process.returncode is None:
            process.kill()
    # Its end is told only after that of its pipes, and one that is full is not read by itself.
    await asyncio.gather(_pass_over(process.stdout), _pass_over(process.stderr), process.wait())


def _environment(task: Task) -> Mapping[str, str]:
    told = {"MARKET_CALLER": task.caller, "MARKET_PURCHASE_ID": task.purchase_id}
    plain = {name: value.replace("\0", "") for name, value in told.items()}
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | plain


def _output_of(data: bytes) -> bytes:
    """The text under `output` of an object, else all of it."""
    try:
        found = parse(data)
    except Malformed as error:
        raise WorkFailed(f"the agent's endpoint answered no JSON: {error.reason}"[:MAX_TOLD]) from None
    outputs = [value for key, value in found if key == "output"] if isinstance(found, Members) else []
    return outputs[-1].encode() if outputs and type(outputs[-1]) is str else data


def _checked(output: bytes, most: int) -> str:
    if len(output) > most:
        raise WorkFailed(f"the agent's output is longer than {most} bytes")
    return output.decode("utf-8", "replace")
