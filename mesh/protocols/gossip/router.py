"""The pubsub machine: what comes in from peers, what they are sent, and the heartbeat (libp2p specs pubsub/gossipsub).

One `Router` holds what is known of peers and topics (`Neighbourhood`), the meshes (`Meshes`) and the gossip about
messages (`Gossip`). This module is the doors: peers coming and going, topics joined and left, RPCs, messages.

The owner calls a door, then looks at `take_dirty`, `deadline` and `events`. A message takes three steps: `receive`,
`verified` (or `forged`, `dropped`), `settle`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Generic

from mesh.codecs.gossip import Control, ExchangedPeer, Extensions, Message, Rpc, Subscription
from mesh.errors import UsageError
from mesh.protocols.gossip.events import DirectMissing, Event, PeerExtends
from mesh.protocols.gossip.forwarding import Forwarding
from mesh.protocols.gossip.gossip import Gossip
from mesh.protocols.gossip.intake import MAX_ID_BYTES, Intake
from mesh.protocols.gossip.mesh import Meshes, check_settings
from mesh.protocols.gossip.message import (
    Incoming,
    MessageIdFunction,
    PartSupport,
    PeerT,
    Verdict,
    default_id,
)
from mesh.protocols.gossip.message_cache import MessageCache
from mesh.protocols.gossip.partial import Partials, part_support
from mesh.protocols.gossip.peer import PeerState
from mesh.protocols.gossip.score_checks import check_thresholds
from mesh.protocols.gossip.seen import SeenCache
from mesh.protocols.gossip.send_queue import as_field
from mesh.protocols.gossip.settings import RouterSettings
from mesh.protocols.gossip.spread import Randomness
from mesh.protocols.gossip.topic_filter import TopicFilter
from mesh.protocols.gossip.topics import Neighbourhood, TopicState
from mesh.protocols.gossip.version import Version

if TYPE_CHECKING:
    from mesh.protocols.gossip.scores import Scores

MAX_TOPIC_BYTES = 4096


class Router(Generic[PeerT]):
    """Floodsub and GossipSub 1.0 to 1.3 for one node. Raises UsageError for local misuse only, never for a peer's doing.

    `own_id` names this node among peers; `rng` is a `random.Random` or like one. `direct` peers are never in a mesh and
    always sent everything, whatever their score. `author_of` names the peer that wrote a message, this node included, or
    None when nobody known did. `record_of` gives what is told of a peer when peers are exchanged; without it none are.
    `extensions` is what peers of 1.3 are told in the first RPC; None, the default, announces nothing. Settings that
    contradict each other are refused.
    """

    def __init__(
        self,
        own_id: PeerT,
        settings: RouterSettings,
        rng: Randomness,
        now: float,
        scores: Scores[PeerT] | None = None,
        direct: Collection[PeerT] = (),
        id_of: MessageIdFunction = default_id,
        author_of: Callable[[Message], PeerT | None] = lambda message: None,
        record_of: Callable[[PeerT], ExchangedPeer | None] | None = None,
        extensions: Extensions | None = None,
        admits: TopicFilter | None = None,
    ) -> None:
        check_settings(settings.mesh)
        check_thresholds(settings.thresholds)
        limits, gossip = settings.limits, settings.gossip
        self.settings = settings
        self._own_id = own_id
        self._scores = scores
        self._direct = dict.fromkeys(direct)
        self._all: Neighbourhood[PeerT] = Neighbourhood(settings, rng, scores)
        self._all.admits = admits
        self._seen = SeenCache(limits.seen_ttl_s, limits.seen_ids, now)
        self._intake: Intake[PeerT] = Intake(self._all, own_id, self._seen, id_of, author_of, now)
        self._cache: MessageCache[PeerT] = MessageCache(gossip.history, gossip.gossip, limits.cache_bytes)
        self._meshes: Meshes[PeerT] = Meshes(self._all, record_of)
        self._gossip: Gossip[PeerT] = Gossip(self._all, self._cache, self._seen)
        self._forwarding: Forwarding[PeerT] = Forwarding(self._all, self._cache)
        self.partials: Partials[PeerT] = Partials(self._all, extensions)
        """Messages in parts, where the owner wants such."""
        self._gossip.outsiders = self.partials.outsiders
        self._next_beat = now + settings.mesh.first_heartbeat_s
        self.queues = self._all.queues
        """What waits for whom; an owner takes from them what its streams accept."""
        self.counts = self._all.counts
        """How often what happened; `mesh.protocols.gossip.topics.COUNTS` says what each name means."""

    # --- peers

    def connect(
        self,
        peer: PeerT,
        version: Version,
        outbound: bool,
        now: float,
        addresses: Sequence[str] = (),
    ) -> None:
        """Both streams are agreed on; its queue starts with our subscriptions. UsageError when it is connected.

        `outbound` when this node dialled; `addresses` are its IP addresses, for P6.
        """
        everybody = self._all
        if peer in everybody.peers or peer == self._own_id:
            raise UsageError(f"{peer} is connected already, or is this node")
        state = PeerState(peer, version, outbound, peer in self._direct, self.settings.limits)
        everybody.peers[peer] = state
        everybody.queues[peer] = state.queue
        if version.extends and self.partials.extensions is not None:
            state.queue.extensions(self.partials.extensions)
            everybody.touch(state)
        for topic in everybody.joined:
            state.queue.subscribe(topic, True, everybody.parted.get(topic, PartSupport.NONE))
            everybody.touch(state)
        if self._scores is not None:
            self._scores.connected(peer, addresses, now)

    def disconnect(self, peer: PeerT, now: float) -> None:
        """Forgets a peer, save backoffs and its score; nothing happens when it is not connected."""
        state = self._all.peers.pop(peer, None)
        if state is None:
            return
        for topic in list(state.topics):
            self._all.depart(state, topic, now)
        self.partials.disconnected(state)
        state.connected = False
        del self._all.queues[peer]
        if self._scores is not None:
            self._scores.disconnected(peer, now)

    # --- topics

    def join(self, topic: str, now: float, parts: PartSupport = PartSupport.NONE) -> None:
        """Subscribes and grafts a mesh; nothing happens when it is joined. UsageError for a name over 4096 bytes, for one
        the filter does not admit, and for parts without the extension."""
        everybody = self._all
        if topic in everybody.joined:
            return
        _check_topic(topic, self._all.admits)
        self.partials.set_topic(topic, parts)
        state = everybody.joined[topic] = TopicState(everybody.open(topic))
        self._subscribe(topic, True)
        self._meshes.join(state, now)

    def leave(self, topic: str, now: float) -> None:
        """Unsubscribes and prunes the mesh; nothing happens when it is not joined."""
        state = self._all.joined.get(topic)
        if state is None:
            return
        self._meshes.leave(state, now)
        del self._all.joined[topic]
        self.partials.drop_topic(topic)
        self._subscribe(topic, False)
        self._all.close(state.members)

    def set_message_id(self, topic: str, function: MessageIdFunction) -> None:
        """How ids of this topic's messages are made; the same at all of its peers."""
        self._intake.id_functions[topic] = function

    def topics(self) -> list[str]:
        """Topics this node joined, in order of joining."""
        return list(self._all.joined)

    def peers(self, topic: str) -> list[PeerT]:
        """Connected peers that are in a topic."""
        return [state.peer for state in self._all.members.get(topic, ())]

    def mesh(self, topic: str) -> list[PeerT]:
        """Our mesh neighbours in a topic."""
        state = self._all.joined.get(topic)
        return [] if state is None else [neighbour.peer for neighbour in state.mesh]

    def extensions(self, peer: PeerT) -> Extensions | None:
        """What a peer announced in its first RPC; None for nothing, or nobody."""
        state = self._all.peers.get(peer)
        return None if state is None else state.extensions

    def sizes(self) -> dict[str, int]:
        """How much is held of what peers can make grow; the limits are in the settings."""
        everybody = self._all
        return {
            "peers": len(everybody.peers),
            "topics": len(everybody.members),
            "subscriptions": sum(len(state.topics) for state in everybody.peers.values()),
            "fanouts": len(everybody.fanouts),
            "backoffs": len(self._meshes.backoffs),
            "seen": len(self._seen),
            "pending": len(self._intake.pending),
            "cached_bytes": self._cache.held_bytes,
            "promises": len(self._gossip),
            "declined_bytes": sum(state.declined_bytes for state in everybody.peers.values()),
        }

    # --- own messages

    def publish(self, topic: str, id: bytes, wire: bytes, now: float) -> int:
        """Sends an own message, `wire` being the encoded `Message`; returns how many peers it was queued for.

        0 when a message of that id was seen. Ask `room` first: a full queue drops even own messages.
        """
        return self._publish(self._targets(topic, now), topic, id, wire, now)

    def publish_if_room(self, topic: str, id: bytes, wire: bytes, now: float) -> int | None:
        """`publish`, but None, and nothing happens, when somebody it would be sent to has a full queue."""
        targets = self._targets(topic, now)
        for state in targets:
            if not state.queue.has_room:
                return None
        return self._publish(targets, topic, id, wire, now)

    def _publish(
        self, targets: list[PeerState[PeerT]], topic: str, id: bytes, wire: bytes, now: float
    ) -> int:
        _check_topic(topic, self._all.admits)
        if not id or len(id) > MAX_ID_BYTES:
            raise UsageError(f"a message id has 1 to {MAX_ID_BYTES} bytes, not {len(id)}")
        if not self._seen.add(id, now):
            return 0
        self._cache.put(id, topic, wire)
        if self._gossip.promises:
            self._gossip.arrived(id)
        self._all.counts["published"] += 1
        return self._send(targets, id, as_field(wire))

    def room(self, topic: str, now: float) -> list[PeerT]:
        """Peers that `publish` would send to and whose queue is full: wait for them before publishing."""
        return [state.peer for state in self._targets(topic, now) if not state.queue.has_room]

    def _targets(self, topic: str, now: float) -> list[PeerState[PeerT]]:
        """Whom an own message goes to."""
        return self._all.whole(topic, self._recipients(topic, now))

    def _recipients(self, topic: str, now: float) -> list[PeerState[PeerT]]:
        """All with a fair score when flooding, else mesh or fanout, direct, floodsub."""
        members = self._all.members.get(topic)
        if members is None:
            return []
        joined = self._all.joined.get(topic)
        if self.settings.mesh.flood_publish:
            chosen: Iterable[PeerState[PeerT]] = members.candidates.items
        elif joined is None:
            chosen = self._meshes.fanout(members, now)
        else:
            chosen = joined.mesh
            if len(joined.mesh) < min(self.settings.mesh.d_low, len(members.candidates)):
                chosen = [*joined.mesh, *self._spare(joined, now)]
        if self._scores is None:
            return [*chosen, *members.always]
        floor = self.settings.thresholds.publish
        if self.settings.mesh.flood_publish:
            chosen = [state for state in chosen if self._all.score(state, now) >= floor]
        return [*chosen, *self._all.fair(members.always, now)]

    def _spare(self, joined: TopicState[PeerT], now: float) -> list[PeerState[PeerT]]:
        """Until the heartbeat has filled a mesh, own messages go to others in the topic as well, by turns (as rust does):
        without a mesh nobody would get them, and who is grafted at the next beat is not told of them."""
        mesh, others = joined.mesh, joined.members.candidates.items
        wanted, floor = self.settings.mesh.d - len(mesh), self.settings.thresholds.publish
        start = self._all.counts["published"] % len(others) if others else 0
        found: list[PeerState[PeerT]] = []
        for state in chain(others[start:], others[:start]):
            if len(found) == wanted:
                break
            if state not in mesh and self._all.score(state, now) >= floor:
                found.append(state)
        return found

    # --- what comes in

    def receive(self, peer: PeerT, rpc: Rpc, now: float) -> list[Incoming[PeerT]]:
        """Acts on an RPC and returns its messages that may be new, in order.

        Every one of them must be given to `verified`, `forged` or `dropped`. Left out are messages of topics not
        joined, of this node itself, malformed, seen, or byte for byte in verification already; nothing but
        subscriptions is heeded of a peer below the graylist threshold, and nothing of one not connected.
        """
        state = self._all.peers.get(peer)
        if state is None:
            return []
        for subscription in rpc.subscriptions:
            self._subscription(state, subscription, now)
        first, state.greeted = not state.greeted, True
        if (
            self._scores is not None
            and not state.direct
            and self._scores.score(peer, now) < self.settings.thresholds.graylist
        ):
            self._all.counts["graylisted"] += 1
            return []
        fresh = self._intake.take(peer, rpc.publish, now) if rpc.publish else []
        if rpc.control is not None:
            self._control(state, rpc.control, first, now)
        if rpc.partial is not None or rpc.test_extension is not None:
            self.partials.receive(state, rpc)
        return fresh

    def verified(self, incoming: Incoming[PeerT], now: float) -> bool:
        """The signature is good (or none is demanded). True for the first copy: validate it, then call `settle`."""
        return bool(self.verified_all((incoming,), now))

    def verified_all(self, messages: Sequence[Incoming[PeerT]], now: float) -> Sequence[Incoming[PeerT]]:
        """`verified` of many messages; returns the first copies among them."""
        first = self._intake.first_copies(messages, now)
        if self._gossip.promises:
            for each in first:
                self._gossip.arrived(each.id)
        least = self.settings.gossip.idontwant_bytes
        if least:
            for each in first:
                if len(each.wire) >= least and len(each.message.data or b"") >= least:
                    joined = self._all.joined.get(each.message.topic)
                    if joined is not None:
                        self._gossip.decline(joined, each.id, each.source)
        return first

    def forged(self, incoming: Incoming[PeerT], now: float) -> None:
        """The signature is bad, or the shape against the policy: counts against all who sent it (P4)."""
        self._intake.settle(incoming)
        self._all.counts["forged"] += 1
        if self._scores is not None:
            self._scores.invalid(incoming.source, incoming.message.topic, now)
            for other in incoming.copies or ():
                self._scores.invalid(other, incoming.message.topic, now)

    def dropped(self, incoming: Incoming[PeerT], now: float) -> None:
        """It was not verified for want of room: another copy may still come."""
        self._intake.settle(incoming)
        self._all.counts["throttled"] += 1

    def settle(self, incoming: Incoming[PeerT], verdict: Verdict, now: float) -> int:
        """What validators said of a verified message; an accepted one is passed on. Returns to how many peers."""
        topic, id, source = incoming.message.topic, incoming.id, incoming.source
        if verdict is Verdict.ACCEPT:
            return self.accept((incoming,), now)
        rejected = verdict is Verdict.REJECT
        self._all.counts["rejected" if rejected else "ignored"] += 1
        if self._scores is not None:
            (self._scores.rejected if rejected else self._scores.ignored)(source, topic, id, now)
        return 0

    def accept(self, messages: Iterable[Incoming[PeerT]], now: float) -> int:
        """`settle` of many messages with `Verdict.ACCEPT`; returns how many copies were queued."""
        return self._forwarding.accept(messages, now)

    def _send(self, targets: Iterable[PeerState[PeerT]], id: bytes, field: bytes) -> int:
        """Queues an own message for those who may want it."""
        counts = self._all.counts
        sent = 0
        for state in targets:
            if state.declined and id in state.declined:
                counts["declined"] += 1
            elif state.queue.publish(field, own=True):
                sent += 1
                self._all.touch(state)
            else:
                counts["dropped_full"] += 1
        counts["forwarded"] += sent
        return sent

    def _subscription(self, state: PeerState[PeerT], subscription: Subscription, now: float) -> None:
        if subscription.subscribe:
            self._all.enter(state, subscription.topic, part_support(subscription))
        else:
            self._all.depart(state, subscription.topic, now)

    def _control(self, state: PeerState[PeerT], control: Control, first: bool, now: float) -> None:
        if control.extensions is not None:
            self._announced(state, control.extensions, first, now)
        if control.ihave:
            self._gossip.receive_announcements(state, control.ihave, now)
        if control.iwant:
            self._gossip.receive_requests(state, control.iwant, now)
        if control.graft:
            self._meshes.receive_grafts(state, control.graft, now)
        if control.prune:
            self._meshes.receive_prunes(state, control.prune, now)
        if control.idontwant:
            self._gossip.receive_refusals(state, control.idontwant)

    def _announced(self, state: PeerState[PeerT], extensions: Extensions, first: bool, now: float) -> None:
        """Once and at first is as it should be (1.3); older peers do not know of it."""
        if not state.version.extends:
            return
        if first:
            state.extensions = extensions
            self._all.events.append(PeerExtends(state.peer, extensions))
            self.partials.announced(state)
            return
        self._all.counts["late_extensions"] += 1
        if self._scores is not None:
            self._scores.misbehaved(state.peer, now)

    # --- time

    def deadline(self) -> float:
        """When `wake` wants to be called, in seconds of the clock of `now`."""
        due = None if self._scores is None else self._scores.deadline()
        return self._next_beat if due is None else min(self._next_beat, due)

    def wake(self, now: float) -> None:
        """Does what is due: the heartbeat, and forgetting scores. Beats that were missed are not made up for."""
        if self._scores is not None:
            self._scores.wake(now)
        if now < self._next_beat:
            return
        self._next_beat += self.settings.mesh.heartbeat_s
        if self._next_beat <= now:
            self._next_beat = now + self.settings.mesh.heartbeat_s
        self._heartbeat(now)

    def _heartbeat(self, now: float) -> None:
        everybody, meshes, gossip = self._all, self._meshes, self._gossip
        if everybody.beat % self.settings.mesh.direct_ticks == 0:
            for peer in self._direct:
                if peer not in everybody.peers:
                    everybody.events.append(DirectMissing(peer))
        everybody.beat += 1
        self._seen.wake(now)
        self._intake.recent.wake(now)
        meshes.backoffs.clear(everybody.beat, now)
        self.partials.beat()
        for state in everybody.peers.values():
            if state.declined:
                state.forget_declined(everybody.beat)
        gossip.charge(now)
        low = gossip.low_scored(now)
        for topic in everybody.joined.values():
            meshes.maintain(topic, now)
            gossip.brief(topic, low)
            gossip.announce(topic.members, topic.mesh, low)
        meshes.maintain_fanouts(now)
        for name, fanout in everybody.fanouts.items():
            members = everybody.members.get(name)
            if members is not None:
                gossip.announce(members, fanout.peers, low)
        gossip.flush()
        self._cache.shift()

    def take_dirty(self) -> list[PeerT]:
        """Connected peers whose queue got something since the last call; each once."""
        dirty = self._all.dirty
        if not dirty:
            return []
        self._all.dirty = []
        for state in dirty:
            state.dirty = False
        return [state.peer for state in dirty if state.connected]

    def events(self) -> list[Event[PeerT]]:
        """What happened since the last call; the kinds are in `mesh.protocols.gossip.events`."""
        events = list(self._all.events)
        self._all.events.clear()
        return events

    def _subscribe(self, topic: str, on: bool) -> None:
        parts = self._all.parted.get(topic, PartSupport.NONE)
        for state in self._all.peers.values():
            state.queue.subscribe(topic, on, parts)
            self._all.touch(state)


def _check_topic(topic: str, admits: TopicFilter | None) -> None:
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        raise UsageError(f"topic {topic!r} cannot be written as UTF-8") from None
    if size > MAX_TOPIC_BYTES:
        raise UsageError(f"a topic has at most {MAX_TOPIC_BYTES} bytes, not {size}")
    if admits is not None and not admits(topic):
        raise UsageError(f"the topic filter does not admit {topic!r}")
