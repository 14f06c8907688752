"""How soon a listing of the marketplace is everywhere: real routers, replicas and boards in virtual time.

Each node is in both topics of the marketplace. A seller puts its signed listing into the replicated mapping and announces
it, as `mesh.apps.market` does; a node knows it once its board has it, by the announcement or by the mapping, whose blocks
it asks its connected peers for. Connections are at random, RPCs are late and get lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import ceil

from mesh.codecs.gossip import Message, Rpc
from mesh.errors import UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.cid import Cid
from mesh.protocols.gossip import MeshSettings, Router, RouterSettings, Verdict, Version
from mesh.protocols.market import CRDT_TOPIC, LISTINGS_TOPIC
from mesh.protocols.market.board import Board
from mesh.protocols.market.listing import LIST, Listing, announce, key_of, read_listing, read_message
from mesh.protocols.market.naming import agent_did
from mesh.protocols.market.signing import sign_listing
from mesh.simulation.crdt import Disk, Process
from mesh.simulation.figures import spread_of
from mesh.simulation.gossip_packets import Packets
from mesh.simulation.gossip_streams import Member, Streams
from mesh.simulation.links import Latency
from mesh.simulation.seeds_report import SeedsReport
from mesh.simulation.world import World

FORM_MS = 5000
"""Meshes form before the first listing."""
EVERY_MS = 2000
"""From one listing to the next."""
PATIENCE_MS = 60_000
LOOK_MS = 10
UNANSWERED_MS = 1000
_EPOCH_S = 1_800_000_000
_SIGNATURE = bytes(64)

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SpreadParameters:
    """What is simulated. Raises UsageError for what makes no sense."""

    nodes: int = 100
    seed: int = 1
    """The first of them."""
    seeds: int = 10
    listings: int = 10
    """Agents that are listed in a run, one after another."""
    dials: int = 4
    """Connections that each node makes; it has twice as many on average."""
    latency_ms: float = 100.0
    """Median round trip."""
    spread: float = 0.4
    loss: float = 0.05
    """Share of RPCs whose messages are lost, and of blocks that are asked for in vain."""

    announced: bool = True
    """Whether listings are announced; without, the mapping alone brings them."""

    def __post_init__(self) -> None:
        if (
            self.seeds < 1
            or self.nodes < 2
            or self.listings < 1
            or not 1 <= self.dials < self.nodes
            or not 0 <= self.loss < 1
        ):
            raise UsageError(
                "two nodes, one seed, one listing and one connection a node at least, a loss below 1"
            )


@dataclass(frozen=True, slots=True)
class Reached:
    """When a listing was known, in seconds from being listed: by the first other node, by all; None for never."""

    second_s: float | None
    all_s: float | None


class Trader:
    """A node: router, replica and board."""

    def __init__(self, network: SpreadNetwork, number: int) -> None:
        world = network.world
        rng = world.random(f"router {number}")
        self.network = network
        self.number = number
        self.up = True
        self.delays_ms: dict[int, int] = {}
        self.board = Board()
        self.process = Process(network, number, Disk())
        self.key = PrivateKey.from_seed(number.to_bytes(32))
        self.peer = PeerId.from_public_key(self.key.public)
        self._sequence = 0
        mesh = MeshSettings(first_heartbeat_s=round(0.1 + rng.random(), 3))
        self.router: Router[int] = Router(number, RouterSettings(mesh=mesh), rng, world.now_s)
        for topic in (CRDT_TOPIC, LISTINGS_TOPIC):
            self.router.join(topic, world.now_s)
        world.at(ceil(self.router.deadline() * 1000), self._wake)

    def offer(self, name: str) -> str:
        """List an agent; its id."""
        now_s = int(_EPOCH_S + self.network.world.now_s)
        plain = Listing(agent_did(self.key.public, name), name, 0.5, "", str(self.peer), timestamp=now_s)
        listing = sign_listing(plain, self.key)
        self.board.put(listing, str(self.peer), now_s)
        self.process.change(key_of(listing.id), listing.write())
        if self.network.parameters.announced:
            self.publish(LISTINGS_TOPIC, announce(LIST, listing).write())
        return listing.id

    def knows(self, agent_id: str) -> bool:
        """Whether its board has the agent, once it has looked into the mapping."""
        if self.board.get(agent_id) is None:
            value = self.process.replica.get(key_of(agent_id))
            if value is not None:
                self.board.put(read_listing(value), "", _EPOCH_S + self.network.world.now_s)
        entry = self.board.get(agent_id)
        return entry is not None and entry.verified

    def publish(self, topic: str, data: bytes) -> None:
        """Send a message of its own."""
        self._sequence += 1
        seqno = self._sequence.to_bytes(8)
        wire = Message(bytes(self.peer), data, seqno, topic, _SIGNATURE).encode()
        self.router.publish(topic, bytes(self.peer) + seqno, wire, self.network.world.now_s)
        self._flush()

    def connected(self, peer: int, outbound: bool, delay_ms: int) -> None:
        """See `Member`."""
        self.delays_ms[peer] = delay_ms
        self.router.connect(peer, Version.V1_2, outbound, self.network.world.now_s)
        self._flush()

    def disconnected(self, peer: int) -> None:
        """See `Member`."""
        del self.delays_ms[peer]
        self.router.disconnect(peer, self.network.world.now_s)

    def receive(self, source: int, rpc: Rpc) -> None:
        """See `Member`."""
        now = self.network.world.now_s
        for incoming in self.router.receive(source, rpc, now):
            if self.router.verified(incoming, now):
                self._take(incoming.message)
                self.router.settle(incoming, Verdict.ACCEPT, now)
        self._flush()

    def _take(self, message: Message) -> None:
        data, sender = message.data or b"", message.sender or b""
        if message.topic == CRDT_TOPIC:
            self.process.hear(data)
        else:
            said_by = str(PeerId.from_bytes(sender))
            self.board.hear(read_message(data), said_by, _EPOCH_S + self.network.world.now_s)

    def _wake(self) -> None:
        world = self.network.world
        self.router.wake(world.now_s)
        self.router.events()
        self._flush()
        world.at(max(ceil(self.router.deadline() * 1000), world.now_ms + 1), self._wake)

    def _flush(self) -> None:
        network = self.network
        for peer in self.router.take_dirty():
            take, delay_ms = self.router.queues[peer].take, self.delays_ms[peer]
            while frame := take():
                network.streams.send(self.number, network.members[peer], delay_ms, network.packets.of(frame))


class SpreadNetwork:
    """All nodes of a run."""

    def __init__(self, parameters: SpreadParameters, seed: int) -> None:
        self.parameters = parameters
        self.world = World(seed)
        self.acknowledged: set[Cid] = set()
        latency = Latency(parameters.latency_ms, parameters.spread, seed)
        self.streams = Streams(self.world, latency, parameters.loss)
        self.packets = Packets()
        self.nodes = [Trader(self, number) for number in range(parameters.nodes)]
        self.members: list[Member] = list(self.nodes)
        self._chance = self.world.random("blocks")
        self._connect()

    def broadcast(self, sender: Process, data: bytes) -> None:
        """See `Surroundings`."""
        self.nodes[sender.number].publish(CRDT_TOPIC, data)

    def ask(self, process: Process, cid: Cid) -> None:
        """Ask every connected peer for a block; the nearest that has it answers, if the answer is not lost."""
        near = self.nodes[process.number].delays_ms
        having = [
            (delay_ms, peer) for peer, delay_ms in near.items() if cid in self.nodes[peer].process.disk.blocks
        ]
        if having and self._chance.random() >= self.parameters.loss:
            delay_ms, peer = min(having)
            block = self.nodes[peer].process.disk.blocks[cid]
            self.world.after(2 * delay_ms, process.answered, cid, block)
        else:
            self.world.after(UNANSWERED_MS, process.answered, cid, None)

    def _connect(self) -> None:
        chance = self.world.random("topology")
        for node in self.nodes:
            others = [number for number in range(len(self.nodes)) if number != node.number]
            for number in chance.sample(others, self.parameters.dials):
                if number not in node.delays_ms:
                    delay_ms = self.streams.delay_ms(node.number, number)
                    node.connected(number, True, delay_ms)
                    self.nodes[number].connected(node.number, False, delay_ms)


def run_seed(parameters: SpreadParameters, seed: int) -> list[Reached]:
    """List one agent after another, each at a node by chance, and see when everybody knows it."""
    network = SpreadNetwork(parameters, seed)
    sellers = network.world.random("sellers")
    network.world.run(FORM_MS)
    found = []
    for number in range(parameters.listings):
        network.world.run(network.world.now_ms + EVERY_MS)
        seller = network.nodes[sellers.randrange(parameters.nodes)]
        found.append(_spread(network, seller.offer(f"agent {number}")))
    return found


def run(parameters: SpreadParameters, tell: Tell | None = None) -> SeedsReport:
    """All seeds; `tell` gets a line for each."""
    began_s = time.monotonic()
    found: list[Reached] = []
    for seed in range(parameters.seed, parameters.seed + parameters.seeds):
        found += run_seed(parameters, seed)
        if tell is not None:
            tell(f"seed {seed}: {sum(each.all_s is None for each in found)} listings did not get everywhere")
    second = [each.second_s for each in found if each.second_s is not None]
    everywhere = [each.all_s for each in found if each.all_s is not None]
    figures: dict[str, dict[str, object]] = {
        "listings": {
            "listed": len(found),
            "known_everywhere": len(everywhere),
            "seconds_to_a_second_node": spread_of(second).rounded() if second else "none",
            "seconds_to_all_nodes": spread_of(everywhere).rounded() if everywhere else "none",
        }
    }
    title = f"{parameters.nodes} nodes of the marketplace"
    return SeedsReport("listings", title, asdict(parameters), figures, time.monotonic() - began_s)


def _spread(network: SpreadNetwork, agent_id: str) -> Reached:
    began_ms = network.world.now_ms
    second_s: float | None = None
    unaware = network.nodes
    while network.world.now_ms - began_ms < PATIENCE_MS:
        network.world.run(network.world.now_ms + LOOK_MS)
        unaware = [node for node in unaware if not node.knows(agent_id)]
        took_s = (network.world.now_ms - began_ms) / 1000
        if second_s is None and len(unaware) < len(network.nodes) - 1:
            second_s = took_s
        if not unaware:
            return Reached(second_s, took_s)
    return Reached(second_s, None)
