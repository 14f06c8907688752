"""Files and directories among a node's blocks: taken in, read, listed. What is not here comes from peers, where blocks
are exchanged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mesh.codecs.unixfs import Data, DataType
from mesh.errors import DecodeError, Malformed, RecordNotFound, UsageError
from mesh.ipld.block import Block
from mesh.ipld.dag_pb import Link, Node, links_of
from mesh.ipld.unixfs.directories import build_directory, read_directory, total_bytes
from mesh.ipld.unixfs.files import File, FileBuilder
from mesh.ipld.unixfs.reading import FileReader
from mesh.multiformats.cid import DAG_PB, RAW, Cid
from mesh.services.bitswap.service import Bitswap
from mesh.services.bitswap.session import Arrivals, Session
from mesh.storage.blockstore import Blockstore

AHEAD: Final = 64
"""Blocks of a file that are fetched before they are read."""
PUT_BYTES: Final = 4 * 1024 * 1024
"""Blocks of a new file are put together up to so many bytes."""
MAX_ENTRIES: Final = 1_000_000
"""Of a directory that is read; a longer one is refused."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a directory names; `total_bytes` is what its link says of all blocks below."""

    name: str
    cid: Cid
    total_bytes: int


class Files:
    """`bitswap` is None for a node that has its own blocks alone."""

    def __init__(self, blocks: Blockstore, bitswap: Bitswap | None) -> None:
        self._blocks = blocks
        self._bitswap = bitswap

    def _session(self) -> Session:
        return Session(0, _Alone(self._blocks)) if self._bitswap is None else self._bitswap.session()

    async def add(self, content: AsyncIterable[bytes], *, raw_leaves: bool = True, pin: bool = True) -> File:
        """Keep a file whose content comes in pieces; its root is pinned unless told otherwise.

        Raises `LimitError` when it does not fit, `StorageError`.
        """
        builder = FileBuilder(raw_leaves=raw_leaves)
        waiting: list[Block] = []
        async for piece in content:
            waiting += builder.add(piece)
            if sum(len(each.data) for each in waiting) >= PUT_BYTES:
                await self._blocks.put(*waiting)
                waiting.clear()
                await asyncio.sleep(0)
        file, last = builder.finish()
        await self._blocks.put(*waiting, *last)
        if pin:
            await self._pin(file.cid)
        return file

    async def add_directory(self, entries: Mapping[str, File], *, pin: bool = True) -> File:
        """Keep a directory of what was added before. Raises `UsageError` for names, else as `add`."""
        links = {name: Link(each.cid, name, each.total_bytes) for name, each in entries.items()}
        blocks = build_directory(links)
        await self._blocks.put(*blocks)
        root = File(blocks[-1].cid, 0, total_bytes(blocks, links))
        if pin:
            await self._pin(root.cid)
        return root

    async def read(self, cid: Cid, start: int = 0) -> AsyncGenerator[bytes, None]:
        """The content of a file in pieces, from a byte on; may take long. Raises `DecodeError` for what is no file,
        `RecordNotFound` when a block is not here and blocks are not exchanged, `Closed` when the node stops."""
        reader = FileReader(cid, start)
        async with self._session() as session:
            with session.fetch() as fetch:
                fetch.ask(reader.wanted(AHEAD))
                while not reader.done:
                    reader.give(await fetch.next())
                    for piece in reader.read():
                        yield piece
                    fetch.ask(reader.wanted(AHEAD))

    async def fetch(self, cid: Cid) -> int:
        """Have a CID and all below it here; returns how many blocks that are. Raises as `read`."""
        seen: set[Cid] = {cid}
        async with self._session() as session:
            with session.fetch() as fetch:
                fetch.ask([cid])
                while fetch.pending:
                    block = await fetch.next()
                    links = links_of(block.data) if block.cid.codec == DAG_PB else ()
                    below = [each for each in dict.fromkeys(links) if each not in seen]
                    seen.update(below)
                    fetch.ask(below)
        return len(seen)

    async def pin(self, cid: Cid, *, recursive: bool = True, name: str = "") -> None:
        """Have a CID here, with all below it unless told otherwise, and let it stay. Raises as `read`, `StorageError`."""
        if recursive:
            await self.fetch(cid)
        else:
            async with self._session() as session:
                await session.get(cid)
        if self._bitswap is not None:
            await self._bitswap.kept()
        await self._pin(cid, recursive, name)

    async def unpin(self, cid: Cid) -> bool:
        """Let go of a pin, and announce it no more; False when there is none."""
        if self._bitswap is not None:
            await self._bitswap.unpinned(cid)
        return await self._blocks.unpin(cid)

    async def _pin(self, cid: Cid, recursive: bool = True, name: str = "") -> None:
        await self._blocks.pin(cid, recursive=recursive, name=name)
        if self._bitswap is not None:
            self._bitswap.pinned(cid)

    async def entries(self, cid: Cid) -> list[Entry]:
        """What a directory names, in order of name. Raises `DecodeError` for what is no directory, else as `read`."""
        found: list[Entry] = []
        seen: set[Cid] = {cid}
        async with self._session() as session:
            with session.fetch() as fetch:
                fetch.ask([cid])
                while fetch.pending:
                    directory = read_directory(await fetch.next())
                    found += (Entry(each.name, each.cid, each.total_bytes) for each in directory.entries)
                    below = [each for each in directory.below if each not in seen]
                    seen.update(below)
                    if len(found) + len(seen) > MAX_ENTRIES:
                        raise Malformed("directory", None, f"{cid} has more than {MAX_ENTRIES} entries")
                    fetch.ask(below)
        return sorted(found, key=lambda each: each.name)

    async def resolve(self, path: str) -> Cid:
        """The CID behind `CID/name/name`, with or without `/ipfs/` before it. Raises `UsageError` for no such path,
        `RecordNotFound` for a name that is not there, else as `read`."""
        first, *names = [each for each in path.removeprefix("/ipfs/").split("/") if each] or [""]
        cid = cid_of(first)
        for name in names:
            here = [each.cid for each in await self.entries(cid) if each.name == name]
            if not here:
                raise RecordNotFound(f"{cid} names no {name!r}")
            cid = here[0]
        return cid

    async def kind(self, cid: Cid) -> DataType:
        """Whether a CID is of a file or a directory. Raises `DecodeError` when of neither, else as `read`."""
        if cid.codec == RAW:
            return DataType.FILE
        if cid.codec != DAG_PB:
            raise Malformed("file", None, f"{cid} is {cid.codec_name}, neither file nor directory")
        async with self._session() as session:
            block = await session.get(cid)
        return DataType(Data.decode(Node.decode(block.data).data or b"").type)


def cid_of(text: str) -> Cid:
    """The CID that somebody wrote. Raises `UsageError`."""
    try:
        return Cid.parse(text)
    except DecodeError as error:
        raise UsageError(f"{text[:128]!r} is no CID: {error}") from None


class _Alone:
    """Where a session gets blocks of when nobody is asked (see `session.Getting`)."""

    def __init__(self, blocks: Blockstore) -> None:
        self._blocks = blocks

    def local(self, cid: Cid) -> Block | None:
        return self._blocks.get(cid)

    def begin(self, session: int, cids: Iterable[Cid], arrivals: Arrivals) -> None:
        names = ", ".join(map(str, cids))
        raise RecordNotFound(f"{names} is not here, and blocks are not exchanged (blocks.exchange)")

    def cease(self, session: int, cids: Iterable[Cid], arrivals: Arrivals) -> None:
        pass

    def finish(self, session: int) -> None:
        pass
