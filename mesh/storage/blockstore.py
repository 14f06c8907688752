"""Blocks under the names of their hashes, with pins and garbage collection, in a datastore.

Nothing is removed on its own: a full store refuses new blocks (`blocks.max_bytes`) until something is unpinned and
collected. What a pin keeps is every block below it; what else has to stay, such as the history of a replica, is named to
`collect` by whoever keeps it. The keys of the blocks are those of ipfs-lite's stores.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mesh.codecs.dag_pb import MAX_NAME_BYTES
from mesh.errors import DecodeError, LimitError, StorageError, UsageError
from mesh.ipld.block import Block, store_name
from mesh.ipld.dag_pb import links_of
from mesh.multiformats.cid import DAG_PB, Cid
from mesh.storage.datastore import LocalDatastore

BLOCKS: Final = b"/blocks"
PINS: Final = b"/pins"
REMOVED_AT_ONCE: Final = 256
_DIRECT, _RECURSIVE = b"\x00", b"\x01"


@dataclass(frozen=True, slots=True)
class Pin:
    """A block that stays; when `recursive` with everything below it."""

    cid: Cid
    recursive: bool
    name: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What a store holds and may hold, in blocks and bytes."""

    blocks: int
    bytes: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Collected:
    """What garbage collection removed and kept, in blocks and bytes, and blocks that pins need but nobody has here."""

    removed: int
    removed_bytes: int
    kept: int
    missing: int


class Blockstore:
    """Blocks in `datastore`, at most `max_bytes` of them; others may keep entries of their own there. Every method may
    raise StorageError."""

    def __init__(self, datastore: LocalDatastore, max_bytes: int) -> None:
        self.datastore = datastore
        self._max_bytes = max_bytes
        self._count, self._size = datastore.measure(BLOCKS + b"/")
        self._coming: dict[bytes, bytes] = {}
        self._going: set[bytes] = set()
        self._kept: set[bytes] | None = None
        self._collecting = asyncio.Lock()
        self.observers: list[Callable[[Sequence[Block]], None]] = []
        """Called with blocks that are new here, once they can be read."""

    @property
    def usage(self) -> Usage:
        return Usage(self._count, self._size, self._max_bytes)

    def get(self, cid: Cid) -> Block | None:
        """The block of a CID of any version and codec with its hash. While others are collected it stays."""
        name = _key(cid)
        data = self._coming.get(name)
        if data is None:
            data = None if name in self._going else self.datastore.get_now(name)
        if data is None:
            return None
        if self._kept is not None:
            self._kept.add(name)
        return Block(cid, data)

    def has(self, cid: Cid) -> bool:
        return self.size_of(cid) is not None

    def size_of(self, cid: Cid) -> int | None:
        """The bytes of a block that is here, which is not read for that."""
        name = _key(cid)
        data = self._coming.get(name)
        return self.datastore.size_now(name) if data is None else len(data)

    async def put(self, *blocks: Block, besides: Mapping[bytes, bytes | None] | None = None) -> None:
        """Keep blocks, and write other entries of the datastore with them: all or none; returns once they are safe.

        The blocks can be read from now on. Raises LimitError when they do not fit.
        """
        named = {_key(each.cid): each for each in blocks}
        new = {name: each.data for name, each in named.items()}
        if self._kept is not None:
            self._kept.update(new)
        for name in list(new):
            if name in self._coming or (name not in self._going and self.datastore.get_now(name) is not None):
                del new[name]
        size = sum(map(len, new.values()))
        if self._size + size > self._max_bytes:
            raise LimitError("blocks", "bytes", self._max_bytes, "blocks.max_bytes")
        self._count, self._size = self._count + len(new), self._size + size
        self._coming.update(new)
        for observer in self.observers if new else ():
            observer([named[name] for name in new])
        try:
            await self.datastore.write({**new, **(besides or {})})
        except BaseException:
            self._count, self._size = self._count - len(new), self._size - size
            raise
        finally:
            for name in new:
                self._coming.pop(name, None)

    async def delete(self, cid: Cid) -> bool:
        """Remove a block; False when it is not here. Raises UsageError when a pin names it."""
        if self.datastore.get_now(_pin_key(cid)) is not None:
            raise UsageError(f"{cid} is pinned: unpin it first")
        block = self.get(cid)
        if block is None:
            return False
        await self._remove({_key(cid): len(block.data)})
        return True

    async def discard(self, cids: Iterable[Cid]) -> int:
        """Remove those of these blocks that are here and that no pin names; how many that were."""
        found = {
            _key(each): self.size_of(each) for each in cids if self.datastore.get_now(_pin_key(each)) is None
        }
        sizes = {name: size for name, size in found.items() if size is not None}
        if sizes:
            await self._remove(sizes)
        return len(sizes)

    # -- pins --------------------------------------------------------------------------------------------------------

    async def pin(self, cid: Cid, *, recursive: bool = True, name: str = "") -> None:
        """Let a block stay, with all below it. Raises StorageError when one of them is not here."""
        if len(name.encode()) > MAX_NAME_BYTES:
            raise UsageError(f"the name of a pin has at most {MAX_NAME_BYTES} bytes")
        for each in self.walk(cid) if recursive else (cid,):
            if not self.has(each):
                raise StorageError(f"{cid} cannot be pinned: block {each} below it is not here")
        kind = _RECURSIVE if recursive else _DIRECT
        value = kind + bytes([len(cid.to_bytes())]) + cid.to_bytes() + name.encode()
        await self.datastore.put(_pin_key(cid), value)

    async def unpin(self, cid: Cid) -> bool:
        """Let go of a pin; False when there is none."""
        if self.datastore.get_now(_pin_key(cid)) is None:
            return False
        await self.datastore.delete(_pin_key(cid))
        return True

    def pins(self) -> list[Pin]:
        """All pins, in the order of their hashes."""
        found = []
        for _, value in self.datastore.scan_now(PINS + b"/"):
            end = 2 + value[1]
            found.append(Pin(Cid.from_bytes(value[2:end]), value[:1] == _RECURSIVE, value[end:].decode()))
        return found

    # -- walking and collecting --------------------------------------------------------------------------------------

    def walk(self, root: Cid) -> Iterator[Cid]:
        """A CID and all below it, each hash once, missing ones included; what is no dag-pb has nothing below it."""
        seen, left = {_key(root)}, [root]
        while left:
            cid = left.pop()
            yield cid
            for link in self.links(cid):
                if _key(link) not in seen:
                    seen.add(_key(link))
                    left.append(link)

    async def collect(self, keep: Callable[[], Iterable[Cid]] = tuple) -> Collected:
        """Remove what neither pins nor `keep` hold; `keep` gives roots, kept with all below them.

        Blocks put or read meanwhile stay. Lets the loop go on between steps.
        """
        async with self._collecting:
            live = self._kept = set()
            try:
                missing = 0
                recursive = [each.cid for each in self.pins() if each.recursive]
                live.update(_key(each.cid) for each in self.pins())
                for root in (*recursive, *keep()):
                    missing += await self._mark(root, live)
                return await self._sweep(live, missing)
            finally:
                self._kept = None

    async def _mark(self, root: Cid, live: set[bytes]) -> int:
        missing, left = 0, [root]
        steps = 0
        walked: set[bytes] = set()
        while left:
            cid = left.pop()
            name = _key(cid)
            if name in walked:
                continue
            walked.add(name)
            live.add(name)
            if self.get(cid) is None:
                missing += 1
            left += self.links(cid)
            steps += 1
            if not steps % REMOVED_AT_ONCE:
                await asyncio.sleep(0)
        return missing

    async def _sweep(self, live: set[bytes], missing: int) -> Collected:
        before, size_before, kept = self._count, self._size, 0
        doomed: dict[bytes, int] = {}
        async for name, data in self.datastore.scan(BLOCKS + b"/"):
            if name in live:
                kept += 1
                continue
            doomed[name] = len(data)
            if len(doomed) == REMOVED_AT_ONCE:
                await self._remove({each: size for each, size in doomed.items() if each not in live})
                doomed = {}
        await self._remove({each: size for each, size in doomed.items() if each not in live})
        return Collected(before - self._count, size_before - self._size, kept, missing)

    async def _remove(self, sizes: Mapping[bytes, int]) -> None:
        self._going.update(sizes)
        self._count, self._size = self._count - len(sizes), self._size - sum(sizes.values())
        try:
            await self.datastore.write(dict.fromkeys(sizes))
        except BaseException:
            self._count, self._size = self._count + len(sizes), self._size + sum(sizes.values())
            raise
        finally:
            self._going.difference_update(sizes)

    def links(self, cid: Cid) -> list[Cid]:
        """What a block here links to; nothing for one that is not here, or no dag-pb node."""
        block = self.get(cid) if cid.codec == DAG_PB else None
        if block is None:
            return []
        try:
            return list(links_of(block.data))
        except DecodeError:
            return []


def _key(cid: Cid) -> bytes:
    return BLOCKS + store_name(cid).encode()


def _pin_key(cid: Cid) -> bytes:
    return PINS + store_name(cid).encode()
