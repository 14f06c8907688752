"""Beam's nodes and the attackers among them: who is connected with whom, what travels between them, and what was refused
of whom."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from mesh.codecs.beam_route import RouteStatus
from mesh.errors import DecodeError, Malformed, UsageError
from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.abuse import Alert
from mesh.protocols.beam.chain_rules import Chain
from mesh.protocols.beam.gossip_message import GossipMessage, digest_of, open_message
from mesh.simulation.beam_hostile import KINDS, BlackHole, Hostile
from mesh.simulation.beam_nodes import RouteNode
from mesh.simulation.links import Latency, Links
from mesh.simulation.world import World

SETUP_TRIPS: Final = 4
"""To connect to a relay that is no neighbour."""
SECURE_TRIPS: Final = 3
"""From end to end, until streams can be opened: Noise and the muxer."""
RELAYS_OF_PROVIDER: Final = 2


@dataclass(frozen=True, slots=True)
class RoutingParameters:
    """One network. Raises UsageError for values that make no sense."""

    peers: int = 250
    seed: int = 1
    attackers: float = 0.1
    uses: int = 150
    """Connections that honest nodes open to others that they cannot dial."""
    minutes: float = 3.0
    dials: int = 15
    """Of each node, to random others: it has about twice as many links."""
    forwarders: float = 0.3
    """Share of honest nodes that let chains pass; attackers all say so."""
    providers: float = 0.3
    """Share of honest nodes that offer services; they tell of the links to forwarders that they are reached by."""
    relays: float = 0.1
    """Share of honest nodes that are relays without limits."""
    latency_ms: float = 50.0

    def __post_init__(self) -> None:
        if self.peers < 40 or self.dials < 2:
            raise UsageError(f"routes among {self.peers} peers with {self.dials} dials; at least 40 with 2")


class Path:
    """A circuit or chain by ``relays`` to a provider; ``on_end`` is called when something in the middle ends it."""

    def __init__(self, network: RoutingNetwork, nodes: Sequence[RouteNode]) -> None:
        self.network = network
        self.nodes = tuple(nodes)
        self.made_s = network.world.now_s
        self.one_way_ms = max(1, round(sum(network.trip_ms(*pair) for pair in pairwise(nodes)) / 2))
        self.places: list[tuple[RouteNode, Chain]] = []
        self.releases: list[Callable[[], None]] = []
        self.on_end: Callable[[], None] | None = None
        self.over = False

    @property
    def relays(self) -> tuple[PeerId, ...]:
        return tuple(each.peer for each in self.nodes[1:-1])

    def passes(self) -> bool:
        """Whether what leaves now arrives."""
        now = self.network.world.now_s
        if self.over or not all(each.passes(now - self.made_s) for each in self.nodes[1:-1]):
            return False
        for node, chain in self.places:
            node.passing.passed(chain, 1, now)
        return True

    def release(self) -> None:
        """Give every place back; safe to call twice."""
        self.over = True
        for node, chain in self.places:
            node.passing.ended(chain)
            self.network.holders.pop(chain, None)
        for release in self.releases:
            release()
        self.places, self.releases = [], []


Done = Callable[[Path | RouteStatus], None]


class RoutingNetwork:
    """All nodes, connected at random. ``tallies`` count by kind of node and what was refused, tried, or raised."""

    def __init__(self, parameters: RoutingParameters) -> None:
        self.parameters = parameters
        self.world = World(parameters.seed)
        self.links = Links(self.world, Latency(parameters.latency_ms, 0.4, parameters.seed))
        self.holders: dict[Chain, Path] = {}
        self.refusals: Counter[tuple[str, str]] = Counter()
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.alerts: Counter[tuple[str, str]] = Counter()
        self.blamed: Counter[str] = Counter()
        self._opened: dict[bytes, GossipMessage | None] = {}
        self._authors: dict[bytes, str] = {}
        self._chance = self.world.random("network")
        count = round(parameters.peers * parameters.attackers)
        self.hostile: list[Hostile] = []
        self.honest: list[RouteNode] = []
        for number in range(parameters.peers):
            if number < count:
                self.hostile.append(KINDS[number % len(KINDS)](self, number))
            else:
                self.honest.append(RouteNode(self, number))
        self.nodes: list[RouteNode] = [*self.hostile, *self.honest]
        self._by_peer = {each.peer: each for each in self.nodes}
        self._connect()
        self.relays = self._chance.sample(self.honest, max(4, round(len(self.honest) * parameters.relays)))
        self.relays_told = [*self.relays, *(each for each in self.hostile if isinstance(each, BlackHole))]
        """Those at which a provider may reserve, black holes among them."""
        for each in self._chance.sample(self.honest, round(len(self.honest) * parameters.forwarders)):
            each.forwards = True
        self.providers = self._chance.sample(
            self.honest, max(4, round(len(self.honest) * parameters.providers))
        )
        for each in self.providers:
            each.offers = True

    def _connect(self) -> None:
        for each in self.nodes:
            for other in self._chance.sample(self.nodes, min(self.parameters.dials, len(self.nodes) - 1)):
                if other is not each:
                    each.neighbours[other.peer] = other
                    other.neighbours[each.peer] = each

    def start(self) -> None:
        """Everybody begins."""
        for each in self.nodes:
            each.start()

    def at(self, peer: PeerId) -> RouteNode:
        return self._by_peer[peer]

    # -- what lies between -------------------------------------------------------------------------------------------

    def trip_ms(self, one: RouteNode, other: RouteNode) -> float:
        """A round trip."""
        return self.links.latency.round_trip_ms(one.number, other.number)

    def link(self, one: RouteNode, other: RouteNode) -> tuple[float, float]:
        """Round trip in seconds and bytes a second of a direct link."""
        pair = sorted((one.number, other.number))
        drawn = random.Random(f"{self.parameters.seed}/{pair[0]}/{pair[1]}").uniform(4.5, 6.5)
        return self.trip_ms(one, other) / 1000, 10**drawn

    def send(
        self, source: RouteNode, target: RouteNode, action: Callable[..., object], *arguments: Any
    ) -> None:
        """Something is said to a neighbour, and arrives."""
        self.links.send(source.number, target.number, 0, action, *arguments)

    # -- gossip ------------------------------------------------------------------------------------------------------

    def open(self, envelope: bytes) -> GossipMessage:
        """As `open_message`, which comes to the same for everybody and is done once. Raises `DecodeError`."""
        digest = digest_of(envelope)
        if digest not in self._opened:
            try:
                self._opened[digest] = open_message(envelope)
            except DecodeError:
                self._opened[digest] = None
        found = self._opened[digest]
        if found is None:
            raise Malformed("gossip", None, "forged")
        return found

    def digest(self, envelope: bytes) -> bytes:
        return digest_of(envelope)

    def note(self, message: GossipMessage, author: RouteNode) -> None:
        """Who says something."""
        self._authors[message.digest] = author.kind
        self._opened[message.digest] = message

    def author(self, digest: bytes) -> str:
        return self._authors.get(digest, "unknown")

    # -- chains and circuits -----------------------------------------------------------------------------------------

    def dial_chain(self, nodes: Sequence[RouteNode], done: Done) -> Path:
        """From the first of ``nodes`` to the last through those between. ``done`` gets the path, or the answer that
        refuses; nothing at all where somebody swallows the request. Release what came to nothing."""
        path = Path(self, nodes)
        self.send(nodes[0], nodes[1], self._extend, path, 1, done)
        return path

    def dial_relay(self, opener: RouteNode, relay: RouteNode, provider: RouteNode, done: Done) -> Path:
        """A circuit, as `dial_chain`."""
        path = Path(self, (opener, relay, provider))
        setup_ms = 0.0 if relay.peer in opener.neighbours else SETUP_TRIPS * self.trip_ms(opener, relay)

        def asked() -> None:
            release = relay.circuit(opener.peer, provider.peer)
            if release is None:
                self.world.after(round(self.trip_ms(opener, relay) / 2), done, RouteStatus.BUSY)
                return
            path.releases.append(release)
            self._secure(path, done)

        self.world.after(round(setup_ms + self.trip_ms(opener, relay) / 2), asked)
        return path

    def displaced(self, chain: Chain) -> None:
        """A chain gave way to another."""
        path = self.holders.get(chain)
        if path is None:
            return
        self.refused(path.nodes[0].kind, "displaced")
        path.release()
        if path.on_end is not None:
            path.on_end()

    def expire(self) -> None:
        """Forwarders end what carries nothing."""
        self.world.after(10_000, self.expire)
        for node in self.nodes:
            for chain in node.passing.expire(self.world.now_s):
                path = self.holders.get(chain)
                if path is not None:
                    self.refused(path.nodes[0].kind, "idle chain")
                    path.release()

    def _extend(self, path: Path, at: int, done: Done) -> None:
        node = path.nodes[at]
        if path.over:
            return
        if at == len(path.nodes) - 1:
            self._secure(path, done)
            return
        place = node.extend(path.nodes[at - 1], [each.peer for each in path.nodes[at + 1 :]])
        if isinstance(place, Chain):
            path.places.append((node, place))
            self.holders[place] = path
            self.send(node, path.nodes[at + 1], self._extend, path, at + 1, done)
        elif place is not None:
            path.release()
            back_ms = (
                sum(self.trip_ms(*pair) for pair in zip(path.nodes[:at], path.nodes[1:], strict=False)) / 2
            )
            status = place if at == 1 or place == RouteStatus.BUSY else RouteStatus.FAILED
            self.world.after(round(back_ms), done, status)

    def _secure(self, path: Path, done: Done) -> None:
        """Both ends agree on keys, if anything passes."""
        if path.passes():
            self.world.after(2 * SECURE_TRIPS * path.one_way_ms, self._secured, path, done)

    def _secured(self, path: Path, done: Done) -> None:
        if path.passes():
            done(path)

    # -- counts ------------------------------------------------------------------------------------------------------

    def refused(self, kind: str, reason: str, count: int = 1) -> None:
        """Something of a node of this kind was refused."""
        self.refusals[kind, reason] += count

    def tried(self, kind: str, what: str, count: int = 1) -> None:
        """What an attacker did."""
        self.attempts[kind, what] += count

    def alerted(self, alert: Alert) -> None:
        """A detector of an honest node, or of an attacker, which nobody counts."""
        self.alerts[
            self.at(alert.peer).kind if alert.peer in self._by_peer else "unknown", alert.detector
        ] += 1
