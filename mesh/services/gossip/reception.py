"""From RPCs that were read to messages in a program's hands: decoded, verified, validated, passed on.

Everything happens in passes, callbacks of the loop that work for `SLICE_S` at the most and then let others have their
turn. Peers take turns RPC by RPC; signatures are verified in batches, over the RPCs of several peers if need be; what
has to be sent because of a pass leaves at its end. The order is go's: blacklist, policy, self-origin, seen, signature,
validators (pubsub, "Message Signing"; the pure router does what needs no key). Strict signing demands a sequence number
too: a message without one goes no further, but is held against nobody, since go's nodes pass it on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from operator import not_
from typing import Final

from mesh.codecs.gossip import Rpc
from mesh.errors import DecodeError, Malformed
from mesh.identity.peer_id import PeerId
from mesh.protocols.gossip import Incoming, Router, Verdict
from mesh.protocols.gossip.signing import Policy, check_shape
from mesh.services.gossip.link import Link
from mesh.services.gossip.subscription import Message
from mesh.services.gossip.topic import Topic
from mesh.services.gossip.tracer import REJECTIONS, Tracer
from mesh.services.gossip.validation import Validation
from mesh.services.gossip.verification import Verifier
from mesh.telemetry.counters import Counters

SLICE_S: Final = 2e-3
BATCH_MESSAGES: Final = 48
PART_MESSAGES: Final = 32
"""An RPC of more messages is looked at in parts."""
MAX_CONTROL_BYTES: Final = 512 * 1024


class Reception:
    """The way in. ``after`` is called at the end of each pass."""

    def __init__(
        self,
        router: Router[PeerId],
        topics: Mapping[str, Topic],
        policy: Policy,
        verifier: Verifier,
        validation: Validation,
        blacklist: Mapping[bytes, None],
        counters: Counters,
        tracer: Tracer | None,
        after: Callable[[], None],
    ) -> None:
        self._router = router
        self._topics = topics
        self._policy = policy
        self._verifier = verifier
        self._validation = validation
        self._blacklist = blacklist
        self._counters = counters
        self._tracer = tracer
        self._after = after
        self._active: deque[Link] = deque()
        self.scheduled = False
        """A pass is due in this turn of the loop or the next."""
        self._stopped = False

    def add(self, link: Link) -> None:
        """RPCs of a peer wait in its link."""
        if not link.active:
            link.active = True
            self._active.append(link)
            self._schedule()

    def stop(self) -> None:
        """Look at nothing more."""
        self._stopped = True
        self._active.clear()

    def _schedule(self) -> None:
        if not self.scheduled and not self._stopped:
            self.scheduled = True
            asyncio.get_running_loop().call_soon(self._pass)

    def _pass(self) -> None:
        self.scheduled = False
        now = time.monotonic()
        until = now + SLICE_S
        try:
            while self._active and now < until:
                batch = self._gather(now, until)
                if batch:
                    self._take(batch, now)
                now = time.monotonic()
        finally:
            if self._active:
                self._schedule()
            if not self._stopped:
                self._after()

    # -- RPCs --------------------------------------------------------------------------------------------------------

    def _gather(self, now: float, until: float) -> list[Incoming[PeerId]]:
        """Messages that may be new, about `BATCH_MESSAGES` of them or as many as wait; peers take turns."""
        active = self._active
        batch: list[Incoming[PeerId]] = []
        while active and len(batch) < BATCH_MESSAGES:
            link = active.popleft()
            batch += self._next_part(link, now)
            if link.part is not None or link.frames:
                active.append(link)
            else:
                link.active = False
            if time.monotonic() >= until:
                break
        return batch

    def _next_part(self, link: Link, now: float) -> Sequence[Incoming[PeerId]]:
        """An RPC, or the next part of a long one."""
        rpc = link.part
        if rpc is None:
            if not link.frames:
                return ()
            frame = link.next_frame()
            try:
                rpc = _decode(frame)
            except DecodeError:
                self._counters.count("gossip.undecodable")
                link.reset_inbound()
                return ()
            if link.peer in self._blacklist:
                self._counters.count("gossip.blacklisted")
                return ()
            if self._tracer is not None:
                self._tracer.received_rpc(link.peer, rpc)
            if len(rpc.publish) <= PART_MESSAGES:
                return self._receive(link.peer, rpc, now)
            link.part, link.part_at = rpc, PART_MESSAGES
            return self._receive(
                link.peer, Rpc(rpc.subscriptions, rpc.publish[:PART_MESSAGES], rpc.control), now
            )
        at = link.part_at
        link.part_at = at + PART_MESSAGES
        if link.part_at >= len(rpc.publish):
            link.part = None
        return self._receive(link.peer, Rpc(publish=rpc.publish[at : at + PART_MESSAGES]), now)

    def _receive(self, peer: PeerId, rpc: Rpc, now: float) -> list[Incoming[PeerId]]:
        fresh = self._router.receive(peer, rpc, now)
        if self._tracer is not None and len(fresh) < len(rpc.publish):
            new = {id(each.wire) for each in fresh}
            self._tracer.left_out(peer, [wire for wire in rpc.publish if id(wire) not in new], self._topics)
        return fresh

    # -- messages ----------------------------------------------------------------------------------------------------

    def _take(self, batch: list[Incoming[PeerId]], now: float) -> None:
        router, topics, strict = self._router, self._topics, self._policy is Policy.STRICT_SIGN
        verified = self._verified(self._allowed(batch, now), now)
        first = router.verified_all(verified, now)
        if self._tracer is not None:
            for each in verified:
                if each not in first:
                    self._tracer.duplicate(each.id, each.source, each.message.topic)
        accepted = []
        for incoming in first:
            topic = topics.get(incoming.message.topic)
            if topic is None:
                router.settle(incoming, Verdict.IGNORE, now)
            elif strict and incoming.message.seqno is None:
                self._settle(topic, incoming, Verdict.IGNORE, now)
            elif topic.validator is None:
                accepted.append(incoming)
            else:
                self._validate(topic, incoming, now)
        if accepted:
            self._hand_out(accepted)
            router.accept(accepted, now)

    def _verified(self, allowed: list[Incoming[PeerId]], now: float) -> list[Incoming[PeerId]]:
        """Those with good signatures."""
        good = self._verifier.verify(allowed)
        if all(good):
            return allowed
        for incoming in compress(allowed, map(not_, good)):
            self._trace_rejection(incoming, "invalid signature")
            self._router.forged(incoming, now)
        return list(compress(allowed, good))

    def _allowed(self, batch: list[Incoming[PeerId]], now: float) -> list[Incoming[PeerId]]:
        """Those whose author and shape nothing is against."""
        blacklist, policy = self._blacklist, self._policy
        strict = policy is Policy.STRICT_SIGN
        allowed = []
        for incoming in batch:
            message = incoming.message
            if strict and not blacklist and message.signature is not None and message.sender:
                allowed.append(incoming)
            elif message.sender in blacklist:
                self._counters.count("gossip.blacklisted")
                self._trace_rejection(incoming, "blacklisted source")
                self._router.dropped(incoming, now)
            elif (fault := check_shape(message, policy)) is not None:
                self._trace_rejection(incoming, REJECTIONS.get(fault, fault))
                self._router.forged(incoming, now)
            else:
                allowed.append(incoming)
        return allowed

    def _hand_out(self, accepted: Sequence[Incoming[PeerId]]) -> None:
        """Give accepted messages to their readers."""
        if self._tracer is not None:
            for each in accepted:
                self._tracer.deliver(each.id, each.source, each.message.topic)
        by_topic: dict[str, list[Incoming[PeerId]]] = {}
        for each in accepted:
            name = each.message.topic
            if name in by_topic:
                by_topic[name].append(each)
            else:
                by_topic[name] = [each]
        for name, messages in by_topic.items():
            topic = self._topics.get(name)
            if topic is not None and topic.heard:
                topic.deliver([_message_of(each) for each in messages])

    def _validate(self, topic: Topic, incoming: Incoming[PeerId], now: float) -> None:
        assert topic.validator is not None
        verdict = self._validation.ask(
            topic.validator, _message_of(incoming), lambda verdict: self._settle_late(incoming, verdict)
        )
        if verdict is not None:
            self._settle(topic, incoming, verdict, now)

    def _settle_late(self, incoming: Incoming[PeerId], verdict: Verdict) -> None:
        """A validator that took its time has decided."""
        if self._stopped:
            return
        topic = self._topics.get(incoming.message.topic)
        if topic is None:
            self._router.settle(incoming, Verdict.IGNORE, time.monotonic())
        else:
            self._settle(topic, incoming, verdict, time.monotonic())
            self._schedule()

    def _settle(self, topic: Topic, incoming: Incoming[PeerId], verdict: Verdict, now: float) -> None:
        if verdict is Verdict.ACCEPT:
            self._router.settle(incoming, verdict, now)
            self._hand_out((incoming,))
            return
        rejected = verdict is Verdict.REJECT
        self._trace_rejection(incoming, "validation failed" if rejected else "validation ignored")
        self._router.settle(incoming, verdict, now)

    def _trace_rejection(self, incoming: Incoming[PeerId], reason: str) -> None:
        if self._tracer is not None:
            self._tracer.reject(incoming.id, incoming.source, reason, incoming.message.topic)


def _message_of(incoming: Incoming[PeerId]) -> Message:
    message = incoming.message
    return Message(
        message.topic, message.data or b"", message.sender, message.seqno, incoming.id, incoming.source
    )


def _decode(frame: bytes) -> Rpc:
    """Raises `DecodeError` for what is no RPC, or one with too much beside its messages."""
    rpc = Rpc.decode(frame)
    if len(frame) > MAX_CONTROL_BYTES:
        control = len(frame) - sum(map(len, rpc.publish))
        if control > MAX_CONTROL_BYTES:
            raise Malformed("RPC", None, f"{control} bytes beside messages, at most {MAX_CONTROL_BYTES}")
    return rpc
