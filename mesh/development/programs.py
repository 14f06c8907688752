"""Verbs of `mesh market` as processes of their own, for demonstrations: started, killed, started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from types import TracebackType
from typing import Final, Self

from mesh.errors import MeshError

READY_S: Final = 60.0
END_S: Final = 10.0
_FOREIGN: Final = ("MESH_", "BETAR_", "ETHEREUM_", "FACILITATOR_", "BOOTSTRAP_", "P2P_")
_ERROR_LINES: Final = 5


class ProgramFailed(MeshError):  # noqa: N818 - a condition of the program
    """A program did not start, or ended by itself."""

    code = "program-failed"


class Program:
    """`mesh market WORDS` while this is entered. ``said`` has what it told before it was ready: the first word of each
    line, or all but the last, and the rest."""

    def __init__(self, *words: str) -> None:
        self._words = words
        self._process: asyncio.subprocess.Process | None = None
        self.said: dict[str, str] = {}

    async def start(self) -> None:
        """Return when it is ready. Raises `ProgramFailed`."""
        pipe = asyncio.subprocess.PIPE
        environment = {key: each for key, each in os.environ.items() if not key.startswith(_FOREIGN)}
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mesh", "market", *self._words), stdout=pipe, stderr=pipe, env=environment
        )
        self.said.clear()
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_S):
                while (line := (await process.stdout.readline()).decode().strip()) != "ready":
                    if not line:
                        raise ProgramFailed(await self._last_words())
                    key, _, value = line.rpartition(" ")
                    self.said.setdefault(key, value)
        except TimeoutError:
            raise ProgramFailed(f"mesh market {self._words[0]} was not ready in {READY_S:g} s") from None

    async def kill(self) -> None:
        """End it as a crash does: SIGKILL."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.communicate()

    async def stop(self) -> None:
        """End it in order, or by SIGKILL when that takes too long; safe to call twice."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(TimeoutError, ProcessLookupError):
            process.terminate()
            async with asyncio.timeout(END_S):
                await process.communicate()
        if process.returncode is None:
            await self.kill()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _last_words(self) -> str:
        assert self._process is not None
        _, errors = await self._process.communicate()
        lines = errors.decode(errors="replace").strip().splitlines()[-_ERROR_LINES:]
        return f"mesh market {self._words[0]} ended before it was ready: {' | '.join(lines)}"
