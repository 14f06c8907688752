"""Bytes under byte keys, kept between runs: what the DHT's stores and others stand on.

`SqliteDatastore` keeps them in a file, `MemoryDatastore` for a process's life. A write that has returned is acknowledged:
it is seen by every later read, and survives the sudden death of the process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Final, Protocol

from mesh.errors import UsageError

MAX_KEY_BYTES: Final = 8192
MAX_VALUE_BYTES: Final = 4 * 1024 * 1024


Scan = Callable[[bytes], AsyncIterator[tuple[bytes, bytes]]]


class Datastore(Protocol):
    """Used from the loop it was opened in. Keys are 1 to 8,192 bytes, values at most 4 MiB, else UsageError.

    Every method may raise StorageError; after one, the write did not happen. A caller that is cancelled while it waits
    does not know.
    """

    async def get(self, key: bytes) -> bytes | None:
        """The value of a key, None when it has none."""
        ...

    async def put(self, key: bytes, value: bytes) -> None:
        """Set a value; returns once it is safe."""
        ...

    async def delete(self, key: bytes) -> None:
        """Remove a key; nothing happens for an unknown one."""
        ...

    async def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Set, or with None remove, several keys: all of them or none."""
        ...

    def scan(self, prefix: bytes) -> AsyncIterator[tuple[bytes, bytes]]:
        """Keys that begin with `prefix` and their values, in the order of the keys.

        What is written meanwhile may be missing or there.
        """
        ...

    async def close(self) -> None:
        """Finish what was asked for and let go of the file; every later call raises StorageError."""
        ...


class LocalDatastore(Datastore, Protocol):
    """A datastore near enough to be read without waiting: what machines with much state stand on."""

    def get_now(self, key: bytes) -> bytes | None:
        """As `get`."""
        ...

    def size_now(self, key: bytes) -> int | None:
        """The bytes of a key's value, without reading it; None when it has none."""
        ...

    def get_many_now(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The values of those keys that have one; cheaper than one by one."""
        ...

    def scan_now(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """As `scan`; for few entries, since nothing else runs meanwhile."""
        ...

    def frozen(self) -> AbstractContextManager[Scan]:
        """`scan` as of this instant, whatever is written meanwhile; for minutes, since it holds space."""
        ...

    def measure(self, prefix: bytes) -> tuple[int, int]:
        """How many keys begin with `prefix`, and the bytes of their values."""
        ...


def check_change(key: bytes, value: bytes | None) -> None:
    """Refuse what no datastore takes, with UsageError."""
    if not 1 <= len(key) <= MAX_KEY_BYTES:
        raise UsageError(f"datastore keys are 1 to {MAX_KEY_BYTES} bytes, not {len(key)}")
    if value is not None and len(value) > MAX_VALUE_BYTES:
        raise UsageError(f"datastore values are at most {MAX_VALUE_BYTES} bytes, not {len(value)}")


def after_prefix(prefix: bytes) -> bytes | None:
    """The least key above all that begin with `prefix`; None when there is none."""
    significant = prefix.rstrip(b"\xff")
    return significant[:-1] + bytes([significant[-1] + 1]) if significant else None
