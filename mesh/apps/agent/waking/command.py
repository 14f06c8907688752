"""Waking by a command of the operator's: its argument list is configuration alone, the text comes on its input."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mesh.apps.agent.waking.queue import Batch
from mesh.apps.agent.waking.waking import CallFailed
from mesh.apps.feeding import feed
from mesh.apps.starting import started

GRACE_S: Final = 3.0
PRIVATE: Final = ("MESH_", "OPENCLAW_", "BSV_")
"""Beginnings of the daemon's own variables, which hold secrets; the command gets all others."""


class Command:
    """A channel that runs a program, without a shell, once for each batch; exit status 0 says yes.

    On its standard input is the text; its environment has MESH_WAKE_KEY (the idempotency key), MESH_WAKE_PEER and
    MESH_WAKE_MESSAGES (the ids, a JSON list). What it prints is thrown away.
    """

    def __init__(self, arguments: Sequence[str], timeout_s: float) -> None:
        self._arguments = tuple(arguments)
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        return f"command {Path(self._arguments[0]).name}"

    async def call(self, text: str, batch: Batch) -> str:
        """Run it and wait; the evidence. Raises CallFailed. A process that is too slow is ended with its children."""
        try:
            starting = asyncio.create_subprocess_exec(
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(batch),
                start_new_session=True,
            )
            process = await started(starting, _end)
        except (OSError, ValueError) as error:
            cause = error.strerror if isinstance(error, OSError) else "an argument holds a NUL"
            raise CallFailed(f"{self.name}: cannot be started: {cause}") from None
        assert process.stdin is not None
        try:
            async with asyncio.timeout(self._timeout_s):
                await feed(process.stdin, text.encode("utf-8", "replace"))
                await process.wait()
        except TimeoutError:
            raise CallFailed(f"{self.name}: did not end within {self._timeout_s:g} s") from None
        finally:
            await _end(process)
        if process.returncode:
            raise CallFailed(f"{self.name}: exit status {process.returncode}")
        return "command 0"

    async def close(self) -> None:
        """Nothing is kept between calls."""


def _environment(batch: Batch) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(PRIVATE)}
    ids = json.dumps([each.message_id for each in batch.wakes])
    return kept | {"MESH_WAKE_KEY": batch.key, "MESH_WAKE_PEER": batch.peer_id, "MESH_WAKE_MESSAGES": ids}


async def _end(process: asyncio.subprocess.Process) -> None:
    """Make sure that the process and the children of its session are gone."""
    if process.returncode is not None:
        return
    _signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(GRACE_S):
            await process.wait()
    except TimeoutError:
        _signal(process, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
        await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.terminate()
        else:
            os.killpg(process.pid, number)
