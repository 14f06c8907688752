"""Replicas in memory that deliver to each other by hand."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mesh.ipld.block import Block
from mesh.multiformats import varint
from mesh.multiformats.cid import Cid
from mesh.protocols.crdt.layout import KNOWN, Shown, block_name
from mesh.protocols.crdt.replica import Event, Replica


class MemoryState:
    """A state in a dictionary."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def get_many(self, keys: Collection[bytes]) -> dict[bytes, bytes]:
        return {key: self.entries[key] for key in keys if key in self.entries}

    def below(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted((key, value) for key, value in self.entries.items() if key.startswith(prefix)))

    def write(self, changes: dict[bytes, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value


class Host:
    """A replica with its stores. ``sent`` are its broadcasts, ``happened`` its events."""

    def __init__(self, *, namespace: str = "/crdt", seed: int = 0, now: float = 0.0) -> None:
        self.namespace, self.seed = namespace, seed
        self.state = MemoryState()
        self.store: dict[Cid, Block] = {}
        self.sent: list[bytes] = []
        self.happened: list[Event] = []
        self.replica = self.started(now)

    def started(self, now: float) -> Replica:
        return Replica(
            self.state,
            self.store.get,
            namespace=self.namespace,
            random=random.Random(self.seed).random,
            now=now,
        )

    def restart(self, now: float) -> None:
        """The process dies: what was not settled is gone."""
        self.replica = self.started(now)

    def settle(self) -> None:
        """Store, write, tell."""
        for block in self.replica.blocks():
            self.store[block.cid] = block
        self.state.write(self.replica.changes())
        self.sent += self.replica.broadcasts()
        self.happened += self.replica.events()

    def fetch(self, *others: Host, now: float = 0.0) -> None:
        """Get all that is wanted from the own store or from others, and merge it."""
        while True:
            wanted = self.replica.wanted()
            for cid in wanted:
                found = next((each.store[cid] for each in (self, *others) if cid in each.store), None)
                if found is None:
                    self.replica.unobtainable(cid, now)
                else:
                    self.replica.arrived(found, now)
            self.settle()
            while self.replica.merge():
                self.settle()
            self.settle()
            if not wanted:
                return

    def hear(self, data: bytes, *others: Host, now: float = 0.0) -> None:
        """Receive a broadcast and fetch what is behind it."""
        self.replica.receive(data, b"", now)
        self.fetch(*others, now=now)

    @property
    def mapping(self) -> dict[str, bytes]:
        return dict(self.replica.below())

    def dump(self) -> list[dict[str, Any]]:
        """The whole state as the original would have it, and the vectors do."""
        rows = original_rows(self.namespace, self.state.entries)
        return [{"key": key, "value_hex": value.hex()} for key, value in sorted(rows.items())]


def original_rows(namespace: str, entries: Mapping[bytes, bytes]) -> dict[str, bytes]:
    """What the original keeps for the same knowledge (specification, section 5.9)."""
    found: dict[str, bytes] = {}
    for stored, row in entries.items():
        kind, name = stored.decode()[len(namespace) + 1], stored.decode()[len(namespace) + 2 :]
        key, _, block = name.rpartition("\0")
        sets = f"{namespace}/s"
        if kind in "hbw":
            found[f"{namespace}/{kind}{name}"] = row
        elif kind == "t":
            found[f"{sets}/t{key}{block}"] = b""
            if row == KNOWN:
                found[f"{sets}/s{key}{block}"] = b""
        elif kind == "e":
            found[f"{sets}/s{key}{block}"] = b""
        elif kind == "k":
            shown = Shown.read(row)
            if shown.visible is not None:
                found[f"{sets}/s{name}{block_name(shown.block)}"] = b""
                found[f"{sets}/k{name}/v"] = shown.visible
                found[f"{sets}/k{name}/p"] = varint.encode(shown.height + 1)
    return found
