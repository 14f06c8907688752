"""What a replica reads, and what it changed over it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
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
    """A state and the changes over it that have not been taken to be written."""

    __slots__ = ("_changes", "_state")

    def __init__(self, state: State) -> None:
        self._state = state
        self._changes: dict[bytes, bytes | None] = {}

    def __len__(self) -> int:
        return len(self._changes)

    def get(self, key: bytes) -> bytes | None:
        """The value as changed."""
        return self._changes[key] if key in self._changes else self._state.get(key)

    def get_many(self, keys: Collection[bytes]) -> dict[bytes, bytes]:
        """The values as changed, of those keys that have one."""
        changes = self._changes
        found = self._state.get_many([key for key in keys if key not in changes])
        for key in keys:
            value = changes.get(key)
            if value is not None:
                found[key] = value
        return found

    def put(self, key: bytes, value: bytes = b"") -> None:
        self._changes[key] = value

    def delete(self, key: bytes) -> None:
        self._changes[key] = None

    def below(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """As `State.below`, as changed."""
        found = dict(self._state.below(prefix))
        for key, value in self._changes.items():
            if key.startswith(prefix):
                if value is None:
                    found.pop(key, None)
                else:
                    found[key] = value
        return sorted(found.items())

    def take(self) -> dict[bytes, bytes | None]:
        """The changes, to be written all or none; from now on they are expected in the state."""
        changes, self._changes = self._changes, {}
        return changes
