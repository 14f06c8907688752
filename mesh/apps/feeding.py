"""What a program gets on its standard input, which it need not read: it may have ended before."""

from __future__ import annotations

import asyncio
import contextlib


async def feed(pipe: asyncio.StreamWriter, data: bytes) -> None:
    """Write all of it and close; what the program does not take is dropped. uvloop has a `RuntimeError` for a pipe that
    was closed from the other side, where asyncio has `BrokenPipeError`."""
    with contextlib.suppress(OSError, RuntimeError):
        pipe.write(data)
        await pipe.drain()
    pipe.close()
    with contextlib.suppress(OSError):
        await pipe.wait_closed()
