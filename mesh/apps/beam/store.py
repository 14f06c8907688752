"""What outlives the process, in ``beam.sqlite`` of the data folder: own services and names, what was heard of others, who
is trusted with which name, and registrations that reached nobody yet."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from mesh.storage.datastore import LocalDatastore
from mesh.storage.memory_datastore import MemoryDatastore
from mesh.storage.sqlite_datastore import SqliteDatastore

FILE_NAME: Final = "beam.sqlite"
OWN, NAMES, HEARD, PINS, OUTBOX, BANS = "own", "names", "heard", "pins", "outbox", "bans"


class BeamStore:
    """Values by kind and key. Every method may raise `StorageError`."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._data: LocalDatastore | None = None

    async def open(self) -> None:
        """Open the file; without a folder everything is in memory."""
        if self._folder is None:
            self._data = MemoryDatastore()
            return
        on_disk = SqliteDatastore(self._folder / FILE_NAME)
        await on_disk.open()
        self._data = on_disk

    async def close(self) -> None:
        """Safe to call twice."""
        data, self._data = self._data, None
        if data is not None:
            await data.close()

    async def put(self, kind: str, key: str, value: bytes) -> None:
        assert self._data is not None
        await self._data.put(_name(kind, key), value)

    async def remove(self, kind: str, *keys: str) -> None:
        assert self._data is not None
        if keys:
            await self._data.write({_name(kind, key): None for key in keys})

    async def all(self, kind: str) -> AsyncIterator[tuple[str, bytes]]:
        assert self._data is not None
        prefix = _name(kind, "")
        async for name, value in self._data.scan(prefix):
            yield name[len(prefix) :].decode("utf-8", "replace"), value

    async def put_document(self, kind: str, key: str, document: dict[str, Any]) -> None:
        await self.put(kind, key, json.dumps(document, separators=(",", ":")).encode())

    async def documents(self, kind: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Those that can be read; a damaged one is passed over."""
        async for key, value in self.all(kind):
            try:
                found = json.loads(value)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield key, found


def _name(kind: str, key: str) -> bytes:
    return f"/{kind}/{key}".encode()
