"""One honest node: the real `Router` and `Scores`, woken and fed by the simulation."""

from __future__ import annotations

from math import ceil, inf

from mesh.codecs.gossip import Rpc
from mesh.protocols.gossip import Router, Scores, Verdict, Version
from mesh.simulation.gossip_packets import Packets, Sort, author_of, message, number_of, sort_of
from mesh.simulation.gossip_parameters import TOPIC, GossipParameters
from mesh.simulation.gossip_streams import Member, Streams
from mesh.simulation.gossip_tally import Tally


class HonestNode:
    """A node that is up from its making until `leave`. Messages are verified and validated at once."""

    __slots__ = (
        "_attackers",
        "_members",
        "_packets",
        "_parameters",
        "_streams",
        "_tally",
        "delays_ms",
        "honest_ignored",
        "left_ms",
        "made_ms",
        "number",
        "outbound",
        "router",
        "scores",
        "up",
    )

    def __init__(
        self,
        number: int,
        parameters: GossipParameters,
        streams: Streams,
        packets: Packets,
        members: list[Member],
        tally: Tally,
    ) -> None:
        world = streams.world
        rng = world.random(f"router {number}")
        now = world.now_s
        self.number = number
        self.up = True
        self.made_ms = world.now_ms
        self.left_ms: float = inf
        self.delays_ms: dict[int, int] = {}
        self.outbound: dict[int, None] = {}
        """Peers that this node dialled."""
        self.honest_ignored = 0
        """RPCs of honest peers that were not looked at, their sender being graylisted."""
        self.scores: Scores[int] | None = (
            Scores(parameters.score_settings(), now) if parameters.scored else None
        )
        self.router: Router[int] = Router(
            number,
            parameters.router_settings(round(0.1 + rng.random(), 3)),
            rng,
            now,
            self.scores,
            author_of=author_of,
        )
        self.router.join(TOPIC, now)
        self._attackers = parameters.attacker_numbers
        self._parameters = parameters
        self._streams = streams
        self._packets = packets
        self._members = members
        self._tally = tally
        world.at(ceil(self.router.deadline() * 1000), self._wake)

    def connected(self, peer: int, outbound: bool, delay_ms: int) -> None:
        self.delays_ms[peer] = delay_ms
        if outbound:
            self.outbound[peer] = None
        parameters = self._parameters
        addresses = (parameters.address_of(peer),) if parameters.scored else ()
        self.router.connect(peer, Version.V1_2, outbound, self._streams.world.now_s, addresses)
        self._flush()

    def disconnected(self, peer: int) -> None:
        if self.delays_ms.pop(peer, None) is not None:
            self.outbound.pop(peer, None)
            self.router.disconnect(peer, self._streams.world.now_s)
            self._flush()

    def leave(self) -> None:
        """The node is gone."""
        self.up = False
        self.left_ms = self._streams.world.now_ms

    def receive(self, source: int, rpc: Rpc) -> None:
        if source in self.delays_ms and self.up:
            self._take(source, rpc)
            self._flush()

    def publish(self, audience: bytes) -> None:
        """Sends a message of its own; `audience` has 1 for each node that is to get it."""
        world = self._streams.world
        number = self._tally.published(self.number, world.now_ms, audience)
        id, wire = message(self.number, number, self._parameters.size)
        self.router.publish(TOPIC, id, wire, world.now_s)
        self._flush()

    def _take(self, source: int, rpc: Rpc) -> None:
        world, router = self._streams.world, self.router
        now = world.now_s
        ignored = router.counts["graylisted"]
        for incoming in router.receive(source, rpc, now):
            sort = sort_of(incoming.message)
            if sort is Sort.FORGED:
                router.forged(incoming, now)
            elif router.verified(incoming, now):
                if sort is Sort.REJECTED:
                    router.settle(incoming, Verdict.REJECT, now)
                    continue
                self._tally.arrived(number_of(incoming.message), self.number, source, world.now_ms)
                router.settle(incoming, Verdict.ACCEPT, now)
        if router.counts["graylisted"] != ignored and source not in self._attackers:
            self.honest_ignored += 1

    def _wake(self) -> None:
        if self.up:
            world = self._streams.world
            self.router.wake(world.now_s)
            self.router.events()
            self._flush()
            world.at(max(ceil(self.router.deadline() * 1000), world.now_ms + 1), self._wake)

    def _flush(self) -> None:
        router = self.router
        for peer in router.take_dirty():
            take, target, delay_ms = router.queues[peer].take, self._members[peer], self.delays_ms[peer]
            while frame := take():
                self._streams.send(self.number, target, delay_ms, self._packets.of(frame))
