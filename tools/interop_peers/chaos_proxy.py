"""A TCP proxy that does harm on purpose: what passes through is delayed, throttled, stalled, reordered, corrupted or cut.

`ChaosProxy` is for tests. As a program: `-m tools.interop_peers.chaos_proxy HOST PORT --cut 10000 --delay 0.05`, which
prints the port it listens at. All randomness comes from a seed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

PIECE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Faults:
    """What is done to each direction of a connection, counted in the bytes that passed in it; 0 for not at all.

    ``cut``: reset the connection behind so many bytes. ``stall``: pass nothing more behind so many, and keep it
    open. ``reorder``: swap pieces of so many bytes with the next. ``corrupt``: invert a bit about every so many bytes.
    ``throttle``: bytes a second. ``delay_s``: before each piece. ``spared``: so many bytes pass untouched first.
    """

    cut: int = 0
    stall: int = 0
    reorder: int = 0
    corrupt: int = 0
    throttle: int = 0
    delay_s: float = 0.0
    spared: int = 0


@dataclass(slots=True)
class Tally:
    """What was done so far."""

    connections: int = 0
    passed_bytes: int = 0
    done: dict[str, int] = field(default_factory=dict)

    def note(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1


class _Cut(Exception):  # noqa: N818 - the fault that was asked for
    """It is time to cut the connection."""


class ChaosProxy:
    """Listens on a port of 127.0.0.1 for the length of an `async with`, and passes on to ``host`` and ``port``.

    ``faults`` may be replaced while it runs: new connections get the new ones.
    """

    def __init__(self, host: str, port: int, faults: Faults | None = None, seed: str = "chaos") -> None:
        self.faults = faults or Faults()
        self.tally = Tally()
        self.port = 0
        self._target = host, port
        self._rng = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tally.connections += 1
        faults, ends = self.faults, [writer]
        try:
            there, back = await asyncio.open_connection(*self._target)
            ends.append(back)
            async with asyncio.TaskGroup() as group:
                group.create_task(_Way(self, faults, reader, back).run())
                group.create_task(_Way(self, faults, there, writer).run())
        except* (_Cut, OSError):
            self.tally.note("ended")
        finally:
            for each in ends:
                each.transport.abort()

    def draw(self) -> random.Random:
        """Randomness for one direction."""
        return random.Random(self._rng.random())


class _Way:
    """One direction of one connection."""

    def __init__(
        self, proxy: ChaosProxy, faults: Faults, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._tally = proxy.tally
        self._rng = proxy.draw()
        self._faults = faults
        self._reader = reader
        self._writer = writer
        self._passed = 0

    async def run(self) -> None:
        """Until the end of this direction, which is passed on too."""
        while piece := await self._reader.read(PIECE_BYTES):
            harmless = max(0, self._faults.spared - self._passed)
            await self._write(piece[:harmless])
            if rest := piece[harmless:]:
                await self._harm(rest)
        if self._writer.can_write_eof():
            self._writer.write_eof()

    async def _harm(self, piece: bytes) -> None:
        faults, harmed = self._faults, self._passed - self._faults.spared
        if faults.stall and harmed + len(piece) > faults.stall:
            await self._write(piece[: faults.stall - harmed])
            self._tally.note("stall")
            await asyncio.Event().wait()
        if faults.cut and harmed + len(piece) > faults.cut:
            await self._write(piece[: faults.cut - harmed])
            self._tally.note("cut")
            raise _Cut
        if faults.delay_s:
            self._tally.note("delay")
            await asyncio.sleep(faults.delay_s)
        if faults.throttle:
            self._tally.note("throttle")
            await asyncio.sleep(len(piece) / faults.throttle)
        await self._write(self._changed(piece))

    def _changed(self, piece: bytes) -> bytes:
        faults = self._faults
        if faults.reorder and len(piece) >= 2 * faults.reorder:
            self._tally.note("reorder")
            size = faults.reorder
            piece = piece[size : 2 * size] + piece[:size] + piece[2 * size :]
        if faults.corrupt and self._rng.random() < len(piece) / faults.corrupt:
            self._tally.note("corrupt")
            changed = bytearray(piece)
            changed[self._rng.randrange(len(piece))] ^= 1 << self._rng.randrange(8)
            piece = bytes(changed)
        return piece

    async def _write(self, piece: bytes) -> None:
        if piece:
            self._passed += len(piece)
            self._tally.passed_bytes += len(piece)
            self._writer.write(piece)
            await self._writer.drain()


async def _serve(options: argparse.Namespace) -> None:
    faults = Faults(
        options.cut,
        options.stall,
        options.reorder,
        options.corrupt,
        options.throttle,
        options.delay,
        options.spared,
    )
    async with ChaosProxy(options.host, options.port, faults, options.seed) as proxy:
        print(proxy.port, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    for name in ("cut", "stall", "reorder", "corrupt", "throttle", "spared"):
        parser.add_argument(f"--{name}", type=int, default=0, metavar="BYTES")
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--seed", default="chaos")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
