"""One honest node among attackers: the real judgement of gossip, its spread, route table, and places for chains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mesh.codecs.beam_route import RouteStatus
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.abuse import AbuseWatch, Alert
from mesh.protocols.beam.chain_rules import Chain, ChainLimits, ForwardedChains, leads_back
from mesh.protocols.beam.gossip_message import (
    ROUTE_UPDATE,
    SEEN_S,
    GossipMessage,
    Link,
    sign_message,
)
from mesh.protocols.beam.hearing import Hearing, Judgement, Pace
from mesh.protocols.beam.link_report import reported_links
from mesh.protocols.beam.path_quality import PathMeter, Quality
from mesh.protocols.beam.route_table import UPDATE_S, Route, RouteTable
from mesh.protocols.gossip.rumours import Kind, Rumour
from mesh.protocols.gossip.spread import Spread, SpreadSettings
from mesh.protocols.relay.reservations import Circuit, Reservations
from mesh.protocols.relay.settings import Settings

if TYPE_CHECKING:
    from mesh.simulation.beam_routing import RoutingNetwork

EPOCH_S: Final = 1_800_000_000.0
"""Unix time when the world begins."""
REPAIR_MS: Final = 3000
HONEST: Final = "honest"


class RouteNode:
    """``neighbours`` are those it is directly connected to."""

    kind = HONEST

    def __init__(self, network: RoutingNetwork, number: int) -> None:
        world = network.world
        self.network = network
        self.number = number
        self.key = PrivateKey.from_seed(b"beam node".ljust(24) + number.to_bytes(8, "big"))
        self.peer = PeerId.from_public_key(self.key.public)
        self.forwards = self.offers = False
        self.neighbours: dict[PeerId, RouteNode] = {}
        self.chance = world.random(f"node {number}")
        self.abuse = AbuseWatch(self._alerted)
        self.hearing = Hearing(self.peer, self.abuse, network.open)
        self.pace = Pace()
        self.spread: Spread[PeerId] = Spread(SpreadSettings(seen_ttl_s=SEEN_S), self.chance, world.now_s)
        self.table = RouteTable(self.peer)
        self.passing = ForwardedChains(ChainLimits())
        self.reservations = Reservations(self.peer, Settings())
        self.meters: dict[PeerId, PathMeter] = {}
        self._said = 0
        self._told: dict[PeerId, tuple[GossipMessage, float]] = {}

    # -- what it says ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin what is done every so often."""
        world = self.network.world
        if self.forwards or self.offers:
            world.after(self.chance.randrange(int(UPDATE_S * 1000)), self._tell)
        world.after(self.chance.randrange(REPAIR_MS), self._repair)

    def links(self) -> list[Link]:
        """As it tells of its own."""
        return reported_links(self.qualities(), self.forwards, self._forwards)

    def qualities(self) -> dict[PeerId, Quality]:
        """Of its direct links, measured now."""
        now = self.network.world.now_s
        for peer, other in self.neighbours.items():
            meter = self.meters.setdefault(peer, PathMeter())
            latency_s, bandwidth = self.network.link(self, other)
            meter.answered(latency_s * (1 + 0.1 * self.chance.random()))
            meter.counted(round(bandwidth * now), now)
        return {peer: self.meters[peer].quality(now) for peer in self.neighbours}

    def message(self, kind: str, body: Mapping[str, Any]) -> GossipMessage:
        """Something it signs."""
        self._said += 1
        ts_ms = round((EPOCH_S + self.network.world.now_s) * 1000)
        return sign_message(self.key, kind, f"{self.number} {self._said}", ts_ms, body)

    def publish(self, kind: str, body: Mapping[str, Any]) -> None:
        """Say something to everybody."""
        message = self.message(kind, body)
        self.network.note(message, self)
        rumour = Rumour(message.digest, self.peer, _kind(message), message.envelope)
        self._send(message.digest, self.spread.start(rumour, self.listeners(), self.network.world.now_s))

    def _tell(self) -> None:
        if links := self.links():
            body: dict[str, Any] = {"links": [each.document() for each in links]}
            self.publish(ROUTE_UPDATE, body if self.forwards else body | {"forwards": False})
        self.network.world.after(int(UPDATE_S * 1000), self._tell)

    def listeners(self) -> list[PeerId]:
        """Neighbours that it has to do with."""
        return self.hearing.admitted(self.neighbours, self.network.world.now_s)

    def routes(self, destination: PeerId) -> list[Route]:
        """The best first, by what was told so far: it is put into the table only now, for most nodes never ask."""
        self._learn()
        return self.table.routes(destination, self.qualities(), self.network.world.now_s)

    def _forwards(self, peer: PeerId) -> bool:
        held = self._told.get(peer)
        return self.table.forwards(peer) if held is None else held[0].forwards

    def _learn(self) -> None:
        told, self._told = self._told, {}
        for message, heard_at in told.values():
            if not self.table.update(
                message.origin, message.ts_ms, message.links, heard_at, forwards=message.forwards
            ):
                self.network.refused(self.network.author(message.digest), "old update")

    # -- what it hears -----------------------------------------------------------------------------------------------

    def hear(self, source: RouteNode, rumour: Rumour[PeerId]) -> None:
        """A neighbour hands something on."""
        network, now = self.network, self.network.world.now_s
        if not self.hearing.admits(source.peer, now):
            network.refused(source.kind, "not listened to")
            return
        if not self.hearing.room(source.peer, len(rumour.body), now):
            network.refused(source.kind, "flooded")
            return
        heard = self.hearing.judge(source.peer, rumour.body, rumour.id in self.spread, now, EPOCH_S + now)
        message = heard.message
        if message is None:
            if heard.judgement is Judgement.EXCESSIVE:
                network.refused(network.author(rumour.id), "said too much")
            elif heard.judgement not in (Judgement.REPEATED, Judgement.OWN):
                network.refused(source.kind, heard.judgement.value)
            return
        targets = self.spread.receive(source.peer, rumour, self.listeners(), now)
        if message.kind == ROUTE_UPDATE:
            self._note(message, now)
        self._send(rumour.id, targets or ())

    def _note(self, message: GossipMessage, now: float) -> None:
        """What somebody tells of its links, the newest of it."""
        held = self._told.get(message.origin)
        if held is not None and held[0].ts_ms >= message.ts_ms:
            self.network.refused(self.network.author(message.digest), "old update")
        else:
            self._told[message.origin] = message, now

    def _send(self, digest: bytes, targets: Sequence[PeerId]) -> None:
        rumour = self.spread.rumour(digest)
        if rumour is None:
            return
        for peer in targets:
            if self.pace.take(peer, 1, self.network.world.now_s):
                self.network.send(self, self.neighbours[peer], self.neighbours[peer].hear, self, rumour)
            else:
                self.network.refused(self.kind, "paced")

    def _repair(self) -> None:
        """Tell somebody what was heard lately; that one asks for what it misses."""
        world = self.network.world
        world.after(REPAIR_MS, self._repair)
        for peer in self.spread.repair_partners(self.listeners()):
            other = self.neighbours[peer]
            ids = self.spread.digest(world.now_s)
            if self.pace.take(peer, 1, world.now_s):
                self.network.send(self, other, other.digest, self, ids)

    def digest(self, source: RouteNode, ids: list[bytes]) -> None:
        """A neighbour tells what it has heard."""
        missing = self.spread.missing(ids)
        if missing and self.hearing.room(source.peer, 0, self.network.world.now_s):
            self.network.send(self, source, source.give, self, missing)

    def give(self, asker: RouteNode, ids: list[bytes]) -> None:
        """A neighbour asks for what it misses."""
        now = self.network.world.now_s
        for rumour in self.spread.held(ids)[: self.pace.room(asker.peer, now)]:
            self.pace.take(asker.peer, 1, now)
            self.network.send(self, asker, asker.hear, self, rumour)

    # -- chains and circuits -----------------------------------------------------------------------------------------

    def extend(self, before: RouteNode, hops: Sequence[PeerId]) -> Chain | RouteStatus | None:
        """A chain comes from a neighbour and is to go on to ``hops``: its place, or what is answered; None where nothing
        is. ``BAD_ROUTE`` before anything else, as `Chains` does it."""
        now = self.network.world.now_s
        if leads_back(self.peer, before.peer, hops):
            self.network.refused(before.kind, "route that leads back")
            return RouteStatus.BAD_ROUTE
        if not self.forwards:
            return RouteStatus.BUSY
        if not self.passing.asked(before.peer, now):
            self.abuse.hoarded(before.peer, now)
            self.network.refused(before.kind, "chain too many")
            return RouteStatus.BUSY
        if hops[0] not in self.neighbours:
            return RouteStatus.NOT_CONNECTED
        chain, ending = self.passing.began(before.peer, now)
        if ending is not None:
            self.network.displaced(ending)
        return chain

    def passes(self, age_s: float) -> bool:
        """Whether it passes on what comes by a path that has stood for so long."""
        return True

    def reserve(self, peer: PeerId, address: str) -> bool:
        """A place at this relay; whether there was one."""
        return isinstance(self.reservations.reserve(peer, address, self.network.world.now_s), float)

    def circuit(self, source: PeerId, target: PeerId) -> Callable[[], None] | None:
        """A circuit through this relay; what ends it, or None where there is none."""
        granted = self.reservations.connect(source, target, self.network.world.now_s)
        if not isinstance(granted, Circuit):
            return None
        return lambda: self.reservations.end(granted)

    def _alerted(self, alert: Alert) -> None:
        self.network.alerted(alert)


def _kind(message: GossipMessage) -> Kind:
    return Kind.__members__.get(message.kind, Kind.ANNOUNCE)
