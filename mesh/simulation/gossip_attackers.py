"""Nodes that mean ill. They have no router: they say what their attack needs and heed nothing they hear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mesh.codecs.gossip import Control, Graft, IHave, Rpc, Subscription
from mesh.codecs.wire import encode_varint
from mesh.simulation.gossip_packets import Packet, Sort, id_of, message
from mesh.simulation.gossip_parameters import ATTACKS, TOPIC, Attack, GossipParameters
from mesh.simulation.gossip_streams import Member, Streams


def _packet(rpc: Rpc) -> Packet:
    encoded = rpc.encode()
    return Packet(encode_varint(len(encoded)) + encoded)


SUBSCRIBE = _packet(Rpc(subscriptions=[Subscription(True, TOPIC)]))
GRAFT = _packet(Rpc(control=Control(graft=[Graft(TOPIC)])))


class Attacker:
    """One of them. Every so often it does to each of its peers what its attack is."""

    __slots__ = (
        "_attack",
        "_did",
        "_lies",
        "_members",
        "_parameters",
        "_streams",
        "delays_ms",
        "number",
        "up",
    )

    def __init__(
        self, number: int, parameters: GossipParameters, streams: Streams, members: list[Member]
    ) -> None:
        self.number = number
        self.up = True
        self.delays_ms: dict[int, int] = {}
        self._parameters = parameters
        self._attack = ATTACKS[parameters.attack]
        self._streams = streams
        self._members = members
        self._did = 0
        self._lies: Packet | None = None
        first_ms = streams.world.random(f"attacker {number}").randrange(1000)
        streams.world.after(first_ms + self._attack.every_ms, self._act)

    def connected(self, peer: int, outbound: bool, delay_ms: int) -> None:
        self.delays_ms[peer] = delay_ms
        self._send(peer, SUBSCRIBE)
        self._send(peer, GRAFT)

    def disconnected(self, peer: int) -> None:
        self.delays_ms.pop(peer, None)

    def receive(self, source: int, rpc: Rpc) -> None:
        """Heeds nothing."""

    def _act(self) -> None:
        packet = _ACTS[self._parameters.attack](self, self._did)
        self._did += 1
        for peer in self.delays_ms:
            self._send(peer, packet)
        self._streams.world.after(self._attack.every_ms, self._act)

    def _spam(self, turn: int) -> Packet:
        """A message that validation refuses, then one in the name of an honest node with a bad signature, in turn."""
        if turn % 2:
            author, sort = turn % self._parameters.peers, Sort.FORGED
        else:
            author, sort = self.number, Sort.REJECTED
        return _packet(Rpc(publish=[message(author, 2**32 + turn, self._parameters.size, sort)[1]]))

    def _announce(self, turn: int) -> Packet:
        """The same ids each time: nobody can have seen them."""
        if self._lies is None:
            ids = [id_of(self.number, 2**32 + each) for each in range(self._attack.ids)]
            self._lies = _packet(Rpc(control=Control(ihave=[IHave(TOPIC, ids)])))
        return self._lies

    def _graft(self, turn: int) -> Packet:
        return GRAFT

    def _send(self, peer: int, packet: Packet) -> None:
        self._streams.send_uncounted(self.number, self._members[peer], self.delays_ms[peer], packet)


_ACTS: Mapping[Attack, Callable[[Attacker, int], Packet]] = MappingProxyType(
    {
        Attack.SPAM: Attacker._spam,
        Attack.IHAVE: Attacker._announce,
        Attack.GRAFT: Attacker._graft,
        Attack.SYBIL: Attacker._graft,
        Attack.ECLIPSE: Attacker._graft,
    }
)
