"""Trust on first use: a client stays with the owner of a name that it saw first, until told otherwise or a transfer leads
on. At most 4,096 names; the one pinned longest ago is forgotten first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final

from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.name_record import NameRecord, choose, contested

MAX_NAMES: Final = 4096


class Trust(Enum):
    """How a record stands to what was seen before."""

    FIRST = "first"
    SAME = "same"
    TRANSFERRED = "transferred"
    STOLEN = "stolen"
    CONTESTED = "contested"


class OwnerPins:
    """Name to owner."""

    __slots__ = ("_owners",)

    def __init__(self) -> None:
        self._owners: dict[str, PeerId] = {}

    def __iter__(self) -> Iterator[tuple[str, PeerId]]:
        return iter(self._owners.items())

    def owner(self, name: str) -> PeerId | None:
        """Who is trusted to own a name."""
        return self._owners.get(name)

    def pin(self, name: str, owner: PeerId) -> None:
        """Trust an owner from now on."""
        self._owners.pop(name, None)
        self._owners[name] = owner
        if len(self._owners) > MAX_NAMES:
            del self._owners[next(iter(self._owners))]

    def forget(self, name: str) -> bool:
        """Trust whoever comes first again; whether somebody was trusted."""
        return self._owners.pop(name, None) is not None

    def judge(self, name: str, records: Sequence[NameRecord]) -> tuple[Trust, NameRecord | None]:
        """What to make of the records of a name that were found, each valid by itself; changes nothing.

        With an owner pinned: its newest record, or one that follows from it by transfers, and `STOLEN` if there are only
        others. Without: the one that all agree on, or `CONTESTED`.
        """
        pinned = self._owners.get(name)
        own = [each for each in records if each.owner == pinned]
        if pinned is None or (own and max(own, key=_version).revoked):
            others = [each for each in records if each not in own]
            if contested(others):
                return Trust.CONTESTED, None
            if others:
                return Trust.FIRST, others[choose(others)]
            return Trust.SAME, max(own, key=_version) if own else None
        following = [each for each in records if each.follows(pinned)]
        if contested(following):
            return Trust.CONTESTED, None
        if following:
            return Trust.TRANSFERRED, following[choose(following)]
        if own:
            return Trust.SAME, max(own, key=_version)
        return (Trust.STOLEN, None) if records else (Trust.SAME, None)


def _version(record: NameRecord) -> int:
    return record.version
