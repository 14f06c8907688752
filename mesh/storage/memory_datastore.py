"""A datastore without a file: for tests, and for nodes that keep nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from mesh.errors import StorageError
from mesh.storage.datastore import check_change


class MemoryDatastore:
    """See `datastore.Datastore`."""

    def __init__(self) -> None:
        self._entries: dict[bytes, bytes] = {}
        self._closed = False

    async def get(self, key: bytes) -> bytes | None:
        self._check()
        return self._entries.get(key)

    async def put(self, key: bytes, value: bytes) -> None:
        await self.write({key: value})

    async def delete(self, key: bytes) -> None:
        await self.write({key: None})

    async def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        self._check()
        for key, value in changes.items():
            check_change(key, value)
        for key, value in changes.items():
            if value is None:
                self._entries.pop(key, None)
            else:
                self._entries[key] = value

    async def scan(self, prefix: bytes) -> AsyncIterator[tuple[bytes, bytes]]:
        self._check()
        for key in sorted(key for key in self._entries if key.startswith(prefix)):
            self._check()
            if (value := self._entries.get(key)) is not None:
                yield key, value

    async def close(self) -> None:
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise StorageError("the datastore is closed")
