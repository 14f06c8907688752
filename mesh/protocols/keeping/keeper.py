"""Whom to keep, seek and replace (Beam digest, section 7): so many connections, spread over networks, the good ones.

Below the lower bound lost peers are dialled again and more are sought. From there on the number stays, but now and then a
candidate is tried: it is measured like everybody, and takes the place of the worst, if it is better by a tenth, else it
goes itself. Spared are protected peers, relays and routes in use, and whoever came lately. Above the upper bound the
connection manager trims; it is given each peer's value as a tag.

A machine over records: whoever owns it dials, pings and closes, and reports. Times are seconds of any one clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from mesh.identity.peer_id import PeerId
from mesh.protocols.keeping.lost import LostPeers
from mesh.protocols.keeping.pulse import Pulse
from mesh.protocols.keeping.quality import Quality
from mesh.protocols.keeping.settings import (
    Close,
    Dead,
    Event,
    Lifecycle,
    Probe,
    Redial,
    Seek,
    Settings,
    Standing,
    Try,
)

MEASURED: Final = 3
"""Answered probes that a newcomer is judged by; until then it is probed as often as one in use."""
BETTER_BY: Final = 1.1
CROWDING: Final = 0.25
"""How much each other peer of the same network takes from a value."""
TURNED_AWAY_S: Final = 600.0
"""So long one that was no better is not tried again."""
MAX_TURNED_AWAY: Final = 256


@dataclass(slots=True)
class _Peer:
    network: str
    pulse: Pulse
    since: float
    dialled: bool
    failures: int
    trial: bool
    answers: int = 0
    quality: Quality = field(default_factory=Quality)
    lifecycle: Lifecycle = Lifecycle.CHANNEL
    used: bool = False


class Keeper:
    """``is_protected`` says whom the connection manager spares; ``chance`` gives numbers from 0 to 1."""

    def __init__(
        self, settings: Settings, is_protected: Callable[[PeerId], bool], chance: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._is_protected = is_protected
        self._peers: dict[PeerId, _Peer] = {}
        self._networks: Counter[str] = Counter()
        self._dialling: dict[PeerId, bool] = {}
        """Candidates being dialled, and whether each is to be compared with those connected."""
        self._lost = LostPeers(settings.first_pause_s, settings.longest_pause_s, chance)
        self._turned_away: dict[PeerId, float] = {}
        self._used: frozenset[PeerId] = frozenset()
        self._seek_at = self._trial_at = float("-inf")
        self._trial_open = False
        self._seek_pause_s = settings.seek_s
        self._events: list[Event] = []

    # -- candidates --------------------------------------------------------------------------------------------------

    @property
    def hungry(self) -> bool:
        """Whether there are fewer than wanted, with those being dialled."""
        return len(self._peers) + len(self._dialling) < self._settings.low

    def has_room(self, now: float) -> bool:
        """Whether a candidate may be dialled: below the lower bound, or for a trial when one is due."""
        if self.hungry:
            return True
        busy = bool(self._dialling) or any(each.trial for each in self._peers.values())
        return (
            self._trial_open
            and not busy
            and len(self._peers) < self._settings.high
            and self._worst(now) is not None
        )

    def admits(self, peer: PeerId, now: float) -> bool:
        """Whether a candidate is worth remembering: one that was no better lately is, only if there are too few."""
        return self.hungry or self._turned_away.get(peer, now) <= now

    def choose(self, candidates: Mapping[PeerId, str]) -> PeerId:
        """Whom of some, each with its network, to dial first: one of the network that has fewest here."""
        return min(candidates, key=lambda peer: self._networks[candidates[peer]])

    def dialling(self, peer: PeerId, now: float) -> None:
        """A candidate is being dialled."""
        trial = not self.hungry
        self._dialling[peer] = trial
        if trial:
            self._trial_open = False
            self._trial_at = now + self._settings.trial_s

    def failed(self, peer: PeerId, now: float, wait_s: float = 0.0) -> None:
        """The dial of a candidate or a lost peer has ended, without a connection if none was reported; ``wait_s``: it is
        barred for so long."""
        self._dialling.pop(peer, None)
        self._lost.fail(peer, now, wait_s)

    # -- connections -------------------------------------------------------------------------------------------------

    def connected(self, peer: PeerId, network: str, now: float, *, dialled: bool) -> None:
        """The first connection to a peer stands; ``dialled`` by this node, which does so again if it is lost."""
        trial = self._dialling.pop(peer, False)
        failures = self._lost.find(peer)
        if peer not in self._peers:
            pulse = Pulse(self._settings.used_s, now)
            self._peers[peer] = _Peer(network, pulse, now, dialled, failures, trial, used=peer in self._used)
            self._networks[network] += 1
            if not self.hungry:
                self._seek_pause_s = self._settings.seek_s

    def disconnected(self, peer: PeerId, now: float) -> None:
        """The last connection to a peer is gone. It is dialled again, unless another was better."""
        known = self._peers.pop(peer, None)
        if known is None:
            return
        self._networks[known.network] -= 1
        if known.dialled:
            self._lost.lose(peer, known.failures, now - known.since, now)

    def use(self, peers: Collection[PeerId], now: float) -> None:
        """These are the relays and routes in use, no others."""
        self._used = frozenset(peers)
        for peer, known in self._peers.items():
            known.used = peer in self._used
            self._pace(known, now)

    def network_changed(self, now: float) -> None:
        """This machine's addresses are others: everybody is probed, the lost are dialled and more are sought at once."""
        for known in self._peers.values():
            known.pulse.hurry(now)
        self._lost.hurry(now)
        self._seek_at = now
        self._seek_pause_s = self._settings.seek_s

    # -- probes ------------------------------------------------------------------------------------------------------

    def answered(self, peer: PeerId, round_trip_s: float | None, now: float) -> None:
        """A probe came back; None for one that only shows that the peer is there."""
        known = self._peers.get(peer)
        if known is None:
            return
        known.answers += 1
        if round_trip_s is not None:
            known.quality.note(round_trip_s)
        if known.lifecycle is Lifecycle.CHANNEL:
            known.lifecycle = Lifecycle.OPTIMISATION if known.trial else Lifecycle.MONITORING
        known.pulse.heard(now)
        self._pace(known, now)
        if known.trial and known.answers >= MEASURED:
            self._judge(peer, known, now)

    def missed(self, peer: PeerId, now: float) -> None:
        """A probe got no answer in its time."""
        known = self._peers.get(peer)
        if known is not None:
            known.quality.note(None)
            if known.pulse.missed(now):
                known.lifecycle = Lifecycle.CLOSING
                self._events.append(Dead(peer))

    # -- time --------------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When `wake` wants to be called."""
        open_ones = (each for each in self._peers.values() if each.lifecycle is not Lifecycle.CLOSING)
        pulses = [each.pulse.deadline() for each in open_ones]
        times = [each for each in pulses if each is not None]
        if self.hungry:
            times.append(self._seek_at)
            if (lost := self._lost.deadline()) is not None:
                times.append(lost)
        elif not self._trial_open and len(self._peers) < self._settings.high:
            times.append(self._trial_at)
        return min(times, default=None)

    def wake(self, now: float) -> None:
        """Time has passed."""
        for peer, known in self._peers.items():
            if known.lifecycle is not Lifecycle.CLOSING and known.pulse.take_due(now):
                self._events.append(Probe(peer))
        if self.hungry:
            missing = self._settings.low - len(self._peers) - len(self._dialling)
            self._events += map(Redial, self._lost.take_due(now, missing))
            if now >= self._seek_at:
                self._events.append(Seek())
                self._seek_at = now + self._seek_pause_s
                self._seek_pause_s = min(2 * self._seek_pause_s, self._settings.longest_pause_s)
        elif not self._trial_open and now >= self._trial_at:
            self._trial_at = now + self._settings.trial_s
            self._trial_open = self._worst(now) is not None
            if self._trial_open:
                self._events.append(Try())

    def events(self) -> list[Event]:
        """What is to be done; empty after it was taken."""
        taken, self._events = self._events, []
        return taken

    # -- views -------------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Peers connected."""
        return len(self._peers)

    @property
    def dialled(self) -> list[PeerId]:
        """Peers that are being dialled."""
        return list(self._dialling)

    def value(self, peer: PeerId) -> float:
        """Quality less what others of its network take from it, 0 to 1; 0 for an unknown one."""
        known = self._peers.get(peer)
        return 0.0 if known is None else self._value(known)

    def standings(self, now: float) -> list[Standing]:
        """Every connected peer, and every lost one that is to be dialled again."""
        found = [self._standing(peer, known, now) for peer, known in self._peers.items()]
        for peer, lost in self._lost.peers.items():
            lifecycle = Lifecycle.HANDSHAKE if lost.dialling else Lifecycle.DISCOVERY
            next_s = None if lost.dialling else max(0.0, lost.next_at - now)
            found.append(
                Standing(peer, lifecycle, "", 0.0, None, 0.0, 0, lost.failures, False, False, next_s)
            )
        return found

    # -- within ------------------------------------------------------------------------------------------------------

    def _standing(self, peer: PeerId, known: _Peer, now: float) -> Standing:
        due_at, quality = known.pulse.deadline(), known.quality
        return Standing(
            peer,
            known.lifecycle,
            known.network,
            self._value(known),
            quality.latency_s,
            quality.reliability,
            known.pulse.misses,
            known.failures,
            known.used,
            self._is_protected(peer),
            None if due_at is None else max(0.0, due_at - now),
        )

    def _value(self, known: _Peer) -> float:
        others = max(0, self._networks[known.network] - 1)
        return known.quality.score / (1.0 + CROWDING * others)

    def _pace(self, known: _Peer, now: float) -> None:
        """Probe often who is in use or not measured yet."""
        often = known.used or known.answers < MEASURED
        known.pulse.set_interval(self._settings.used_s if often else self._settings.idle_s, now)

    def _worst(self, now: float) -> PeerId | None:
        """Who gives way to a better one; None when all are spared."""
        spared_from = now - self._settings.settled_s
        found = [
            (self._value(known), peer)
            for peer, known in self._peers.items()
            if not known.trial
            and not known.used
            and known.since <= spared_from
            and known.lifecycle is not Lifecycle.CLOSING
            and not self._is_protected(peer)
        ]
        return min(found, default=(0.0, None), key=lambda each: each[0])[1]

    def _judge(self, peer: PeerId, known: _Peer, now: float) -> None:
        """A candidate was measured: one of the two goes, unless there is nobody to give way."""
        known.trial = False
        known.lifecycle = Lifecycle.MONITORING
        worst = self._worst(now)
        if worst is None:
            return
        if self._value(known) >= BETTER_BY * self.value(worst):
            self._close(worst, now, replaced=True)
        elif not (known.used or self._is_protected(peer)):
            self._close(peer, now, replaced=False)

    def _close(self, peer: PeerId, now: float, *, replaced: bool) -> None:
        known = self._peers[peer]
        known.lifecycle, known.dialled = Lifecycle.CLOSING, False
        self._turned_away[peer] = now + TURNED_AWAY_S
        if len(self._turned_away) > MAX_TURNED_AWAY:
            del self._turned_away[next(iter(self._turned_away))]
        self._events.append(Close(peer, replaced))
