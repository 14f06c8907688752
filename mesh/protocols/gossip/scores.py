"""Scores of peers, P1 to P7 (gossipsub v1.1, "Peer scoring"); where the specification is silent, as go does it.

A score is asked for with every RPC and changes seldom, so each peer's is kept until something happened to the peer or
a decay interval ended. Intervals are those of a clock that started with the object. A peer's counters are brought up to
date when it is next looked at, so nobody has to wake this in time and no moment has all of the work.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Generic, TypeVar

from mesh.errors import UsageError
from mesh.protocols.gossip.colocation import Colocation, Places
from mesh.protocols.gossip.delivery_records import DeliveryRecords, Status
from mesh.protocols.gossip.score_checks import check_settings, check_topic
from mesh.protocols.gossip.score_topics import TopicParts, TopicRecord, faded
from mesh.protocols.gossip.settings import ScoreSettings, TopicScoreSettings

PeerT = TypeVar("PeerT")


@dataclass(frozen=True, slots=True)
class PeerParts:
    """What a score is made of. The four parts are weighted and add up to `score`."""

    score: float
    connected: bool
    topics_score: float
    """Of all topics, capped."""
    application_score: float
    """P5."""
    ip_colocation_score: float
    """P6."""
    behaviour_score: float
    """P7."""
    behaviour: float
    """The counter of P7."""
    topics: dict[str, TopicParts]


class _Record:
    """One peer. `score` counts until `fresh_until`, which is in the past when something happened."""

    __slots__ = (
        "application",
        "behaviour",
        "connected",
        "expires",
        "fresh_until",
        "interval",
        "interval_ends",
        "places",
        "score",
        "topics",
    )

    def __init__(self) -> None:
        self.connected = False
        self.expires = inf
        self.topics: dict[str, TopicRecord] = {}
        self.application = 0.0
        self.behaviour = 0.0
        self.places: Places = ()
        self.interval = 0
        self.interval_ends = inf
        self.score = 0.0
        self.fresh_until = -inf


class Scores(Generic[PeerT]):
    """Every connected peer's score, and that of peers that went with one not above 0; 0 for any other peer.

    Only topics with settings count, and what happens in others costs nothing.
    """

    def __init__(self, settings: ScoreSettings, now: float) -> None:
        """Raises UsageError naming the field that cannot be."""
        check_settings(settings)
        self.settings = settings
        self._topics = dict(settings.topics)
        self._colocation: Colocation[PeerT] = Colocation(
            settings.ip_colocation_threshold, settings.ip_colocation_whitelist
        )
        self._began = now
        self._forget_at = inf
        self._peers: dict[PeerT, _Record] = {}
        self._gone_blameless: OrderedDict[PeerT, None] = OrderedDict()
        self._gone_guilty: OrderedDict[PeerT, None] = OrderedDict()
        self._deliveries: DeliveryRecords[PeerT] = DeliveryRecords(now)

    def __len__(self) -> int:
        """Peers remembered, connected or gone."""
        return len(self._peers)

    # --- what is asked ------------------------------------------------------------------------------------------

    def score(self, peer: PeerT, now: float) -> float:
        """The sum of all parts; 0 for a peer never met or forgotten."""
        if now >= self._forget_at:
            self._forget_gone(now)
        record = self._peers.get(peer)
        if record is None:
            return 0.0
        if now < record.fresh_until:
            return record.score
        self._catch_up(record, now)
        record.score = (
            self._topics_score(record)
            + record.application * self.settings.application_weight
            + self._ip_colocation_score(record)
            + self._behaviour_score(record)
        )
        record.fresh_until = record.interval_ends if record.connected else record.expires
        return record.score

    def parts(self, peer: PeerT, now: float) -> PeerParts | None:
        """How the score comes about; None for a peer never met or forgotten."""
        score = self.score(peer, now)
        record = self._peers.get(peer)
        if record is None:
            return None
        return PeerParts(
            score=score,
            connected=record.connected,
            topics_score=self._topics_score(record),
            application_score=record.application * self.settings.application_weight,
            ip_colocation_score=self._ip_colocation_score(record),
            behaviour_score=self._behaviour_score(record),
            behaviour=record.behaviour,
            topics={topic: stats.parts(self._topics[topic]) for topic, stats in record.topics.items()},
        )

    # --- peers --------------------------------------------------------------------------------------------------

    def connected(self, peer: PeerT, addresses: Sequence[str], now: float) -> None:
        """A peer is here, at these IP addresses; again when they changed.

        Addresses of relayed connections are the relay's and do not belong here. Loopback does not count, as in go, nor
        does what is not an address.
        """
        if now >= self._forget_at:
            self._forget_gone(now)
        record = self._peers.get(peer)
        if record is None:
            record = self._peers[peer] = _Record()
        if not record.connected:
            self._gone_blameless.pop(peer, None)
            self._gone_guilty.pop(peer, None)
            record.connected = True
            record.expires = inf
            self._set_interval(record, self._interval(now))
        counted = addresses if self.settings.ip_colocation_weight else ()
        self._move(peer, record, self._colocation.places(counted))
        record.fresh_until = -inf

    def disconnected(self, peer: PeerT, now: float) -> None:
        """A peer went. A score above 0 is forgotten, any other is kept as it is, without first deliveries (P2)."""
        record = self._peers.get(peer)
        if record is None or not record.connected:
            return
        good = self.score(peer, now) > 0
        for topic, stats in record.topics.items():
            stats.first = 0.0
            stats.leave(self._topics[topic])
        if good or not self.settings.retain_s or self._blank(record):
            self._forget(peer, record)
            return
        record.connected = False
        record.interval_ends = inf
        record.expires = now + self.settings.retain_s
        self._forget_at = min(self._forget_at, record.expires)
        record.fresh_until = -inf
        kept = self._gone_guilty if self.score(peer, now) < 0 else self._gone_blameless
        kept[peer] = None
        if len(self._gone_guilty) + len(self._gone_blameless) > self.settings.max_retained:
            oldest = next(iter(self._gone_blameless or self._gone_guilty))
            self._forget(oldest, self._peers[oldest])

    def grafted(self, peer: PeerT, topic: str, now: float) -> None:
        """It joined our mesh of the topic."""
        stats = self._stats(peer, topic, now)
        if stats is not None:
            stats.graft(now)

    def pruned(self, peer: PeerT, topic: str, now: float) -> None:
        """It left our mesh of the topic; P3b counts what it still lacked."""
        stats = self._stats(peer, topic, now)
        if stats is not None:
            stats.leave(self._topics[topic])

    def misbehaved(self, peer: PeerT, now: float, times: float = 1.0) -> None:
        """It broke a rule of the protocol (P7). Raises UsageError for a negative count."""
        if not (isfinite(times) and times >= 0):
            raise UsageError(f"{times} times")
        record = self._current(peer, now)
        if record is not None:
            record.behaviour += times
            record.fresh_until = -inf

    def set_application(self, peer: PeerT, value: float) -> None:
        """What the application makes of a peer (P5), kept as long as the peer's record.

        Nothing happens for a peer that is not remembered. Raises UsageError for what is not a number.
        """
        if not isfinite(value):
            raise UsageError(f"an application score of {value}")
        record = self._peers.get(peer)
        if record is not None:
            record.application = value
            record.fresh_until = -inf

    def set_topic(self, topic: str, settings: TopicScoreSettings, now: float) -> None:
        """Count a topic, or count it by other settings from now on. Raises UsageError naming the field that cannot be."""
        check_topic(topic, settings)
        for record in self._peers.values():
            self._catch_up(record, now)
            record.fresh_until = -inf
            if topic in record.topics:
                record.topics[topic].cap(settings)
        self._topics[topic] = settings

    # --- messages -----------------------------------------------------------------------------------------------

    def validating(self, peer: PeerT, topic: str, message_id: bytes, now: float) -> None:
        """A first copy, by this peer, is being validated."""
        if topic in self._topics:
            self._deliveries.of(message_id, now)

    def delivered(self, peer: PeerT, topic: str, message_id: bytes, now: float) -> None:
        """A message was accepted: P2 and P3 for who brought it first, P3 for who brought it meanwhile."""
        rules = self._topics.get(topic)
        if rules is None:
            return
        delivery = self._deliveries.of(message_id, now)
        if delivery.status is not Status.UNKNOWN:
            return
        delivery.status = Status.VALID
        delivery.validated_at = now
        first = self._stats(peer, topic, now)
        if first is not None:
            first.count_first(rules)
        for other in delivery.peers:
            stats = self._stats(other, topic, now) if other != peer else None
            if stats is not None:
                stats.count_mesh(rules)
        delivery.peers[peer] = None

    def duplicate(self, peer: PeerT, topic: str, message_id: bytes, now: float) -> None:
        """A further copy came: P3 within the window after validation, P4 if the message was refused."""
        rules = self._topics.get(topic)
        if rules is None:
            return
        delivery = self._deliveries.of(message_id, now)
        status = delivery.status
        if status is Status.UNKNOWN:
            delivery.peers[peer] = None
        elif status is Status.INVALID:
            self.invalid(peer, topic, now)
        elif status is Status.VALID:
            if now - delivery.validated_at > rules.mesh_deliveries_window_s or peer in delivery.peers:
                return
            delivery.peers[peer] = None
            stats = self._stats(peer, topic, now)
            if stats is not None:
                stats.count_mesh(rules)

    def rejected(self, peer: PeerT, topic: str, message_id: bytes, now: float) -> None:
        """A message was refused by validation: P4 for all who brought it."""
        if topic not in self._topics:
            return
        delivery = self._deliveries.of(message_id, now)
        if delivery.status is not Status.UNKNOWN:
            return
        delivery.status = Status.INVALID
        self.invalid(peer, topic, now)
        for other in delivery.peers:
            self.invalid(other, topic, now)
        delivery.peers = {}

    def ignored(self, peer: PeerT, topic: str, message_id: bytes, now: float) -> None:
        """A message was dropped without blame; neither are further copies to blame."""
        if topic not in self._topics:
            return
        delivery = self._deliveries.of(message_id, now)
        if delivery.status is Status.UNKNOWN:
            delivery.status = Status.IGNORED
            delivery.peers = {}

    def invalid(self, peer: PeerT, topic: str, now: float) -> None:
        """P4 for one peer alone, whatever the id says.

        For messages that are wrong before validation (signature, fields, our own coming back): their id is not to be
        believed, and who brings the real message must not suffer.
        """
        stats = self._stats(peer, topic, now)
        if stats is not None:
            stats.invalid += 1.0

    # --- time ---------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When there is something to forget; None for never. Scores fade by themselves."""
        first = [self._peers[next(iter(gone))].expires for gone in self._kept() if gone]
        turn = self._deliveries.deadline()
        if turn is not None:
            first.append(turn)
        return min(first, default=None)

    def wake(self, now: float) -> None:
        """Forget peers gone for `retain_s`, and old messages."""
        self._forget_gone(now)
        self._deliveries.wake(now)

    def _forget_gone(self, now: float) -> None:
        self._forget_at = inf
        for gone in self._kept():
            while gone:
                peer = next(iter(gone))
                record = self._peers[peer]
                if now < record.expires:
                    self._forget_at = min(self._forget_at, record.expires)
                    break
                self._forget(peer, record)

    def _kept(self) -> tuple[OrderedDict[PeerT, None], OrderedDict[PeerT, None]]:
        return self._gone_blameless, self._gone_guilty

    def _interval(self, now: float) -> int:
        return int((now - self._began) / self.settings.decay_interval_s)

    def _set_interval(self, record: _Record, interval: int) -> None:
        record.interval = interval
        record.interval_ends = self._began + (interval + 1) * self.settings.decay_interval_s

    def _catch_up(self, record: _Record, now: float) -> None:
        """Let pass the intervals that ended; for a peer that has gone, none did."""
        if now < record.interval_ends:
            return
        settings = self.settings
        interval = max(self._interval(now), record.interval + 1)
        passed = interval - record.interval
        self._set_interval(record, interval)
        at = self._began + interval * settings.decay_interval_s
        for topic, stats in record.topics.items():
            stats.fade(self._topics[topic], passed, at, settings.decay_to_zero)
        record.behaviour = faded(record.behaviour, settings.behaviour_decay, passed, settings.decay_to_zero)
        record.fresh_until = -inf

    # --- records ------------------------------------------------------------------------------------------------

    def _current(self, peer: PeerT, now: float) -> _Record | None:
        record = self._peers.get(peer)
        if record is not None and now >= record.interval_ends:
            self._catch_up(record, now)
        return record

    def _stats(self, peer: PeerT, topic: str, now: float) -> TopicRecord | None:
        """To be changed: the score is found anew. None for a peer that is not remembered or a topic without settings."""
        record = self._current(peer, now)
        if record is None or topic not in self._topics:
            return None
        record.fresh_until = -inf
        stats = record.topics.get(topic)
        if stats is None:
            stats = record.topics[topic] = TopicRecord()
        return stats

    def _blank(self, record: _Record) -> bool:
        """Whether forgetting this peer changes nothing."""
        return not (
            record.application
            or record.behaviour
            or record.places
            or any(not stats.blank for stats in record.topics.values())
        )

    def _forget(self, peer: PeerT, record: _Record) -> None:
        self._move(peer, record, ())
        self._gone_blameless.pop(peer, None)
        self._gone_guilty.pop(peer, None)
        del self._peers[peer]

    # --- parts --------------------------------------------------------------------------------------------------

    def _topics_score(self, record: _Record) -> float:
        topics = self._topics
        total = sum(stats.score(topics[topic]) for topic, stats in record.topics.items())
        cap = self.settings.topic_cap
        return min(total, cap) if cap > 0 else total

    def _behaviour_score(self, record: _Record) -> float:
        excess = record.behaviour - self.settings.behaviour_threshold
        return excess * excess * self.settings.behaviour_weight if excess > 0 else 0.0

    def _ip_colocation_score(self, record: _Record) -> float:
        return self._colocation.surplus(record.places) * self.settings.ip_colocation_weight

    def _move(self, peer: PeerT, record: _Record, places: Places) -> None:
        old, record.places = record.places, places
        for each in self._colocation.move(peer, old, places):
            self._peers[each].fresh_until = -inf
