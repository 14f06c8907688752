"""Messages on their way in, as far as their verification: which of them may be new."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import filterfalse
from typing import TYPE_CHECKING, Generic

from mesh.codecs.gossip import Message
from mesh.errors import DecodeError, UsageError
from mesh.protocols.gossip.layout import Layout
from mesh.protocols.gossip.message import Incoming, MessageIdFunction, PeerT
from mesh.protocols.gossip.seen import SeenCache
from mesh.protocols.gossip.topics import Neighbourhood

if TYPE_CHECKING:
    from mesh.protocols.gossip.scores import Scores

MAX_ID_BYTES = 4096


class RecentWires(Generic[PeerT]):
    """Encoded messages that came lately, with their topic and id: a copy byte for byte needs no decoding.

    Two generations of at most `count` messages each, none of more than `longest` bytes. A generation lasts `ttl_s`
    seconds at most. What it forgot is recognised by its id instead.
    """

    __slots__ = ("_count", "_longest", "_ttl_s", "_turn_at", "old", "young")

    def __init__(self, ttl_s: float, now: float, count: int = 2048, longest: int = 1024) -> None:
        self.young: dict[bytes, tuple[str, bytes]] = {}
        self.old: dict[bytes, tuple[str, bytes]] = {}
        self._longest = longest
        self._count = count
        self._ttl_s = ttl_s
        self._turn_at = now + ttl_s

    def add(self, messages: Iterable[Incoming[PeerT]]) -> None:
        """Messages came."""
        longest = self._longest
        came = {each.wire: (each.message.topic, each.id) for each in messages if len(each.wire) <= longest}
        if len(self.young) + len(came) > self._count:
            self.old = self.young
            self.young = {}
        self.young.update(came)

    def wake(self, now: float) -> None:
        """Forgets what came too long ago."""
        if now >= self._turn_at:
            self.old = {} if now >= self._turn_at + self._ttl_s else self.young
            self.young = {}
            self._turn_at = now + self._ttl_s


class Intake(Generic[PeerT]):
    """Sorts out what has been seen, is being verified, or is not for us; holds what is being verified."""

    def __init__(
        self,
        neighbourhood: Neighbourhood[PeerT],
        own_id: PeerT,
        seen: SeenCache,
        id_of: MessageIdFunction,
        author_of: Callable[[Message], PeerT | None],
        now: float,
    ) -> None:
        self._all = neighbourhood
        self._own_id = own_id
        self._seen = seen
        self._id_of = id_of
        self._author_of = author_of
        self.id_functions: dict[str, MessageIdFunction] = {}
        """Of topics with one of their own."""
        self.recent: RecentWires[PeerT] = RecentWires(neighbourhood.settings.limits.seen_ttl_s, now)
        self._layout = Layout()
        self.pending: dict[bytes, Incoming[PeerT]] = {}
        """What is being verified. Told apart by all bytes, since a forgery with another's id, or even signature, must
        not keep out the real message."""

    def take(self, peer: PeerT, wires: Sequence[bytes], now: float) -> list[Incoming[PeerT]]:
        """Those that may be new. What came lately byte for byte is told by that alone, without decoding."""
        unknown = self._unknown(peer, wires, now)
        scores, counts = self._all.scores, self._all.counts
        duplicates = len(wires) - len(unknown)
        if not unknown:
            counts["duplicates"] += duplicates
            return []
        pending, seen, joined = self.pending, self._seen, self._all.joined
        functions, id_of, author_of = self.id_functions, self._id_of, self._author_of
        own_id, most, read = self._own_id, self._all.settings.limits.pending, self._layout.read
        fresh: list[Incoming[PeerT]] = []
        for wire in unknown:
            verifying = pending.get(wire)
            if verifying is not None:
                duplicates += 1
                if peer != verifying.source:
                    if verifying.copies is None:
                        verifying.copies = {}
                    verifying.copies[peer] = None
                continue
            try:
                message, signed_bytes = read(wire)
            except DecodeError:
                counts["malformed"] += 1
                continue
            topic = message.topic
            if topic not in joined:
                counts["unjoined"] += 1
                continue
            id = functions[topic](message) if topic in functions else id_of(message)
            if id in seen:
                duplicates += 1
                if scores is not None:
                    scores.duplicate(peer, topic, id, now)
                continue
            author = author_of(message)
            if author is not None and author == own_id:
                counts["own"] += 1
                if scores is not None:
                    scores.invalid(peer, topic, now)
            elif not 0 < len(id) <= MAX_ID_BYTES:
                counts["malformed"] += 1
            elif len(pending) >= most:
                counts["throttled"] += 1
            else:
                incoming = Incoming(peer, message, wire, id, author, None, signed_bytes)
                pending[wire] = incoming
                fresh.append(incoming)
        counts["duplicates"] += duplicates
        return fresh

    def _unknown(self, peer: PeerT, wires: Sequence[bytes], now: float) -> list[bytes]:
        """Those that did not come lately byte for byte."""
        young, old = self.recent.young, self.recent.old
        unknown = list(filterfalse(old.__contains__, filterfalse(young.__contains__, wires)))
        scores = self._all.scores
        if scores is not None and len(unknown) < len(wires):
            for wire in wires:
                known = young.get(wire) or old.get(wire)
                if known is not None:
                    scores.duplicate(peer, known[0], known[1], now)
        return unknown

    def first_copies(self, messages: Sequence[Incoming[PeerT]], now: float) -> Sequence[Incoming[PeerT]]:
        """Ends the verifications of messages with good signatures; returns those whose ids are new."""
        for each in messages:
            self.settle(each)
        first = messages
        if not self._seen.add_all([each.id for each in messages], now):
            first = [each for each in messages if self._seen.add(each.id, now)]
        self._all.counts["duplicates"] += len(messages) - len(first)
        self.recent.add(first)
        if self._all.scores is not None:
            self._score(self._all.scores, messages, {each.id: each for each in first}, now)
        return first

    def _score(
        self,
        scores: Scores[PeerT],
        messages: Sequence[Incoming[PeerT]],
        first: Mapping[bytes, Incoming[PeerT]],
        now: float,
    ) -> None:
        for each in messages:
            topic, id = each.message.topic, each.id
            if first.get(id) is not each:
                scores.duplicate(each.source, topic, id, now)
                continue
            scores.validating(each.source, topic, id, now)
            for other in each.copies or ():
                scores.duplicate(other, topic, id, now)

    def settle(self, incoming: Incoming[PeerT]) -> None:
        """Ends a verification. Raises UsageError for a message that is in none."""
        if self.pending.pop(incoming.wire, None) is not incoming:
            raise UsageError("this message is not being verified, or no more")
