"""A datastore as a replica wants to see it: with what is being written as if it were there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping

from mesh.storage.datastore import LocalDatastore


class PendingState:
    """A `State` over a datastore. `pend` before a write is begun, `settle` when it has ended well."""

    def __init__(self, datastore: LocalDatastore) -> None:
        self._datastore = datastore
        self._pending: dict[bytes, bytes | None] = {}
        self._ordered: list[bytes] | None = None

    def get(self, key: bytes) -> bytes | None:
        return self._pending[key] if key in self._pending else self._datastore.get_now(key)

    def get_many(self, keys: Collection[bytes]) -> dict[bytes, bytes]:
        pending = self._pending
        if not pending or pending.keys().isdisjoint(keys):
            return self._datastore.get_many_now(keys)
        found = self._datastore.get_many_now(key for key in keys if key not in pending)
        for key in keys:
            value = pending.get(key)
            if value is not None:
                found[key] = value
        return found

    def below(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        pending = self._pending_below(prefix)
        if not pending:
            return self._datastore.scan_now(prefix)
        found = {**dict(self._datastore.scan_now(prefix)), **pending}
        return iter(sorted((key, value) for key, value in found.items() if value is not None))

    def _pending_below(self, prefix: bytes) -> dict[bytes, bytes | None]:
        """Found in their order, which costs once for each write and not for each look."""
        if self._ordered is None:
            self._ordered = sorted(self._pending)
        found = {}
        for at in range(bisect_left(self._ordered, prefix), len(self._ordered)):
            key = self._ordered[at]
            if not key.startswith(prefix):
                break
            found[key] = self._pending[key]
        return found

    def pend(self, changes: Mapping[bytes, bytes | None]) -> None:
        """These are about to be written; only one write is under way at a time."""
        self._pending.update(changes)
        self._ordered = None

    def settle(self) -> None:
        """What was pending has been written."""
        self._pending.clear()
        self._ordered = None
