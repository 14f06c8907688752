"""Streams between simulated nodes: delays, loss, partitions, and what is sent on them."""

from __future__ import annotations

from typing import Protocol

from mesh.codecs.gossip import Rpc
from mesh.simulation.gossip_packets import Packet
from mesh.simulation.links import Latency
from mesh.simulation.world import World


class Member(Protocol):
    """A node, honest or not."""

    number: int
    up: bool
    delays_ms: dict[int, int]
    """Connected peers, and how long an RPC takes to each."""

    def connected(self, peer: int, outbound: bool, delay_ms: int) -> None:
        """A connection to a peer is there; `outbound` when this node dialled."""

    def disconnected(self, peer: int) -> None:
        """A connection is gone, or noticed to be."""

    def receive(self, source: int, rpc: Rpc) -> None:
        """An RPC arrives; it may come from a peer that is not connected any more."""


class Streams:
    """Sends RPCs. A pair's delay is always the same, so that what is sent on a stream stays in order."""

    __slots__ = (
        "_latency",
        "_random",
        "control",
        "cut",
        "gossip",
        "loss",
        "lost",
        "payload",
        "sent",
        "side",
        "world",
    )

    def __init__(self, world: World, latency: Latency, loss: float) -> None:
        self.world = world
        self.loss = loss
        self.side: bytes = b""
        """Which side of a partition each node is on; empty when there is none."""
        self.sent = self.lost = self.cut = 0
        """RPCs of honest nodes in all, those lost, and those that a partition stopped."""
        self.payload = self.gossip = self.control = 0
        """Bytes of honest nodes: messages; IHAVE, IWANT and IDONTWANT; subscriptions, GRAFT and PRUNE."""
        self._latency = latency
        self._random = world.random("loss").random

    def count_anew(self) -> None:
        """Forgets what was sent so far."""
        self.sent = self.lost = self.cut = self.payload = self.gossip = self.control = 0

    def delay_ms(self, one: int, other: int) -> int:
        """How long an RPC takes: half of the pair's round trip."""
        return max(round(self._latency.round_trip_ms(one, other) / 2), 1)

    def parted(self, one: int, other: int) -> bool:
        """Whether a partition lies between two nodes."""
        side = self.side
        return bool(side) and side[one] != side[other]

    def send(self, source: int, target: Member, delay_ms: int, packet: Packet) -> None:
        """From an honest node; counted."""
        self.sent += 1
        self.payload += packet.payload
        self.gossip += packet.gossip
        self.control += packet.control
        side = self.side
        if side and side[source] != side[target.number]:
            self.cut += 1
            return
        world = self.world
        if self.loss and self._random() < self.loss:
            self.lost += 1
            world.at(world.now_ms + delay_ms, target.receive, source, packet.kept)
            return
        world.at(world.now_ms + delay_ms, target.receive, source, packet.rpc)

    def send_uncounted(self, source: int, target: Member, delay_ms: int, packet: Packet) -> None:
        """From an attacker, who loses nothing."""
        if not self.parted(source, target.number):
            self.world.after(delay_ms, target.receive, source, packet.rpc)
