"""Getting blocks that belong together: who had some of them is asked first for the others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
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


class Fetch:
    """Blocks that are asked for bit by bit. Use it in `with`: what has not come by its end is sought no more."""

    __slots__ = ("_arrivals", "_getting", "_missing", "_ready", "_session")

    def __init__(self, session: int, getting: Getting) -> None:
        self._session = session
        self._getting = getting
        self._arrivals = Arrivals()
        self._missing: dict[bytes, list[Cid]] = {}
        self._ready: deque[Block] = deque()

    @property
    def pending(self) -> bool:
        """Whether `next` still has a block to wait for."""
        return bool(self._ready or self._missing)

    def ask(self, cids: Iterable[Cid]) -> None:
        """Seek blocks that are not here. Raises `UsageError` once the service was stopped."""
        wanted = []
        for cid in cids:
            block = self._here(cid)
            if block is not None:
                self._ready.append(block)
                continue
            names = self._missing.setdefault(cid.multihash.to_bytes(), [])
            if not names:
                wanted.append(cid)
            names.append(cid)
        if wanted:
            self._getting.begin(self._session, wanted, self._arrivals)

    async def next(self) -> Block:
        """The next block, in any order, one for each CID. Raises `Closed` when the node stops."""
        while not self._ready:
            found = await self._arrivals.next()
            names = self._missing.pop(found.cid.multihash.to_bytes(), ())
            self._ready += (Block(name, found.data) for name in names)
        return self._ready.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._missing:
            left = [names[0] for names in self._missing.values()]
            self._getting.cease(self._session, left, self._arrivals)

    def _here(self, cid: Cid) -> Block | None:
        if cid.multihash.code == IDENTITY:
            return Block(cid, cid.multihash.digest)
        return self._getting.local(cid)


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
        with self.fetch() as fetch:
            fetch.ask([cid])
            return await fetch.next()

    async def get_many(self, cids: Iterable[Cid]) -> AsyncGenerator[Block, None]:
        """Blocks as they come, in any order, one for each CID; those that are here first. Ends with the last.

        Raises `Closed` when the node stops.
        """
        with self.fetch() as fetch:
            fetch.ask(dict.fromkeys(cids))
            while fetch.pending:
                yield await fetch.next()

    def fetch(self) -> Fetch:
        """For blocks whose CIDs become known one after another, such as those of a tree."""
        return Fetch(self._number, self._getting)

    def close(self) -> None:
        """Seek nothing more."""
        self._getting.finish(self._number)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
