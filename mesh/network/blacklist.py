"""Peers left alone for a while because they failed again and again (Beam digest, section 7).

Five failures within ten minutes bar a peer for ten minutes; each further time the bar lasts twice as long, up to a day.
Times are seconds of any steady clock.
"""

from __future__ import annotations

from typing import Final

from mesh.identity.peer_id import PeerId

FAILURES: Final = 5
WINDOW_S: Final = 600.0
FIRST_S: Final = 600.0
LONGEST_S: Final = 86_400.0
MAX_PEERS: Final = 4096


class _Record:
    __slots__ = ("failed_at", "lasts_s", "until")

    def __init__(self) -> None:
        self.failed_at: list[float] = []
        self.lasts_s = FIRST_S
        self.until = 0.0


class Blacklist:
    """Who is barred, and who failed lately. At most 4,096 peers: the one that failed longest ago is forgotten first."""

    __slots__ = ("_records",)

    def __init__(self) -> None:
        self._records: dict[PeerId, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def note_failure(self, peer: PeerId, now: float) -> bool:
        """The peer could not be reached; True when that bars it."""
        record = self._records.pop(peer, None) or _Record()
        self._records[peer] = record
        if len(self._records) > MAX_PEERS:
            del self._records[next(iter(self._records))]
        record.failed_at = [*(each for each in record.failed_at if each > now - WINDOW_S), now]
        if len(record.failed_at) < FAILURES:
            return False
        record.failed_at = []
        record.until = now + record.lasts_s
        record.lasts_s = min(2 * record.lasts_s, LONGEST_S)
        return True

    def note_success(self, peer: PeerId) -> None:
        """The peer was reached: nothing speaks against it any more."""
        self._records.pop(peer, None)

    def wait(self, peer: PeerId, now: float) -> float:
        """Seconds until a peer may be tried again; 0 when it may."""
        record = self._records.get(peer)
        return max(0.0, record.until - now) if record is not None else 0.0
