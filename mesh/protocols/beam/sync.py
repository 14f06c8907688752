"""What two nodes tell each other of the records that they hold (Beam digest, section 11).

State is a digest for each peer of whom records are held, over the versions of all of them. Where digests differ both
sides give each other all that they hold of that peer, and the greatest version of each record stands with both: merging
is commutative and idempotent, so nothing has to be remembered of earlier exchanges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from mesh.codecs.beam_sync import DIGEST_BYTES, MAX_RECORDS, SyncFrame
from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.name_record import NameRecord
from mesh.protocols.beam.service_record import ServiceRecord

PROTOCOL_ID: Final = "/beam/sync/1.0.0"
SYNC_S: Final = 300.0
PEERS: Final = 5
LONG_LIVED: Final = 3
"""Of those, the ones that have been connected longest; the others are taken at random."""
SERVE_EVERY_S: Final = 30.0
"""A peer is answered no more often."""
MAX_GIVEN: Final = 2048
"""Records of one exchange each way; the latest first."""
BATCH_BYTES: Final = 64 * 1024

Record = ServiceRecord | NameRecord


class Held(NamedTuple):
    """A record as an exchange sees it."""

    origin: PeerId
    kind: str
    subject: str
    version: int
    at_ms: int
    envelope: bytes


def held_of(record: Record) -> Held:
    """What counts of a record."""
    if isinstance(record, ServiceRecord):
        return Held(record.peer_id, "svc", record.service_id, record.seq, record.created_ms, record.envelope)
    return Held(record.owner, "name", record.name, record.version, record.updated_ms, record.envelope)


def digests(records: Iterable[Held]) -> dict[PeerId, bytes]:
    """The state of each peer's records."""
    lines: dict[PeerId, list[str]] = {}
    for each in records:
        lines.setdefault(each.origin, []).append(f"{each.kind}/{each.subject}/{each.version}")
    return {
        origin: hashlib.sha256("\n".join(sorted(each)).encode()).digest()[:DIGEST_BYTES]
        for origin, each in lines.items()
    }


def differing(own: Mapping[PeerId, bytes], theirs: Mapping[PeerId, bytes]) -> set[PeerId]:
    """The peers of whom ``theirs`` has something that ``own`` has not, as far as can be told."""
    return {origin for origin, digest in theirs.items() if own.get(origin) != digest}


def given(records: Iterable[Held], origins: set[PeerId]) -> list[Held]:
    """What is sent of the records of these peers: the latest, at most `MAX_GIVEN`."""
    chosen = [each for each in records if each.origin in origins]
    return sorted(chosen, key=lambda each: (-each.at_ms, each.subject))[:MAX_GIVEN]


def frames(records: Iterable[Held], first: SyncFrame | None = None) -> list[SyncFrame]:
    """The frames that carry records behind what ``first`` says; the last one is final, and there is at least one."""
    made = [first or SyncFrame()]
    size = 0
    for each in records:
        current = made[-1]
        if len(current.records) == MAX_RECORDS or size + len(each.envelope) > BATCH_BYTES:
            made.append(current := SyncFrame())
            size = 0
        current.records.append(each.envelope)
        size += len(each.envelope)
    made[-1].final = True
    return made


class Turns:
    """Who was answered when; at most 1,024 peers are remembered, which is more than are connected."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: dict[PeerId, float] = {}

    def take(self, peer: PeerId, now: float) -> bool:
        """Whether a peer may be answered now; if so it counts."""
        last = self._at.get(peer)
        if last is not None and now - last < SERVE_EVERY_S:
            return False
        self._at.pop(peer, None)
        self._at[peer] = now
        if len(self._at) > 1024:
            del self._at[next(iter(self._at))]
        return True
