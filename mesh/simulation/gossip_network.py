"""A population of GossipSub nodes: who is connected to whom, who comes and goes, what is cut, who publishes.

All honest nodes are there from the beginning, connected at random: each dials so many, none has more connections than
`most`, and who has too few dials more. A node that leaves closes its connections without a word to the topic; a newcomer
takes its place at once. A connection that a partition cuts is noticed to be gone by both ends at the same instant, one
to three seconds later, and set up again by the one who dialled it within two seconds of the healing.
"""

from __future__ import annotations

from mesh.simulation.gossip_attackers import Attacker
from mesh.simulation.gossip_nodes import HonestNode
from mesh.simulation.gossip_packets import Packets
from mesh.simulation.gossip_parameters import ATTACKER_DIALS, VICTIM_PEERS, Attack, GossipParameters
from mesh.simulation.gossip_streams import Member, Streams
from mesh.simulation.gossip_tally import Tally
from mesh.simulation.links import Latency
from mesh.simulation.world import World

SETUP_ROUND_TRIPS = 4
"""Before a connection can be used."""

NOTICE_MS = (1000, 3000)
REDIAL_MS = 2000
"""After a partition has begun, and after its end."""

SETTLED_MS = 5000
"""A newcomer is to get what is published so long after its coming."""

ARRIVAL_MS = 10_000
"""A node that leaves sooner after a message was published need not have got it."""

UNDER_WAY_MS = 1000
"""What was published so shortly before a partition is to reach its own side only."""


class GossipNetwork:
    """Nodes in a world; `members` by number: the first honest nodes, attackers, newcomers."""

    def __init__(self, parameters: GossipParameters) -> None:
        self.parameters = parameters
        self.world = World(parameters.seed)
        latency = Latency(parameters.latency_ms, parameters.spread, parameters.seed)
        self.streams = Streams(self.world, latency, parameters.loss)
        self.capacity = parameters.peers + parameters.attacker_count + parameters.departures
        self.tally = Tally(self.capacity)
        self.members: list[Member] = []
        self.honest: list[HonestNode] = []
        """All that ever were, in order of coming."""
        self.departures = 0
        self.side = self._sides()
        """Which half each node is in, partition or not."""
        self._packets = Packets()
        self._topology = self.world.random("topology")
        self._churn = self.world.random("churn")
        self._authors = self.world.random("authors")
        self._cut_links: list[tuple[int, int]] = []

    # --- building -----------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Makes everyone, connects them, and schedules all that will happen."""
        parameters = self.parameters
        for _ in range(parameters.peers):
            self._make()
        for _ in range(parameters.attacker_count):
            self.members.append(Attacker(len(self.members), parameters, self.streams, self.members))
        victims = parameters.victims
        for node in self.honest[victims:]:
            self._dial_some(node, parameters.dials)
        for node in self.honest[victims:]:
            self._dial_some(node, parameters.least - len(node.delays_ms))
        for victim in self.honest[:victims]:
            self._dial_some(victim, VICTIM_PEERS)
        self._connect_attackers()
        first_ms, last_ms = parameters.first_message_ms, parameters.last_message_ms
        for number in range(round(parameters.seconds * parameters.rate)):
            self.world.at(first_ms + round(number * 1000 / parameters.rate), self._publish)
        for _ in range(parameters.departures):
            self.world.at(self._churn.randrange(first_ms, last_ms), self._replace)
        if parameters.cut_ms is not None:
            begin_ms, end_ms = parameters.cut_ms
            self.world.at(begin_ms, self._cut)
            self.world.at(end_ms, self._heal)

    def _make(self) -> HonestNode:
        node = HonestNode(
            len(self.members), self.parameters, self.streams, self._packets, self.members, self.tally
        )
        self.members.append(node)
        self.honest.append(node)
        return node

    def _connect_attackers(self) -> None:
        parameters = self.parameters
        attackers = self.members[parameters.peers :]
        for turn, attacker in enumerate(attackers):
            if parameters.attack is Attack.ECLIPSE:
                self._connect(attacker, self.members[turn % parameters.victims])
                continue
            count = min(ATTACKER_DIALS, parameters.peers)
            for number in self._topology.sample(range(parameters.peers), count):
                self._connect(attacker, self.members[number])

    # --- connections --------------------------------------------------------------------------------------------

    def _candidate(self, node: HonestNode) -> HonestNode | None:
        """A random honest node that this one could connect to; None when none was found in a number of tries."""
        first = self.parameters.victims
        for _ in range(50):
            other = self.honest[self._topology.randrange(first, len(self.honest))]
            if (
                other.up
                and other is not node
                and other.number not in node.delays_ms
                and len(other.delays_ms) < self.parameters.most
                and not self.streams.parted(node.number, other.number)
            ):
                return other
        return None

    def _dial_some(self, node: HonestNode, count: int) -> None:
        """Connections that are there at once."""
        for _ in range(count):
            if len(node.delays_ms) >= self.parameters.most:
                return
            other = self._candidate(node)
            if other is not None:
                self._connect(node, other)

    def _connect(self, dialer: Member, listener: Member) -> None:
        if listener.number in dialer.delays_ms or not dialer.up or not listener.up:
            return
        delay_ms = self.streams.delay_ms(dialer.number, listener.number)
        dialer.connected(listener.number, True, delay_ms)
        listener.connected(dialer.number, False, delay_ms)

    def _dial(self, node: HonestNode, other: HonestNode) -> None:
        """A connection that takes its time, and comes about if both are there, have room and are not parted then."""
        delay_ms = self.streams.delay_ms(node.number, other.number)
        self.world.after(2 * SETUP_ROUND_TRIPS * delay_ms, self._dialled, node, other)

    def _dialled(self, node: HonestNode, other: HonestNode) -> None:
        most = self.parameters.most
        crowded = len(node.delays_ms) >= most or len(other.delays_ms) >= most
        if not crowded and not self.streams.parted(node.number, other.number):
            self._connect(node, other)

    # --- messages -----------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        now_ms = self.world.now_ms
        settled = [node for node in self.honest if node.up and self._settled(node, now_ms)]
        author = settled[self._authors.randrange(len(settled))]
        audience = bytearray(self.capacity)
        apart = self._apart(now_ms)
        for node in settled:
            if not apart or self.side[node.number] == self.side[author.number]:
                audience[node.number] = 1
        author.publish(bytes(audience))

    def _settled(self, node: HonestNode, now_ms: int) -> bool:
        return node.made_ms == 0 or node.made_ms + SETTLED_MS <= now_ms

    def _apart(self, now_ms: int) -> bool:
        """Whether a message published now is to reach the author's side only."""
        cut = self.parameters.cut_ms
        return cut is not None and cut[0] - UNDER_WAY_MS <= now_ms < cut[1] + REDIAL_MS

    # --- churn and partition ------------------------------------------------------------------------------------

    def _replace(self) -> None:
        """A random node is gone; a newcomer dials the least number of connections, since few will dial it."""
        up = [node for node in self.honest[self.parameters.victims :] if node.up]
        leaver = up[self._churn.randrange(len(up))]
        leaver.leave()
        self.departures += 1
        for peer, delay_ms in leaver.delays_ms.items():
            self.world.after(delay_ms, self._gone, self.members[peer], leaver.number)
        newcomer = self._make()
        for _ in range(self.parameters.least):
            other = self._candidate(newcomer)
            if other is not None:
                self._dial(newcomer, other)

    def _gone(self, member: Member, peer: int) -> None:
        """A connection was closed; who has too few now dials somebody else."""
        member.disconnected(peer)
        if isinstance(member, HonestNode) and member.up and len(member.delays_ms) < self.parameters.least:
            other = self._candidate(member)
            if other is not None:
                self._dial(member, other)

    def _sides(self) -> bytes:
        sides = self.world.random("sides")
        return bytes(sides.randrange(2) for _ in range(self.capacity))

    def _cut(self) -> None:
        self.streams.side = self.side
        for node in self.honest:
            if node.up:
                for peer in node.outbound:
                    if self.side[node.number] != self.side[peer]:
                        delay_ms = self._churn.randrange(*NOTICE_MS)
                        self.world.after(delay_ms, self._notice, node.number, peer)

    def _notice(self, dialer: int, listener: int) -> None:
        """Both ends give the connection up, if it is cut still."""
        one, other = self.members[dialer], self.members[listener]
        if self.streams.side and one.up and other.up and listener in one.delays_ms:
            one.disconnected(listener)
            other.disconnected(dialer)
            self._cut_links.append((dialer, listener))

    def _heal(self) -> None:
        self.streams.side = b""
        for dialer, listener in self._cut_links:
            delay_ms = self._churn.randrange(REDIAL_MS)
            self.world.after(delay_ms, self._connect, self.members[dialer], self.members[listener])
        self._cut_links.clear()
