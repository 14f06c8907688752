"""A datastore without a file: for tests, and for nodes that keep nothing."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager

from mesh.errors import StorageError
from mesh.storage.datastore import Scan, after_prefix, check_change


class MemoryDatastore:
    """See `datastore.LocalDatastore`."""

    def __init__(self) -> None:
        self._entries: dict[bytes, bytes] = {}
        self._names: list[bytes] = []
        self._closed = False

    async def get(self, key: bytes) -> bytes | None:
        return self.get_now(key)

    async def put(self, key: bytes, value: bytes) -> None:
        await self.write({key: value})

    async def delete(self, key: bytes) -> None:
        await self.write({key: None})

    async def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        self._check()
        for key, value in changes.items():
            check_change(key, value)
        for key, value in changes.items():
            if value is not None:
                if key not in self._entries:
                    insort(self._names, key)
                self._entries[key] = value
            elif self._entries.pop(key, None) is not None:
                del self._names[bisect_left(self._names, key)]

    async def scan(self, prefix: bytes) -> AsyncIterator[tuple[bytes, bytes]]:
        self._check()
        names, end = self._names, after_prefix(prefix)
        for key in names[bisect_left(names, prefix) : len(names) if end is None else bisect_left(names, end)]:
            self._check()
            if (value := self._entries.get(key)) is not None:
                yield key, value

    def get_now(self, key: bytes) -> bytes | None:
        self._check()
        return self._entries.get(key)

    def size_now(self, key: bytes) -> int | None:
        value = self.get_now(key)
        return None if value is None else len(value)

    def get_many_now(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        self._check()
        return {key: self._entries[key] for key in keys if key in self._entries}

    def scan_now(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._check()
        names, end = self._names, after_prefix(prefix)
        last = len(names) if end is None else bisect_left(names, end)
        return ((key, self._entries[key]) for key in names[bisect_left(names, prefix) : last])

    @contextmanager
    def frozen(self) -> Iterator[Scan]:
        self._check()
        copy = MemoryDatastore()
        copy._entries, copy._names = dict(self._entries), list(self._names)
        yield copy.scan

    def measure(self, prefix: bytes) -> tuple[int, int]:
        sizes = [len(value) for _, value in self.scan_now(prefix)]
        return len(sizes), sum(sizes)

    async def close(self) -> None:
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise StorageError("the datastore is closed")
