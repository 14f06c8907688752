"""Getting blocks that belong together: who had some of them is asked first for the others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from types import TracebackType
from typing import Protocol, Self

from mesh.errors import MeshError
from mesh.ipld.block import Block
from mesh.multiformats.cid import Cid
from mesh.multiformats.multihash import IDENTITY


class Arrivals:
    """Blocks on their way from the service to one who waits for them."""

    __slots__ = ("_blocks", "_error", "_waiter")

    def __init__(self) -> None:
        self._blocks: deque[Block] = deque()
        self._error: MeshError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, block: Block) -> None:
        """A block came."""
        self._blocks.append(block)
        self._wake()

    def fail(self, error: MeshError) -> None:
        """No more will come."""
        self._error = error
        self._wake()

    async def next(self) -> Block:
        """The next block. Raises what `fail` was told."""
        while not self._blocks:
            if self._error is not None:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._blocks.popleft()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Getting(Protocol):
    """What a session asks of the service."""

    def local(self, cid: Cid) -> Block | None:
        """A block that is here."""

    def begin(self, session: int, cids: Iterable[Cid], arrivals: Arrivals) -> None:
        """Seek blocks. Raises `UsageError` once the service was stopped."""

    def cease(self, session: int, cids: Iterable[Cid], arrivals: Arrivals) -> None:
        """Seek those no more."""

    def finish(self, session: int) -> None:
        """A session is over."""


class Session:
    """Use it in `async with`, or `close` it. What is got is kept among the node's blocks, where it stays as long as other
    unpinned ones."""

    def __init__(self, number: int, getting: Getting) -> None:
        self._number = number
        self._getting = getting

    async def get(self, cid: Cid) -> Block:
        """A block: the one that is here, else it is sought until somebody gives it; set a time limit around it.

        Raises `Closed` when the node stops.
        """
        block = self._here(cid)
        if block is not None:
            return block
        async with aclosing(self._seek({cid.multihash.to_bytes(): [cid]})) as found:
            return await anext(found)

    async def get_many(self, cids: Iterable[Cid]) -> AsyncGenerator[Block, None]:
        """Blocks as they come, in any order, one for each CID; those that are here first. Ends with the last.

        Raises `Closed` when the node stops.
        """
        missing: dict[bytes, list[Cid]] = {}
        for cid in dict.fromkeys(cids):
            block = self._here(cid)
            if block is not None:
                yield block
            else:
                missing.setdefault(cid.multihash.to_bytes(), []).append(cid)
        async with aclosing(self._seek(missing)) as found:
            async for block in found:
                yield block

    async def _seek(self, missing: dict[bytes, list[Cid]]) -> AsyncGenerator[Block, None]:
        """Blocks of CIDs by their multihashes."""
        arrivals = Arrivals()
        self._getting.begin(self._number, [names[0] for names in missing.values()], arrivals)
        try:
            while missing:
                found = await arrivals.next()
                for name in missing.pop(found.cid.multihash.to_bytes(), ()):
                    yield Block(name, found.data)
        finally:
            self._getting.cease(self._number, [names[0] for names in missing.values()], arrivals)

    def close(self) -> None:
        """Seek nothing more."""
        self._getting.finish(self._number)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _here(self, cid: Cid) -> Block | None:
        if cid.multihash.code == IDENTITY:
            return Block(cid, cid.multihash.digest)
        return self._getting.local(cid)
