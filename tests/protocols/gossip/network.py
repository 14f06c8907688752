"""Routers for tests: one alone, spoken to by hand, and many joined through their queues in virtual time.

Peers are numbers. RPCs are encoded and decoded really. Messages bear no signatures: `Network` takes everything as
verified, save what a test says is forged.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from mesh.codecs.gossip import (
    Control,
    ExchangedPeer,
    Extensions,
    Graft,
    IDontWant,
    IHave,
    IWant,
    Message,
    Prune,
    Rpc,
    Subscription,
)
from mesh.codecs.wire import read_varint
from mesh.protocols.gossip import (
    Incoming,
    Router,
    RouterSettings,
    Scores,
    ScoreSettings,
    Verdict,
    Version,
)

TOPIC = "news"
ME = 0
"""The router under test in `Alone`."""


def message(author: int, number: int, data: bytes = b"data", topic: str = TOPIC) -> tuple[bytes, bytes]:
    """The id and the encoding of a message."""
    sender, seqno = f"peer {author}".encode(), number.to_bytes(8, "big")
    return sender + seqno, Message(sender=sender, data=data, seqno=seqno, topic=topic).encode()


def author_of(message: Message) -> int | None:
    sender = message.sender or b""
    return int(sender[5:]) if sender.startswith(b"peer ") and sender[5:].isdigit() else None


def frames(frame: bytes) -> Rpc:
    """The RPC behind its length."""
    length, start = read_varint(frame, 0, len(frame), "length")
    assert length == len(frame) - start
    return Rpc.decode(frame[start:])


@dataclass
class Said:
    """What a router sent to one peer, all RPCs together."""

    rpcs: list[Rpc] = field(default_factory=list)

    @property
    def controls(self) -> list[Control]:
        return [rpc.control for rpc in self.rpcs if rpc.control is not None]

    @property
    def subscriptions(self) -> list[tuple[str, bool]]:
        return [(each.topic, bool(each.subscribe)) for rpc in self.rpcs for each in rpc.subscriptions]

    @property
    def wires(self) -> list[bytes]:
        return [wire for rpc in self.rpcs for wire in rpc.publish]

    @property
    def grafts(self) -> list[str]:
        return [each.topic for control in self.controls for each in control.graft]

    @property
    def prunes(self) -> list[Prune]:
        return [each for control in self.controls for each in control.prune]

    @property
    def told(self) -> list[bytes]:
        return [id for control in self.controls for each in control.ihave for id in each.message_ids]

    @property
    def asked(self) -> list[bytes]:
        return [id for control in self.controls for each in control.iwant for id in each.message_ids]

    @property
    def declined(self) -> list[bytes]:
        return [id for control in self.controls for each in control.idontwant for id in each.message_ids]


class Alone:
    """One router that is in `TOPIC`, and peers that are only spoken for."""

    def __init__(
        self,
        settings: RouterSettings | None = None,
        scores: ScoreSettings | None = None,
        direct: Iterable[int] = (),
        record_of: Callable[[int], ExchangedPeer | None] | None = None,
        extensions: Extensions | None = None,
        topics: Iterable[str] = (TOPIC,),
        seed: int = 1,
    ) -> None:
        self.now = 0.0
        self.scores: Scores[int] | None = None if scores is None else Scores(scores, 0.0)
        self.router: Router[int] = Router(
            ME,
            settings or RouterSettings(),
            random.Random(seed),
            0.0,
            self.scores,
            tuple(direct),
            author_of=author_of,
            record_of=record_of,
            extensions=extensions,
        )
        for topic in topics:
            self.router.join(topic, 0.0)

    def peer(
        self,
        peer: int,
        version: Version = Version.V1_2,
        outbound: bool = False,
        topics: Iterable[str] = (TOPIC,),
    ) -> int:
        """A peer connects and is in these topics."""
        self.router.connect(peer, version, outbound, self.now)
        self.hear(peer, subscriptions=[Subscription(True, topic) for topic in topics])
        return peer

    def peers(
        self,
        count: int,
        version: Version = Version.V1_2,
        outbound: bool = False,
        first: int = 1,
        grafted: bool = False,
    ) -> list[int]:
        """So many peers connect; `grafted` ones graft this node at once."""
        peers = [self.peer(first + index, version, outbound) for index in range(count)]
        for peer in peers if grafted else ():
            self.graft(peer)
        return peers

    def hear(
        self, peer: int, rpc: Rpc | None = None, subscriptions: Iterable[Subscription] = ()
    ) -> list[Incoming[int]]:
        """An RPC from a peer, by way of its encoding."""
        rpc = rpc or Rpc(subscriptions=list(subscriptions))
        return self.router.receive(peer, Rpc.decode(rpc.encode()), self.now)

    def control(self, peer: int, control: Control) -> None:
        assert self.hear(peer, Rpc(control=control)) == []

    def graft(self, peer: int, topic: str = TOPIC) -> None:
        self.control(peer, Control(graft=[Graft(topic)]))

    def prune(self, peer: int, backoff: int | None = None, topic: str = TOPIC) -> None:
        self.control(peer, Control(prune=[Prune(topic, [], backoff)]))

    def tell(self, peer: int, ids: list[bytes], topic: str = TOPIC) -> None:
        self.control(peer, Control(ihave=[IHave(topic, ids)]))

    def ask(self, peer: int, ids: list[bytes]) -> None:
        self.control(peer, Control(iwant=[IWant(ids)]))

    def refuse(self, peer: int, ids: list[bytes]) -> None:
        self.control(peer, Control(idontwant=[IDontWant(ids)]))

    def bring(self, peer: int, *wires: bytes) -> list[Incoming[int]]:
        """Messages from a peer that nobody has verified yet."""
        return self.hear(peer, Rpc(publish=list(wires)))

    def accept(self, peer: int, *wires: bytes) -> int:
        """Messages from a peer, verified and accepted; the copies that left."""
        sent = 0
        for incoming in self.bring(peer, *wires):
            if self.router.verified(incoming, self.now):
                sent += self.router.settle(incoming, Verdict.ACCEPT, self.now)
        return sent

    def pass_time(self, seconds: float) -> None:
        """Wakes the router whenever it wants to be."""
        until = self.now + seconds
        while self.router.deadline() <= until:
            self.now = max(self.now, self.router.deadline())
            self.router.wake(self.now)
        self.now = until

    def beat(self) -> None:
        """Just past the next heartbeat."""
        self.pass_time(self.router.settings.mesh.heartbeat_s)

    def said(self) -> dict[int, Said]:
        """What has left since the last call, by peer; nothing said is an empty entry."""
        said = {peer: Said() for peer in self.router.queues}
        dirty = self.router.take_dirty()
        assert len(dirty) == len(set(dirty))
        for peer in dirty:
            while frame := self.router.queues[peer].take():
                said[peer].rpcs.append(frames(frame))
        assert not any(self.router.queues.values()), "a queue with something in it was not named"
        return said


@dataclass
class Node:
    """A router in a `Network`, and what it gave its owner."""

    router: Router[int]
    delivered: list[tuple[str, bytes]] = field(default_factory=list)
    """Topic and data of accepted messages, own ones not among them."""
    published: int = 0


class Network:
    """Nodes 0 to `size` - 1. A frame takes `delay` seconds; `loses` says which messages get lost on which link."""

    def __init__(
        self,
        size: int,
        seed: int = 1,
        settings: RouterSettings | None = None,
        scores: ScoreSettings | None = None,
        version: Version = Version.V1_2,
        delay: float = 0.01,
    ) -> None:
        self.now = 0.0
        self.version = version
        self.delay = delay
        self.loses: Callable[[int, int, bytes], bool] = lambda source, target, wire: False
        self.verdicts: Callable[[int, Message], Verdict] = lambda node, message: Verdict.ACCEPT
        self.trace: list[tuple[float, int, int, bytes]] = []
        self._waiting: list[tuple[float, int, int, int, bytes]] = []
        self._links: dict[tuple[int, int], int] = {}
        self._sent = 0
        base = settings or RouterSettings()
        self.nodes: list[Node] = []
        for number in range(size):
            rng = random.Random(seed * 1000 + number)
            first = replace(base.mesh, first_heartbeat_s=base.mesh.first_heartbeat_s + rng.random())
            self.nodes.append(
                Node(
                    Router(
                        number,
                        replace(base, mesh=first),
                        rng,
                        0.0,
                        None if scores is None else Scores(scores, 0.0),
                        author_of=author_of,
                    )
                )
            )

    def connect(self, dialer: int, listener: int) -> None:
        for node, other, outbound in ((dialer, listener, True), (listener, dialer, False)):
            self.nodes[node].router.connect(other, self.version, outbound, self.now)
            self._links[node, other] = self._sent
        for node in (dialer, listener):
            self._send(node)

    def connect_all(self) -> None:
        for dialer in range(len(self.nodes)):
            for listener in range(dialer + 1, len(self.nodes)):
                self.connect(dialer, listener)

    def disconnect(self, node: int, other: int) -> None:
        for one, two in ((node, other), (other, node)):
            self._links.pop((one, two), None)
            self.nodes[one].router.disconnect(two, self.now)
            self._send(one)

    def join(self, *nodes: int, topic: str = TOPIC) -> None:
        for node in nodes or range(len(self.nodes)):
            self.nodes[node].router.join(topic, self.now)
            self._send(node)

    def publish(self, node: int, data: bytes, topic: str = TOPIC) -> bytes:
        """Publishes a message and returns its id."""
        author = self.nodes[node]
        author.published += 1
        id, wire = message(node, author.published, data, topic)
        author.router.publish(topic, id, wire, self.now)
        self._send(node)
        return id

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            due, node = min((each.router.deadline(), number) for number, each in enumerate(self.nodes))
            arrival = self._waiting[0][0] if self._waiting else until + 1
            self.now = max(self.now, min(due, arrival, until))
            if min(due, arrival) > until:
                return
            if arrival <= due:
                _, number, source, target, frame = heappop(self._waiting)
                self._arrive(number, source, target, frame)
            else:
                self.nodes[node].router.wake(self.now)
                self._send(node)

    def _arrive(self, number: int, source: int, target: int, frame: bytes) -> None:
        if self._links.get((source, target), number) >= number:
            return
        node = self.nodes[target]
        rpc = frames(frame)
        rpc.publish = [wire for wire in rpc.publish if not self.loses(source, target, wire)]
        for incoming in node.router.receive(source, rpc, self.now):
            if node.router.verified(incoming, self.now):
                verdict = self.verdicts(target, incoming.message)
                if verdict is Verdict.ACCEPT:
                    node.delivered.append((incoming.message.topic, incoming.message.data or b""))
                node.router.settle(incoming, verdict, self.now)
        self._send(target)

    def _send(self, node: int) -> None:
        router = self.nodes[node].router
        for peer in router.take_dirty():
            while frame := router.queues[peer].take():
                self._sent += 1
                self.trace.append((self.now, node, peer, frame))
                heappush(self._waiting, (self.now + self.delay, self._sent, node, peer, frame))
