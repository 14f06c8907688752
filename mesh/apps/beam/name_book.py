"""Names as this node knows them: signed records that came by, and whom it trusts with which name.

A record that was found says whose a name is only together with what was seen before: `look` gives the record to go by, or
raises `NameDisputed`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from mesh.apps.beam.store import NAMES, PINS, BeamStore
from mesh.errors import DecodeError, MeshError
from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.name_record import NameRecord, contested, open_name
from mesh.protocols.beam.owner_pins import OwnerPins, Trust

MAX_NAMES: Final = 4096
MAX_BYTES: Final = 16 * 1024 * 1024
"""Of all records together, as they were signed."""
MAX_OWNERS: Final = 8
"""Remembered of one name; those that were there first stay."""


class NameDisputed(MeshError):  # noqa: N818 - a condition, as the code names it
    """A name whose owner cannot be told: another one than before, or several that claim it."""

    code = "name-disputed"

    def __init__(self, name: str, trusted: PeerId | None, claims: list[PeerId]) -> None:
        who = ", ".join(map(str, claims))
        was = f"was of {trusted} and is claimed by {who}" if trusted else f"is claimed by {who}"
        super().__init__(
            f"the name {name} {was}; say whom you mean with {name}.PEER, or trust one: mesh beam names trust {name} PEER"
        )
        self.claims = claims


class NameBook:
    """At most 4,096 names and 8 owners of each; the name that was heard of least lately is forgotten, own ones never."""

    def __init__(self, own_id: PeerId, store: BeamStore) -> None:
        self._own_id = own_id
        self._store = store
        self._records: dict[str, dict[PeerId, NameRecord]] = {}
        self._bytes = 0
        self.pins = OwnerPins()
        self.own: dict[str, NameRecord] = {}
        """The newest record of each name of this node."""

    async def open(self) -> None:
        """Read what is kept. Raises `StorageError`."""
        async for name, text in self._store.all(PINS):
            try:
                self.pins.pin(name, PeerId.from_bytes(text))
            except DecodeError:
                continue
        async for name, envelope in self._store.all(NAMES):
            try:
                self.own[name] = record = open_name(envelope)
            except DecodeError:
                continue
            self.hear(record)

    def hear(self, record: NameRecord) -> None:
        """A valid record came by."""
        held = self._records.pop(record.name, {})
        self._records[record.name] = held
        known = held.get(record.owner)
        if known is None and len(held) >= MAX_OWNERS and record.owner != self.pins.owner(record.name):
            return
        if known is None or record.version > known.version:
            held[record.owner] = record
            self._bytes += len(record.envelope) - (0 if known is None else len(known.envelope))
        while len(self._records) > MAX_NAMES or self._bytes > MAX_BYTES:
            oldest = next((each for each in self._records if each not in self.own), None)
            if oldest is None:
                return
            self._bytes -= sum(len(each.envelope) for each in self._records.pop(oldest).values())

    def known(self, name: str) -> list[NameRecord]:
        """The records of a name that count now."""
        now_s = time.time()
        return [each for each in self._records.get(name, {}).values() if each.counts(now_s)]

    def names(self) -> list[str]:
        """Every name that some record counts of."""
        return sorted(each for each in self._records if self.known(each))

    def counting(self, now_s: float) -> Iterator[NameRecord]:
        """Every record that counts, revoked ones among them."""
        return (each for held in self._records.values() for each in held.values() if each.counts(now_s))

    async def look(self, name: str) -> NameRecord | None:
        """The record to go by, if there is one; its owner is trusted from now on. Raises `NameDisputed`,
        `StorageError`."""
        records = self.known(name)
        trust, record = self.pins.judge(name, records)
        if trust in (Trust.STOLEN, Trust.CONTESTED):
            claims = contested(records) or tuple(sorted({each.owner for each in records}))
            raise NameDisputed(name, self.pins.owner(name), list(claims))
        if record is None or record.revoked:
            return None
        if self.pins.owner(name) != record.owner:
            await self.trust(name, record.owner)
        return record

    async def trust(self, name: str, owner: PeerId) -> None:
        """Go by this owner from now on. Raises `StorageError`."""
        self.pins.pin(name, owner)
        await self._store.put(PINS, name, owner.to_bytes())

    async def forget(self, name: str) -> bool:
        """Trust whoever is seen first again. Raises `StorageError`."""
        await self._store.remove(PINS, name)
        return self.pins.forget(name)

    async def keep(self, record: NameRecord) -> None:
        """A record of this node's own. Raises `StorageError`."""
        self.own[record.name] = record
        self.hear(record)
        await self._store.put(NAMES, record.name, record.envelope)
        await self.trust(record.name, record.owner)

    async def give_up(self, name: str) -> None:
        """The name is this node's no more. Raises `StorageError`."""
        self.own.pop(name, None)
        await self._store.remove(NAMES, name)
