"""The value records a DHT server holds for others, and our own: in a datastore, bounded in all and for each sender.

Sizes and times are kept in memory, values in the datastore; a restart reads them again. An entry counts as its key, its
value and ENTRY_BYTES more.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from mesh.errors import LimitError, StorageError
from mesh.identity.peer_id import PeerId
from mesh.protocols.kademlia.records import StoredValue, expired
from mesh.storage.datastore import Datastore
from mesh.storage.quota import Quota, QuotaLimits, Usage

PREFIX: Final = b"/dht/value"
SETTING: Final = "kademlia.record"
ENTRY_BYTES: Final = 256
_HEAD: Final = struct.Struct(">dB")
_AT_ONCE: Final = 256


@dataclass(frozen=True, slots=True)
class RecordLimits:
    """Bytes and entries of strangers' records, in all and for one sending peer; ours are not limited but in size."""

    entries: int = 65_536
    bytes: int = 64 * 1024 * 1024
    peer_entries: int = 1024
    peer_bytes: int = 4 * 1024 * 1024
    value_bytes: int = 256 * 1024


class _Held(NamedTuple):
    sender: bytes | None
    size: int
    received: float


class RecordStore:
    """The store. ``clock`` gives Unix seconds; used from one loop. `open` comes first; the datastore is its owner's to
    close."""

    def __init__(
        self, datastore: Datastore, clock: Callable[[], float], limits: RecordLimits | None = None
    ) -> None:
        self._datastore = datastore
        self._clock = clock
        self._limits = limits or RecordLimits()
        self._held: dict[bytes, _Held] = {}
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        most = self._limits
        sizes = (most.entries, most.bytes, most.peer_entries, most.peer_bytes)
        self._quota = Quota("value records", QuotaLimits(*sizes, key=SETTING))

    async def open(self) -> None:
        """Read what is held; expired and unreadable entries go. Raises StorageError."""
        now = self._clock()
        gone: list[bytes] = []
        async for key, row in self._datastore.scan(PREFIX):
            found = _unpack(key, row)
            if found is None or expired(found[0].received, now):
                gone.append(key)
            else:
                self._hold(found[0], found[1])
        await self._delete(gone)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def strangers(self) -> Usage:
        """Entries and bytes of all records that others sent."""
        return self._quota.strangers

    async def get(self, key: bytes) -> StoredValue | None:
        """The record of a key, None when there is none or it has expired; validators are the caller's to ask.

        Raises StorageError.
        """
        held = self._held.get(key)
        if held is None or expired(held.received, self._clock()):
            return None
        row = await self._datastore.get(PREFIX + key)
        found = _unpack(PREFIX + key, row) if row is not None else None
        return found[0] if found is not None else None

    async def put(self, stored: StoredValue, sender: PeerId | None = None) -> None:
        """Keep a record in the place of its key's former one; it is charged to `sender`, None for this node.

        Returns once it survives the death of the process. Raises LimitError, with nothing changed, when the sender or the
        node has no room for it, or when the value is too long; StorageError.
        """
        async with self._lock(stored.key):
            await self._put(stored, sender)

    async def update(
        self, key: bytes, sender: PeerId | None, choose: Callable[[StoredValue | None], StoredValue]
    ) -> StoredValue:
        """Keep what `choose` makes of the record held now, with no other change of the key in between; returns that.

        `choose` may raise, as `records.admit` does for a worse value; then nothing is changed. Else as `put`.
        """
        async with self._lock(key):
            stored = choose(await self.get(key))
            await self._put(stored, sender)
        return stored

    async def delete(self, key: bytes) -> None:
        """Drop a key's record; nothing happens for an unknown one. Raises StorageError."""
        async with self._lock(key):
            if key in self._held:
                await self._datastore.delete(PREFIX + key)
                self._drop(key)

    def sender_of(self, key: bytes) -> PeerId | None:
        """Who is charged for a key's record; None for this node, and when there is none."""
        held = self._held.get(key)
        return PeerId.from_bytes(held.sender) if held is not None and held.sender is not None else None

    def own(self) -> list[tuple[bytes, float]]:
        """The keys of this node's own values and when each was put, to plan when to put them again."""
        return [(key, held.received) for key, held in self._held.items() if held.sender is None]

    async def sweep(self) -> int:
        """Remove what has expired; returns how many. To be called about once an hour. Raises StorageError."""
        now = self._clock()
        old = [key for key, held in self._held.items() if expired(held.received, now)]
        for key in old:
            self._drop(key)
        await self._delete([PREFIX + key for key in old])
        return len(old)

    # -- within ------------------------------------------------------------------------------------------------------

    def _lock(self, key: bytes) -> asyncio.Lock:
        """Held by who changes a key; it exists as long as somebody does."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    async def _put(self, stored: StoredValue, sender: PeerId | None) -> None:
        if len(stored.value) > self._limits.value_bytes:
            raise LimitError("record", "the value", self._limits.value_bytes, f"{SETTING}_value_bytes")
        key, charged = stored.key, sender.to_bytes() if sender is not None else None
        former = self._held.get(key)
        replaced = (former.sender, former.size) if former is not None else None
        self._quota.check(charged, _size(stored), replaced)
        self._hold(stored, charged)
        try:
            await self._datastore.put(PREFIX + key, _pack(stored, charged))
        except StorageError:
            self._drop(key)
            if former is not None:
                self._count(key, former)
            raise

    def _hold(self, stored: StoredValue, sender: bytes | None) -> None:
        self._drop(stored.key)
        self._count(stored.key, _Held(sender, _size(stored), stored.received))

    def _count(self, key: bytes, held: _Held) -> None:
        self._held[key] = held
        self._quota.add(held.sender, held.size)

    def _drop(self, key: bytes) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self._quota.remove(held.sender, held.size)

    async def _delete(self, rows: Sequence[bytes]) -> None:
        for at in range(0, len(rows), _AT_ONCE):
            await self._datastore.write(dict.fromkeys(rows[at : at + _AT_ONCE]))


def _size(stored: StoredValue) -> int:
    return len(stored.key) + len(stored.value) + ENTRY_BYTES


def _pack(stored: StoredValue, sender: bytes | None) -> bytes:
    charged = sender or b""
    return _HEAD.pack(stored.received, len(charged)) + charged + stored.value


def _unpack(key: bytes, row: bytes) -> tuple[StoredValue, bytes | None] | None:
    """A row's record and sender; None for one that is not ours."""
    try:
        received, size = _HEAD.unpack_from(row)
    except struct.error:
        return None
    at = _HEAD.size + size
    if at > len(row):
        return None
    return StoredValue(key[len(PREFIX) :], row[at:], received), row[_HEAD.size : at] or None
