"""Detectors of abuse with Beam's figures, and the alerts they raise (Beam digest, section 8). Instants are seconds of any
steady clock.

=====================  ========================================================  ========
detector               what it counts                                            severity
=====================  ========================================================  ========
dht-puts               more than 1,000 puts of a peer in a minute                high
connection-flood       more than 100 new connections of a peer in a minute       high
connection-burst       more than 50 connections of a peer in 5 minutes           medium
inconsistent-lookups   more than 80 % of 20 answers or more contradict others    critical
large-messages         a message of more than 3 times the mean, and 40 KiB       medium
high-throughput        a minute of more than 5 times the mean, and 1 MiB         medium
gossip-flood           more gossip than 20 messages a second after a burst       high
endless-talk           1,000 copies at once, or more a minute, not passed on     high
bad-records            five forged or stolen records within a minute             high
chain-hoarding         more than 20 chains in a minute that it may not have      medium
relay-hoarding         more than 20 of a relay's places that it may not have      medium
=====================  ========================================================  ========

The last five are this project's. A message's size, and that there are too many, speak against who signed it, for whoever
hands it on does what all do. An alert takes from the peer's score, which recovers by a tenth a minute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mesh.identity.peer_id import PeerId
from mesh.protocols.allowance import Allowance

MAX_PUTS: Final = 1000
MAX_NEW_CONNECTIONS: Final = 100
MAX_BURST_CONNECTIONS: Final = 50
INCONSISTENT_SHARE: Final = 0.8
LEAST_LOOKUPS: Final = 20
MOST_LOOKUPS: Final = 100
"""With so many, each counts half from then on: nobody lives on what it said long ago."""
SIZE_FACTOR: Final = 3.0
LEAST_SIZE_BYTES: Final = 40 * 1024
"""More than an honest update about as many links as there may be; floods of small messages make others large."""
THROUGHPUT_FACTOR: Final = 5.0
LEAST_THROUGHPUT_BYTES: Final = 1024 * 1024
GOSSIP_PER_S: Final = 20.0
GOSSIP_BURST: Final = 100.0
MAX_BAD_RECORDS: Final = 5
MAX_REFUSED_CHAINS: Final = 20
MAX_REFUSED_CIRCUITS: Final = 20
MAX_UNHEARD: Final = 1000
"""A message comes by several neighbours: about so many copies make 150 messages."""
MINUTE_S: Final = 60.0
BURST_S: Final = 300.0
KEPT_S: Final = 24 * 3600.0
MAX_ALERTS: Final = 1000
MAX_PEERS: Final = 2048
REPEAT_S: Final = 60.0
"""The same detector raises no second alert of a peer for so long."""
PENALTY: Final = {"low": 0.05, "medium": 0.1, "high": 0.25, "critical": 0.75}
"""A critical one alone leaves less than `LEAST_SCORE`, for two and a half minutes."""
LEAST_SCORE: Final = 0.5
"""Of a peer that is listened to."""
RECOVERY_PER_S: Final = 0.1 / 60.0


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that a peer did too much of."""

    id: int
    detector: str
    severity: str
    peer: PeerId
    at_s: float
    description: str


class Window:
    """How often something happened lately: at most ``most + 1`` instants are kept, all that the question needs."""

    __slots__ = ("_instants", "_most", "_span_s")

    def __init__(self, span_s: float, most: int) -> None:
        self._span_s = span_s
        self._most = most
        self._instants: deque[float] = deque(maxlen=most + 1)

    def note(self, now: float) -> bool:
        """It happened; whether that is more often than may be."""
        self._instants.append(now)
        while self._instants and now - self._instants[0] >= self._span_s:
            self._instants.popleft()
        return len(self._instants) > self._most


@dataclass(slots=True)
class _Mean:
    """A mean that follows slowly."""

    value: float = 0.0
    count: int = 0

    def add(self, sample: float) -> None:
        self.count = min(self.count + 1, 1000)
        self.value += (sample - self.value) / self.count


@dataclass(frozen=True, slots=True)
class _Limit:
    """How often something may happen, and how grave more is."""

    span_s: float
    most: int
    severity: str
    text: str


_LIMITS: Final = {
    "dht-puts": _Limit(MINUTE_S, MAX_PUTS, "high", f"more than {MAX_PUTS} puts in a minute"),
    "connection-flood": _Limit(
        MINUTE_S, MAX_NEW_CONNECTIONS, "high", f"more than {MAX_NEW_CONNECTIONS} connections in a minute"
    ),
    "connection-burst": _Limit(
        BURST_S,
        MAX_BURST_CONNECTIONS,
        "medium",
        f"more than {MAX_BURST_CONNECTIONS} connections in 5 minutes",
    ),
    "bad-records": _Limit(
        MINUTE_S, MAX_BAD_RECORDS - 1, "high", f"{MAX_BAD_RECORDS} bad records in a minute"
    ),
    "chain-hoarding": _Limit(
        MINUTE_S,
        MAX_REFUSED_CHAINS,
        "medium",
        f"more than {MAX_REFUSED_CHAINS} chains in a minute that it may not have",
    ),
    "relay-hoarding": _Limit(
        MINUTE_S,
        MAX_REFUSED_CIRCUITS,
        "medium",
        f"more than {MAX_REFUSED_CIRCUITS} reservations or circuits in a minute that it may not have",
    ),
}


@dataclass(slots=True)
class _Peer:
    windows: dict[str, Window] = field(default_factory=dict)
    gossip: Allowance = field(default_factory=lambda: Allowance(GOSSIP_PER_S, GOSSIP_BURST))
    unheard: Allowance | None = None
    lookups: int = 0
    inconsistent: int = 0
    minute: float = 0.0
    minute_bytes: int = 0
    penalty: float = 0.0
    penalty_at: float = 0.0
    alerted: dict[str, float] = field(default_factory=dict)

    def owed(self, now: float) -> float:
        """What is left of the penalty, from 0 to 1."""
        return max(0.0, self.penalty - (now - self.penalty_at) * RECOVERY_PER_S)


class AbuseWatch:
    """What peers do, at most 2,048 of them; the one heard of least lately is forgotten. ``on_alert`` gets each alert."""

    def __init__(self, on_alert: Callable[[Alert], None] = lambda _alert: None) -> None:
        self._on_alert = on_alert
        self._peers: dict[PeerId, _Peer] = {}
        self._muted: dict[PeerId, float] = {}
        self._sizes = _Mean()
        self._minutes = _Mean()
        self._alerts: deque[Alert] = deque(maxlen=MAX_ALERTS)
        self._raised = 0

    def alerts(self, now: float) -> list[Alert]:
        """Those of the last 24 hours, the latest first."""
        return [each for each in reversed(self._alerts) if now - each.at_s < KEPT_S]

    def score(self, peer: PeerId, now: float) -> float:
        """1 for a peer that nothing speaks against, down to 0."""
        known = self._peers.get(peer)
        return 1.0 if known is None else 1.0 - known.owed(now)

    def admits(self, peer: PeerId, now: float) -> bool:
        """Whether a peer has `LEAST_SCORE`."""
        until = self._muted.get(peer)
        if until is None:
            return True
        if now < until:
            return False
        del self._muted[peer]
        return True

    @property
    def muted(self) -> int:
        """Peers that are not admitted, and some that are again."""
        return len(self._muted)

    def put(self, peer: PeerId, now: float) -> None:
        """A peer stored a value at this node's DHT."""
        self._note("dht-puts", peer, now)

    def connected(self, peer: PeerId, now: float) -> None:
        """A peer opened a connection."""
        self._note("connection-flood", peer, now)
        self._note("connection-burst", peer, now)

    def looked_up(self, peer: PeerId, consistent: bool, now: float) -> None:
        """A peer's answer to a lookup agreed with what others said, or did not: it gave a value that is none, not the
        one that it had acknowledged, or named peers of whom none answers."""
        known = self._of(peer)
        if known.lookups >= MOST_LOOKUPS:
            known.lookups //= 2
            known.inconsistent //= 2
        known.lookups += 1
        known.inconsistent += not consistent
        share = known.inconsistent / known.lookups
        if known.lookups >= LEAST_LOOKUPS and share > INCONSISTENT_SHARE:
            known.lookups = known.inconsistent = 0
            self._raise(
                "inconsistent-lookups", "critical", peer, now, f"{share:.0%} of its answers contradict others"
            )

    def message(self, peer: PeerId, size: int, now: float) -> bool:
        """A gossip message came; whether it may be looked at. One beyond the rate may not."""
        known = self._of(peer)
        self._count_bytes(known, peer, size, now)
        if known.gossip.take(now):
            return True
        self._raise("gossip-flood", "high", peer, now, f"more than {GOSSIP_PER_S:g} messages a second")
        return False

    def signed(self, origin: PeerId, size: int, now: float) -> None:
        """A gossip message of ``origin`` is taken, whoever handed it on."""
        if self._sizes.count and size > max(SIZE_FACTOR * self._sizes.value, LEAST_SIZE_BYTES):
            self._raise("large-messages", "medium", origin, now, f"a message of {size} bytes")
        self._sizes.add(size)

    def unheard(self, origin: PeerId, now: float) -> None:
        """A gossip message of ``origin`` is not passed on, for it says too much."""
        known = self._of(origin)
        if known.unheard is None:
            known.unheard = Allowance(MAX_UNHEARD / MINUTE_S, MAX_UNHEARD)
        if not known.unheard.take(now):
            text = f"more than {MAX_UNHEARD} copies at once, or a minute, of what is not passed on"
            self._raise("endless-talk", "high", origin, now, text)

    def bad_record(self, peer: PeerId, now: float) -> None:
        """A peer gave a record that is forged, stolen or not what it claims."""
        self._note("bad-records", peer, now)

    def hoarded(self, peer: PeerId, now: float) -> None:
        """A peer asked for a chain beyond what it may have."""
        self._note("chain-hoarding", peer, now)

    def refused_circuit(self, peer: PeerId, now: float) -> None:
        """A peer asked this relay for a reservation or a circuit beyond what it may have."""
        self._note("relay-hoarding", peer, now)

    # -- within ------------------------------------------------------------------------------------------------------

    def _of(self, peer: PeerId) -> _Peer:
        known = self._peers.pop(peer, None) or _Peer()
        self._peers[peer] = known
        if len(self._peers) > MAX_PEERS:
            oldest = next(iter(self._peers))
            del self._peers[oldest]
            self._muted.pop(oldest, None)
        return known

    def _note(self, detector: str, peer: PeerId, now: float) -> None:
        limit = _LIMITS[detector]
        windows = self._of(peer).windows
        window = windows.get(detector)
        if window is None:
            window = windows[detector] = Window(limit.span_s, limit.most)
        if window.note(now):
            self._raise(detector, limit.severity, peer, now, limit.text)

    def _count_bytes(self, known: _Peer, peer: PeerId, size: int, now: float) -> None:
        if now - known.minute >= MINUTE_S:
            if known.minute_bytes:
                self._minutes.add(known.minute_bytes)
            known.minute, known.minute_bytes = now, 0
        known.minute_bytes += size
        most = max(THROUGHPUT_FACTOR * self._minutes.value, LEAST_THROUGHPUT_BYTES)
        if self._minutes.count and known.minute_bytes > most:
            self._raise("high-throughput", "medium", peer, now, f"{known.minute_bytes} bytes within a minute")

    def _raise(self, detector: str, severity: str, peer: PeerId, now: float, text: str) -> None:
        known = self._of(peer)
        last = known.alerted.get(detector)
        if last is not None and now - last < REPEAT_S:
            return
        known.alerted[detector] = now
        known.penalty, known.penalty_at = min(1.0, known.owed(now) + PENALTY[severity]), now
        if known.penalty > 1.0 - LEAST_SCORE:
            self._muted[peer] = now + (known.penalty - 1.0 + LEAST_SCORE) / RECOVERY_PER_S
        self._raised += 1
        alert = Alert(self._raised, detector, severity, peer, now, text)
        self._alerts.append(alert)
        self._on_alert(alert)
