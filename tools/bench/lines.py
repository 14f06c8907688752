"""The JSON lines of a worker: requests on its input, answers and events on its output (tools/interop_peers/README.md)."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mesh.errors import MeshError

Commands = Mapping[str, Callable[..., Awaitable[dict[str, Any]]]]
LINE_BYTES = 1 << 20


def say(line: dict[str, Any]) -> None:
    """One line of output, at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def answer(commands: Commands, line: bytes) -> None:
    """Carry out one request; the runner's time limit is the one that counts."""
    request = json.loads(line)
    number, command = request.pop("id"), request.pop("cmd")
    request.pop("timeout_ms", None)
    try:
        result = await commands[command](**request)
    except (MeshError, RuntimeError, KeyError, TypeError) as error:
        say({"id": number, "ok": False, "error": f"{type(error).__name__}: {error}"})
    else:
        say({"id": number, "ok": True, **result})


async def serve(commands: Commands) -> None:
    """Answer until the end of the input; requests run side by side."""
    requests = asyncio.StreamReader(limit=LINE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(requests), sys.stdin
    )
    running: set[asyncio.Task[None]] = set()
    try:
        while line := await requests.readline():
            task = asyncio.create_task(answer(commands, line))
            running.add(task)
            task.add_done_callback(running.discard)
    finally:
        for task in running:
            task.cancel()
        transport.close()
