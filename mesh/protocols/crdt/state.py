"""What a replica reads, and what it changed over it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Protocol


class State(Protocol):
    """Ordered bytes under byte keys, read at once and without waiting; may raise StorageError."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        ...

    def get_many(self, keys: Collection[bytes]) -> dict[bytes, bytes]:
        """The values of those keys that have one."""
        ...

    def below(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys that begin with `prefix`, and their values, in the order of the keys."""
        ...


class Draft:
    """A state and the changes over it that have not been taken to be written.

    Rows of one group, which begin with its name, are found without looking at all others that changed.
    """

    __slots__ = ("_changes", "_groups", "_state")

    def __init__(self, state: State) -> None:
        self._state = state
        self._changes: dict[bytes, bytes | None] = {}
        self._groups: dict[bytes, dict[bytes, bytes | None]] = {}

    def __len__(self) -> int:
        return len(self._changes)

    def get(self, key: bytes) -> bytes | None:
        """The value as changed."""
        return self._changes[key] if key in self._changes else self._state.get(key)

    def get_many(self, keys: Collection[bytes]) -> dict[bytes, bytes]:
        """The values as changed, of those keys that have one."""
        changes = self._changes
        if changes.keys().isdisjoint(keys):
            return self._state.get_many(keys)
        found = self._state.get_many([key for key in keys if key not in changes])
        for key in keys:
            value = changes.get(key)
            if value is not None:
                found[key] = value
        return found

    def put(self, key: bytes, value: bytes = b"") -> None:
        self._changes[key] = value

    def put_all(self, changes: Mapping[bytes, bytes]) -> None:
        self._changes.update(changes)

    def delete(self, key: bytes) -> None:
        self._changes[key] = None

    def put_into(self, group: bytes, key: bytes, value: bytes) -> None:
        """Put a row of a group."""
        self._change_in(group, key, value)

    def delete_from(self, group: bytes, key: bytes) -> None:
        """Delete a row of a group."""
        self._change_in(group, key, None)

    def _change_in(self, group: bytes, key: bytes, value: bytes | None) -> None:
        self._changes[key] = value
        self._groups.setdefault(group, {})[key] = value

    def group(self, group: bytes) -> list[tuple[bytes, bytes]]:
        """The rows of a group as changed, in the order of their keys."""
        return _changed(self._state.below(group), self._groups.get(group, {}).items())

    def below(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """As `State.below`, as changed."""
        changes = ((key, value) for key, value in self._changes.items() if key.startswith(prefix))
        return _changed(self._state.below(prefix), changes)

    def take(self) -> dict[bytes, bytes | None]:
        """The changes, to be written all or none; from now on they are expected in the state."""
        changes, self._changes = self._changes, {}
        self._groups = {}
        return changes


def _changed(
    rows: Iterable[tuple[bytes, bytes]], changes: Iterable[tuple[bytes, bytes | None]]
) -> list[tuple[bytes, bytes]]:
    found: dict[bytes, bytes | None] = {**dict(rows), **dict(changes)}
    return sorted((key, value) for key, value in found.items() if value is not None)
